"""`orch doctor` on healthy and on broken set-ups."""

from __future__ import annotations

import json
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from sqlalchemy import text

from orch import doctor
from orch.adapters.memory_queue import MemoryQueue
from orch.clock import utc_now
from orch.ports import Readiness
from orch.store import feeds, fleet, inbox
from orch.store.moments import DATABASE_TIME
from orch.store.session import Connection
from tests.cli.conftest import CommandLine
from tests.contracts.plane_stub import KEY, WORKSPACE
from tests.contracts.stubs import Stub
from tests.contracts.tracker_worlds import PlaneWorld

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)


def _findings(orch: CommandLine, code: int) -> dict[tuple[str, str], str]:
    done = orch("doctor", "--json")
    assert done.exit_code == code, done.output
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {(row["about"], row["verdict"]): row["said"] for row in rows}


def test_a_healthy_line_has_nothing_wrong(orch: CommandLine) -> None:
    orch.staff()
    orch.line().store.write(lambda conn: fleet.note_beat(conn, "beat", DATABASE_TIME))
    found = _findings(orch, 0)
    assert {about for about, _ in found} >= {"database", "broker", "dispatcher", "git", "clock"}


def test_a_line_without_beat_and_with_a_bad_agent_says_so(
    orch: CommandLine, folder: Path, bell: MemoryQueue
) -> None:
    (folder / "orch.toml").write_text('[agents.developer]\ncommand = ["no-such-program"]\n')
    found = _findings(orch, 1)
    assert found["dispatcher", "wrong"]
    assert "no-such-program" in found["agent developer", "wrong"]


def test_a_database_of_nothing_is_told_and_the_rest_still_looked_at(bare_orch: CommandLine) -> None:
    found = _findings(bare_orch, 1)
    assert ("database", "wrong") in found
    assert ("git", "well") in found


