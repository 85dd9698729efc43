"""queue, why, tasks, events, logs: what they show to a person, and what to a pipe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from orch import dispatcher, head_watch
from orch.line import Limits
from orch.store import claims
from tests.cli.conftest import CommandLine


def test_a_queue_is_one_json_line_per_repo_when_piped(incident: CommandLine) -> None:
    incident.fact("add", "LIB-1", "--repo", "lib")
    lanes = {lane["repo"]: lane for lane in incident.facts("queue")}
    assert sorted(lanes) == ["lib", "shop"]
    waiting = [(entry["work_item_id"], entry["reason"]) for entry in lanes["shop"]["waiting"]]
    assert waiting == [("ORCH-116", None), ("ORCH-123", "active-task")]
    assert lanes["shop"]["active_task"]["work_item_id"] == "ORCH-116"


def test_a_queue_says_first_how_it_stands_and_who_is_missing(incident: CommandLine) -> None:
    incident.fact("pause", "ORCH-116")
    incident.fact("freeze", "lib", "--reason", "deploy day")
    first = incident.told("queue").splitlines()[0]
    assert first.startswith("0 jobs run, 1 waits, 1 task is parked, 1 repo is frozen.")
    assert "No worker serves analyst." in first


def test_a_queue_shows_holder_reason_and_the_command_that_clears_it(incident: CommandLine) -> None:
    said = incident.told("queue")
    assert "ORCH-116 is next, at analysis" in said
    assert "ORCH-116 holds the repo at analysis: it is before this one in the line" in said
    assert "orch pause ORCH-116" in said


def test_parked_and_frozen_stand_apart_from_those_that_wait(incident: CommandLine) -> None:
    incident.fact("pause", "ORCH-116", "--reason", "in the backlog")
    incident.fact("freeze", "shop", "--reason", "deploy day")
    said = incident.told("queue")
    assert "parked: ORCH-116 at analysis" in said
    assert "in the backlog" in said
    assert "frozen by cli:" in said
    assert "deploy day" in said


def test_an_empty_line_is_said_to_be_empty(orch: CommandLine) -> None:
    assert orch.told("queue") == "Nothing runs and nothing waits.\n"
    assert orch.facts("queue") == []


def test_a_queue_can_be_narrowed_to_one_repo(incident: CommandLine) -> None:
    incident.fact("add", "LIB-1", "--repo", "lib")
    assert incident.fact("queue", "--repo", "lib")["repo"] == "lib"


def test_control_characters_and_markup_in_titles_cannot_act(incident: CommandLine) -> None:
    line = incident.line()
    # Hand-written rows may hold what the command line would refuse.
    line.store.write(
        lambda conn: conn.exec_driver_sql(
            "UPDATE tasks SET title = '[red]x[/] ' || char(27) || '[31m' || char(8238)"
        )
    )
    said = incident.told("queue")
    assert "[red]x[/] ␛[31m\N{REPLACEMENT CHARACTER}" in said
    assert "\x1b" not in said
    assert "\u202e" not in said


def test_why_shows_all_three_blockers_with_what_clears_each(incident: CommandLine) -> None:
    incident.fact("add", "LIB-1", "--repo", "lib")
    incident.fact("depend", "ORCH-123", "--on", "LIB-1")
    incident.fact("freeze", "shop", "--reason", "deploy day", "--until", "+2h")
    found = incident.fact("why", "ORCH-123")
    assert [each["clause"] for each in found["blockers"]] == ["freeze", "dependency", "active-task"]
    assert found["reason"] == "freeze"
    said = incident.told("why", "ORCH-123")
    for words in (
        "is frozen",
        "LIB-1 comes first",
        "ORCH-116 holds the repo",
        "orch unfreeze shop",
    ):
        assert words in said
    assert "Ahead of it: ORCH-116." in said


def test_tasks_can_be_filtered(incident: CommandLine) -> None:
    incident.fact("cancel", "ORCH-116")
    assert incident.fact("tasks", "--state", "cancelled")["work_item_id"] == "ORCH-116"
    assert incident.fact("tasks", "--stage", "analysis")["work_item_id"] == "ORCH-123"
    assert "No task is like that." in incident.told("tasks", "--agent", "tester")
    assert "ORCH-123" in incident.told("tasks", "--repo", "shop")


def test_events_say_who_did_what_and_why(incident: CommandLine) -> None:
    incident.fact("pause", "ORCH-116", "--reason", "in the backlog")
    last = incident.facts("events", "--task", "ORCH-116")[-1]
    assert (last["kind"], last["reason"]) == ("task.paused", "in the backlog")
    assert last["actor"].startswith("cli:")
    assert "task.paused" in incident.told("events", "--kind", "task.paused")
    assert incident.facts("events", "--repo", "shop", "--limit", "1")[0]["id"] == last["id"]


@pytest.fixture
def begun(incident: CommandLine) -> CommandLine:
    """ORCH-116 has a running job with two lines of log."""
    incident.staff("analyst")
    line = incident.line()
    (claimed,) = dispatcher.tick(line).claimed
    job = line.store.write(
        lambda conn: claims.start(conn, line.gate, claimed.claim, line.now(), worker="w", lease=60)
    )
    assert job is not None
    folder = incident.folder / ".orch" / "jobs" / str(job["id"]) / claimed.claim.token[:12]
    folder.mkdir(parents=True)
    (folder / "log").write_bytes(b"first \x1b[31mline\nsecond\xff\n")
    return incident


@pytest.mark.parametrize("which", ["ORCH-116", "1"])
def test_a_log_is_passed_on_byte_by_byte_while_the_agent_works(
    begun: CommandLine, which: str
) -> None:
    done = begun("logs", which)
    assert done.stdout_bytes == b"first \x1b[31mline\nsecond\xff\n"


def test_a_live_job_is_shown_as_the_holder(begun: CommandLine) -> None:
    assert "ORCH-116 at analysis: analyst running for" in begun.told("queue")
    assert begun.fact("why", "ORCH-116")["state"] == "running"


def test_a_log_that_has_not_begun_is_not_found(incident: CommandLine) -> None:
    done = incident("logs", "ORCH-116")
    assert done.exit_code == 3
    assert "No agent has begun ORCH-116 yet" in done.stderr


def test_looking_rings_nobody(incident: CommandLine, bell_count: int) -> None:
    for verb in (("queue",), ("why", "ORCH-123"), ("tasks",), ("events",)):
        incident.facts(*verb)
    assert incident.bell.kicked == bell_count


@pytest.fixture
def bell_count(incident: CommandLine) -> int:
    incident.bell.clear_kick()
    return incident.bell.kicked


def test_a_log_outside_the_data_folder_is_not_opened(begun: CommandLine, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("token")
    begun.line().store.write(
        lambda conn: conn.exec_driver_sql("UPDATE jobs SET log_path = ?", (str(secret),))
    )
    done = begun("logs", "1")
    assert (done.exit_code, done.stdout) == (3, "")


def test_a_head_that_keeps_others_waiting_is_named_in_its_lane(incident: CommandLine) -> None:
    line = incident.line()
    watched = replace(line, limits=Limits(head_watch=0.001))
    for _ in range(2):
        head_watch.look(watched)
    line.store.dispose()
    said = "ORCH-116 has kept 1 waiting for "
    assert said in incident.told("queue")
    assert said in incident.told("why", "ORCH-116")
    assert said not in incident.told("why", "ORCH-123")
    assert incident.fact("queue")["head_watch"]["work_item_id"] == "ORCH-116"
