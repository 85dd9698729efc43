"""The protocol: the tools told to a client, its calls answered, over standard streams or HTTP.

The SDK is asynchronous, orch is not: each call runs in a thread. Nothing is kept between calls, and
over HTTP every one of them has to come in by itself.
"""

from __future__ import annotations

import difflib
import json
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import anyio
import anyio.to_thread
import structlog
import uvicorn
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.server.stdio import stdio_server
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    ToolAnnotations,
)
from mcp_types import Tool as ToldTool
from starlette.types import ASGIApp, Receive, Scope, Send

import orch
from orch import mcp_forms, mcp_tools, names, tokens
from orch.errors import BadInput, ConfigError, Forbidden, NotFound, OrchError, Unauthorised
from orch.mcp_tools import Desk, Tool
from orch.tokens import Holder

log = structlog.get_logger(__name__)

PATH: Final = "/mcp"
THREADS: Final = 4
"""Calls answered at once; the others wait their turn."""
BODY_LIMIT: Final = 1024 * 1024
STOP_SECONDS: Final = 5
"""How long answers that have begun may go on when the server is to stop."""
NOBODY: Final = Holder("mcp", "viewer")
"""Who asks where a process on this machine does."""
HOLDER: Final = "orch.holder"
"""Where in a request's scope it stands who sent it."""
INSTRUCTIONS: Final = (
    "orch lets agents work on many git repositories: one task at a time in each, oldest first. Ask "
    "`why` for what holds a task, `queue` for the line, `preview` before any control. "
    + mcp_tools.DATA
)


@dataclass(frozen=True)
class Answering:
    """Who answers the calls of one server."""

    desk: Desk
    controls: bool = False
    """Whether the tools that change something are there at all."""
    own_token: str = ""
    """Over standard streams: the token under which controls are carried out."""
    table: dict[str, Tool] = field(init=False)

    def __post_init__(self) -> None:
        """Fix which tools there are."""
        offered = (*mcp_tools.READING, *(mcp_tools.CONTROLS if self.controls else ()))
        object.__setattr__(self, "table", {each.name: each for each in offered})

    def told(self) -> list[ToldTool]:
        """The tools as a client is told them."""
        return [_told(each) for each in self.table.values()]

    def answer(
        self, name: str, given: dict[str, Any], holder: Holder | None = None
    ) -> CallToolResult:
        """What a call comes to: never an exception. `holder` is who sent it over HTTP."""
        try:
            tool = self._known(name)
            asked = mcp_forms.read(tool.takes, given)
            signer = self._signer(tool, holder)
            return _result(mcp_forms.bounded(tool.does(self.desk, asked, signer)))
        except OrchError as error:
            return _refusal(error)
        except Exception:
            log.exception("mcp.tool_failed", tool=name)
            return _refusal(OrchError("The tool failed; orch's log says why."))

    def _known(self, name: str) -> Tool:
        if name not in self.table:
            like = difflib.get_close_matches(name, self.table, 2)
            raise NotFound(
                f"No tool is called “{names.shown(name)}”.",
                suggested_fix="`tools/list` names them; controls are there only with --controls.",
                did_you_mean=like,
            )
        return self.table[name]

    def _signer(self, tool: Tool, holder: Holder | None) -> Holder:
        """Who signs for the call, and how far that goes. Raises Unauthorised and Forbidden.

        A control needs an operator's token on every way in: being on this machine is not enough,
        because the agent that asks is there as well.
        """
        if not tool.is_control:
            return holder or NOBODY
        if holder is None and self.own_token:
            holder = tokens.check(self.desk.line, self.own_token)
        if holder is None or holder == tokens.LOCAL:
            raise Unauthorised(
                "A control needs an operator's token.",
                suggested_fix="Set ORCH_MCP_TOKEN, or over HTTP send `Authorization: Bearer …`; "
                "`orch token add NAME --role operator` makes one.",
            )
        if not holder.may("operator"):
            raise Forbidden(f"{names.shown(holder.name)} is {holder.role}; this needs operator.")
        return holder


def _told(tool: Tool) -> ToldTool:
    gives = {name: {"type": kind} for name, kind in tool.gives.items()}
    return ToldTool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.takes.model_json_schema(),
        output_schema={"type": "object", "properties": gives, "required": list(gives)},
        annotations=ToolAnnotations(
            title=tool.title,
            read_only_hint=not tool.is_control,
            destructive_hint=tool.destroys,
            idempotent_hint=True,
            open_world_hint=False,
        ),
    )


def _result(found: dict[str, Any]) -> CallToolResult:
    text = json.dumps(found, ensure_ascii=False)
    return CallToolResult(content=[TextContent(text=text)], structured_content=found)


def _refusal(error: OrchError) -> CallToolResult:
    """What went wrong, what was perhaps meant, and what to do."""
    like = [mcp_forms.visible(each) for each in error.facts.get("did_you_mean") or ()]
    said = [
        error.message,
        f"Did you mean {' or '.join(like)}?" if like else "",
        error.suggested_fix,
    ]
    found = {
        "code": error.code,
        "message": mcp_forms.visible(error.message),
        "did_you_mean": like,
        "suggested_fix": error.suggested_fix,
    }
    text = mcp_forms.visible(" ".join(filter(None, said)))
    return CallToolResult(content=[TextContent(text=text)], structured_content=found, is_error=True)


