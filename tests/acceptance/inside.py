"""What a test does to the line from its own process, and what it reads from the store."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from orch import controls, stages
from orch.controls import NewTask, Order
from orch.line import Line
from orch.store.session import Connection

ACTOR = "test"
Row = dict[str, Any]


class Inside:
    """Use cases called, and rows read, beside the processes that do the work."""

    def __init__(self, line: Line) -> None:
        self.line = line

    def add(self, item: str, repo: str, track: str = "docs", **more: Any) -> None:
        controls.add_task(self.line, NewTask(item, repo, track=track, **more), ACTOR)

    def control(self, verb: str, target: str, **more: Any) -> Row:
        """Carry out one control; the state after it."""
        return controls.carry_out(self.line, Order(verb, target, ACTOR, **more))

    def track(self, name: str) -> tuple[str, ...]:
        """The stages of a track, be it every repo's or that of the repo of the same name."""
        return {**stages.TRACKS, **self.line.own_tracks(name)}[name]

    def sql(self, statement: str, **values: Any) -> list[Row]:
        """What the store says at this moment."""

        def look(conn: Connection) -> list[Row]:
            return [dict(row) for row in conn.execute(text(statement), values).mappings()]

        return self.line.store.read(look)

    def task(self, item: str) -> Row:
        return self.sql("SELECT * FROM tasks WHERE work_item_id = :item", item=item)[0]

    def job(self, item: str) -> Row:
        """The newest job of a task."""
        return self.sql(
            "SELECT jobs.* FROM jobs JOIN tasks ON tasks.id = jobs.task_id "
            "WHERE work_item_id = :item ORDER BY jobs.id DESC LIMIT 1",
            item=item,
        )[0]

    def kinds(self, item: str) -> list[str]:
        """What the ledger says of a task, oldest first, in one word each."""
        found = self.sql(
            "SELECT kind FROM events JOIN tasks ON tasks.id = events.task_id "
            "WHERE work_item_id = :item ORDER BY events.id",
            item=item,
        )
        return [row["kind"] for row in found]

    def counter(self, name: str) -> float:
        """A counter of /metrics, over all its labels."""
        statement = "SELECT coalesce(sum(value), 0) AS total FROM counters WHERE name = :name"
        return float(self.sql(statement, name=name)[0]["total"])
