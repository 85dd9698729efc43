"""The hot statements find their rows by index, however long the history grows."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, event, insert, literal, select, text

from orch import mirror, serial_gate
from orch.ports import Claim
from orch.store import claims, endings, lanes, looks, outline, queries, queued, work
from orch.store.schema import job_deps, jobs, metadata, repo_freeze, repos, tasks, wakes
from tests.factories import MANY, START, Rig

REPOS, ENDED, WAITING = 200, 8, 2
NOW = START + timedelta(hours=1)
NAMES = [f"repo-{number}" for number in range(0, 50, 10)]
LONG = "tasks|jobs|job_deps|repo_freeze|events"
SMALL_INDEXES = {
    index.name
    for table in metadata.tables.values()
    for index in table.indexes
    if index.dialect_options["sqlite"]["where"] is not None
}
"""Partial indexes hold what is under way and not the history, so reading one whole is cheap."""


def history(conn: Connection) -> None:
    """Hundreds of repos with a past, a few tasks waiting in each and one running in some."""
    conn.execute(insert(repos), [{"name": f"repo-{number}"} for number in range(REPOS)])
    rows: list[dict[str, Any]] = [
        {
            "id": number * 100 + place,
            "work_item_id": f"T-{number}-{place}",
            "repo": f"repo-{number}",
            "stage": "done" if place < ENDED else "development" if place == ENDED else "analysis",
            "created_at": START + timedelta(seconds=place),
            "admitted_at": START if place <= ENDED else None,
        }
        for number in range(REPOS)
        for place in range(ENDED + WAITING)
    ]
    conn.execute(insert(tasks), rows)
    conn.execute(insert(jobs), [job for row in rows for job in jobs_of(row)])
    conn.execute(
        insert(job_deps),
        [
            {"task_id": row["id"], "depends_on_task_id": row["id"] - 1}
            for row in rows
            if row["id"] % 100 and row["id"] % 7 == 0
        ],
    )
    old = [
        {"repo": f"old-{number}*", "frozen_at": START, "cleared_at": NOW} for number in range(500)
    ]
    conn.execute(insert(repo_freeze), old)
    marks = [{"repo": f"repo-{number}", "wake_at": START} for number in range(0, REPOS, 7)]
    conn.execute(insert(wakes), marks)


def jobs_of(task: dict[str, Any]) -> Iterator[dict[str, Any]]:
    job = {
        "repo": task["repo"],
        "task_id": task["id"],
        "created_at": START,
        "available_at": START,
        "ready_at": None,
        "claim_token": None,
        "lease_until": None,
    }
    if task["stage"] == "done":
        for agent in ("analyst", "developer", "reviewer"):
            yield job | {"agent": agent, "status": "succeeded"}
        return
    agent = "developer" if task["stage"] == "development" else "analyst"
    if agent == "developer" and task["id"] % 400 < 100:
        lease = {"claim_token": "held", "lease_until": NOW + timedelta(minutes=1)}
        yield job | {"agent": agent, "status": "running"} | lease
    else:
        noted = START if task["id"] % 300 < 100 else None
        yield job | {"agent": agent, "status": "queued", "ready_at": noted}


def held(conn: Connection, status: str) -> Claim:
    row = conn.execute(select(jobs).where(jobs.c.status == "running").limit(1)).mappings().one()
    if status != "running":
        conn.execute(jobs.update().where(jobs.c.id == row["id"]).values(status=status))
    return Claim(row["id"], "held", row["agent"])


FROZEN = lanes.Only(reason="freeze", text="t-7")
Act = Callable[[Connection, Rig], Any]
ACTS: dict[str, Act] = {
    "due": lambda conn, rig: queries.due(conn, NOW),
    "woken repos": lambda conn, rig: queries.woken_repos(conn, NOW, 1000),
    "clear marks": lambda conn, rig: queries.clear_wakes(conn, NAMES, NOW),
    "ready list": lambda conn, rig: queries.repos_of_ready_jobs(conn, {"analyst": 3}),
    "claim": lambda conn, rig: looks.take(conn, rig.gate, NAMES, MANY, NOW, token="t"),
    "only note": lambda conn, rig: looks.take(conn, rig.gate, NAMES, {}, NOW, token="t"),
    "next repos": lambda conn, rig: queries.lock_next_repos(conn, "analyst", "repo-7", NOW),
    "openings": lambda conn, rig: queries.unmarked_openings(conn, rig.gate, NAMES, NOW),
    "overdue": lambda conn, rig: queries.overdue_jobs(conn, NOW, 60),
    "expired pauses": lambda conn, rig: queries.expired_pauses(conn, NOW),
    "stages": lambda conn, rig: outline.stage_counts(conn),
    "states": lambda conn, rig: queued.state_counts(conn, rig.gate),
    "oldest": lambda conn, rig: outline.oldest_of_each(conn, rig.gate, 8),
    "for people": lambda conn, rig: outline.for_people(conn, 8),
    "last hours": lambda conn, rig: outline.flows(conn, [START, NOW]),
    "all that match": lambda conn, rig: lanes.matching(conn, rig.gate, NOW, FROZEN, 100),
    "how many match": lambda conn, rig: lanes.count(conn, rig.gate, NOW, FROZEN),
    "repos that match": lambda conn, rig: lanes.repos_with(conn, rig.gate, NOW, FROZEN, 20),
    "a filtered lane": lambda conn, rig: lanes.waiting(
        conn, rig.gate, NOW, FROZEN, "repo-7", (0, 25)
    ),
    "head": lambda conn, rig: conn.scalar(select(serial_gate.head(rig.gate, literal("repo-7")))),
    "is frozen": lambda conn, rig: serial_gate.is_repo_frozen(conn, "repo-7", NOW),
    "mirror": lambda conn, rig: serial_gate.repo_has_active_task(conn, "repo-7"),
    "why": lambda conn, rig: mirror.view(conn, rig.line, rig.gate, "T-7-9"),
    "pause": lambda conn, rig: work.set_task_paused(conn, 708, NOW, kill=True),
    "promote": lambda conn, rig: work.promote(conn, 709, NOW),
}
OF_A_HELD_JOB: dict[str, tuple[str, Callable[[Connection, Rig, Claim], Any]]] = {
    "start": (
        "claimed",
        lambda conn, rig, claim: claims.start(conn, rig.gate, claim, NOW, worker="w"),
    ),
    "heartbeat": ("running", lambda conn, rig, claim: claims.heartbeat(conn, claim, NOW)),
    "finish": ("running", lambda conn, rig, claim: endings.finish(conn, claim, NOW, "succeed")),
    "finish and move": (
        "running",
        lambda conn, rig, claim: endings.finish(
            conn, claim, NOW, "succeed", move=endings.Move("development", "review")
        ),
    ),
    "finish for good": (
        "running",
        lambda conn, rig, claim: endings.finish(
            conn, claim, NOW, "succeed", move=endings.Move("deploy", "done"), mark=False
        ),
    ),
    "release": (
        "running",
        lambda conn, rig, claim: claims.release(conn, claim, NOW, reason="why"),
    ),
}


@pytest.fixture
def grown(rig: Rig) -> Rig:
    """A line with a history, and a database that knows its own size."""
    rig.store.write(history)
    rig.store.write(lambda conn: conn.execute(text("ANALYZE")))
    rig.clock.now = NOW
    return rig


def statements_of(conn: Connection, act: Callable[[], Any]) -> list[tuple[str, Any]]:
    """What the act sends to the database, with its parameters."""
    sent: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, given: Any, *_: Any) -> None:
        if not statement.startswith(("SAVEPOINT", "RELEASE", "ROLLBACK")):
            sent.append((statement, given))

    event.listen(conn, "before_cursor_execute", note)
    act()
    event.remove(conn, "before_cursor_execute", note)
    return sent


def whole_reads(conn: Connection, statement: str, given: Any) -> list[str]:
    """The steps of the plan that read a growing table, or a growing index, from end to end."""
    if conn.dialect.name == "sqlite":
        plan = conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", given)
        steps = [row.detail for row in plan]
        return [step for step in steps if re.match(rf"SCAN ({LONG})\b", step) and not small(step)]
    plan = conn.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", given)
    told = plan.scalar_one()
    tree = told if isinstance(told, list) else json.loads(told)
    return [
        f"{node['Node Type']} of {node['Relation Name']} {node.get('Index Name', '')}"
        for node in nodes(tree[0]["Plan"])
        if re.fullmatch(LONG, node.get("Relation Name", ""))
        and node["Node Type"] in ("Seq Scan", "Index Scan", "Index Only Scan")
        and "Index Cond" not in node
        and node.get("Index Name") not in SMALL_INDEXES
    ]


def small(step: str) -> bool:
    return any(f"INDEX {name}" in step for name in SMALL_INDEXES)


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def found_in(conn: Connection, act: Callable[[], Any]) -> list[str]:
    sent = statements_of(conn, act)
    assert sent
    return [
        f"{step} in {statement[:200]}"
        for statement, given in sent
        for step in whole_reads(conn, statement, given)
    ]


def test_no_hot_statement_reads_the_history(grown: Rig) -> None:
    found: dict[str, list[str]] = {}
    for name, act in ACTS.items():
        with grown.store.rolled_back() as conn:
            found[name] = found_in(conn, partial(act, conn, grown))
    for name, (status, of_job) in OF_A_HELD_JOB.items():
        with grown.store.rolled_back() as conn:
            claim = held(conn, status)
            found[name] = found_in(conn, partial(of_job, conn, grown, claim))
    assert {name: steps for name, steps in found.items() if steps} == {}
    # The eye itself sees a whole read where there is one.
    with grown.store.rolled_back() as conn:
        for column in (tasks.c.title, jobs.c.summary, repo_freeze.c.reason):
            whole = select(literal(1)).where(column == "x")
            assert found_in(conn, partial(conn.execute, whole))
