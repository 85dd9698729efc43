"""What is Plane's own: pages, people, the trail, states that vanish, budgets, and words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from orch.adapters.plane.markup import html_of, text_of
from orch.errors import TrackerRefused, TrackerUnavailable
from orch.ports.tracker import Phase, Telling
from tests.contracts.plane_stub import KEY, recorded
from tests.contracts.tracker_worlds import PlaneWorld


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


@pytest.fixture
def world(stack: ExitStack) -> PlaneWorld:
    made = PlaneWorld(stack)
    made.tracker.prepare(make=True)
    return made


def told(item: str, phase: Phase | None, text: str = "said") -> Telling:
    return Telling(f"uid-{item}", item, phase, text)


def moved_by(world: PlaneWorld, item: str) -> str | None:
    found = world.tracker.item(item)
    assert found is not None
    return found.moved_by


# --- lists


def test_a_small_project_is_listed_with_one_request_and_no_reading_of_items(
    world: PlaneWorld,
) -> None:
    made = [world.add(f"item {n}") for n in range(30)]
    world.tracker.items()
    before = len(world.stub.calls)
    assert [item.item_id for item in world.tracker.items()] == made
    assert [call.endpoint for call in world.stub.calls[before:]] == ["list_work_items_2"]


@pytest.mark.parametrize("happens", ["edited", "deleted", "deleted and made"])
def test_what_happens_while_pages_are_read_hides_no_item(world: PlaneWorld, happens: str) -> None:
    world.client.page = 2
    made = [world.add(f"item {n}") for n in range(6)]

    def somebody() -> None:
        if happens == "edited":
            world.plane.edit(made[5], world.ann_id, name="another")
            world.plane.edit(made[1], world.ann_id, name="another")
        else:
            world.drop(made[0])
        if happens == "deleted and made":
            world.add("new")

    world.stub.meanwhile("GET", "/work-items/", somebody, after=True)
    listed = {item.item_id for item in world.tracker.items()}
    assert listed == set(world.plane.items)


def test_a_list_that_never_holds_still_is_left_for_later(world: PlaneWorld) -> None:
    world.client.page = 2
    made = [world.add(f"item {n}") for n in range(30)]

    def again() -> None:
        world.drop(made.pop())
        world.stub.meanwhile("GET", "/work-items/", again)

    again()
    with pytest.raises(TrackerUnavailable, match="changed"):
        world.tracker.items()


def test_archived_drafted_and_nameless_states_are_left_out(world: PlaneWorld) -> None:
    kept, archived = world.add("kept"), world.add("archived")
    draft = world.add("draft", is_draft=True)
    world.plane.items[archived]["archived_at"] = "2026-05-02"
    assert [item.item_id for item in world.tracker.items()] == [kept]
    assert [world.tracker.item(each) for each in (archived, draft)] == [None, None]


def test_states_and_labels_that_come_by_id_are_looked_up(world: PlaneWorld) -> None:
    world.plane.expands = False
    made = world.add("one", labels=("track:quick", "repo:acme/shop"))
    found = world.tracker.item(made)
    assert found is not None
    assert (found.state, found.labels) == ("Todo", ("track:quick", "repo:acme/shop"))


def test_the_page_of_an_item_is_planes_own_or_as_the_settings_say(
    stack: ExitStack, world: PlaneWorld
) -> None:
    world.add("one")
    assert world.tracker.items()[0].url == "https://plane.example.org/acme/browse/ORCH-1/"
    world.settings = {"page": "https://wiki.example.org/{work_item}#{item}"}
    world.connect()
    (item,) = world.tracker.items()
    assert item.url == f"https://wiki.example.org/ORCH-1#{item.item_id}"


# --- who


@pytest.mark.parametrize("pages", [True, False])
def test_a_move_counts_by_the_api_and_on_the_pages(world: PlaneWorld, pages: bool) -> None:
    bob = world.plane.person("bob")
    made = world.add("one", "Backlog")
    world.plane.move(made, "Todo", bob, pages=pages)
    assert moved_by(world, made) == "bob"


def test_editing_is_no_moving(world: PlaneWorld) -> None:
    made = world.add("one")
    world.plane.edit(made, world.plane.person("bob"), name="another")
    assert moved_by(world, made) == world.ann


def test_a_trail_that_lags_is_waited_for_and_blames_nobody(world: PlaneWorld) -> None:
    made = world.add("one", "Backlog")
    world.plane.move(made, "Todo", world.plane.person("mallory"))
    world.plane.trail_lags = True
    with pytest.raises(TrackerUnavailable, match="not written down yet"):
        world.tracker.item(made)
    world.add("later")
    for _ in range(120):
        world.plane._tick()
    assert moved_by(world, made) == ""


@pytest.mark.parametrize(
    ("allowed", "display", "mail", "called"),
    [
        ("boss", "boss", "b@example.test", "boss"),
        ("B@example.test", "boss", "b@example.test", "B@example.test"),
        ("boss@example.test", "boss@example.test", "m@example.test", None),
        ("00000000-0000-4000-8000-000000000005", "00000000-0000-4000-8000-000000000005", "", None),
        ("ann", "ann", "second@example.test", None),
        ("someone", "orch", "", None),
    ],
    ids=["display", "mail", "poses as mail", "poses as id", "poses as ann", "poses as orch"],
)
def test_nobody_passes_for_somebody_on_the_allow_list(
    stack: ExitStack, allowed: str, display: str, mail: str, called: str | None
) -> None:
    world = PlaneWorld(stack, start_actors=(allowed,))
    user = world.plane.person(display, mail)
    made = world.plane.add("one", by=user)
    assert moved_by(world, made) == (called or user)


def test_an_allow_list_that_names_nobody_is_a_problem(stack: ExitStack) -> None:
    ready = PlaneWorld(stack, start_actors=("ann", "nobody")).tracker.prepare(make=True)
    assert [problem for problem in ready.problems if "nobody" in problem] == list(ready.problems)
    assert ready.problems


# --- telling


def writes(world: PlaneWorld) -> list[str]:
    return [call.method for call in world.stub.calls if call.method in ("POST", "PATCH")]


@pytest.mark.parametrize("fault", ["reset", "lost", "500"])
@pytest.mark.parametrize("step", range(3))
def test_a_fault_at_any_step_leaves_one_comment_and_the_state(
    world: PlaneWorld, fault: Any, step: int
) -> None:
    made = world.add("one")
    method, path = (("GET", made), ("POST", "/comments/"), ("PATCH", made))[step]
    world.stub.fail(fault, method, path)
    with pytest.raises(TrackerUnavailable):
        world.tracker.tell(told(made, "asking"))
    world.tracker.tell(told(made, "asking"))
    assert (world.comments(made), world.state_of(made)) == (["said"], "Needs Input")


def test_a_repetition_does_not_undo_what_a_person_did_meanwhile(world: PlaneWorld) -> None:
    made = world.add("one")
    world.stub.fail("lost", "PATCH")
    with pytest.raises(TrackerUnavailable):
        world.tracker.tell(told(made, "asking"))
    world.move(made, "Todo")
    world.tracker.tell(told(made, "asking"))
    assert (world.state_of(made), world.comments(made)) == ("Todo", ["said"])


@pytest.mark.parametrize("state", ["Done", "Cancelled"])
@pytest.mark.parametrize("phase", ["working", "landed", "cancelled", "parked"])
def test_a_persons_last_word_stays_and_the_comment_is_written(
    world: PlaneWorld, state: str, phase: Phase
) -> None:
    made = world.add("one")
    world.move(made, state)
    world.tracker.tell(told(made, phase))
    assert (world.state_of(made), world.comments(made)) == (state, ["said"])


def test_orchs_own_last_word_is_taken_back(world: PlaneWorld) -> None:
    made = world.add("one")
    world.tracker.tell(told(made, "landed", ""))
    world.tracker.tell(told(made, "working", ""))
    assert world.state_of(made) == "In Progress"


def test_an_item_that_a_person_parked_stays_where_it_is(stack: ExitStack) -> None:
    world = PlaneWorld(stack, park_states=("Backlog",))
    world.tracker.prepare(make=True)
    made = world.add("one", "Backlog")
    world.tracker.tell(told(made, "parked"))
    assert world.state_of(made) == "Backlog"


def test_a_state_that_is_already_there_is_not_written_again(world: PlaneWorld) -> None:
    made = world.add("one", "In Progress")
    before = len(writes(world))
    world.tracker.tell(told(made, "working", ""))
    assert len(writes(world)) == before


# --- states


def test_missing_states_are_made_once_and_with_a_mark(stack: ExitStack) -> None:
    world = PlaneWorld(stack)
    first = world.tracker.prepare()
    assert len(first.problems) == 3  # parked and frozen share one
    world.tracker.prepare(make=True)
    world.connect()
    assert world.tracker.prepare(make=True).problems == ()
    made = [row for row in world.plane.states.values() if row["external_source"] == "orch"]
    assert [(row["name"], row["group"]) for row in made] == [
        ("Blocked", "started"),
        ("Needs Input", "started"),
    ]


def test_a_state_made_by_hand_is_used(stack: ExitStack) -> None:
    world = PlaneWorld(stack)
    row = recorded("state.create").body
    world.plane.states[row["id"]] = row
    world.tracker.prepare(make=True)
    made = world.add("one")
    world.tracker.tell(told(made, "parked"))
    assert world.plane.items[made]["state"] == row["id"]


@pytest.mark.parametrize(("old", "phase"), [("Blocked", "parked"), ("In Progress", "working")])
def test_a_renamed_state_is_still_found_also_after_a_start(
    world: PlaneWorld, old: str, phase: Phase
) -> None:
    row = world.plane.states[world.plane.state(old)]
    row["name"] = "Stuck"
    for _ in range(2):
        made = world.add("one")
        world.tracker.tell(told(made, phase))
        assert world.state_of(made) == "Stuck"
        world.connect()


def test_a_deleted_state_is_a_matter_for_a_person_and_the_question_is_seen(
    world: PlaneWorld,
) -> None:
    made = world.add("one")
    world.tracker.tell(Telling("first", made, "asking"))
    world.move(made, "Todo")
    del world.plane.states[world.plane.state("Needs Input")]
    with pytest.raises(TrackerRefused, match="Needs Input") as refused:
        world.tracker.tell(told(made, "asking"))
    assert "states.asking" in refused.value.suggested_fix
    assert (world.comments(made), world.state_of(made)) == (["said"], "Todo")
    world.tracker.prepare(make=True)
    world.tracker.tell(told(made, "asking"))
    assert (world.comments(made), world.state_of(made)) == (["said"], "Needs Input")


def test_phases_are_called_as_the_settings_say(stack: ExitStack) -> None:
    states = {"parked": "Backlog", "working": "", "asking": "Nowhere"}
    world = PlaneWorld(stack, states=states, start_states=("Ready",))
    problems = " ".join(world.tracker.prepare(make=True).problems)
    assert "Nowhere" in problems
    assert "Ready" in problems
    made = world.add("one")
    world.tracker.tell(told(made, "working", ""))
    assert world.state_of(made) == "Todo"
    world.tracker.tell(told(made, "parked", ""))
    assert world.state_of(made) == "Backlog"


# --- words


@pytest.mark.parametrize(
    ("fault", "said", "fix"),
    [
        ("bad-key", "does not take the API key", "ORCH_PLANE_TOKEN"),
        ("no-entry", "no such workspace", "ORCH_PLANE_WORKSPACE"),
        ("no-project", "no project 00000000", "project"),
        ("moved-away", "does not answer as Plane does: 302", "ORCH_PLANE_URL"),
    ],
)
def test_a_refusal_says_what_to_do_and_no_key(
    world: PlaneWorld, fault: str, said: str, fix: str
) -> None:
    made = world.add("one")
    world.fail(fault)
    with pytest.raises(TrackerRefused, match=said) as refused:
        world.tracker.item(made)
    assert fix in refused.value.suggested_fix
    assert KEY not in repr(refused.value) + repr(world.client)


def test_without_a_key_plane_says_so(world: PlaneWorld) -> None:
    world.client._service._headers.pop("X-API-Key")
    with pytest.raises(TrackerRefused, match="got no API key"):
        world.tracker.items()


def test_hostile_markup_becomes_text_and_text_becomes_harmless_markup() -> None:
    markup = (
        "<p>One &amp; <b>two</b></p><ul><li>a</li><li>b</li></ul><script>alert(1)</script>"
        '<p>see <a href="https://x.example/?a=1&amp;b=2">here</a>, <a href="javascript:x">no</a>'
        "</p><pre>  if x:\n    y</pre><!-- hidden --><img src=x onerror=alert(1) alt=pic>"
    )
    assert text_of(markup) == (
        "One & two\n\n- a\n- b\n\nsee here (https://x.example/?a=1&b=2), no\n\n  if x:\n    y\npic"
    )
    shown = html_of('<img src=x onerror=alert(1)>\n"two" https://x.example/a?b=1&c="><i>')
    assert shown == (
        "<p>&lt;img src=x onerror=alert(1)&gt;<br>&quot;two&quot; "
        '<a href="https://x.example/a?b=1&amp;c=">https://x.example/a?b=1&amp;c=</a>'
        "&quot;&gt;&lt;i&gt;</p>"
    )
