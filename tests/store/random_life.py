"""A line that lives at random: tasks come, are worked on, stopped, frozen, taken back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, Final

from hypothesis import strategies as st

from orch import controls, dispatcher, outcomes, turns
from orch.errors import OrchError
from orch.ports import AgentResult, Claim
from orch.store import fleet
from tests.factories import Rig

REPOS: Final = ("app", "app-web", "lib")
RESULTS: Final = {
    "pass": AgentResult("exited", 0, "pass", summary="done"),
    "ask": AgentResult("exited", 0, "needs_input", summary="which?"),
    "crash": AgentResult("exited", 1, None, summary="no"),
    "rework": AgentResult("exited", 0, "rework", summary="again"),
}

number = st.integers(0, 9)
repo = st.sampled_from([*REPOS, "app*"])
often = ["tick", "start", "end", "end"]
acts = st.one_of(
    st.tuples(st.just("add"), number, st.booleans()),
    *(st.tuples(st.just(verb), number) for verb in often),
    st.tuples(st.just("end"), number, st.sampled_from(["approve", *sorted(RESULTS)])),
    st.tuples(
        st.sampled_from(["pause", "resume", "promote", "cancel", "retry", "answer", "approve"]),
        number,
    ),
    st.tuples(st.just("resume"), number),
    st.tuples(st.just("depend"), number, number),
    st.tuples(st.just("freeze"), repo, st.booleans()),
    st.tuples(st.just("unfreeze"), repo),
    st.tuples(st.just("suspend"), st.sampled_from(["analyst", "developer"])),
    st.tuples(st.just("workers"), st.integers(1, 2)),
    st.tuples(st.just("wait"), st.sampled_from([0.5, 3, 20, 45, 200])),
    st.tuples(st.just("look")),
    st.tuples(st.just("look")),
)
BEGINNING: Final = [("add", 0, False), ("add", 3, True), ("add", 1, False), ("tick", 0)]
lives = st.lists(acts, min_size=12, max_size=60).map(lambda more: [*BEGINNING, *more])


class Life:
    """One line, and what may happen to it."""

    def __init__(self, rig: Rig, look: Callable[[], Any]) -> None:
        self.rig, self.look = rig, look
        self.items: list[str] = []
        self.running: list[tuple[Claim, turns.Turn]] = []
        rig.workers(2)

    def live(self, told: list[tuple[Any, ...]]) -> None:
        """Let all of it happen; what is not possible just now does not."""
        for verb, *given in told:
            self.rig.clock.advance(0.25)
            with suppress(OrchError):
                getattr(self, f"_{verb}", partial(self._order, verb))(*given)

    def _item(self, which: int) -> str:
        return self.items[which % len(self.items)] if self.items else "T-0"

    def _add(self, which: int, paused: bool) -> None:
        item = f"T-{len(self.items)}"
        before = (self._item(which),) if paused and self.items and which % 2 else ()
        new = controls.NewTask(item, REPOS[which % 3], paused=which == 9, depends_on=before)
        controls.add_task(self.rig.line, new, "ann")
        self.items.append(item)

    def _tick(self, _: int) -> None:
        self.rig.workers(2)
        dispatcher.tick(self.rig.line)

    def _start(self, which: int) -> None:
        rung = self.rig.queue.published
        if rung:
            claim = rung.pop(which % len(rung))
            turn = turns.begin(self.rig.line, claim, "w")
            if turn is not None:
                self.running.append((claim, turn))

    def _end(self, which: int, how: str = "pass") -> None:
        if self.running:
            _, turn = self.running.pop(which % len(self.running))
            result, limits = RESULTS.get(how, RESULTS["pass"]), self.rig.limits
            budget = (turn.job["stage"], turn.job["attempt"], turn.task["reworks"])
            decision = outcomes.decide(result, *budget, limits)
            if how == "approve":
                decision = replace(decision, next="approve")
            turns.settle(self.rig.line, turn, turns.Outcome(result, decision), None)

    def _order(self, verb: str, which: int) -> None:
        self.rig.order(verb, self._item(which))

    def _depend(self, which: int, on: int) -> None:
        self.rig.order("depend", self._item(which), on=self._item(on))

    def _freeze(self, repo: str, ends: bool) -> None:
        until = self.rig.clock() + timedelta(seconds=30) if ends else None
        self.rig.order("freeze", repo, until=until)

    def _unfreeze(self, repo: str) -> None:
        self.rig.order("unfreeze", repo)

    def _suspend(self, agent: str) -> None:
        until = self.rig.clock() + timedelta(seconds=25)
        self.rig.store.write(
            lambda conn: fleet.suspend(conn, agent, until, "limit", self.rig.clock())
        )

    def _workers(self, count: int) -> None:
        self.rig.workers(count)

    def _wait(self, seconds: float) -> None:
        self.rig.clock.advance(seconds)

    def _look(self) -> None:
        self.look()
