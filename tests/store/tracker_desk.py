"""Words for tests of trackers: a line, a tracker of the test's own, and rounds over both."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from sqlalchemy import select

from orch.adapters.memory_tracker import MemoryTracker
from orch.outside import rounds
from orch.outside.feeds import Ran
from orch.outside.rounds import Known, Outside
from orch.outside_settings import TrackerSettings
from orch.store import feeds as feed_rows
from orch.store import history, inbox, tellings, tracked, work
from orch.store.inbox import Hint
from orch.store.schema import job_deps, tasks
from orch.store.session import Row
from tests.factories import Rig

NAME, FEED, ACTOR = "plan", "tracker:plan", "tracker:plan"
EVERY = 30.0


@dataclass
class Desk:
    """A tracker beside a line."""

    rig: Rig
    tracker: MemoryTracker = field(default_factory=MemoryTracker)
    settings: TrackerSettings = field(
        default_factory=lambda: TrackerSettings(kind="plane", repo="app", project="p")
    )
    key: str = "k1"

    def with_rules(self, **rules: Any) -> Desk:
        self.settings = TrackerSettings(kind="plane", repo="app", project="p", **rules)
        return self

    @property
    def outside(self) -> Outside:
        known = Known(self.tracker, self.settings, self.key)
        return Outside({NAME: known}, EVERY, "https://orch.example.org")

    def look(self) -> Ran | None:
        """One look of a control worker, without time going by."""
        return rounds.look(self.rig.line, self.outside).get(NAME)

    def round(self, seconds: float = EVERY) -> Ran | None:
        """Time goes by, and a control worker looks; what is new in the ledger is told as well."""
        self.rig.clock.advance(max(seconds, history.GAP_SECONDS + 1))
        return self.look()

    def rounds(self, count: int = 2, seconds: float = 1000) -> None:
        for _ in range(count):
            self.round(seconds)

    def taken(self, item_id: str = "a-1", **more: Any) -> str:
        """An item that is a task; what people call it."""
        self.tracker.add(item_id, **more)
        self.rounds()
        return item_id.upper()

    def hint(self, *item_ids: str) -> None:
        """Webhooks that came in, each with a digest of its own."""
        for item_id in item_ids:
            came = Hint("plane", item_id, "issue", self.rig.token())
            now = self.rig.clock()
            self.rig.store.write(partial(inbox.post, hint=came, now=now))

    def known(self, item_id: str = "a-1") -> Row:
        row = self.rig.store.read(lambda conn: tracked.row(conn, NAME, item_id))
        assert row is not None
        return row

    def reason(self, item_id: str = "a-1") -> str:
        return str(self.known(item_id)["reason"])

    def feed(self) -> Row:
        row = self.rig.store.read(lambda conn: feed_rows.row(conn, FEED))
        assert row is not None
        return row

    def outbox(self, item_id: str = "a-1") -> list[Row]:
        return self.rig.store.read(lambda conn: tellings.of_item(conn, NAME, item_id))

    def said(self, item_id: str = "a-1") -> list[str]:
        """First lines of the comments people see."""
        return [each.splitlines()[0] for each in self.tracker.comments.get(item_id, [])]

    def exists(self, item: str) -> bool:
        found = self.rig.store.read(lambda conn: work.task_by_work_item(conn, item))
        return found is not None

    def deps(self) -> set[tuple[str, str]]:
        """Dependencies between open tasks, by work items."""
        first, then = tasks.alias(), tasks.alias()
        statement = (
            select(then.c.work_item_id, first.c.work_item_id)
            .select_from(
                job_deps.join(then, then.c.id == job_deps.c.task_id).join(
                    first, first.c.id == job_deps.c.depends_on_task_id
                )
            )
            .where(then.c.stage != "cancelled", first.c.stage != "cancelled")
        )
        return self.rig.store.read(lambda conn: {tuple(row) for row in conn.execute(statement)})

    def rotate_key(self) -> None:
        self.key = f"{self.key}+"

    def also(self, tracker: MemoryTracker) -> Desk:
        """The same line with another tracker."""
        return replace(self, tracker=tracker)
