"""A worker frozen past its lease and thawed again, on a real git remote and real processes."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from orch.stages import AGENTS
from tests.acceptance.conftest import Made
from tests.acceptance.stack import Stack
from tests.git_bench import git, make_template
from tests.services import wait_until

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.slow,
    pytest.mark.postgres,
    pytest.mark.redis,
    pytest.mark.xdist_group("zombie"),
]
ITEM, TOPIC = "LATE-1", "feature/LATE-1"
AGENT = """
[agents.{agent}]
command = ["{python}", "-m", "tests.acceptance.late_committer"]
stop_grace = 0.3
env = {{ PYTHONPATH = "{root}", DESK = "{desk}" }}
"""
REPO = """
[repos.app]
url = "{url}"
test = ["true"]
health = ["true"]
"""


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """A bare repository."""
    return make_template(tmp_path) / "remote.git"


@pytest.fixture
def stack(make_stack: Made, remote: Path) -> Stack:
    """Everything running, with one worker for each agent."""
    made = make_stack()
    facts = {"python": sys.executable, "root": Path(__file__).parents[2], "desk": made.desk.folder}
    agents = (AGENT.format(agent=each, **facts) for each in AGENTS)
    made.configure("".join((*agents, REPO.format(url=remote))))
    made.dispatcher()
    made.beat()
    for agent in AGENTS:
        made.worker(agent)
    made.ready()
    return made


def test_a_worker_frozen_past_its_lease_pushes_and_writes_nothing_when_it_thaws(
    stack: Stack, remote: Path
) -> None:
    stack.inside.add(ITEM, "app", track="docs")
    wait_until((stack.desk.folder / "committed").exists, 60, "the agent never committed")
    (zombie,) = [each for each in stack.running if each.name == "developer"]
    zombie.send_all(signal.SIGSTOP)
    stack.worker("developer", name="developer-second")
    wait_until(lambda: stack.inside.task(ITEM)["stage"] == "done", 90, "it never landed")
    before = git(remote, "for-each-ref"), stack.inside.kinds(ITEM), stack.inside.task(ITEM)
    zombie.send_all(signal.SIGCONT)
    zombie.says("outcome=fenced", 60)
    after = git(remote, "for-each-ref"), stack.inside.kinds(ITEM), stack.inside.task(ITEM)
    assert before == after
    everything = git(remote, "log", "--all", "--format=%s")
    assert "development of" in everything
    assert "Of the first attempt" not in everything
    attempts = stack.inside.sql("SELECT attempt FROM jobs WHERE stage = 'development'")
    assert attempts == [{"attempt": 2}]
    assert not stack.desk.agents_alive()
