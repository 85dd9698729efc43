"""Rationing: a route that anybody may ask, but only so often from one address."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask, request

from orch.errors import TooManyTries
from orch.limits import Limit, neighbourhood
from tests.factories import dump
from tests.web.conftest import Web
from web import problems
from web.given import Given
from web.limits import UNSIGNED, require_room
from web.routes import Call, Desk, Routes
from web.streams import Streams

FEW = Limit("test", 3, 60.0)
NEAR, FAR = {"REMOTE_ADDR": "192.0.2.1"}, {"REMOTE_ADDR": "192.0.2.2"}


def app_of(web: Web) -> Flask:
    """An app with one route, as a webhook would be declared."""
    routes = Routes()

    @routes.add("POST", "/hooks/test", None, Given, "body")
    def hook(call: Call[Given]) -> Any:
        """Take a knock."""
        require_room(call.desk.line, FEW, request)
        return {"taken": True}

    app = Flask("test")
    problems.register(app)
    desk = Desk(web.line, web.settings, web.rig.clock, Streams(), web.passwords)
    routes.register(app, desk)
    return app


def test_each_address_has_a_window_of_its_own_that_slides(web_on_both: Web) -> None:
    web, client = web_on_both, app_of(web_on_both).test_client()
    for _ in range(FEW.most):
        assert client.post("/hooks/test", environ_base=NEAR).status_code == 200
        web.rig.clock.advance(10)
    before = dump(web.rig.store)
    refused = client.post("/hooks/test", environ_base=NEAR)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "30")
    assert refused.get_json(force=True)["code"] == "too_many_tries"
    assert dump(web.rig.store) == before
    assert client.post("/hooks/test", environ_base=FAR).status_code == 200
    web.rig.clock.advance(30)
    assert client.post("/hooks/test", environ_base=NEAR).status_code == 200
    assert client.post("/hooks/test", environ_base=NEAR).status_code == 429


def test_many_at_once_get_no_more_than_there_is_room_for(web_on_both: Web) -> None:
    def knock(_: int) -> bool:
        try:
            FEW.take(web_on_both.line, "a key")
        except TooManyTries:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(knock, range(16)))
    assert sum(taken) == FEW.most


def test_a_forged_address_is_no_way_around(web: Web) -> None:
    client = app_of(web).test_client()
    for number in range(FEW.most):
        headers = {"X-Forwarded-For": f"10.0.0.{number}"}
        client.post("/hooks/test", environ_base=NEAR, headers=headers)
    assert client.post("/hooks/test", environ_base=NEAR).status_code == 429


def test_what_is_counted_tells_nobody_what_was_typed(web: Web) -> None:
    FEW.take(web.line, "a password, typed into the wrong field")
    assert "password" not in str(dump(web.rig.store)["tries"])


@pytest.mark.parametrize(
    ("address", "counted_as"),
    [
        ("192.0.2.1", "192.0.2.1"), ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"), ("", "unknown"), ("unix:", "unknown"),
    ],
)  # fmt: skip
def test_an_address_counts_as_what_one_customer_has(address: str, counted_as: str) -> None:
    assert neighbourhood(address) == counted_as


def test_what_proves_nothing_has_room_for_a_busy_day() -> None:
    assert UNSIGNED.most / UNSIGNED.seconds >= 10
