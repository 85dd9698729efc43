"""The web app on a line of its own: a set clock, a doorbell that remembers, tokens on request."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskClient
from jinja2.bccache import Bucket, BytecodeCache
from werkzeug.test import TestResponse

from orch import people, tokens
from orch.adapters.memory_changes import MemoryChanges
from orch.clock import new_id
from orch.config import Settings
from orch.line import Line
from orch.passwords import Passwords
from orch.people import NewPerson
from orch.store.session import Store
from tests.factories import Rig
from tests.web.described import Comparing
from web import create_app
from web.streams import Streams

PASSWORD = "a few words in a row"
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
_CSRF = re.compile(r'name="csrf" value="([0-9a-f]{64})"')
_CARRIED = re.compile(r'"X-CSRF-Token": "([0-9a-f]{64})"')


def csrf_in(page: TestResponse) -> str:
    """What the forms of a page carry."""
    found = _CSRF.search(page.text) or _CARRIED.search(page.text)
    assert found, page.text
    return found[1]


class Person:
    """Somebody with a browser: sends forms as its pages do."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client

    def get(self, address: str, **more: Any) -> TestResponse:
        return self.client.get(address, **more)

    def post(self, address: str, page: str = "/ui/me", **fields: Any) -> TestResponse:
        """Send a form, with the proof that `page` carries."""
        fields = {"csrf": csrf_in(self.client.get(page)), **fields}
        return self.client.post(address, data=fields)

    def sign_in(self, name: str, password: str = PASSWORD, **more: Any) -> TestResponse:
        return self.post("/ui/sign-in", "/ui/sign-in", name=name, password=password, **more)


class _Compiled(BytecodeCache):
    """Templates compiled by one test, for all those after it."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self.kept:
            bucket.bytecode_from_string(self.kept[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self.kept[bucket.key] = bucket.bytecode_to_string()


COMPILED = _Compiled()


class Web:
    """One app and the ways to come into it."""

    def __init__(self, rig: Rig, folder: Path, **more: Any) -> None:
        self.rig = rig
        self.folder = folder
        # Beside the rig's own line, which hands out short tokens.
        self.line = Line(rig.store, rig.queue, rig.clock, new_id, rig.gate, rig.limits)
        self.settings = Settings.model_validate({"data_dir": folder, **more})
        self.known: dict[str, str] = {}
        self.pauses: list[float] = []
        self.changes = MemoryChanges()
        self.streams = Streams(most=2, longest=60, pause=self.pauses.append, stopwatch=self.waited)
        self.passwords = Passwords(CHEAP)
        self._made: tuple[tuple[Any, ...], Flask] | None = None

    def waited(self) -> Callable[[], float]:
        """Streams go by the pauses they have made."""
        began = sum(self.pauses)
        return lambda: sum(self.pauses) - began

    @property
    def app(self) -> Flask:
        """Made anew when something of it has changed: a new one compiles its templates anew."""
        key = (self.line, self.settings, self.streams, self.passwords)
        if self._made is None or any(a is not b for a, b in zip(key, self._made[0], strict=True)):
            parts: dict[str, Any] = {"streams": self.streams, "passwords": self.passwords}
            parts["changes"] = self.changes
            app = create_app(self.line, self.settings, clock=self.rig.clock, **parts)
            app.jinja_env.bytecode_cache = COMPILED
            app.test_client_class = Comparing
            self._made = (key, app)
        return self._made[1]

    @property
    def client(self) -> FlaskClient:
        """Somebody on this machine, without a token."""
        return self.app.test_client()

    def client_of(self, role: str) -> FlaskClient:
        """Somebody with a token of this role."""
        client = self.client
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {self.token(role)}"
        return client

    def person(self, name: str = "ann", role: str = "viewer", *repos: str) -> str:
        """Let somebody come in; the name."""
        people.add(self.line, self.passwords, NewPerson(name, role, repos, PASSWORD), "root")
        return name

    def visitor(self, **more: Any) -> Person:
        """Somebody with a browser, not signed in."""
        return Person(self.app.test_client(**more))

    def signed_in(self, role: str = "viewer", *repos: str, name: str = "") -> Person:
        """Somebody of this role, signed in."""
        person, visitor = self.person(name or f"p-{role}", role, *repos), self.visitor()
        assert visitor.sign_in(person).status_code == 303
        return visitor

    def token(self, role: str, name: str = "") -> str:
        made: str = tokens.add(self.line, name or f"the-{role}", role, "ann")["token"]
        return made


@pytest.fixture
def sqlite_rig(kept_sqlite: Store) -> Rig:
    """A line without rows on SQLite: most of the web does not care which database it is."""
    return Rig(kept_sqlite)


@pytest.fixture
def web(sqlite_rig: Rig, tmp_path: Path) -> Web:
    """The app on SQLite."""
    return Web(sqlite_rig, tmp_path)


@pytest.fixture
def web_on_both(kept_store: Store, tmp_path: Path) -> Web:
    """The app, once on each kind of database."""
    return Web(Rig(kept_store), tmp_path)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def breakable_web(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Web]:
    """The app on a database whose schema the test may break, once on each kind."""
    name = "sqlite_database" if request.param == "sqlite" else "pg_database"
    opened = Store(request.getfixturevalue(name), synchronous="OFF")
    yield Web(Rig(opened), tmp_path)
    opened.dispose()
