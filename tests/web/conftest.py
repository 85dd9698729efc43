"""The web app on a line of its own: a set clock, a doorbell that remembers, tokens on request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jinja2.bccache import Bucket, BytecodeCache

from orch import tokens
from orch.adapters.memory_changes import MemoryChanges
from orch.clock import new_id
from orch.config import Settings
from orch.line import Line
from orch.store.session import Store
from tests.factories import Rig
from web import create_app
from web.streams import Streams


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
        self.people: dict[str, str] = {}
        self.pauses: list[float] = []
        self.changes = MemoryChanges()
        self.streams = Streams(most=2, longest=60, pause=self.pauses.append)

    @property
    def app(self) -> Flask:
        more = {"streams": self.streams, "changes": self.changes}
        app = create_app(self.line, self.settings, clock=self.rig.clock, **more)
        app.jinja_env.bytecode_cache = COMPILED
        return app

    @property
    def client(self) -> FlaskClient:
        """Somebody on this machine, without a token."""
        return self.app.test_client()

    def client_of(self, role: str) -> FlaskClient:
        """Somebody with a token of this role."""
        client = self.client
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {self.token(role)}"
        return client

    def token(self, role: str, name: str = "") -> str:
        made: str = tokens.add(self.line, name or f"the-{role}", role, "ann")["token"]
        return made


@pytest.fixture
def sqlite_rig(sqlite_database: str) -> Iterator[Rig]:
    """A line without rows on SQLite: most of the web does not care which database it is."""
    store = Store(sqlite_database, synchronous="OFF")
    yield Rig(store)
    store.dispose()


@pytest.fixture
def web(sqlite_rig: Rig, tmp_path: Path) -> Web:
    """The app on SQLite."""
    return Web(sqlite_rig, tmp_path)


@pytest.fixture
def web_on_both(store: Store, tmp_path: Path) -> Web:
    """The app, once on each kind of database."""
    return Web(Rig(store), tmp_path)
