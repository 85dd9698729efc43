"""What every Tracker promises: the fake, Plane on its stand-in, and a live Plane."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any, Final, get_args

import pytest

from orch.errors import TrackerGone, TrackerRefused, TrackerUnavailable
from orch.ports.tracker import Phase, Telling, Tracker
from tests.contracts.matrix import TRACKER
from tests.contracts.tracker_worlds import (
    LIVE,
    FolderWorld,
    LiveWorld,
    MemoryWorld,
    PlaneWorld,
    World,
)

WORLDS: Final[dict[str, Callable[[ExitStack], World]]] = {
    "memory": MemoryWorld,
    "plane": PlaneWorld,
    "folder": FolderWorld,
    "live": LiveWorld,
}
HOSTILE: Final = "<img src=x onerror=alert(1)> & \u201cquotes\u201d -- $(reboot)"


@pytest.fixture(params=list(WORLDS))
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "live" and not all(LIVE.values()):
        pytest.skip(
            "a live Plane: set ORCH_TEST_PLANE_URL, _KEY, _PERSON_KEY, _WORKSPACE, _PROJECT"
        )
    with ExitStack() as stack:
        made = WORLDS[request.param](stack)
        made.tracker.prepare(make=True)
        yield made


def tell(item: str, phase: Phase | None = None, text: str = "", uid: str = "") -> Telling:
    return Telling(uid or f"uid-{item}", item, phase, text)


def test_an_item_is_listed_and_read_as_a_person_made_it(world: World) -> None:
    made = world.add(HOSTILE, priority="high", labels=("track:quick",))
    (listed,) = [item for item in world.tracker.items() if item.item_id == made]
    read = world.tracker.item(made)
    assert read is not None
    for item in (listed, read):
        assert (item.title, item.state, item.group) == (HOSTILE, "Todo", "unstarted")
        assert (item.priority, item.labels) == ("high", ("track:quick",))
    assert listed.work_item_id == read.work_item_id
    assert listed.updated_at == read.updated_at
    assert (read.moved_by, read.blocked_by) == (world.ann, ())


def test_a_move_is_seen_with_who_made_it_and_changes_the_time(world: World) -> None:
    made = world.add("one", "Backlog")
    before = world.tracker.item(made)
    world.move(made, "Todo")
    after = world.tracker.item(made)
    assert before is not None
    assert after is not None
    assert (after.state, after.moved_by) == ("Todo", world.ann)
    assert after.updated_at > before.updated_at


def test_a_move_of_orchs_own_is_seen_as_such(world: World) -> None:
    made = world.add("one")
    world.tracker.tell(tell(made, "working"))
    read = world.tracker.item(made)
    assert read is not None
    assert read.moved_by == world.tracker.prepare().myself != world.ann


def test_what_an_item_waits_for_is_told(world: World) -> None:
    first, second, third = world.add("1"), world.add("2"), world.add("3")
    world.relate(third, first, second)
    read = world.tracker.item(third)
    assert read is not None
    assert set(read.blocked_by or ()) == {first, second}


def test_a_relation_that_is_taken_back_is_gone(world: World) -> None:
    if isinstance(world, LiveWorld):
        pytest.skip("a live Plane: its API cannot take a relation back")
    first, second = world.add("1"), world.add("2")
    world.relate(second, first)
    world.relate(second)
    read = world.tracker.item(second)
    assert read is not None
    assert read.blocked_by == ()


def test_a_deleted_item_is_none_not_listed_and_gone_when_told(world: World) -> None:
    made = world.add("one")
    world.drop(made)
    assert world.tracker.item(made) is None
    assert made not in [item.item_id for item in world.tracker.items()]
    with pytest.raises(TrackerGone):
        world.tracker.tell(tell(made, "working", "begun"))


def test_remarks_are_those_of_others_oldest_first(world: World) -> None:
    made = world.add("one")
    world.tracker.tell(tell(made, text="Which colour?"))
    for text in ("Blue & <b>bold</b>", "or green"):
        world.remark(made, text)
    said = world.tracker.remarks(made)
    assert [(each.author, each.text) for each in said] == [
        (world.ann, "Blue & <b>bold</b>"),
        (world.ann, "or green"),
    ]
    later = world.tracker.remarks(made, said[1].at)
    assert said[1] in later
    assert not world.tracker.remarks(made, said[1].at + timedelta(seconds=1))


@pytest.mark.parametrize("phase", get_args(Phase))
def test_every_phase_moves_the_item_where_people_look_for_it(world: World, phase: Phase) -> None:
    made = world.add("one")
    world.tracker.tell(tell(made, phase))
    assert (
        world.state_of(made)
        == {
            "taken": "Todo",
            "working": "In Progress",
            "parked": "Blocked",
            "frozen": "Blocked",
            "asking": "Needs Input",
            "landed": "Done",
            "cancelled": "Cancelled",
        }[phase]
    )


def test_a_comment_shows_its_text_as_it_is_and_once_per_uid(world: World) -> None:
    made = world.add("one")
    text = f"Parked: {HOSTILE}\nSee https://orch.example.org/task?id=1&x=2 for more.\n\nLast."
    for _ in range(3):
        world.tracker.tell(tell(made, "parked", text))
    world.tracker.tell(tell(made, "parked", "another", uid="other-" + made))
    assert world.comments(made) == [text, "another"]


def test_a_telling_without_a_phase_moves_nothing(world: World) -> None:
    made = world.add("one", "Backlog")
    world.tracker.tell(tell(made, None, "hello"))
    assert (world.state_of(made), list(world.comments(made))) == ("Backlog", ["hello"])


def test_a_tracker_that_is_ready_says_who_orch_is_and_no_problem(world: World) -> None:
    ready = world.tracker.prepare(make=True)
    assert ready.myself
    assert ready.problems == ()


# --- each verb under each fault: the cells of the table in docs/adapters.md


def ask(tracker: Tracker, verb: str, item: str) -> Any:
    """Call one verb about an item."""
    calls: dict[str, Callable[[], Any]] = {
        "items": tracker.items,
        "item": lambda: tracker.item(item),
        "remarks": lambda: tracker.remarks(item),
        "tell": lambda: tracker.tell(tell(item, "asking", "What now?")),
        "prepare": tracker.prepare,
    }
    return calls[verb]()


def hold(world: World, verb: str, fault: str, outcome: str, item: str) -> None:
    """Bring a fault about, and see that it comes to that outcome."""
    if fault == "deleted":
        world.drop(item)
    else:
        world.fail(fault)
    expected = {"refused": TrackerRefused, "gone": TrackerGone}
    expected |= dict.fromkeys(("later", "once"), TrackerUnavailable)
    if outcome in expected:
        with pytest.raises(expected[outcome]) as said:
            ask(world.tracker, verb, item)
        assert said.value.message.endswith((".", ":")) or said.value.suggested_fix
        assert said.value.facts.get("retry_after") == (7 if fault in ("429", "503") else None)
    if outcome in ("later", "once"):
        world.mend()
    if outcome not in ("refused", "gone"):
        answer = ask(world.tracker, verb, item)
        assert outcome != "named" or answer.problems
        assert outcome != "none" or not answer
    if verb == "tell" and outcome in ("done", "later", "once"):
        assert (list(world.comments(item)), world.state_of(item)) == (["What now?"], "Needs Input")


@pytest.mark.parametrize(("verb", "fault", "outcome"), TRACKER.cells("plane"))
def test_plane(verb: str, fault: str, outcome: str) -> None:
    with ExitStack() as stack:
        world = PlaneWorld(stack, read=0.1 if fault == "timeout" else 5)
        world.tracker.prepare(make=True)
        hold(world, verb, fault, outcome, world.add("one"))


@pytest.mark.parametrize(("verb", "fault", "outcome"), TRACKER.cells("memory"))
def test_memory(verb: str, fault: str, outcome: str) -> None:
    with ExitStack() as stack:
        world = MemoryWorld(stack)
        hold(world, verb, fault, outcome, world.add("one"))


@pytest.mark.parametrize(("verb", "fault", "outcome"), TRACKER.cells("folder"))
def test_folder(verb: str, fault: str, outcome: str) -> None:
    with ExitStack() as stack:
        world = FolderWorld(stack)
        hold(world, verb, fault, outcome, world.add("one"))


def test_a_file_that_somebody_saves_meanwhile_is_read_again() -> None:
    with ExitStack() as stack:
        world = FolderWorld(stack)
        made = world.add("one")
        read = world.tracker._pages
        once = iter([True])

        def and_then_somebody_saves() -> Any:
            found = read()
            if next(once, False):
                world.move(made, "Backlog")
            return found

        world.tracker._pages = and_then_somebody_saves  # type: ignore[method-assign]
        world.tracker.tell(tell(made, None, "hello"))
        assert (world.state_of(made), list(world.comments(made))) == ("Backlog", ["hello"])
