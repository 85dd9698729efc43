"""The landing lease: one job of a repo at a time, replaced when silent, left by its holder."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orch.line import Limits
from orch.serial_gate import Layers
from orch.store import landings
from orch.store.moments import DATABASE_TIME
from orch.store.session import Connection
from tests.factories import Rig, ScriptedRunner

LEASE = 60.0
ONE, OTHER = 11, 22


@pytest.fixture
def lander(rig: Rig) -> Rig:
    """A line that knows two repos."""
    rig.task("A-1", "deploy")
    rig.task("B-1", "deploy", repo="lib")
    return rig


def do(rig: Rig, act: Callable[..., bool], job: int, repo: str = "app") -> bool:
    timed: tuple[Any, ...] = () if act is landings.release else (rig.clock(), LEASE)
    return rig.store.write(lambda conn: act(conn, repo, job, *timed))


def holder(rig: Rig, repo: str = "app") -> int | None:
    return rig.store.read(lambda conn: landings.holder(conn, repo, rig.clock()))


def test_one_job_lands_in_a_repo_and_another_in_the_next_one(lander: Rig) -> None:
    assert do(lander, landings.take, ONE)
    assert not do(lander, landings.take, OTHER)
    assert do(lander, landings.take, OTHER, "lib")
    assert (holder(lander), holder(lander, "lib")) == (ONE, OTHER)


def test_the_lease_holds_also_where_the_gate_is_off(lander: Rig) -> None:
    lander.layers = Layers(serial_gate_enabled=False)
    assert do(lander, landings.take, ONE)
    assert not do(lander, landings.take, OTHER)


def test_its_holder_may_take_it_again_and_holds_it_for_longer(lander: Rig) -> None:
    do(lander, landings.take, ONE)
    lander.clock.advance(LEASE - 1)
    assert do(lander, landings.take, ONE)
    lander.clock.advance(LEASE - 1)
    assert do(lander, landings.renew, ONE)
    lander.clock.advance(LEASE - 1)
    assert not do(lander, landings.take, OTHER)


def test_a_holder_whose_lease_is_over_is_replaced_and_learns_it(lander: Rig) -> None:
    do(lander, landings.take, ONE)
    lander.clock.advance(LEASE)
    assert holder(lander) is None
    assert do(lander, landings.take, OTHER)
    assert not do(lander, landings.renew, ONE)
    assert not do(lander, landings.release, ONE)
    assert holder(lander) == OTHER


def test_a_late_holder_nobody_has_replaced_goes_on(lander: Rig) -> None:
    do(lander, landings.take, ONE)
    lander.clock.advance(LEASE + 5)
    assert do(lander, landings.renew, ONE)
    assert not do(lander, landings.take, OTHER)


def test_only_the_holder_gives_it_back_and_once(lander: Rig) -> None:
    do(lander, landings.take, ONE)
    assert not do(lander, landings.release, OTHER)
    assert holder(lander) == ONE
    assert do(lander, landings.release, ONE)
    assert not do(lander, landings.release, ONE)
    assert not do(lander, landings.renew, ONE)
    assert do(lander, landings.take, OTHER)


def test_an_unknown_repo_lands_nothing(lander: Rig) -> None:
    assert not do(lander, landings.take, ONE, "nobody")


@pytest.mark.parametrize("stage", ["deploy", "review"])
def test_the_heartbeat_of_the_job_that_lands_renews_it(
    lander: Rig, tmp_path: Path, stage: str
) -> None:
    lander.limits = Limits(heartbeat=1, lease=LEASE)
    lander.move("A-1", stage)
    claim = lander.claimed("A-1")
    do(lander, landings.take, claim.job_id)
    runner = ScriptedRunner(meanwhile=lambda: lander.clock.advance(LEASE - 1))
    lander.work(claim, tmp_path, runner)
    lander.clock.advance(LEASE - 1)
    assert holder(lander) == (claim.job_id if stage == "deploy" else None)


def test_it_is_measured_with_the_databases_clock_as_well(lander: Rig) -> None:
    def act(conn: Connection) -> list[bool]:
        return [
            landings.take(conn, "app", ONE, DATABASE_TIME, LEASE),
            landings.take(conn, "app", OTHER, DATABASE_TIME, LEASE),
            landings.holder(conn, "app", DATABASE_TIME) == ONE,
            landings.renew(conn, "app", ONE, DATABASE_TIME, 0),
            landings.take(conn, "app", OTHER, DATABASE_TIME, LEASE),
        ]

    assert lander.store.write(act) == [True, False, True, True, True]


def test_of_many_who_ask_at_once_one_gets_it(lander: Rig) -> None:
    got: list[bool] = []

    def ask(job: int) -> None:
        got.append(do(lander, landings.take, job))

    threads = [threading.Thread(target=ask, args=(job,)) for job in range(1, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == [False] * 4 + [True]
