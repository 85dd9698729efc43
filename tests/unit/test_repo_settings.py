"""What orch.toml may say of a repo, and what its workers refuse to begin with."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from orch import stages, tasks
from orch.errors import ConfigError
from orch.repo_settings import RepoSettings

URL = "/srv/git/app.git"


@pytest.mark.parametrize(
    ("track", "said"),
    [
        (("development", "deploy"), "begins with analysis"),
        (("analysis", "development"), "ends with deploy"),
        (("analysis", "review", "development", "deploy"), "in the order"),
        (("analysis", "party", "deploy"), "party is no stage"),
    ],
)
def test_a_track_that_could_not_be_gone_is_refused(track: tuple[str, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        RepoSettings(url=URL, tracks={"own": track})


def test_what_has_landed_cannot_wait_for_an_approval() -> None:
    before = RepoSettings(url=URL, approvals=("analysis", "deploy-staging"))
    assert before.approvals == ("analysis", "deploy-staging")
    with pytest.raises(ValueError, match="deploy cannot wait for an approval"):
        RepoSettings(url=URL, approvals=("deploy",))


def ready(queue: str) -> None:
    """What Celery tells once a worker's queues are known."""
    queues = SimpleNamespace(consume_from={queue: None})
    worker = SimpleNamespace(app=SimpleNamespace(amqp=SimpleNamespace(queues=queues)))
    tasks._fit_for_work(instance=worker)


def test_a_worker_that_could_take_no_job_up_does_not_start(monkeypatch: Any) -> None:
    def unfit() -> None:
        raise ConfigError("review.md: line 3 is no template.")

    monkeypatch.setattr(tasks, "bench", unfit)
    with pytest.raises(SystemExit, match=r"review\.md"):
        ready(stages.queue_of("reviewer"))
    ready(stages.CONTROL_QUEUE)  # prompts are not its business
