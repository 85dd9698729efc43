"""A task of each track from work item to landed change, on PostgreSQL, Redis and real processes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from orch.stages import AGENTS, TRACKS
from tests.acceptance.conftest import Made
from tests.acceptance.stack import Stack
from tests.git_bench import git, make_template
from tests.services import wait_until

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.slow,
    pytest.mark.postgres,
    pytest.mark.redis,
    pytest.mark.xdist_group("tracks"),
]
OWN = "hotfix"
AGENT = """
[agents.{agent}]
command = ["{python}", "-m", "tests.acceptance.committer"]
env = {{ PYTHONPATH = "{root}" }}
"""
REPO = """
[repos.{name}]
url = "{url}"
test = ["test", "-e", "README"]
staging = ["true"]
deploy = ["sh", "-c", "echo deployed $ORCH_HEAD_SHA"]
health = ["true"]
[repos.{name}.tracks]
hotfix = ["analysis", "development", "deploy"]
"""


@pytest.fixture(scope="module")
def remotes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A bare repository for each track."""
    found = {}
    for track in (*TRACKS, OWN):
        folder = make_template(tmp_path_factory.mktemp(track))
        found[track] = folder / "remote.git"
    return found


@pytest.fixture(scope="module")
def stack(make_stack: Made, remotes: dict[str, Path]) -> Stack:
    """Everything running, with a worker for all agents."""
    made = make_stack(lease_seconds="20", heartbeat_seconds="4")
    root = Path(__file__).parents[2]
    agents = (AGENT.format(agent=each, python=sys.executable, root=root) for each in AGENTS)
    repos = (REPO.format(name=track, url=url) for track, url in remotes.items())
    made.configure("".join((*agents, *repos)))
    made.dispatcher()
    made.beat()
    for agent in AGENTS:
        made.worker(agent)
    made.ready()
    for track in remotes:
        made.inside.add(f"LAND-{track.upper()}", track, track=track)
    return made


@pytest.mark.timeout(240)
@pytest.mark.parametrize("track", [*TRACKS, OWN])
def test_a_task_of_each_track_lands_tested_and_deployed(
    stack: Stack, remotes: dict[str, Path], track: str
) -> None:
    item = f"LAND-{track.upper()}"
    wait_until(lambda: stack.inside.task(item)["stage"] == "done", 200, f"{item} never landed")
    task = stack.inside.task(item)
    assert task["merge_sha"] == git(remotes[track], "rev-parse", "main")
    assert task["tested_sha"] == git(remotes[track], "rev-parse", "main^2")
    walked = stack.inside.sql(
        "SELECT stage, report FROM jobs WHERE task_id = :id ORDER BY id", id=task["id"]
    )
    assert [job["stage"] for job in walked] == list(stack.inside.track(track))
    report = walked[-1]["report"]
    assert [run["name"] for run in report["runs"]] == ["test", "deploy", "health"]
    assert f"deployed {task['merge_sha']}" in report["runs"][1]["tail"]
    assert all(check["passed"] for job in walked for check in job["report"]["checks"])
    assert stack.inside.kinds(item)[-1] == "task.moved"
