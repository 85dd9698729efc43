"""The ways in: HTTP with tokens, hosts and pages; a command on standard streams."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from orch import mcp_server as serving
from orch import tokens
from orch.errors import ConfigError
from orch.mcp_server import Address
from tests.mcp.conftest import Seat

CALL = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/list",
    "params": {},
}
ACCEPT = {"Accept": "application/json, text/event-stream"}


def over_http(url: str, token: str, name: str, **given: Any) -> Any:
    async def run() -> Any:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with (
            httpx2.AsyncClient(headers=headers) as http,
            Client(streamable_http_client(url, http_client=http)) as client,
        ):
            return await client.call_tool(name, given)

    return anyio.run(run)


def posted(url: str, **headers: str) -> httpx2.Response:
    return httpx2.post(url, json=CALL, headers={**ACCEPT, **headers})


def test_over_http_the_token_decides_at_every_call(seat: Seat, serve: Callable[..., str]) -> None:
    url = serve(seat.with_controls().answering)
    assert over_http(url, "", "why", work_item="ORCH-123").structured_content["state"] == "waiting"
    near = over_http(url, "", "pause", work_item="ORCH-116")
    assert near.structured_content["code"] == "unauthorised"

    operator, viewer = seat.token("operator", "claude"), seat.token("viewer")
    seen = over_http(url, viewer, "queue").structured_content
    assert list(seen["serial_gate"]["per_repo"]) == ["shop"]
    refused = over_http(url, viewer, "pause", work_item="ORCH-116")
    assert refused.structured_content["code"] == "forbidden"
    done = over_http(url, operator, "pause", work_item="ORCH-116", reason="later")
    assert done.structured_content["changed"] is True
    (event,) = seat.rig.events("task.paused")
    assert event["actor"] == "claude"

    for header in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": operator}):
        answer = posted(url, **header)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert answer.json()["code"] == "unauthorised"
    assert posted(url, Authorization=f"Bearer {viewer}").status_code != 401
    tokens.revoke(seat.answering.desk.line, "the-viewer", "ann")
    assert posted(url, Authorization=f"Bearer {viewer}").status_code == 401


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "x-real-ip"])
def test_who_is_passed_on_to_this_machine_is_not_this_machine(
    seat: Seat, serve: Callable[..., str], name: str
) -> None:
    url = serve(seat.answering)
    assert posted(url).status_code == 200
    assert posted(url, **{name: "203.0.113.7"}).status_code == 401


def test_an_own_token_is_not_lent_to_who_comes_by_http(
    seat: Seat, serve: Callable[..., str]
) -> None:
    own = seat.token("operator")
    url = serve(seat.with_controls(own).answering)
    assert posted(url).status_code == 401
    said = over_http(url, seat.token("viewer"), "pause", work_item="ORCH-116")
    assert said.structured_content["code"] == "forbidden"


def test_no_other_name_and_no_page_comes_in(seat: Seat, serve: Callable[..., str]) -> None:
    url = serve(seat.answering, Address(port=0, known_as=("orch.example.org",)))
    assert posted(url, Host="evil.example").status_code == 421
    assert posted(url, Host="127.0.0.1.evil.example:80").status_code == 421
    assert posted(url, Origin="http://evil.example").status_code == 403
    assert posted(url, Origin="http://localhost:3000").status_code == 403
    assert httpx2.get(url, headers=ACCEPT).status_code == 405
    for known in ("localhost", "orch.example.org", "orch.example.org:8766"):
        assert posted(url, Host=known).status_code not in (401, 403, 421)


def test_an_address_others_can_reach_needs_tokens_first(seat: Seat) -> None:
    told: list[str] = []
    with pytest.raises(ConfigError, match="there is no token"):
        serving.over_http(seat.answering, Address("0.0.0.0", 0), told.append)  # noqa: S104
    assert told == []


def test_a_taken_port_is_a_sentence(seat: Seat, serve: Callable[..., str]) -> None:
    port = int(serve(seat.answering).split(":")[2].split("/")[0])
    with pytest.raises(ConfigError, match="cannot be listened at"):
        serving.listening(seat.answering, Address(port=port))


def test_a_command_speaks_on_standard_streams_and_nothing_else_is_printed(
    seat: Seat, tmp_path: Path
) -> None:
    environment = {
        "ORCH_DATABASE_URL": str(seat.rig.store.url),
        "ORCH_DATA_DIR": str(tmp_path),
        "ORCH_MCP_TOKEN": seat.token("viewer"),
        "ORCH_LOG_LEVEL": "DEBUG",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    words = ["-m", "orch", "mcp", "--controls"]
    started = StdioServerParameters(
        command=sys.executable, args=words, env=environment, cwd=str(tmp_path)
    )

    async def run() -> tuple[Any, Any]:
        async with Client(started) as client:
            seen = await client.call_tool("why", {"work_item": "ORCH-123"})
            return seen, await client.call_tool("cancel", {"work_item": "ORCH-123"})

    seen, refused = anyio.run(run)
    assert seen.structured_content["blockers"][0]["clause"] == "active-task"
    assert json.loads(seen.content[0].text) == seen.structured_content
    assert refused.structured_content["code"] == "forbidden"
