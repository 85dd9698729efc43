"""Writes that hang together: what they leave when they are taken back, and how they fail."""

from __future__ import annotations

import pytest
from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from orch.store.joined import Joined
from orch.store.schema import repos, tasks
from orch.store.session import Store
from tests.factories import START, Rig

ADDING = Joined(
    lambda rows: select(rows["added"].c.name),
    added=lambda _: insert(repos).values(name=bindparam("name")).returning(repos.c.name),
)


def names(store: Store) -> list[str]:
    return store.read(lambda conn: list(conn.scalars(select(repos.c.name).order_by(repos.c.name))))


def test_what_is_taken_back_leaves_nothing_also_as_the_first_of_its_transaction(rig: Rig) -> None:
    with rig.store.rolled_back() as conn:
        assert [row["name"] for row in ADDING.run(conn, {"name": "app"})] == ["app"]
    assert names(rig.store) == []


def test_a_part_that_fails_fails_in_the_stores_own_words(rig: Rig) -> None:
    rig.store.write(lambda conn: ADDING.run(conn, {"name": "app"}))
    with pytest.raises(DBAPIError) as failed:
        rig.store.write(lambda conn: ADDING.run(conn, {"name": "app"}))
    assert isinstance(failed.value, IntegrityError)
    assert names(rig.store) == ["app"]


def test_parts_see_what_those_before_them_returned_and_moments_are_bound_as_such(rig: Rig) -> None:
    rig.task("APP-1")
    moving = Joined(
        lambda rows: select(rows["told"].c.title),
        found=lambda _: select(tasks.c.id).where(tasks.c.work_item_id == bindparam("an_item")),
        told=lambda rows: (
            update(tasks)
            .where(tasks.c.id.in_(select(rows["found"].c.id)))
            .values(title="50% “done”", admitted_at=START)
            .returning(tasks.c.title)
        ),
    )
    said = rig.store.write(lambda conn: moving.run(conn, {"an_item": "APP-1"}))
    assert [row["title"] for row in said] == ["50% “done”"]
    assert rig.row("APP-1")["admitted_at"] == START
