"""The whole way through real workers: how soon a job starts, and how fast a backlog drains."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import groupby
from statistics import median
from typing import Any

from sqlalchemy import text

from bench.databases import SERIES, settle
from bench.measuring import Ratio, progress
from bench.stack import SLOTS, Stack, count, raw_worker, running, wait
from orch import dispatcher
from orch.stages import queue_of
from orch.store import work
from orch.store.moments import DATABASE_TIME
from orch.store.session import Connection, Store

HOP_TIMEOUT = 30.0


def latency(quick: bool) -> Iterator[Ratio]:
    """From the commit of an enqueue to the start of its job, and one raw hop, in turns."""
    rounds = 15 if quick else 100
    ours: list[float] = []
    hops: list[float] = []
    with running("analyst") as stack, progress(f"{rounds} tasks and hops, one at a time"):
        for number in range(rounds + 3):
            hops.append(_hop(stack))
            ours.append(_enqueue_to_start(stack, number))
    # The first ones pay for connections and statements.
    yield Ratio(
        "enqueue → start, idle, p50", 1000 * median(ours[3:]), 1000 * median(hops[3:]), "ms",
        "one raw Celery hop on the same worker", at_most=3,
    )  # fmt: skip


def _hop(stack: Stack) -> float:
    sent = time.time()
    stack.app.send_task("bench.stamp", queue=queue_of("analyst"))
    found = stack.broker.blpop([stack.prefix + "stamps"], timeout=HOP_TIMEOUT)
    assert found, "the raw hop never arrived"
    return float(found[1]) - sent


def _enqueue_to_start(stack: Stack, number: int) -> float:
    store = stack.line.store

    def enqueue(conn: Connection) -> int:
        repo = f"repo{number}"
        task = work.create_task(conn, f"W-{number}", repo, DATABASE_TIME)
        work.enqueue_job(conn, "analyst", repo, None, task["id"], DATABASE_TIME)
        return int(task["id"])

    task_id = store.write(enqueue)
    committed = time.time()
    dispatcher.look(stack.line)
    over = "SELECT count(*) FROM jobs WHERE task_id = :id AND status = 'succeeded'"
    wait(lambda: count(store, over, id=task_id) == 1, HOP_TIMEOUT, 0.01)
    with store.reader.connect() as conn:
        first = "SELECT started_at FROM jobs WHERE task_id = :id ORDER BY id LIMIT 1"
        started = conn.execute(text(first), {"id": task_id}).scalar_one()
    store.write(lambda conn: work.cancel(conn, task_id, DATABASE_TIME))
    time.sleep(0.1)  # the ticks that follow the end of the job are no part of the next round
    return float(started.timestamp()) - committed


def drain(quick: bool) -> Iterator[Ratio]:
    """Tasks before their last stage, one job each, and as many raw tasks on the same worker."""
    repos, each = (100, 5) if quick else (1_000, 10)
    total = repos * each
    with running("deployer") as stack:
        with raw_worker(stack) as app, progress(f"Celery as it comes: {total:,} no-op tasks"):
            raw = _drain_raw(stack, app, "raw.noop", "raw", total)
        with progress(f"Celery under orch's settings: {total:,} no-op tasks"):
            queue = queue_of("deployer")
            tuned = _drain_raw(stack, stack.app, "bench.noop", queue, total)
        with progress(f"orch: {total:,} no-op jobs of {repos:,} repos"):
            ours = _drain_line(stack, repos, total)
        overlaps, disorders = _breaches(stack.line.store)
        assert not overlaps, f"{overlaps} jobs overlapped in their repo"
        assert not disorders, f"{disorders} jobs ran out of order"
    drained = f"drain of {repos:,} repos × {each} no-op jobs, {SLOTS} slots"
    yield Ratio(
        drained, total / ours, total / raw, "jobs/s",
        "as many no-op tasks of Celery as it comes", at_least=0.8,
        note="order and no overlap in each repo: checked",
    )  # fmt: skip
    yield Ratio(
        drained, total / ours, total / tuned, "jobs/s",
        "no-op tasks under orch's own settings of Celery",
        note="which spare Redis a copy of every message until it is acknowledged",
    )  # fmt: skip


def _drain_raw(stack: Stack, app: Any, task: str, queue: str, total: int) -> float:
    began = time.perf_counter()
    with app.connection_for_write() as connection, connection.Producer() as producer:
        for _ in range(total):
            app.send_task(task, queue=queue, producer=producer, retry=False)
    wait(lambda: stack.waiting(queue) == 0, 600)
    return time.perf_counter() - began


def _drain_line(stack: Stack, repos: int, total: int) -> float:
    store = stack.line.store
    with store.writer.begin() as conn:
        _before_their_last_stage(conn, repos, total)
    settle(store)
    with store.writer.begin() as conn:
        conn.execute(text("INSERT INTO wakes (repo) SELECT name FROM repos"))
    began = time.perf_counter()
    stack.line.queue.kick()
    left = "SELECT count(*) FROM tasks WHERE stage <> 'done'"
    wait(lambda: count(store, left) == 0, 900, 0.1)
    return time.perf_counter() - began


def _before_their_last_stage(conn: Connection, repos: int, total: int) -> None:
    columns = "(work_item_id, repo, stage) "
    names = "INSERT INTO repos (name) " + SERIES + "SELECT 'r' || i FROM n"  # noqa: S608
    conn.execute(text(names), {"last": repos - 1})
    values = f"SELECT 'W-' || i, 'r' || (i % {repos}), 'deploy' FROM n ORDER BY i"  # noqa: S608
    conn.execute(text("INSERT INTO tasks " + columns + SERIES + values), {"last": total - 1})
    conn.execute(
        text(
            "INSERT INTO jobs (agent, repo, task_id, stage) "
            "SELECT 'deployer', repo, id, stage FROM tasks ORDER BY id"
        )
    )


def _breaches(store: Store) -> tuple[int, int]:
    """Jobs that started while another of their repo ran, and jobs before their turn."""
    told = "SELECT repo, kind, job_id FROM events WHERE kind IN ('job.started', 'job.succeeded') "
    with store.reader.connect() as conn:
        rows = conn.execute(text(told + "ORDER BY repo, id")).tuples().all()
    overlaps = disorders = 0
    for _, events in groupby(rows, key=lambda row: row[0]):
        running_job: int | None = None
        last = 0
        for _, kind, job_id in events:
            if kind == "job.started":
                overlaps += running_job is not None
                disorders += job_id < last
                running_job = last = job_id
            else:
                running_job = None
    return overlaps, disorders
