"""clean and monitor on real git: what they do, what they say, and who may run beside whom."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog.testing

from orch import bootstrap, errands, upkeep
from orch.ports import Cut, Turn
from orch.store import entries, fleet
from orch.store.moments import DATABASE_TIME
from tests.cli.conftest import CommandLine
from tests.git_bench import commit, git, make_template
from tests.unit.otlp_receiver import Receiver

HEALTHY = "import pathlib, sys; sys.exit(pathlib.Path('broken').exists())"


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """What is logged goes to nobody, and not where the answers go."""
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
def shop(orch: CommandLine, tmp_path: Path) -> CommandLine:
    """A repo `shop` whose health command fails while a file `broken` is on main."""
    remote = make_template(tmp_path) / "remote.git"
    (orch.folder / "orch.toml").write_text(
        "keep_ended_seconds = 0.001\n[repos.shop]\n"
        f'url = "{remote}"\nhealth = [{sys.executable!r}, "-c", "{HEALTHY}"]\n'
    )
    return orch


def push(shop: CommandLine, files: dict[str, str | bytes]) -> str:
    person = shop.folder.parent / "person"
    head = commit(person, files)
    git(person, "push", "-q", "origin", "HEAD:main")
    return head


def room(shop: CommandLine, item: str) -> Cut:
    """The workspace that a task left which was cancelled since."""
    shop.fact("add", item, "--repo", "shop")
    keeper = bootstrap.build_keeper(bootstrap.load())
    cut = keeper.workspaces.cut(keeper.remotes["shop"], item, Turn(1, "first"))
    shop.fact("cancel", item)
    return cut


def test_a_workspace_goes_and_one_with_work_stays_until_it_is_named(shop: CommandLine) -> None:
    clean, soiled = room(shop, "S-1"), room(shop, "S-2")
    (soiled.path / "notes.txt").write_text("mine")
    due = shop.facts("clean", "--dry-run")
    assert [(row["task"], row["what"]) for row in due] == [("S-1", "due"), ("S-2", "due")]
    gone, kept = shop.facts("clean")
    assert (gone["task"], gone["what"], clean.path.exists()) == ("S-1", "discarded", False)
    assert (kept["task"], kept["what"]) == ("S-2", "kept")
    assert "'notes.txt'" in kept["why"] or "notes.txt" in kept["why"]
    assert "1 kept." in shop.told("clean")
    assert (soiled.path / "notes.txt").exists()
    (forced,) = shop.facts("clean", "--force", "S-2")
    assert (forced["what"], soiled.path.exists()) == ("discarded", False)
    told = shop.facts("events", "--kind", "task.cleared")
    assert [event["work_item_id"] for event in told] == ["S-1", "S-2"]


def test_the_disk_is_measured_and_shown(shop: CommandLine) -> None:
    assert "not measured yet" in shop.told("check")
    room(shop, "S-1")
    assert "shop " in shop.told("clean")
    assert "free." in shop.told("check")
    line = shop.line()
    (host,) = upkeep.disk(line)
    line.store.dispose()
    assert host["repos"]["shop"]["depot"] > 1000
    assert host["free"] > 0


def test_red_freezes_and_green_is_said(shop: CommandLine) -> None:
    broken = push(shop, {"broken": "yes"})
    (red,) = shop.facts("monitor", "--once")
    assert (red["health"], red["changed"], red["head_sha"]) == ("red", True, broken)
    (lane,) = shop.facts("queue", "--repo", "shop")
    assert lane["frozen_by"] == "monitor"
    assert f"DEGRADED: health of main at {broken[:12]}" in lane["frozen_reason"]
    git(shop.folder.parent / "person", "rm", "-q", "broken")
    push(shop, {"README": "mended"})
    assert "shop is green" in shop.told("monitor", "--once")
    assert "healthy again at" in shop.facts("queue", "--repo", "shop")[0]["frozen_reason"]
    assert list((shop.folder / ".orch" / "work" / "shop").iterdir()) == []


def test_who_is_at_it_already_is_left_alone(shop: CommandLine) -> None:
    for verb, words in (("clean", ("clean",)), ("monitor", ("monitor", "--once"))):
        name = "upkeep.lock" if verb == "clean" else "monitor.lock"
        with errands.alone(shop.folder / ".orch" / name):
            done = shop(*words)
        assert (done.exit_code, "already" in done.stderr) == (1, True)


def test_without_a_health_command_there_is_nothing_to_monitor(orch: CommandLine) -> None:
    done = orch("monitor", "--once")
    assert (done.exit_code, "No repo has a health command" in done.stderr) == (2, True)
    assert "Nothing to clean." in orch.told("clean")
    assert orch("clean", "--dry-run", "--force", "S-1").exit_code == 2
    assert orch("clean", "--force", "S-1").exit_code == 3


def test_an_errand_acts_as_orch_itself(shop: CommandLine) -> None:
    room(shop, "S-1")
    shop.facts("clean", "--errand")
    (told,) = shop.facts("events", "--kind", "task.cleared")
    assert told["actor"] == "orch"


def test_the_disk_of_another_host_is_shown_as_well(shop: CommandLine) -> None:
    line = shop.line()
    told = {"repos": {"shop": {"depot": 2_000_000, "workspaces": 0}}, "free": 5_000_000_000}
    line.store.write(lambda conn: fleet.note_beat(conn, "disk@far", DATABASE_TIME, **told))
    line.store.dispose()
    assert "Disk of far at " in shop.told("check")
    assert "shop 2 MB; 5 GB free." in shop.told("check")


def test_spans_go_to_the_collector_of_the_settings(
    orch: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries, "SETTLED_SECONDS", 0.0)
    receiver = Receiver()
    try:
        (orch.folder / "orch.toml").write_text(f'otel_endpoint = "{receiver.url}"\n')
        assert orch.fact("traces") == {"spans": 0, "failed": ""}
        orch.fact("add", "T-1", "--repo", "shop")
        orch.fact("cancel", "T-1")
        assert orch.fact("traces")["spans"] == 2
        assert sorted(span.name for span in receiver.spans) == ["task", "wait analysis"]
    finally:
        receiver.close()


def test_without_a_collector_it_says_how_to_name_one(orch: CommandLine) -> None:
    refused = orch("traces")
    assert refused.exit_code == 2
    assert "ORCH_OTEL_ENDPOINT" in refused.output
