"""Webhooks in masses: each thing to look at is written once, and no more than can be looked at."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from orch.outside import inbox as letterbox
from orch.store import inbox
from orch.store import tables_outside as tables
from tests.contracts.hook_samples import ITEM, PROJECT, sample, settings
from tests.factories import dump
from tests.web.conftest import Web
from tests.web.hooks import COMMENT, PLANE, PULL, PUSH, item, outcome, post, rows, take
from tests.web.hooks import counted_here as counted_here
from tests.web.hooks import door as door
from tests.web.hooks import door_on_both as door_on_both
from web.limits import UNSIGNED
from web.webhooks import FULL_SECONDS

DAY = 24 * 3600.0


def test_b07_one_that_comes_again_has_no_effect(door_on_both: Web) -> None:
    web = door_on_both
    assert outcome(post(web, PLANE)) == "accepted"
    assert [row["subject"] for row in rows(web)] == [ITEM]
    take(web)
    before = rows(web)
    for seconds, delivery in ((1, "d-1"), (DAY, "d-2")):
        web.rig.clock.advance(seconds)
        again = post(web, PLANE.header(X_Plane_Delivery=delivery))
        assert (again.status_code, outcome(again)) == (200, "replayed")
    assert rows(web) == before


def test_b08_an_old_one_leads_to_one_look_at_most(door_on_both: Web) -> None:
    web = door_on_both
    post(web, PLANE)
    take(web)
    web.rig.clock.advance(letterbox.KEPT_SECONDS + 1)
    assert letterbox.prune(web.line) == 1
    tasks = dump(web.rig.store)["tasks"]
    answers = [outcome(post(web, PLANE)) for _ in range(3)]
    assert answers == ["accepted", "replayed", "replayed"]
    assert [row["subject"] for row in take(web)] == [ITEM]
    assert dump(web.rig.store)["tasks"] == tasks


def test_what_waits_to_be_looked_at_is_not_written_twice(door_on_both: Web) -> None:
    web = door_on_both
    several = [PLANE.saying(data={"id": ITEM, "project": PROJECT, "n": n}) for n in range(5)]
    answers = [outcome(post(web, of)) for of in [*several, COMMENT, PUSH, PULL]]
    assert answers == ["accepted", *["coalesced"] * 4, *["accepted"] * 3]
    assert [(row["event"], row["subject"]) for row in take(web)] == [
        ("issue", ITEM),
        ("issue_comment", ITEM),
    ]
    assert outcome(post(web, several[1])) == "accepted"  # taken: what changes now is news again
    assert [row["event"] for row in take(web, "gitea")] == ["push", "pull_request"]


def test_f40_a_storm_fills_a_bounded_inbox_and_all_recovers(
    door_on_both: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = door_on_both
    monkeypatch.setattr(letterbox, "MOST", 50)
    answers = [post(web, item(n)) for n in range(300)]
    assert [each.status_code for each in answers] == [200] * 50 + [429] * 250
    assert {outcome(each) for each in answers[50:]} == {"inbox_full"}
    assert all(int(each.headers["Retry-After"]) >= 1 for each in answers[50:])
    assert outcome(post(web, PUSH)) == "accepted"  # another sender has room of its own
    assert web.client.get("/queue").status_code == 200
    health = web.client.get("/healthz").get_json()
    assert "nobody takes up the webhooks of plane: 50 wait" in health["problems"]
    assert (health["webhooks"]["plane"]["waiting"], len(take(web))) == (50, 50)
    web.rig.clock.advance(FULL_SECONDS + 1)
    assert outcome(post(web, item(400))) == "accepted"
    later = web.client.get("/healthz").get_json()
    assert not [each for each in later["problems"] if "webhooks" in each]


def test_two_at_once_write_one_row(door_on_both: Web) -> None:
    hint = inbox.Hint("plane", ITEM, "issue", "d" * 64)
    same = inbox.Hint("plane", ITEM, "issue", "e" * 64)
    now = door_on_both.rig.clock()
    write = door_on_both.rig.store.write
    assert write(lambda conn: inbox.post(conn, hint, now))
    assert not write(lambda conn: inbox.post(conn, hint, now))
    assert not write(lambda conn: inbox.post(conn, same, now))


def test_what_proves_nothing_is_rationed_and_never_silences_the_sender(
    door: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.limits.UNSIGNED", type(UNSIGNED)("test", 3, 60.0))
    forged = PLANE.signed(secret="guessed")
    app = door.app
    statuses = [post(door, forged).status_code for _ in range(6)]
    assert statuses == [401] * 3 + [429] * 3
    assert len(dump(door.rig.store)["tries"]) == 3
    assert post(door, PLANE).status_code == 200
    door.rig.clock.advance(61)
    assert post(door, forged).status_code == 401
    assert app is door.app


# --- what is told, and what is not ------------------------------------------------------------


def test_when_each_was_heard_of_last_is_known(door_on_both: Web) -> None:
    web = door_on_both
    post(web, sample("github", "ping"))
    first = web.rig.clock()
    web.rig.clock.advance(30)
    post(web, sample("github", "ping"))
    assert web.rig.store.read(inbox.last_seen) == {"github": first}
    web.rig.clock.advance(60)
    post(web, sample("github", "ping"))
    assert web.client.get("/healthz").get_json()["webhooks"]["github"] == {
        "seen_at": web.rig.clock().isoformat().replace("+00:00", "Z"),
        "waiting": 0,
        "seconds": 0,
    }
    shown = web.client.get("/metrics").text
    assert 'orch_hooks_total{outcome="unknown",source="github"} 3.0' in shown
    assert 'orch_hooks_waiting{source="github"} 0.0' in shown
    assert 'orch_hook_age_seconds{source="github"} 0.0' in shown


def test_nothing_of_a_body_is_logged_or_kept(door: Web, capfd: pytest.CaptureFixture[str]) -> None:
    for of in (PLANE, PLANE.signed(PLANE.raw[:-1]), PLANE.header(X_Plane_Signature="no")):
        post(door, of)
    written = "".join(capfd.readouterr()) + str(dump(door.rig.store))
    assert "dev@example.test" not in written
    assert PLANE.secret not in written
    assert rows(door)[0]["subject"] == ITEM


def test_cookies_and_origins_mean_nothing_to_a_webhook(door: Web) -> None:
    elsewhere = {**PLANE.headers, "Origin": "https://plane.example.org", "Cookie": "session=x"}
    answer = post(door, PLANE, headers=elsewhere)
    assert answer.status_code == 200
    assert "Set-Cookie" not in answer.headers


def test_webhooks_come_by_the_names_and_proxies_that_are_configured(web: Web) -> None:
    named = Web(
        web.rig, web.folder, web_names="orch.example.org", web_proxy_addresses="127.0.0.1/32",
        web_proxy_hops=1, **settings(),
    )  # fmt: skip
    by_name = post(named, PLANE.header(Host="orch.example.org", X_Forwarded_For="192.0.2.1"))
    assert by_name.status_code == 200
    assert post(named, PLANE.header(Host="evil.example.org")).status_code == 400


def test_waiting_hints_are_found_by_their_index(door_on_both: Web) -> None:
    """The law that says a thing once is also what the question of each webhook goes by."""
    count = select(func.count()).select_from(tables.inbox).where(tables.UNTAKEN)
    post(door_on_both, PLANE)
    assert door_on_both.rig.store.read(lambda conn: conn.scalar(count)) == 1
    assert door_on_both.rig.store.read(inbox.waiting) == {"plane": 1}
