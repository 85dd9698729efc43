"""The line as an agent meets it: the SDK's own client, in this process, by HTTP, by a command."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp_types import CallToolResult, Tool

from orch import tokens
from orch.clock import new_id
from orch.mcp_server import Address, Answering, build, listening
from orch.mcp_tools import Desk
from orch.store.session import Store
from tests.factories import Rig


@dataclass
class Seat:
    """One server's answers, and short words for what an agent does with them."""

    rig: Rig
    answering: Answering

    def tools(self) -> dict[str, Tool]:
        """What the client is told, by name."""

        async def look(client: Client) -> Any:
            return (await client.list_tools()).tools

        return {tool.name: tool for tool in self.within(look)}

    def call(self, name: str, **given: Any) -> CallToolResult:
        """One call, by a client that checks the answer against the tool's schema."""

        async def ask(client: Client) -> Any:
            await client.list_tools()
            return await client.call_tool(name, given)

        answer: CallToolResult = self.within(ask)
        return answer

    def told(self, name: str, **given: Any) -> dict[str, Any]:
        """The structured answer of a call that must succeed."""
        answer = self.call(name, **given)
        assert not answer.is_error, answer.content
        assert answer.structured_content is not None
        return answer.structured_content

    def refused(self, name: str, **given: Any) -> dict[str, Any]:
        """The structured answer of a call that must not."""
        answer = self.call(name, **given)
        assert answer.is_error
        assert answer.structured_content is not None
        return answer.structured_content

    def within(self, use: Callable[[Client], Awaitable[Any]]) -> Any:
        async def run() -> Any:
            async with Client(build(self.answering)) as client:
                return await use(client)

        return anyio.run(run)

    def token(self, role: str, name: str = "") -> str:
        made: str = tokens.add(self.answering.desk.line, name or f"the-{role}", role, "ann")[
            "token"
        ]
        return made

    def with_controls(self, token: str = "") -> Seat:
        return Seat(self.rig, Answering(self.answering.desk, True, token))


@pytest.fixture
def seat(kept_sqlite: Store) -> Seat:
    """A server that only reads, over ORCH-116, which holds `shop`, and ORCH-123 behind it."""
    rig = Rig(kept_sqlite)
    rig.task("ORCH-116", repo="shop", title="Rework the cache")
    rig.task("ORCH-123", repo="shop", title="Log in is down")
    rig.workers()
    # Beside the rig's own ids, which are short.
    line = replace(rig.line, new_id=new_id)
    return Seat(rig, Answering(Desk(line, rig.clock)))


@pytest.fixture
def serve(wait_until: Callable[..., object]) -> Iterator[Callable[..., str]]:
    """Servers on free ports, ended with the test; answers the URL of each."""
    running = []

    def start(answering: Answering, address: Address | None = None) -> str:
        server, bound = listening(answering, address or Address(port=0))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        running.append((server, thread))
        wait_until(lambda: server.started)
        return f"http://127.0.0.1:{bound.getsockname()[1]}/mcp"

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join(10)
