"""What tests of webhooks share: an app whose doors are open, and what came of a request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from werkzeug.test import TestResponse

from orch.counts import HERE
from orch.store import inbox
from tests.contracts.hook_samples import PROJECT, Sample, sample, settings
from tests.factories import dump
from tests.web.conftest import Web

PLANE, COMMENT = sample("plane", "issue.updated state"), sample("plane", "issue_comment")
PUSH, PULL = sample("gitea", "push"), sample("gitea", "pull_request opened")
HUB = sample("github", "push")


@pytest.fixture(autouse=True)
def counted_here() -> Iterator[None]:
    HERE.take()
    yield
    HERE.take()


@pytest.fixture
def door(web: Web) -> Web:
    """The app with secrets, a project and repos."""
    return opened(web)


@pytest.fixture
def door_on_both(web_on_both: Web) -> Web:
    return opened(web_on_both)


def opened(web: Web) -> Web:
    return Web(web.rig, web.folder, **settings())


def post(web: Web, of: Sample, source: str = "", **more: Any) -> TestResponse:
    given = {"data": of.raw, "headers": of.headers} | more
    return web.app.test_client().post(f"/webhooks/{source or of.source}", **given)


def outcome(answer: TestResponse) -> str:
    """What became of it: of one that was taken its outcome, else the code of the problem."""
    told: dict[str, str] = answer.get_json(force=True)
    return told.get("outcome") or told["code"]


def rows(web: Web) -> list[dict[str, Any]]:
    return dump(web.rig.store)["inbox"]


def item(number: int) -> Sample:
    """A webhook about an item of its own."""
    told = {"id": f"00000000-0000-4000-8000-{number:012d}", "project": PROJECT}
    return PLANE.saying(data=told)


def counted() -> dict[str, float]:
    return {label: value for (name, label), value in HERE.take().items() if name == "hooks"}


def take(web: Web, source: str = "plane", most: int = 10_000) -> list[Any]:
    now = web.rig.clock()
    return web.rig.store.write(lambda conn: inbox.take(conn, source, most, now))
