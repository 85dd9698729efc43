"""orch add: one task, many from a file, and files that cannot be used."""

from __future__ import annotations

import json

import pytest

from orch.cli.demo_stage import EXAMPLES
from tests.cli.conftest import CommandLine

TASKS = [
    {"work_item_id": "A-1", "repo": "a", "title": "first"},
    {"work_item_id": "A-2", "repo": "a", "depends_on": ["A-1"], "track": "docs"},
    {"work_item_id": "A-3", "repo": "a", "paused": True},
]
TOML = """
[[tasks]]
work_item_id = "A-1"
repo = "a"
title = "first"
[[tasks]]
work_item_id = "A-2"
repo = "a"
depends_on = ["A-1"]
track = "docs"
[[tasks]]
work_item_id = "A-3"
repo = "a"
paused = true
"""


def test_one_task_with_everything(orch: CommandLine) -> None:
    orch.fact("add", "A-1", "--repo", "a")
    more = ("--title", "two", "--description", "more", "--track", "fast", "--on", "A-1", "--paused")
    found = orch.fact("add", "A-2", "--repo", "a", *more)
    task = found["task"]
    assert (task["title"], task["description"], task["track"]) == ("two", "more", "fast")
    assert [each["clause"] for each in found["blockers"]] == ["paused", "dependency", "active-task"]
    assert orch.told("add", "A-3", "--repo", "a").startswith("Added. A-3 waits")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.toml", TOML),
        ("t.json", json.dumps(TASKS)),
        ("t.jsonl", "\n".join(json.dumps(task) for task in TASKS)),
    ],
)
def test_many_from_a_file_and_again_without_harm(orch: CommandLine, name: str, text: str) -> None:
    (orch.folder / name).write_text(text)
    assert [fact["changed"] for fact in orch.facts("add", "--file", name)] == [True] * 3
    states = {task["work_item_id"]: task["paused_at"] for task in orch.facts("tasks")}
    assert sorted(states) == ["A-1", "A-2", "A-3"]
    assert states["A-3"]
    assert [fact["changed"] for fact in orch.facts("add", "--file", name)] == [False] * 3
    assert "Added 0 of 3 tasks." in orch.told("add", "--file", name)


def test_the_examples_can_be_added(orch: CommandLine) -> None:
    added = orch.facts("add", "--file", str(EXAMPLES / "work-items.toml"))
    assert len(added) == 12
    assert {fact["task"]["repo"] for fact in added} == {"shop", "lib", "site"}


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("t.toml", "[[tasks", "is not valid TOML"),
        ("t.toml", "[tasks]\na = 1", "holds no list of tasks"),
        ("t.toml", "", "holds no list of tasks"),
        ("t.json", "[", "is not valid JSON"),
        ("t.json", "[1]", "task 1 is not an object"),
        ("t.json", "{}\n{", "is not valid JSON"),
        ("t.json", "[" * 100_000, "is not valid JSON"),
        ("t.json", '[{"work_item_id": "A-9"}]', "task 1 has no repo"),
        ("t.json", '[{"work_item_id": 9, "repo": "a"}]', "task 1: work_item_id is not a text"),
        ("t.json", '[{"work_item_id": "-x", "repo": "a"}]', "is not a work item id"),
        ("t.json", '[{"work_item_id": "A-9", "repo": "a", "x": 1}]', "task 1 has x"),
        ("t.json", '[{"work_item_id": "A-9", "repo": "a", "depends_on": [1]}]', "list of texts"),
        ("t.json", '[{"work_item_id": "A-9", "repo": "a", "track": "no"}]', "is not a track"),
    ],
)
def test_a_file_that_cannot_be_used_adds_nothing(
    orch: CommandLine, name: str, text: str, words: str
) -> None:
    good = '{"work_item_id": "A-1", "repo": "a"}'
    (orch.folder / name).write_text(text.replace("[{", f"[{good}, {{") if "[{" in text else text)
    done = orch("add", "--file", name)
    assert done.exit_code == 2
    assert words.replace("task 1", "task 2") in done.stderr or words in done.stderr
    assert orch.facts("tasks") == []


def test_a_file_that_is_no_text_is_refused(orch: CommandLine) -> None:
    (orch.folder / "t.json").write_bytes(b"\xff\xfe[")
    assert orch("add", "--file", "t.json").exit_code == 2
