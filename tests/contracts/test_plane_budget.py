"""The budget of a key of Plane: what a minute sees, who shares it, and what Plane itself says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from orch.adapters.plane import plane_tracker
from orch.adapters.plane.budget import Budget
from orch.adapters.plane.tracker import PlaneTracker
from orch.config import Settings
from orch.errors import TrackerUnavailable
from orch.ports.tracker import Telling
from tests.contracts.plane_stub import KEY
from tests.contracts.tracker_worlds import PlaneWorld


@pytest.fixture
def world() -> Iterator[PlaneWorld]:
    with ExitStack() as stack:
        made = PlaneWorld(stack)
        made.tracker.prepare(make=True)
        yield made


def test_no_minute_sees_more_requests_than_the_budget() -> None:
    now, made = 0.0, list[float]()
    budget = Budget(40, lambda: now)
    while now < 300:
        try:
            budget.take()
            made.append(now)
        except TrackerUnavailable as error:
            now += max(float(error.facts["retry_after"]) / 4, 0.1)
    assert max(sum(1 for at in made if begin <= at < begin + 60) for begin in made) <= 40
    assert len(made) > 90


def test_a_verb_is_not_begun_where_it_could_not_be_ended(world: PlaneWorld) -> None:
    made = world.add("one")
    world.tracker.item(made)
    budget = Budget(10, lambda: world.seconds)
    world.budget = world.client.budget = budget
    for _ in range(3):
        budget.take()
    before = len(world.stub.calls)
    with pytest.raises(TrackerUnavailable) as away:
        world.tracker.tell(Telling("uid", made, "working", "said"))
    assert len(world.stub.calls) == before
    world.seconds += away.value.facts["retry_after"] + 0.01
    world.tracker.tell(Telling("uid", made, "working", "said"))


def test_patience_that_plane_asks_for_holds_for_every_verb(world: PlaneWorld) -> None:
    made = world.add("one")
    world.stub.fail("429", "GET", "/comments/", retry_after=48)
    with pytest.raises(TrackerUnavailable) as away:
        world.tracker.remarks(made)
    assert away.value.facts["retry_after"] == 48
    before = len(world.stub.calls)
    world.seconds += 40
    with pytest.raises(TrackerUnavailable) as still:
        world.tracker.items()
    assert still.value.facts["retry_after"] == pytest.approx(8)
    assert len(world.stub.calls) == before
    world.seconds += 8
    world.tracker.items()


def test_what_others_used_of_the_key_is_left_to_them(world: PlaneWorld) -> None:
    made = world.add("one")
    world.plane.remaining = 3
    with pytest.raises(TrackerUnavailable, match="used up"):
        world.tracker.item(made)


def test_projects_of_one_key_share_its_budget(world: PlaneWorld) -> None:
    address = {"plane_url": world.stub.url, "plane_workspace": "acme", "plane_token": KEY}
    settings = Settings.model_validate({**address, "plane_requests_per_minute": 10})
    first, second = (plane_tracker(settings, world.tracker._settings) for _ in range(2))
    assert isinstance(first, PlaneTracker)
    world.add("one")
    first.items()
    second.items()
    with pytest.raises(TrackerUnavailable, match="used up"):
        first.items()
