"""On random states the claim, the snapshot, `why` and the mirror say the same."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, insert, select

from orch import mirror, serial_gate, snapshot, stages
from orch.line import Line
from orch.serial_gate import CLAUSES, Gate, Layers
from orch.snapshot import Wanted
from orch.store import looks
from orch.store.schema import job_deps, jobs, repo_freeze, repos, tasks
from orch.store.session import Store
from tests.factories import MANY, START, Rig, add_job, add_task

REPOS = ("app", "app-web", "lib")
GLOBS = ("app", "app*", "*", "l?b", "none")
NOW = START + timedelta(hours=1)

minutes = st.integers(0, 120).map(lambda given: START + timedelta(minutes=given))
maybe_time = st.none() | minutes
a_task = st.fixed_dictionaries(
    {
        "repo": st.sampled_from(REPOS),
        "stage": st.sampled_from([*stages.STAGES, "analysis", "development", "mystery"]),
        "rank": st.sampled_from([0, 0, 0, -1, -2]),
        "admitted_at": maybe_time,
        "created_at": minutes,
        "paused_at": st.none() | st.just(START),
        "job": st.sampled_from(
            ["queued", "queued", "queued", "running", "claimed", "failed", None]
        ),
        "available_at": minutes,
    }
)
a_freeze = st.fixed_dictionaries(
    {
        "repo": st.sampled_from(GLOBS),
        "expires_at": maybe_time,
        "cleared_at": st.none() | st.just(START),
        "allow_task_id": st.none() | st.integers(1, 6),
    }
)
switches = st.builds(
    Layers,
    serial_gate_enabled=st.sampled_from([True, True, True, False]),
    serial_gate_repos=st.sampled_from([(), (), ("app",), ("app*", "none")]),
    serial_gate_pause_enabled=st.sampled_from([True, True, False]),
    serial_gate_freeze_enabled=st.sampled_from([True, True, False]),
    serial_gate_yield_enabled=st.booleans(),
    serial_gate_entry_only=st.sampled_from([False, False, True]),
    task_deps_enabled=st.sampled_from([True, True, False]),
)
gates = st.builds(Gate, switches, st.frozensets(st.sampled_from(sorted(CLAUSES)), max_size=1))
states = st.fixed_dictionaries(
    {
        "tasks": st.lists(a_task, min_size=1, max_size=6),
        "freezes": st.lists(a_freeze, max_size=2, unique_by=lambda freeze: freeze["repo"]),
        "deps": st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), max_size=4, unique=True),
    }
)


def build(conn: Connection, state: dict[str, Any]) -> dict[int, int]:
    """Write the state; the task's number in it → its id. At most one job of a repo is live."""
    conn.execute(insert(repos), [{"name": name} for name in REPOS])
    ids: dict[int, int] = {}
    busy: set[str] = set()
    for number, given_task in enumerate(state["tasks"], start=1):
        row = dict(given_task)
        status, due = row.pop("job"), row.pop("available_at")
        ids[number] = add_task(conn, f"T-{number}", now=START, **row)
        if status in ("running", "claimed") and row["repo"] in busy:
            status = "queued"
        if status is not None:
            busy |= {row["repo"]} if status in ("running", "claimed") else set()
            add_job(conn, ids[number], START, status=status, available_at=due)
    pairs = {(one, two) for one, two in state["deps"] if one != two and {one, two} <= set(ids)}
    for one, two in pairs:
        conn.execute(insert(job_deps).values(task_id=ids[one], depends_on_task_id=ids[two]))
    for freeze in state["freezes"]:
        allowed = {"allow_task_id": ids.get(freeze["allow_task_id"])}
        conn.execute(insert(repo_freeze).values(**(freeze | allowed)))
    return ids


def entries(conn: Connection, line: Line, gate: Gate) -> dict[int, dict[str, Any]]:
    shown = snapshot.view(conn, line, gate, Wanted(repos=REPOS))
    lanes = shown["serial_gate"]["per_repo"].values()
    return {entry["task_id"]: entry for lane in lanes for entry in lane["waiting"]}


def claimed(conn: Connection, gate: Gate, repo: str) -> set[int]:
    found = looks.claim(conn, gate, [repo], MANY, NOW, token="probe")
    return {each.task_id for each in found}


def may_start_together(gate: Gate) -> bool:
    layers = gate.layers
    whole = layers.serial_gate_enabled and "active-task" not in gate.degraded
    return not whole or layers.serial_gate_entry_only


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(state=states, gate=gates)
def test_claimable_is_open_is_what_why_says(
    kept_store: Store, state: dict[str, Any], gate: Gate
) -> None:
    store = kept_store
    line = Rig(store).line
    line = Line(store, line.queue, lambda: NOW, line.new_id, gate)
    with store.rolled_back() as conn:
        build(conn, state)
        waiting = entries(conn, line, gate)
        queued = set(conn.scalars(select(jobs.c.task_id).where(jobs.c.status == "queued")))
        assert set(waiting) == queued
        for task_id, entry in waiting.items():
            found = mirror.view(conn, line, gate, entry["work_item_id"])
            assert (found["reason"], found["blockers"]) == (entry["reason"], entry["blockers"])
            assert (entry["reason"] is None) == (entry["blockers"] == [])
            failing = [each["clause"] for each in entry["blockers"]]
            assert failing == sorted(failing, key=list(CLAUSES).index)
            assert entry["reason"] == next(iter(failing), None), task_id
        taken = set().union(*(claimed(conn, gate, repo) for repo in REPOS))
        assert taken == {task_id for task_id, entry in waiting.items() if entry["reason"] is None}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(state=states)
def test_the_first_contender_and_the_mirror_agree_with_the_claim(
    kept_store: Store, state: dict[str, Any]
) -> None:
    gate = Gate()
    with kept_store.rolled_back() as conn:
        build(conn, state)
        for repo in REPOS:
            head = conn.scalar(
                select(serial_gate.head(gate, repos.c.name)).where(repos.c.name == repo)
            )
            live = set(
                conn.scalars(
                    select(jobs.c.task_id).where(
                        jobs.c.repo == repo, jobs.c.status.in_(("claimed", "running"))
                    )
                )
            )
            active = serial_gate.repo_has_active_task(conn, repo, None, gate)
            assert active == (head is not None or bool(live))
            taken = claimed(conn, gate, repo)
            assert taken <= {head}
            if taken:
                assert live == set()
            if not active:
                assert taken == set()


def test_random_states_reach_every_reason(sqlite_database: str) -> None:
    """The property above proves little if its states never fail a clause."""
    store = Store(sqlite_database)
    seen: set[str | None] = set()

    @settings(max_examples=60, database=None, derandomize=True)
    @given(state=states)
    def look(state: dict[str, Any]) -> None:
        line = Line(store, Rig(store).queue, lambda: NOW, lambda: "t")
        with store.rolled_back() as conn:
            build(conn, state)
            seen.update(entry["reason"] for entry in entries(conn, line, Gate()).values())
            assert conn.scalar(select(tasks.c.id).limit(1)) is not None

    look()
    store.dispose()
    assert seen >= {*CLAUSES, None}
