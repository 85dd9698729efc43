"""Webhooks: whatever is sent there, at most a hint to go and look is written, and nothing else."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from tests.contracts.hook_samples import EVERY, Sample, second, settings
from tests.factories import dump
from tests.web.conftest import Web
from tests.web.hooks import HUB, PLANE, PUSH, counted, outcome, post, rows
from tests.web.hooks import counted_here as counted_here
from tests.web.hooks import door as door
from web.given import BODY_LIMIT

# --- who may ----------------------------------------------------------------------------------

SIGNATURE = PLANE.headers["X-Plane-Signature"]
GITEA_SIGNATURE = PUSH.headers["X-Gitea-Signature"]
NOT_SIGNED = [
    ("B01", PLANE.header(X_Plane_Signature=None)),
    ("B01", PUSH.header(X_Gitea_Signature=None)),
    ("B01", HUB.header(X_Hub_Signature_256=None)),
    ("B02", PUSH.header(X_Gitea_Signature="")),
    ("B02", PUSH.signed(secret="")),
    ("B03", PLANE.signed(secret=PUSH.secret)),
    ("B03", HUB.signed(secret=PUSH.secret)),
    ("B04", PLANE.header(X_Plane_Signature=SIGNATURE.upper())),
    ("B04", PLANE.header(X_Plane_Signature=f"sha256={SIGNATURE}")),
    ("B04", PUSH.header(X_Gitea_Signature=f"sha256={GITEA_SIGNATURE}")),
    ("B04", HUB.header(X_Hub_Signature_256=HUB.headers["X-Hub-Signature-256"][7:])),
    ("B04", HUB.header(X_Hub_Signature_256=f"sha256={HUB.headers['X-Hub-Signature-256']}")),
    ("B05", PLANE.header(X_Plane_Signature="z" * 64)),
    ("B05", PLANE.header(X_Plane_Signature="a" * BODY_LIMIT)),
    ("B05", PLANE.header(X_Plane_Signature="é" * 64)),
    ("B05", PLANE.header(X_Plane_Signature=f"{SIGNATURE},{SIGNATURE}")),
    ("B06", Sample("plane", "", PLANE.headers, PLANE.raw + b" ", "")),
    ("B06", Sample("plane", "", PLANE.headers, PLANE.raw.replace(b": ", b":"), "")),
    ("B06", Sample("gitea", "", PUSH.headers, json.dumps(PUSH.body).encode(), "")),
]


@pytest.mark.parametrize(
    "of", [pytest.param(of, id=f"{row}-{at}") for at, (row, of) in enumerate(NOT_SIGNED)]
)
def test_what_is_not_signed_rightly_is_refused_and_nothing_is_written(
    door: Web, of: Sample
) -> None:
    before = dump(door.rig.store, without=["tries"])
    refused = post(door, of)
    assert (refused.status_code, outcome(refused)) == (401, "bad_signature")
    assert dump(door.rig.store, without=["tries"]) == before
    assert counted() == {f"{of.source}|refused": 1}


@pytest.mark.parametrize(
    ("of", "there"),
    [
        pytest.param(PUSH, "github", id="B19-gitea-at-github"),
        pytest.param(HUB, "gitea", id="B19-github-at-gitea"),
        pytest.param(PUSH, "plane", id="B19-gitea-at-plane"),
    ],
)
def test_each_sender_has_an_address_of_its_own_even_with_one_secret(
    web: Web, of: Sample, there: str
) -> None:
    same = {f"{name}_webhook_secret": of.secret for name in ("plane", "gitea", "github")}
    shared = Web(web.rig, web.folder, **(settings() | same))
    assert post(shared, of, there).status_code == 401
    assert outcome(post(shared, of)) == "accepted"


@pytest.mark.parametrize("of", EVERY)
def test_every_sample_is_taken(door: Web, of: Sample) -> None:
    answer = post(door, of)
    assert answer.status_code == 200
    assert outcome(answer) in ("accepted", "unknown")
    assert len(rows(door)) == (outcome(answer) == "accepted")


def test_b02_without_a_secret_the_door_is_closed(web: Web) -> None:
    for of in (PLANE, PUSH, HUB):
        closed = post(web, of.signed(secret=""))
        assert (closed.status_code, outcome(closed)) == (404, "door_closed")
        assert f"ORCH_{of.source.upper()}_WEBHOOK_SECRET" in closed.text
    assert rows(web) == []


# --- what it may be ---------------------------------------------------------------------------


class Endless(io.RawIOBase):
    """A body that does not end; counts what was read of it."""

    read_of_it = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.read_of_it += len(buffer)
        buffer[:] = b" " * len(buffer)
        return len(buffer)


@pytest.mark.parametrize("length", [None, str(10 * 2**30)], ids=["B09-chunked", "B09-announced"])
def test_a_body_without_end_is_left_after_a_megabyte(door: Web, length: str | None) -> None:
    body = Endless()
    environ: dict[str, Any] = {"wsgi.input": body, "wsgi.input_terminated": True}
    environ |= {"CONTENT_LENGTH": length} if length else {}
    refused = post(door, PLANE, data=None, environ_overrides=environ)
    assert (refused.status_code, outcome(refused)) == (413, "too_large")
    assert body.read_of_it <= (2 * BODY_LIMIT if length is None else 0)


def padded(size: int) -> Sample:
    """A webhook of just so many bytes, signed rightly."""
    return PLANE.signed(PLANE.raw + b" " * (size - len(PLANE.raw)))


def test_b09_one_byte_too_many_is_too_many(door: Web) -> None:
    assert post(door, padded(BODY_LIMIT)).status_code == 200
    assert post(door, padded(BODY_LIMIT + 1)).status_code == 413


def test_b10_a_body_that_breaks_off_is_no_webhook(door: Web) -> None:
    class Torn(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            raise ConnectionResetError

    environ = {"wsgi.input": Torn(), "CONTENT_LENGTH": str(len(PLANE.raw))}
    torn = post(door, PLANE, data=None, environ_overrides=environ)
    assert (torn.status_code, rows(door)) == (400, [])


@pytest.mark.parametrize(
    "of",
    [
        pytest.param(PLANE.header(Content_Encoding="gzip"), id="B11-gzip"),
        pytest.param(PLANE.header(Content_Encoding="identity"), id="B11-whatever-encoding"),
        pytest.param(PLANE.header(Content_Type="text/plain"), id="B12-text"),
        pytest.param(PLANE.header(Content_Type=None), id="B12-nothing"),
        pytest.param(
            HUB.signed(b"payload=%7B%7D").header(Content_Type="application/x-www-form-urlencoded"),
            id="B12-form",
        ),
    ],
)
def test_only_plain_json_is_taken(door: Web, of: Sample) -> None:
    refused = post(door, of)
    assert (refused.status_code, outcome(refused)) == (415, "wrong_content_type")
    assert rows(door) == []


DOUBLED = PLANE.raw.replace(b"{", b'{"event": "issue", ', 1)
NO_OBJECT = {
    "B13-twice": DOUBLED,
    "B13-deep": b"[" * 100_000 + b"]" * 100_000,
    "B13-deep-in-an-object": b'{"data": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "B13-nan": b'{"data": NaN}',
    "B13-huge": b'{"data": 1e400}',
    "B13-long": b'{"data": 1' + b"0" * 400 + b"}",
    "B13-surrogate": b'{"data": "\\ud800"}',
    "B13-bom": b"\xef\xbb\xbf" + PLANE.raw,
    "B13-latin": b'{"data": "\xe9"}',
    "B14-array": b"[]",
    "B14-string": b'"issue"',
    "B14-null": b"null",
    "B14-nothing": b"",
}


@pytest.mark.parametrize("raw", NO_OBJECT.values(), ids=NO_OBJECT)
def test_a_signed_body_that_is_no_plain_object_is_refused(door: Web, raw: bytes) -> None:
    refused = post(door, PLANE.signed(raw))
    assert (refused.status_code, outcome(refused)) == (400, "bad_input")
    assert rows(door) == []
    assert counted() == {"plane|malformed": 1}


SECOND = second(event="WebhookScope.ScopeChoices.WORK_ITEM_UPDATED", previous_attributes="None")
READ = [
    ("B15-no-data", PLANE.signed(b'{"event": "issue", "action": "updated"}'), "malformed"),
    ("B15-null", PLANE.saying(data=None), "malformed"),
    ("B15-number", PLANE.saying(data={"id": 5}), "malformed"),
    ("B16-event", PLANE.saying(event="moon"), "unknown"),
    ("B16-action", PLANE.saying(action="painted"), "unknown"),
    ("B16-forge-event", PUSH.header(X_Gitea_Event="star"), "unknown"),
    ("B17-v2", SECOND, "accepted"),
    ("B18-not-configured", PUSH.saying(repository={"full_name": "acme/other"}), "foreign"),
    ("B18-case", PUSH.saying(repository={"full_name": "Acme/Demo"}), "foreign"),
    ("B20-plane", PLANE.header(X_Plane_Event="issue_comment"), "contradiction"),
    ("B20-gitea", PUSH.header(X_Gitea_Event="pull_request"), "contradiction"),
]


@pytest.mark.parametrize(
    ("of", "expected"), [pytest.param(of, told, id=name) for name, of, told in READ]
)
def test_whatever_a_signed_body_says_it_is_answered_200_and_counted(
    door: Web, of: Sample, expected: str
) -> None:
    answer = post(door, of)
    assert (answer.status_code, outcome(answer)) == (200, expected)
    assert len(rows(door)) == (expected == "accepted")
    assert counted().get(f"{of.source}|{expected}", 0) + _flushed(door, of, expected) == 1


def _flushed(web: Web, of: Sample, expected: str) -> float:
    """What was written down already: the first of a source does that at once."""
    for row in dump(web.rig.store)["counters"]:
        if (row["name"], row["label"]) == ("hooks", f"{of.source}|{expected}"):
            return float(row["value"])
    return 0.0


@pytest.mark.parametrize(
    "method", ["GET", "PUT", "OPTIONS", "DELETE", "PATCH"], ids=lambda m: f"B21-{m}"
)
@pytest.mark.parametrize("source", ["plane", "gitea", "github"])
def test_a_webhook_is_posted_and_nothing_else(door: Web, method: str, source: str) -> None:
    refused = door.app.test_client().open(f"/webhooks/{source}", method=method)
    assert (refused.status_code, refused.headers["Allow"]) == (405, "POST")
