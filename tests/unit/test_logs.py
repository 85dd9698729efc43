"""The log: one line an event whatever others write, JSON that parses, ids of what it is about."""

from __future__ import annotations

import ast
import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.contextvars import bound_contextvars

from orch import logs, turns, worker
from orch.errors import StoreUnavailable
from orch.line import Limits
from orch.ports import Claim
from orch.store.session import Store
from tests.architecture import tree
from tests.factories import Rig, ScriptedRunner

EVIL = 'title\n2026-03-01 [info     ] job.left\r\x1b[2J\x85 \u2028 \u202e\ud800 | {"event": 1}'
IDS = {"job_id", "work_item_id", "repo", "stage", "agent", "attempt"}
REQUIRED = {
    "job": {"job_id"},
    "turn": {"job_id"},
    "settle": {"job_id"},
    "heartbeat": {"job_id"},
    "landing": {"repo"},
    "workspace": {"work_item_id"},
    "task": {"work_item_id", "repo"},
    "stray": {"work_item_id", "repo", "stage"},
    "claim": {"repo"},
    "depot": {"repo"},
    "monitor": {"repo"},
    "repo": {"repo"},
    "upkeep": {"repo"},
}
"""By the first word of an event, what its call names itself. The rest comes with the turn."""
OTHER_WORDS = {"work_item", "item", "job", "task", "repository", "task_id", "workitem"}
"""Never the name of a fact: one word for one thing, so that a log can be searched by it."""
LEVELS = ("debug", "info", "warning", "error", "exception", "critical")
FROM_THE_TURN = {"job.left"}
"""Only ever written inside a turn, which names everything."""


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """The log is the whole process's: what a test sets up is put back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def written(capsys: pytest.CaptureFixture[str]) -> list[str]:
    told = capsys.readouterr().err
    assert told.endswith("\n")
    return told[:-1].split("\n")


@pytest.mark.parametrize("form", ["json", "text"])
def test_text_of_others_breaks_no_line_and_commands_no_terminal(
    form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("INFO", form)
    log = structlog.get_logger("here")
    log.warning("stray.found", reason=EVIL, several=[EVIL], word="a\x1bb")
    logging.getLogger("of a library").warning("said %s", EVIL)
    lines = written(capsys)
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)
    if form == "json":
        first, second = (json.loads(line) for line in lines)
        assert (first["event"], first["reason"], first["level"]) == ("stray.found", EVIL, "warning")
        assert second["event"] == f"said {EVIL}"


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_traceback_forges_no_event(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO", form)
    for log in (structlog.get_logger("here"), logging.getLogger("of a library")):
        try:
            raise ValueError(EVIL)
        except ValueError:
            log.exception("tick.repo_failed")
    lines = written(capsys)
    assert all(line.isprintable() for line in lines)
    if form == "json":
        assert all("ValueError" in json.loads(line)["exception"] for line in lines)
        assert len(lines) == 2
    else:
        assert sum("tick.repo_failed" in line for line in lines) == 2
        others = [line for line in lines if "tick.repo_failed" not in line]
        assert all(line.startswith("    | ") for line in others)


# --- ids


def calls() -> Iterator[tuple[str, str, set[str]]]:
    """Where, event and named facts of every line the code may log."""
    for name, node in tree.nodes("orch", "web"):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if ast.unparse(node.func.value) == "log" and node.func.attr in LEVELS:
            (event,) = node.args
            assert isinstance(event, ast.Constant), f"{name}:{node.lineno} makes its event up"
            yield f"{name}:{node.lineno}", event.value, {each.arg or "" for each in node.keywords}


def test_every_event_names_what_it_is_about() -> None:
    missing = {
        f"{where} {event}": REQUIRED.get(event.split(".")[0], set()) - facts
        for where, event, facts in calls()
        if event not in FROM_THE_TURN
    }
    assert {where: ids for where, ids in missing.items() if ids} == {}


def test_one_thing_has_one_name_in_every_line() -> None:
    odd = {where: facts & OTHER_WORDS for where, _, facts in calls() if facts & OTHER_WORDS}
    assert odd == {}


def test_every_line_of_a_turn_has_its_ids_whoever_writes_it(
    sqlite_database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rig = Rig(Store(sqlite_database, synchronous="OFF"))
    rig.workers()
    rig.task("LOG-1", "review", title=EVIL.replace("\ud800", ""))
    (claimed,) = rig.tick().claimed
    logs.configure("INFO", "json")

    def elsewhere() -> None:
        structlog.get_logger("orch.adapters").info("depot.broken", repo="app")

    assert rig.work(claimed.claim, tmp_path, ScriptedRunner(meanwhile=elsewhere)) == "advance"
    lines: list[dict[str, Any]] = [json.loads(line) for line in written(capsys)]
    structlog.get_logger("after").info("tick.done")
    rig.store.dispose()
    assert [line["event"] for line in lines] == ["depot.broken", "job.left"]
    for line in lines:
        assert set(line) >= IDS
        assert (line["work_item_id"], line["stage"], line["agent"]) == (
            "LOG-1",
            "review",
            "reviewer",
        )
    assert "job_id" not in json.loads(written(capsys)[0])


def test_the_thread_that_renews_a_lease_says_whose(
    sqlite_database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rig = Rig(Store(sqlite_database, synchronous="OFF"), limits=Limits(heartbeat=0.001))
    asked = threading.Event()

    def away(*_: object) -> None:
        asked.set()
        raise StoreUnavailable

    monkeypatch.setattr(worker, "_renew", away)
    turn = turns.Turn(Claim(7, "token", "reviewer"), {}, {})
    logs.configure("INFO", "json")
    with bound_contextvars(work_item_id="LOG-2", repo="app"), worker._kept(rig.line, turn):
        assert asked.wait(10)
    rig.store.dispose()
    first = json.loads(written(capsys)[0])
    assert (first["event"], first["job_id"]) == ("heartbeat.failed", 7)
    assert (first["work_item_id"], first["repo"]) == ("LOG-2", "app")