def test_a_missing_index_is_named(orch: CommandLine) -> None:
    store = orch.line().store
    name = store.read(
        lambda conn: conn.scalars(
            text("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
        ).first()
    )
    store.write(lambda conn: conn.execute(text(f'DROP INDEX "{name}"')))
    found = _findings(orch, 1)
    assert str(name) in found["indexes", "wrong"]
    assert ("broker", "well") in found  # the line can be looked at all the same


def test_settings_that_cannot_be_used_are_a_finding(bare_orch: CommandLine, folder: Path) -> None:
    (folder / "orch.toml").write_text("max_attempts = 0\n")
    assert "max_attempts (orch.toml, line 1)" in _findings(bare_orch, 1)["settings", "wrong"]


def test_one_repo_that_cannot_be_built_keeps_nothing_else_from_being_looked_at(
    orch: CommandLine, folder: Path
) -> None:
    (folder / "work").mkdir()
    (folder / "orch.toml").write_text(
        f'[repos.bad]\nurl = "{folder}/bad.git"\nforge = "gitea"\n'
        f'[repos.prompts]\nurl = "{folder}/x.git"\nprompts = "no-such-folder"\n'
        f'[trackers.main]\nkind = "folder"\nrepo = "bad"\npath = "{folder}/work"\n'
    )
    found = _findings(orch, 1)
    assert "nobody can tell where its Gitea is" in found["repo bad", "wrong"]
    assert "no-such-folder" in found["repo prompts", "wrong"]
    assert ("tracker main", "well") in found


def test_a_broker_that_is_away_is_wrong(orch: CommandLine, bell: MemoryQueue) -> None:
    bell.down = True
    assert ("broker", "wrong") in _findings(orch, 1)


def test_workers_of_another_version_are_worth_a_look(orch: CommandLine) -> None:
    orch.staff("developer")
    assert "Workers of other versions run: 0" in _findings(orch, 1)["workers", "look"]


def test_a_machine_without_git_is_told(
    orch: CommandLine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(folder))
    assert ("git", "wrong") in _findings(orch, 1)


def test_a_feed_that_fails_says_since_when_and_why(orch: CommandLine) -> None:
    def fail(conn: Connection) -> None:
        feeds.know(conn, ["tracker:main"], DATABASE_TIME)
        row = feeds.take(conn, "tracker:main", DATABASE_TIME, 60, urgent=True)
        assert row is not None
        feeds.failed(conn, row, DATABASE_TIME, 10, "no answer")

    orch.line().store.write(fail)
    assert "UTC: no answer" in _findings(orch, 1)["feed tracker:main", "wrong"]


def test_a_feed_that_was_stopped_is_wrong(orch: CommandLine) -> None:
    line = orch.line()

    def stop(conn: Connection) -> None:
        feeds.know(conn, ["tracker:main"], DATABASE_TIME)
        row = feeds.take(conn, "tracker:main", DATABASE_TIME, 60, urgent=True)
        assert row is not None
        feeds.stop(conn, row, DATABASE_TIME, "the key is bad")

    line.store.write(stop)
    assert "the key is bad" in _findings(orch, 1)["feed tracker:main", "wrong"]


def test_webhooks_that_never_came_are_worth_a_look_and_no_secret_is_shown(
    orch: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCH_GITEA_WEBHOOK_SECRET", "sesame-sesame")
    assert ("webhooks of gitea", "look") in _findings(orch, 1)
    orch.line().store.write(lambda conn: inbox.hear(conn, "gitea", DATABASE_TIME))
    done = orch("doctor", "--table")
    assert "sesame" not in done.output
    assert "webhooks of gitea" in done.stdout


@pytest.mark.parametrize(("ahead", "verdict"), [(0, "well"), (-5, "look"), (60, "wrong")])
def test_how_far_clocks_may_differ(ahead: float, verdict: str) -> None:
    assert doctor.aside("clock", "the database's", ahead).verdict == verdict


@pytest.mark.parametrize(
    ("free", "verdict"), [(6 * 2**30, "well"), (2 * 2**30, "look"), (1, "wrong")]
)
def test_how_little_disk_may_be_left(free: int, verdict: str) -> None:
    assert doctor.disk("disk", "work", free).verdict == verdict


def test_a_day_without_a_webhook_is_worth_a_look() -> None:
    assert doctor.webhooks("plane", NOW - timedelta(hours=25), NOW).verdict == "look"
    assert doctor.webhooks("plane", NOW - timedelta(hours=1), NOW).verdict == "well"


@pytest.mark.parametrize(
    ("source", "said"),
    [("gitea", "ALLOWED_HOST_LIST"), ("plane", "WEBHOOK_ALLOWED_HOSTS"), ("github", "no private")],
)
def test_what_the_other_side_has_to_allow_is_said_where_orch_is_private(
    source: str, said: str
) -> None:
    fix = doctor.webhooks(source, None, NOW, "10.0.0.7").fix
    assert said in fix
    assert "10.0.0.7" in fix
    assert said not in doctor.webhooks(source, None, NOW).fix
    assert doctor.webhooks(source, NOW, NOW, "10.0.0.7").fix == ""


@pytest.mark.parametrize(
    ("status", "verdict", "said"),
    [(405, "well", "can be reached"), (None, "look", "no answer"), (404, "look", "answers 404")],
)
def test_whether_webhooks_find_orch(
    orch: CommandLine,
    monkeypatch: pytest.MonkeyPatch,
    status: int | None,
    verdict: str,
    said: str,
) -> None:
    monkeypatch.setenv("ORCH_GITEA_WEBHOOK_SECRET", "sesame-sesame")

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if status is None:
            handler.close_connection = True
        else:
            handler.send_error(status)

    with Stub([], {}) as front:
        front.bare["/webhooks/gitea"] = answer
        monkeypatch.setenv("ORCH_WEB_URL", front.url)
        rows = [json.loads(line) for line in orch("doctor", "--json").stdout.splitlines()]
    found = [row for row in rows if row["about"] == "webhooks of gitea"]
    assert [row["verdict"] for row in found] == ["look", verdict]
    assert said in found[1]["said"]
    assert "have 127.0.0.1" in found[0]["fix"]


@pytest.mark.parametrize(
    ("theirs", "verdict"), [(NOW, "well"), (NOW - timedelta(seconds=40), "wrong"), (None, None)]
)
def test_how_far_the_clock_of_a_service_may_be_off(
    theirs: datetime | None, verdict: str | None
) -> None:
    found = list(doctor.readiness("tracker main", Readiness("orch", moment=theirs), lambda: NOW))
    assert [each.verdict for each in found if "clock" in each.said] == [verdict] * bool(verdict)


@pytest.mark.parametrize(("key", "verdict"), [(KEY, "well"), ("a-wrong-key", "wrong")])
def test_plane_is_asked_whether_it_lets_orch_work(
    orch: CommandLine, folder: Path, monkeypatch: pytest.MonkeyPatch, key: str, verdict: str
) -> None:
    with ExitStack() as stack:
        world = PlaneWorld(stack)
        world.tracker.prepare(make=True)
        project = f'project = "{world.plane.project}"'
        (folder / "orch.toml").write_text(
            f'[trackers.main]\nkind = "plane"\nrepo = "acme/shop"\n{project}\n'
            f'[repos."acme/shop"]\nurl = "{folder / "nowhere.git"}"\n'
        )
        monkeypatch.setenv("ORCH_PLANE_URL", world.stub.url)
        monkeypatch.setenv("ORCH_PLANE_WORKSPACE", WORKSPACE)
        monkeypatch.setenv("ORCH_PLANE_TOKEN", key)
        found = _findings(orch, 1)
    assert ("tracker main", verdict) in found
    assert world.client.moment is not None
    assert abs(world.client.moment - utc_now()) < timedelta(seconds=30)
    assert ("repo acme/shop", "wrong") in found
    assert "a-wrong-key" not in " ".join(found.values())


def test_a_line_without_a_database_is_told_so_and_gets_none(bare_orch: CommandLine) -> None:
    assert _findings(bare_orch, 1)["database", "wrong"] == "There is none yet."
    assert list(bare_orch.folder.iterdir()) == []
