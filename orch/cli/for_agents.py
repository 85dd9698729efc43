"""The verb that serves the line to agents: `orch mcp`."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Any

import click

from orch import clock
from orch.cli.session import Session, pass_session
from orch.errors import BadInput, OrchError


@click.command()
@click.option("--http", is_flag=True, help="Listen at an address, instead of standard input.")
@click.option("--host", help="With --http: the address; 127.0.0.1 unless told.")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="With --http: the port; 8766 unless told, 0 any."
)
@click.option("--controls", is_flag=True, help="Offer the tools that change something, too.")
@pass_session
def mcp(session: Session, http: bool, host: str | None, port: int | None, controls: bool) -> None:
    """Serve the line to agents as tools of the Model Context Protocol.

    On standard input and output, for a client that starts this command, or with --http at an
    address, where every request needs a token as on the web. Reading needs no more; each control
    needs --controls and an operator's token: the request's own, or that in ORCH_MCP_TOKEN.
    """
    if find_spec("mcp") is None:
        raise OrchError(
            "This installation has no MCP server.",
            suggested_fix="Install orch with its extra: pip install 'orch[mcp]'.",
        )
    if not http and (host is not None or port is not None):
        raise BadInput("--host and --port mean something only with --http.")
    given = {"host": host, "port": port}
    _serve(
        session, http, {name: each for name, each in given.items() if each is not None}, controls
    )


def _serve(session: Session, http: bool, where: dict[str, Any], controls: bool) -> None:
    from orch import bootstrap, logs
    from orch import mcp_server as serving
    from orch.mcp_tools import Desk

    settings = session.settings
    logs.configure(settings.log_level, settings.log_format)
    # Whoever only looks never rings, and need not load what rings.
    queue = bootstrap.build_queue(settings) if controls else session.bell
    line = bootstrap.build_line(settings, queue)
    desk = Desk(line, clock.utc_now)
    answering = serving.Answering(desk, controls, settings.mcp_token.get_secret_value())
    try:
        if http:
            address = serving.Address(known_as=settings.web_names, **where)
            serving.over_http(answering, address, _tell)
            return
        if sys.stdin.isatty():
            click.echo("Speaking MCP on standard input; see docs/mcp.md. Ctrl-C ends it.", err=True)
        serving.over_streams(answering)
    finally:
        line.store.dispose()


def _tell(url: str) -> None:
    click.echo(f"Listening for MCP at {url}.", err=True)