def build(answering: Answering) -> Server[dict[str, Any]]:
    """The server of these tools, for any transport."""
    turns = anyio.CapacityLimiter(THREADS)

    async def listed(
        _: ServerRequestContext[Any], __: PaginatedRequestParams | None
    ) -> ListToolsResult:
        return ListToolsResult(tools=answering.told())

    async def called(
        ctx: ServerRequestContext[Any], asked: CallToolRequestParams
    ) -> CallToolResult:
        holder = None if ctx.request is None else ctx.request.scope[HOLDER]
        work = partial(answering.answer, asked.name, asked.arguments or {}, holder)
        return await anyio.to_thread.run_sync(work, limiter=turns)

    return Server(
        "orch",
        version=orch.__version__,
        title="orch",
        instructions=INSTRUCTIONS,
        on_list_tools=listed,
        on_call_tool=called,
    )


def over_streams(answering: Answering) -> None:
    """Serve whoever started this process, until it closes our standard input."""
    server = build(answering)

    async def run() -> None:
        async with stdio_server() as (asked, said):
            await server.run(asked, said, server.create_initialization_options())

    anyio.run(run)


# --- HTTP -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Address:
    """Where the server is, and the names by which a request may call it."""

    host: str = "127.0.0.1"
    port: int = 8766
    known_as: tuple[str, ...] = ()

    @property
    def security(self) -> TransportSecuritySettings:
        """No other Host than ours, and no page of any site: a program sends no Origin."""
        anywhere = self.host in ("0.0.0.0", "::", "")  # noqa: S104
        bound = [] if anywhere else [f"[{self.host}]" if ":" in self.host else self.host]
        known = ["localhost", "127.0.0.1", "[::1]", *bound, *self.known_as]
        hosts = [form for name in known for form in (name, f"{name}:*")]
        return TransportSecuritySettings(allowed_hosts=hosts, allowed_origins=[])


class Door:
    """Lets in who may read, and notes who it is; the tools decide about the rest."""

    def __init__(self, app: ASGIApp, answering: Answering, host: str) -> None:
        self._app, self._line, self._host = app, answering.desk.line, host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401 or 403 as JSON, or pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["method"] != "POST":
            # A GET would be held open for messages that nobody ever sends.
            await _turned_away(405, BadInput("Every call is a POST."), send)
            return
        try:
            holder = await anyio.to_thread.run_sync(self._admit, scope)
        except OrchError as error:
            status = {Unauthorised: 401, Forbidden: 403}.get(type(error), 503)
            await _turned_away(status, error, send)
            return
        await self._app({**scope, HOLDER: holder}, receive, send)

    def _admit(self, scope: Scope) -> Holder:
        headers = [value for name, value in scope["headers"] if name == b"authorization"]
        given = b", ".join(headers).decode("latin-1") if headers else None
        client = scope.get("client")
        sent = {name.decode("latin-1").lower() for name, _ in scope["headers"]}
        passed_on = not sent.isdisjoint(map(str.lower, tokens.PASSED_ON))
        near = tokens.is_near(self._host, client[0] if client else "", passed_on=passed_on)
        holder = tokens.admit(self._line, given, near)
        if not holder.may("viewer"):
            raise Forbidden(f"{names.shown(holder.name)} is {holder.role}; this needs viewer.")
        return holder


async def _turned_away(status: int, error: OrchError, send: Send) -> None:
    told = {"code": error.code, "detail": error.message, "suggested_fix": error.suggested_fix}
    body = json.dumps(told).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    also = {401: (b"www-authenticate", b"Bearer"), 405: (b"allow", b"POST")}
    headers += [also[status]] if status in also else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def over_http(answering: Answering, address: Address, tell: Callable[[str], object]) -> None:
    """Serve at an address until told to stop. Raises ConfigError for one that cannot be used."""
    tokens.require_beyond_loopback(answering.desk.line, address.host)
    server, bound = listening(answering, address)
    shown = f"[{address.host}]" if ":" in address.host else address.host
    tell(f"http://{shown}:{bound.getsockname()[1]}{PATH}")
    server.run(sockets=[bound])


def listening(answering: Answering, address: Address) -> tuple[uvicorn.Server, socket.socket]:
    """The server, and its socket, at which connections wait already."""
    app = build(answering).streamable_http_app(
        streamable_http_path=PATH,
        json_response=True,
        stateless_http=True,
        max_request_body_size=BODY_LIMIT,
        transport_security=address.security,
        host=address.host,
    )
    config = uvicorn.Config(
        Door(app, answering, address.host),
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_SECONDS,
        ws="none",
        proxy_headers=False,  # nobody's word is taken for where a request comes from
    )
    try:
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        bound = socket.create_server((address.host, address.port), family=family)
    except OSError as error:
        raise ConfigError(
            f"{address.host}:{address.port} cannot be listened at: {error.strerror or error}.",
            suggested_fix="Choose another --port; 0 takes any that is free.",
        ) from error
    return uvicorn.Server(config), bound
