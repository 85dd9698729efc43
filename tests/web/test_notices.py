"""Notices over HTTP: listed, tested, tried again, and shown in /metrics and /healthz."""

from __future__ import annotations

from typing import Any

import pytest

from orch import bootstrap, notices
from orch.adapters.memory_channel import MemoryChannel
from orch.notices import Subscription
from tests.web.conftest import Web


def frozen(web: Web) -> None:
    """A notice in the outbox, as a watch would have put it there."""
    wanted = Subscription(("memory",))
    notices.collect(web.line, wanted)
    web.rig.order("freeze", "app", "<script>alert(1)</script>")
    web.rig.clock.advance(60)
    notices.collect(web.line, wanted)


@pytest.fixture
def channels(monkeypatch: pytest.MonkeyPatch) -> list[MemoryChannel]:
    made = [MemoryChannel("webhook"), MemoryChannel("mail")]
    monkeypatch.setattr(bootstrap, "build_channels", lambda settings: made)
    return made


def test_notices_are_listed_with_what_became_of_them(web: Web) -> None:
    frozen(web)
    found = web.client_of("viewer").get("/notices").get_json()
    (row,) = found["notices"]
    assert (row["kind"], row["state"], row["channel"]) == ("frozen", "waiting", "memory")
    assert (row["created_at"], found["waiting"]) == ("2026-03-01T12:01:00Z", {"memory": 1})
    assert "data" not in row
    assert web.client_of("operator").get("/notices?state=sent").get_json()["notices"] == []


def test_an_admin_tests_every_channel_and_is_told_of_each(
    web: Web, channels: list[MemoryChannel]
) -> None:
    channels[1].away = True
    answer = web.client_of("admin").post("/notices/test")
    assert answer.get_json()["channels"] == [
        {"channel": "webhook", "ok": True},
        {
            "channel": "mail",
            "ok": False,
            "error": "mail is away.",
            "suggested_fix": "Nothing to do at first, it is tried again; if it stays, check the "
            "way to the receiver.",
        },
    ]
    (told,) = channels[0].sent
    assert (told.kind, told.data["actor"]) == ("test", "the-admin")
    assert web.client_of("operator").post("/notices/test").status_code == 403


def test_without_a_channel_the_test_says_what_to_set(web: Web) -> None:
    answer = web.client_of("admin").post("/notices/test")
    assert (answer.status_code, answer.get_json(force=True)["code"]) == (409, "illegal_transition")
    assert "ORCH_NOTIFY_WEBHOOK_URL" in answer.get_json(force=True)["suggested_fix"]


def test_an_operator_has_one_tried_again(web: Web) -> None:
    frozen(web)
    memory = MemoryChannel()
    memory.away = True
    notices.deliver(web.line, [memory])
    client = web.client_of("operator")
    (row,) = client.get("/notices").get_json()["notices"]
    answers = [client.post(f"/notices/{row['id']}/retry").get_json() for _ in range(2)]
    assert [answer["changed"] for answer in answers] == [True, False]
    assert web.rig.events("notice.retried")[0]["actor"] == "the-operator"
    assert client.post("/notices/999/retry").status_code == 404
    assert client.post("/notices/x/retry").status_code == 400
    assert web.client_of("viewer").post("/notices/1/retry").status_code == 403


def test_channels_that_stay_away_are_numbers_and_a_problem(web: Web) -> None:
    frozen(web)
    memory = MemoryChannel()
    memory.away = True
    problems: list[list[Any]] = []
    for _ in range(3):
        notices.deliver(web.line, [memory])
        said: list[str] = web.client.get("/healthz").get_json()["problems"]
        problems.append([each for each in said if "notices" in each])
        web.rig.clock.advance(1200)
    assert problems == [[], [], ["notices for memory wait (1), the first was tried 3 times"]]
    numbers = web.client_of("viewer").get("/metrics").text
    assert 'orch_notices_waiting{channel="memory"} 1.0' in numbers
    assert 'orch_notices_failed_total{channel="memory"} 3.0' in numbers


def test_the_page_shows_what_was_told_and_lets_an_operator_try_again(web: Web) -> None:
    frozen(web)
    operator = web.signed_in("operator")
    page = operator.get("/ui/notices").text
    assert "&lt;script&gt;" in page
    assert "<script>alert" not in page
    assert "Send a test" not in page
    (row,) = notices.listed(web.line)["notices"]
    again = operator.post(f"/ui/notices/{row['id']}/retry", "/ui/notices")
    assert (again.status_code, again.headers["Location"]) == (303, "/ui/notices")
    assert operator.post("/ui/notices/999/retry", "/ui/notices").status_code == 404
    viewer = web.signed_in("viewer")
    assert "Try again now" not in viewer.get("/ui/notices").text
    assert viewer.post(f"/ui/notices/{row['id']}/retry", "/ui/me").status_code == 403


def test_the_button_of_the_page_sends_through_every_channel(
    web: Web, channels: list[MemoryChannel]
) -> None:
    channels[1].away = True
    admin = web.signed_in("admin")
    page = admin.post("/ui/notices/test", "/ui/notices").text
    assert "webhook took the test" in " ".join(page.split())
    assert "mail is away." in page
    assert [each.kind for each in channels[0].sent] == ["test"]
    channels.clear()
    assert "No channel is configured" in admin.post("/ui/notices/test", "/ui/notices").text
    assert web.signed_in("operator").post("/ui/notices/test", "/ui/me").status_code == 403
