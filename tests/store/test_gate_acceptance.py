"""The nineteen acceptance points of the gate, on both databases."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy import func, select

from orch import dispatcher, serial_gate, stages, task_deps
from orch.serial_gate import Layers
from orch.store import claims, endings, freezes, looks, revisions, work
from orch.store.schema import LIVE, jobs, metadata
from orch.store.session import Store
from tests.factories import Rig

A, B = "ORCH-116", "ORCH-123"


def incident(rig: Rig, stage: str) -> None:
    """An earlier task at `stage` whose job waits, and the urgent fix behind it."""
    rig.task(A, stage)
    rig.task(B)


def has_active(rig: Rig, *, besides: str) -> bool:
    task_id = rig.row(besides)["id"]
    return rig.store.read(
        lambda conn: serial_gate.repo_has_active_task(conn, "app", task_id, rig.gate)
    )


@pytest.mark.parametrize("job", ["queued", None])
def test_01_the_incident_the_pause_of_a_lets_b_start(rig: Rig, job: str | None) -> None:
    rig.task(A, "development", job=job)
    rig.task(B)
    assert B not in rig.claimable()
    rig.order("pause", A)
    assert rig.claimable() == {B}


@pytest.mark.parametrize("stage", ["analysis", "review", "created", "deploy"])
def test_02_the_same_wherever_a_stands(rig: Rig, stage: str) -> None:
    incident(rig, stage)
    assert rig.claimable() == {A}
    rig.order("pause", A)
    assert rig.claimable() == {B}


def test_03_an_unpaused_unfinished_a_still_blocks_b(rig: Rig) -> None:
    rig.task(A, "development", job=None)
    rig.task(B)
    rig.clock.advance(365 * 86400)
    assert (rig.claimable(), rig.reasons()) == (set(), {B: "active-task"})


@pytest.mark.parametrize("job", ["failed", "cancelled", "succeeded"])
def test_04_nothing_but_a_stored_pause_counts_as_one(rig: Rig, job: str) -> None:
    rig.task(A, "development", job=job)
    rig.task(B)
    rig.clock.advance(30 * 86400)
    rig.tick()
    assert rig.row(A)["paused_at"] is None
    assert rig.reasons()[B] == "active-task"


def test_05_the_pause_survives_a_restart_and_a_repeated_migration(rig: Rig) -> None:
    incident(rig, "development")
    rig.order("pause", A)
    before = rig.row(A)
    rig.store.dispose()
    reopened = Store(rig.store.url.render_as_string(hide_password=False))
    revisions.upgrade(reopened)
    again = Rig(reopened, clock=rig.clock)
    assert again.row(A) == before
    assert again.claimable() == {B}
    reopened.dispose()


def test_06_a_resumed_at_development_blocks_b_queued_again(rig: Rig) -> None:
    incident(rig, "development")
    rig.order("pause", A)
    claim = rig.claimed(B)
    rig.store.write(lambda conn: claims.release(conn, claim, rig.clock(), reason="again"))
    rig.order("resume", A)
    assert rig.reasons()[B] == "active-task"
    assert rig.claimable() == {A}


def test_07_pause_and_freeze_are_two_axes(rig: Rig) -> None:
    incident(rig, "development")
    rig.order("pause", A)
    rig.order("freeze", "app")
    assert (rig.claimable(), rig.reasons()[B]) == (set(), "freeze")
    rig.order("unfreeze", "app")
    assert rig.claimable() == {B}


@pytest.mark.parametrize("repo", ["app", "lib"])
@pytest.mark.parametrize("ended", ["done", "cancelled"])
def test_08_a_paused_predecessor_is_not_over(rig: Rig, repo: str, ended: str) -> None:
    rig.task(A, "development")
    rig.task(B, repo=repo)
    rig.order("depend", B, on=A)
    rig.order("pause", A)
    assert (rig.claimable(), rig.reasons()[B]) == (set(), "dependency")
    rig.move(A, ended)
    assert rig.claimable() == {B}


def test_09_the_snapshot_tells_the_three_states_apart(rig: Rig) -> None:
    incident(rig, "development")
    lane = rig.lanes()["app"]
    wanted = {"active_task", "paused", "waiting", "frozen", "frozen_reason", "frozen_at"}
    assert wanted <= set(lane)
    assert (lane["active_task"]["work_item_id"], lane["paused"]) == (A, [])
    assert rig.reasons()[B] == "active-task"

    rig.order("pause", A)
    lane = rig.lanes()["app"]
    assert lane["active_task"]["work_item_id"] == B
    assert [each["work_item_id"] for each in lane["paused"]] == [A]
    assert rig.reasons() == {A: "paused", B: None}

    rig.order("freeze", "app", "deploy day")
    lane = rig.lanes()["app"]
    assert (lane["frozen"], lane["frozen_reason"]) == (True, "deploy day")
    assert lane["frozen_at"] == rig.clock()
    assert set(rig.reasons().values()) == {"freeze"}


def test_10_claim_mirror_and_snapshot_agree_before_and_after_the_pause(rig: Rig) -> None:
    incident(rig, "development")
    assert has_active(rig, besides=B)
    assert rig.why(B)["reason"] == rig.reasons()[B] == "active-task"
    assert B not in rig.claimable()
    rig.order("pause", A)
    assert not has_active(rig, besides=B)
    assert rig.why(B)["reason"] is rig.reasons()[B] is None
    assert B in rig.claimable()


NETWORK = (
    "urllib.request http.client requests httpx redis celery kombu socketserver psycopg aiohttp"
)
IMPORTS = f"""
import sys
import orch.serial_gate, orch.task_deps, orch.store.claims, orch.dispatcher
from orch.store.session import Store
Store("sqlite://")
print(*sorted(set({NETWORK.split()!r}) & set(sys.modules)))
"""


def test_11_the_hot_path_imports_no_network_client() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_12_a_failing_pause_probe_does_not_stop_the_queue(
    rig: Rig, break_clause: Callable[..., None]
) -> None:
    incident(rig, "development")
    rig.order("pause", A)
    rig.workers()
    break_clause("paused")
    assert (rig.shown()["degraded"], rig.why(B)["degraded"]) == (["paused"], ["paused"])
    # Without the pause layer a paused task counts as active: A's own job goes on.
    done = rig.tick()
    assert [each.task_id for each in done.claimed] == [rig.row(A)["id"]]
    assert rig.counted("gate_fallback", "paused") >= 3


def test_12_with_the_freeze_read_failing_too_the_repo_counts_as_frozen(
    rig: Rig, break_clause: Callable[..., None]
) -> None:
    incident(rig, "development")
    rig.workers()
    break_clause("paused")
    break_clause("freeze")
    assert rig.tick().claimed == []
    assert rig.lanes()["app"]["frozen"]
    assert rig.reasons() == {A: "freeze", B: "freeze"}


MUTATORS: dict[str, Callable[..., object]] = {
    "pause": work.set_task_paused,
    "resume": work.clear_task_paused,
    "promote": work.promote,
    "cancel": work.cancel,
    "is_paused": work.is_task_paused,
    "unfreeze": freezes.clear_repo_freeze,
}


@pytest.mark.parametrize("name", MUTATORS)
def test_12_mutators_given_none_answer_false(rig: Rig, name: str) -> None:
    given = (None,) if name == "is_paused" else (None, rig.clock())
    assert rig.store.write(lambda conn: MUTATORS[name](conn, *given)) is False


def declare(
    conn: sqlalchemy.Connection, pair: tuple[int | None, int | None], now: datetime
) -> bool:
    return task_deps.add_dependency(conn, *pair, now)


def test_12_freezing_and_depending_on_none_answer_false(rig: Rig) -> None:
    known, now = rig.task(A), rig.clock()
    assert not rig.store.write(
        lambda conn: serial_gate.set_repo_freeze(conn, None, "why", "ann", now)
    )
    for pair in ((None, known), (known, None), (None, None)):
        assert not rig.store.write(partial(declare, pair=pair, now=now))
    assert (
        rig.store.write(lambda conn: work.enqueue_job(conn, "analyst", "app", None, None, now))
        is None
    )


def test_13_with_the_pause_layer_off_a_paused_predecessor_blocks_again(rig: Rig) -> None:
    rig.task(A, "development", job=None)
    rig.task(B)
    rig.task("LIB-1", repo="lib")
    rig.order("pause", A)
    assert rig.claimable() == {B, "LIB-1"}
    rig.layers = Layers(serial_gate_pause_enabled=False)
    assert not serial_gate.pause_layer_enabled(rig.gate)
    assert rig.claimable() == {"LIB-1"}
    assert rig.reasons() == {B: "active-task", "LIB-1": None}


STAGES = (
    "created analysis architecture development review testing deploy-staging deploy done cancelled"
)
TABLES = {"repos", "tasks", "jobs", "job_deps", "repo_freeze", "events", "agents", "workers"}
OF_THE_GATE = ("serial_gate", "paused", "freeze", "is_repo_frozen", "job_deps")


def test_14_stages_and_tables_keep_their_names() -> None:
    assert tuple(stages.STAGE_TRANSITIONS) == tuple(STAGES.split())
    assert set(metadata.tables) >= TABLES


def test_14_quality_checks_contain_nothing_of_the_gate() -> None:
    folder = Path(stages.__file__).parent / "qg"
    texts = {path.name: path.read_text(encoding="utf-8") for path in folder.rglob("*.py")}
    assert texts
    found = {name for name, text in texts.items() if any(word in text for word in OF_THE_GATE)}
    assert found == set()


def test_15_a_paused_while_its_job_runs_keeps_the_slot_until_that_ends(
    rig: Rig, tmp_path: Path
) -> None:
    incident(rig, "development")
    claim = rig.started(A)
    rig.order("pause", A)
    assert (rig.claimable(), rig.reasons()) == (set(), {B: "active-task"})
    rig.store.write(lambda conn: endings.finish(conn, claim, rig.clock(), "fail", failure="lost"))
    assert rig.claimable() == {B}


def test_16_a_resumed_while_b_is_past_entry_waits_for_b(rig: Rig) -> None:
    incident(rig, "development")
    rig.order("pause", A)
    claim = rig.started(B)
    rig.store.write(lambda conn: endings.finish(conn, claim, rig.clock(), "succeed"))
    rig.move(B, "development")
    rig.clock.advance(1)
    rig.order("resume", A)
    assert rig.reasons() == {A: "active-task"}
    assert rig.waiting()[A]["blockers"][0]["work_item_id"] == B
    rig.move(B, "done")
    assert rig.claimable() == {A}


def test_17_a_depends_on_the_later_b_of_one_repo_and_b_runs(rig: Rig) -> None:
    incident(rig, "analysis")
    rig.order("depend", A, on=B)
    assert rig.claimable() == {B}
    assert rig.reasons() == {A: "dependency", B: None}


def live_jobs(rig: Rig) -> int:
    counted = select(func.count()).select_from(jobs).where(LIVE)
    return rig.store.read(lambda conn: conn.scalar(counted)) or 0


@pytest.mark.parametrize("round_", range(3))
def test_18_never_two_live_jobs_of_one_repo(rig: Rig, round_: int) -> None:
    incident(rig, "development")
    rig.workers()
    rig.order("pause", A)
    gate = threading.Barrier(4)
    failed: list[BaseException] = []

    def at_once(act: Callable[[], object]) -> None:
        gate.wait(10)
        try:
            act()
        except Exception as error:  # noqa: BLE001 - told below
            failed.append(error)

    acts: list[Callable[[], object]] = [
        lambda: dispatcher.tick(rig.line),
        lambda: dispatcher.tick(rig.line),
        lambda: rig.order("resume", A),
        lambda: rig.store.write(
            lambda conn: looks.claim_next_job(conn, "analyst", rig.clock(), "by hand")
        ),
    ]
    threads = [threading.Thread(target=at_once, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failed == []
    assert live_jobs(rig) <= 1
    dispatcher.tick(rig.line)
    assert live_jobs(rig) == 1


@pytest.mark.parametrize("verb", ["freeze", "pause"])
def test_19_what_is_closed_between_claim_and_start_goes_back_uncounted(
    rig: Rig, tmp_path: Path, verb: str
) -> None:
    rig.task(A)
    claim = rig.claimed(A)
    rig.order(verb, "app" if verb == "freeze" else A)
    assert rig.work(claim, tmp_path) == "released"
    job = rig.job(A)
    assert (job["status"], job["attempt"], job["claim_token"]) == ("queued", 1, None)
    rig.order("unfreeze" if verb == "freeze" else "resume", "app" if verb == "freeze" else A)
    assert rig.claimable() == {A}
