"""The day that the pictures of the pages show: four repos, a morning's work, and the incident."""

from __future__ import annotations

import itertools
from datetime import datetime
from pathlib import Path

from orch import controls, turns, waits
from orch.controls import NewTask
from orch.ports import AgentResult
from orch.store import fleet
from orch.store.session import Connection
from tests.factories import Rig, ScriptedRunner

DONE = (
    ("SHOP-101", "shop/api", "Answer with the price in the customer's currency"),
    ("WEB-40", "shop/web", "Show the cart on every page"),
    ("SHOP-102", "shop/api", "Drop the old search endpoint"),
    ("LIB-7", "lib-dates", "Read week dates"),
    ("WEB-41", "shop/web", "Make the footer fit on phones"),
    ("LIB-8", "lib-dates", "Name the time zone in errors"),
)
OPEN = (
    ("ORCH-116", "shop/api", "Rework the cache"),
    ("ORCH-123", "shop/api", "Urgent: log in is down"),
    ("ORCH-130", "shop/api", "Tidy up the metrics"),
    ("WEB-42", "shop/web", "Dark mode for the checkout"),
    ("WEB-43", "shop/web", "Keep what was typed when a session ends"),
    ("LIB-9", "lib-dates", "Support Python 3.14"),
    ("DOCS-3", "handbook", "How to add a repo"),
)
SECONDS = itertools.cycle((95, 240, 610, 150, 330, 45))


def a_day(rig: Rig, folder: Path) -> None:
    """Play it; the clock of the rig stands in the past at first, and moves with the work."""
    rig.workers(slots=4)
    for item, repo, title in DONE:
        _add(rig, item, repo, title)
    while _round(rig, folder):
        waits.watch(rig.line)
    for item, repo, title in OPEN:
        _add(rig, item, repo, title)
    _round(rig, folder)
    rig.order("freeze", "lib-dates", "main is red: test_week_dates")
    rig.order("depend", "ORCH-130", on="LIB-9")
    rig.asked("DOCS-3", "Which of the two set-ups is the one to show?")
    rig.workers(slots=4)
    rig.tick()
    for claim in rig.queue.take():
        turns.begin(rig.line, claim, "worker@one")
        rig.clock.advance(20)
    waits.watch(rig.line)
    rig.workers(slots=4)


def ring(conn: Connection, now: datetime) -> None:
    """Beat rang and the sweep looked at every repo, just now."""
    for name in ("beat", "sweep"):
        fleet.note_beat(conn, name, now)


def _add(rig: Rig, item: str, repo: str, title: str) -> None:
    controls.add_task(rig.line, NewTask(item, repo, title, track="fast"), "ann")
    rig.clock.advance(20)


def _round(rig: Rig, folder: Path) -> int:
    """One tick and the turns that it leads to, each taking its time; how many there were."""
    rig.workers(slots=4)
    rig.tick()
    claims = rig.queue.take()
    for claim in claims:
        said = AgentResult("exited", 0, "pass", summary="done, and tested")
        runner = ScriptedRunner(said, lambda: rig.clock.advance(next(SECONDS)))
        rig.work(claim, folder, runner)
    return len(claims)
