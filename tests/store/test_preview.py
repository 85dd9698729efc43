"""What a preview says is what then happens: on random states, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from orch import controls, dispatcher, preview, stages
from orch.controls import Order
from orch.errors import OrchError
from orch.serial_gate import Layers
from orch.store import fleet, queries
from orch.store.schema import tasks
from orch.store.session import Store
from tests.factories import START, Rig, dump
from tests.kept import empty
from tests.store.test_agreement import GLOBS, REPOS, build

SIZE = 6
ITEMS = [f"T-{number}" for number in range(1, SIZE + 2)]
NOW = START + timedelta(hours=1)
SOON = NOW + timedelta(minutes=5)
OFTEN = ["pause", "pause", "cancel", "resume", "resume", "promote", "unfreeze", "undepend"]
VERBS = [*controls.VERBS, *OFTEN]
STAGES = [*["analysis"] * 8, *stages.STAGES, "mystery"]
JOBS = [*["queued"] * 8, "running", "failed", None]
# Few of them, because every statement is built once for each.
SWITCHES = [
    *[Layers()] * 4,
    Layers(serial_gate_entry_only=True),
    Layers(serial_gate_yield_enabled=False, serial_gate_pause_enabled=False),
    Layers(serial_gate_enabled=False, task_deps_enabled=False),
]


def a_life(chance: Any) -> dict[str, Any]:
    """A state and what people want of it, each value drawn by itself: hardly two are alike."""
    some, several = chance.choice, range(chance.randint(4, SIZE))
    state = {
        "tasks": [
            {
                "repo": some(REPOS[: chance.randint(1, 3)]),
                "stage": some(STAGES),
                "rank": some([0, 0, 0, -1]),
                "created_at": START,
                "paused_at": some([None, None, None, START]),
                "job": some(JOBS),
                "available_at": some([START, START, START, SOON]),
            }
            for _ in several
        ],
        "freezes": [
            {
                "repo": some(GLOBS),
                "allow_task_id": some([None, 1, 2]),
                "expires_at": some([None, SOON]),
            }
            for _ in range(some([0, 0, 1]))
        ],
        "deps": {(chance.randint(1, SIZE), chance.randint(1, SIZE)) for _ in range(some([0, 2]))},
    }
    wishes = [
        {
            "verb": some(VERBS),
            "whom": chance.randint(0, SIZE),
            "on": some(ITEMS),
            "glob": some(GLOBS),
            "now": some([True, False]),
            "allow": some([None, *ITEMS]),
        }
        for _ in range(3)
    ]
    free = {name: some([1, 1, 2, 0]) for name in stages.AGENTS}
    more = {"layers": some(SWITCHES), "swept": some([True, True, True, False])}
    return {"state": state, "orders": wishes, "slots": free, **more}


examples = st.randoms(use_true_random=True).map(a_life)
KINDS = ("starts", "held", "begins_waiting")
Entry = dict[str, Any]
# Each example is a whole life of a line: a fraction of the usual number shows as much.
FEWER = max(12, settings().max_examples // 8)
ON_A_RIG = settings(
    max_examples=FEWER,
    phases=(Phase.reuse, Phase.generate),  # to shrink lives takes longer than to read one
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def arranged(rig: Rig, example: dict[str, Any]) -> None:
    """The state, as it is between two ticks: what has run out is over, and mostly marked."""
    rig.clock.now, rig.layers = NOW, example["layers"]

    def write(conn: Any) -> None:
        empty(conn)
        build(conn, example["state"])
        asked = update(tasks).where(tasks.c.stage == "analysis", tasks.c.paused_at.is_not(None))
        conn.execute(asked.where(tasks.c.id % 2 == 0).values(approval="analysis"))
        for agent, count in example["slots"].items():
            if count:
                fleet.register(conn, f"w-{agent}", stages.queue_of(agent), count, "1", NOW)

    rig.store.write(write)
    dispatcher.expire(rig.line)
    if example["swept"]:
        dispatcher.sweep(rig.line)


FITS: dict[str, Callable[[Entry], bool]] = {
    "pause": lambda row: row["paused_at"] is None,
    "resume": lambda row: row["paused_at"] is not None,
    "promote": lambda row: row["stage"] == "analysis",
    "approve": lambda row: row["approval"] is not None,
    "reject": lambda row: row["approval"] is not None,
}


def an_order(rows: dict[str, Any], wish: dict[str, Any]) -> Order:
    """The order that is wished for, of a task or a freeze on which it has something to do."""
    verb, depends, others = wish["verb"], wish["on"], {"now": wish["now"], "allow": wish["allow"]}
    names = {row["id"]: row["work_item_id"] for row in rows["tasks"]}
    fits = [row["work_item_id"] for row in rows["tasks"] if FITS.get(verb, bool)(row)]
    if verb == "unfreeze":
        fits = [row["repo"] for row in rows["repo_freeze"] if row["cleared_at"] is None]
    if verb == "undepend" and rows["job_deps"]:
        pair = rows["job_deps"][wish["whom"] % len(rows["job_deps"])]
        fits, depends = [names[pair["task_id"]]], names[pair["depends_on_task_id"]]
    any_of = fits or ITEMS
    whom = wish["glob"] if verb == "freeze" else any_of[wish["whom"] % len(any_of)]
    return Order(verb, whom, "ann", "because", on=depends, **others)


def shown(rig: Rig) -> dict[str, Entry]:
    """What the snapshot says of each waiting task, in the words of a preview."""
    return {
        item: {
            "reason": entry["reason"],
            "blockers": [blocker["detail"] for blocker in entry["blockers"]],
        }
        for item, entry in rig.waiting().items()
    }


def items(rig: Rig, claimed: Any) -> set[str]:
    ids = [each.task_id for each in claimed]
    return set(rig.store.read(lambda conn: queries.work_items(conn, ids)).values())


def reads(entry: Entry | None) -> Entry | None:
    return entry and {name: entry[name] for name in ("reason", "blockers")}


@ON_A_RIG
@given(example=examples)
def test_what_a_preview_says_is_what_then_happens(rig: Rig, example: dict[str, Any]) -> None:
    arranged(rig, example)
    last: Entry = {}
    for wish in example["orders"]:
        before = dump(rig.store)
        order = an_order(before, wish)
        try:
            said = preview.preview(rig.line, order)
        except OrchError as refused:
            with pytest.raises(type(refused)):
                controls.carry_out(rig.line, order)
            continue
        assert dump(rig.store) == before
        it_happens(rig, order, said)
        last = said
    the_tick_agrees(rig, last)


def it_happens(rig: Rig, order: Order, said: Entry) -> None:
    """The state after is what the preview showed, what it does not name is as it was, and the next
    look claims what it would have claimed, less what is said not to start, and what is."""
    was, would = shown(rig), items(rig, dispatcher.rehearse(rig.line))
    assert controls.carry_out(rig.line, order)["changed"] == said["changed"]
    now, after = shown(rig), {each["work_item_id"]: each["after"] for each in said["changes"]}
    for item in {*was, *now}:
        if item in after:
            assert reads(after[item]) == now.get(item)
        else:
            assert was.get(item) == now.get(item)
    starts = set(said["starts"])
    lost = {item for item in would & after.keys() if not (after[item] and after[item]["starts"])}
    assert not starts & would
    assert items(rig, dispatcher.rehearse(rig.line)) == (would - lost) | starts
    assert said["not_compared"] == ""
    for what, happens in (("starts", starts), ("no longer starts", lost), ("held", said["held"])):
        event(f"{what}: {bool(happens)}")


def the_tick_agrees(rig: Rig, said: Entry) -> None:
    """A real tick starts what the last preview called starting; who is left waits as it said."""
    would = items(rig, dispatcher.rehearse(rig.line))
    assert items(rig, dispatcher.tick(rig.line).claimed) == would >= set(said.get("starts", ()))
    left = rig.waiting()
    for change in said.get("changes", ()):
        item, after = change["work_item_id"], change["after"]
        if item in left and left[item]["reason"] is None:
            assert (left[item]["hold"], after["starts"]) == (after["hold"], False)


def test_the_random_states_reach_what_is_to_be_proved(sqlite_database: str) -> None:
    """The property above proves little if hardly anything ever starts because of an order."""
    store = Store(sqlite_database, synchronous="OFF")
    rig, seen = Rig(store), set[str]()

    @settings(max_examples=20, database=None, phases=(Phase.generate,))
    @given(example=examples)
    def look(example: dict[str, Any]) -> None:
        arranged(rig, example)
        for wish in example["orders"]:
            with suppress(OrchError):
                said = preview.preview(rig.line, an_order(dump(rig.store), wish))
                seen.update(name for name in KINDS if said[name])

    look()
    store.dispose()
    assert seen >= {"starts", "begins_waiting"}
