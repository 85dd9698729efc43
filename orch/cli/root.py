"""The root of the command line: verbs loaded when called; errors as sentences and exit codes."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, Final

import click

import orch
from orch.cli.session import Session
from orch.errors import (
    AgentError,
    BadInput,
    BrokerUnavailable,
    ConfigError,
    NotFound,
    OrchError,
    SchemaMismatch,
    StoreUnavailable,
)

OK, REFUSED, USAGE, NOT_FOUND, SERVICE_DOWN = range(5)
INTERRUPTED: Final = 130
CODES: Final[tuple[tuple[type[OrchError], int], ...]] = (
    (SchemaMismatch, SERVICE_DOWN),  # comes right by itself while somebody upgrades
    (StoreUnavailable, SERVICE_DOWN),
    (BrokerUnavailable, SERVICE_DOWN),
    (NotFound, NOT_FOUND),
    (BadInput, USAGE),
    (ConfigError, USAGE),
    (AgentError, USAGE),
)
"""The first class that fits decides; every other error of orch is a refusal."""

# Only the module of the verb that was called is loaded; the words stand here for `orch --help`.
VERBS: Final[dict[str, dict[str, tuple[str, str]]]] = {
    "Start": {
        "up": ("running", "Run everything on this machine: broker, dispatchers, workers, web."),
        "demo": ("running", "Watch the line at work in a folder of its own, in under a minute."),
    },
    "Look": {
        "queue": ("looking", "Who holds each repo, who waits, and why."),
        "why": ("looking", "Everything that holds one task, and what clears it."),
        "simulate": ("simulating", "Play the line forward: who would start when, what if."),
        "show": ("telling", "The story of one task: stages, attempts, checks, cost, waits."),
        "tasks": ("looking", "List tasks."),
        "logs": ("looking", "What an agent printed."),
        "events": ("looking", "What happened, when, and by whom."),
        "report": ("reporting", "Where the time went: waited, worked, parked, and for what."),
    },
    "Steer": {
        "add": ("adding", "Add a task, or many from a file."),
        "pause": ("steering", "Park a task: it gives up its place."),
        "resume": ("steering", "Take a parked task back into the line: next, not beside."),
        "retry": ("steering", "Let a task's next attempt start without waiting for its time."),
        "promote": ("steering", "Move a task that has not started to the front of its repo."),
        "cancel": ("steering", "End a task for good."),
        "approve": ("steering", "Let a task leave a stage that waits for approval."),
        "reject": ("steering", "Send such a task back, with a note to its agent."),
        "answer": ("steering", "Answer the question that parked a task."),
        "depend": ("steering", "Let a task start only after another is over."),
        "freeze": ("steering", "Let nothing start or land in a repo."),
        "unfreeze": ("steering", "Lift a freeze."),
        "agent": ("fleet", "List agents; suspend one for all tasks, and resume it."),
    },
    "Set up": {
        "init": ("initialising", "Ask what orch has to know, and write orch.toml and .env."),
        "check": ("setting_up", "Show the settings in force, or all that is wrong with them."),
        "doctor": ("doctoring", "Look at everything orch stands on, and say what is wrong."),
        "db": ("setting_up", "Bring the database up to date, or show its revision."),
        "repo": ("setting_up", "Add and list repos."),
        "token": ("setting_up", "Make, list and revoke tokens for programs."),
        "user": ("people", "Let people sign in with a browser, and end that."),
        "session": ("people", "List the browsers people are signed in with; sign them out."),
        "tracker": ("tracking", "List trackers; ask one now, and let one go on that was stopped."),
        "notify": ("notifying", "List notices, test their channels, send one again."),
    },
    "Run one part": {
        "worker": ("running", "Run a worker for some agents."),
        "control": ("running", "Run a dispatcher: the worker of the control queue."),
        "beat": ("running", "Run the clock that rings the dispatcher."),
        "web": ("running", "Run the web app."),
        "mcp": ("for_agents", "Serve the line to agents as tools of the Model Context Protocol."),
        "tick": ("running", "Do now what a dispatcher does at each tick."),
        "sweep": ("running", "Look at every repo for openings that were missed."),
        "clean": ("keeping", "Discard the workspaces of tasks that ended long ago."),
        "monitor": ("keeping", "Run the repos' health commands, and freeze where one is red."),
        "traces": ("keeping", "Send spans of what has ended to the collector of traces."),
    },
}
MODULES: Final = {name: module for group in VERBS.values() for name, (module, _) in group.items()}


class Root(click.Group):
    """Finds verbs by name, prints them by group, and turns errors into sentences and exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every verb, in the order of the help."""
        return list(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb, from its own module."""
        if cmd_name not in MODULES:
            return None
        module = importlib.import_module(f"orch.cli.{MODULES[cmd_name]}")
        verb: click.Command = getattr(module, cmd_name)
        return verb

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As usual, but an unknown verb is answered with those that look like it."""
        if args[0] not in MODULES and not args[0].startswith("-"):
            close = difflib.get_close_matches(args[0], MODULES, 2)
            hint = f" Did you mean {' or '.join(close)}?" if close else ""
            ctx.fail(f"There is no verb “{args[0]}”.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs by group, without loading any of them."""
        for title, group in VERBS.items():
            with formatter.section(title):
                formatter.write_dl([(name, words) for name, (_, words) in group.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; whatever goes wrong becomes a sentence, what to do, and an exit code."""
        debug = bool(ctx.params.get("debug"))
        try:
            answer = super().invoke(ctx)
            sys.stdout.flush()
            ctx.obj.close()
        except OrchError as error:
            if debug:
                raise
            tell(error)
            ctx.exit(code_of(error))
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)
        except BrokenPipeError:
            _forget_output()
            ctx.exit(OK)
        except (click.exceptions.Exit, click.ClickException, click.Abort):
            raise
        except Exception as error:
            if debug:
                raise
            _tell_unexpected(error)
            ctx.exit(REFUSED)
        return answer


@click.command(
    cls=Root,
    name="orch",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 refused, 2 bad input, 3 not found, 4 a service is down.",
)
@click.version_option(orch.__version__, prog_name="orch")
@click.option("--debug", is_flag=True, envvar="ORCH_DEBUG", help="Show the traceback of an error.")
@click.pass_context
def root(ctx: click.Context, debug: bool) -> None:  # noqa: ARG001 - `invoke` reads it
    """orch lets agents work on many repositories: one task at a time in each, oldest first."""
    ctx.obj = Session()


def code_of(error: OrchError) -> int:
    """The exit code that tells a script what kind of no this is."""
    return next((code for kind, code in CODES if isinstance(error, kind)), REFUSED)


def tell(error: OrchError) -> None:
    """The error as a sentence, then what to do about it, on standard error."""
    click.echo(f"orch: {error.message}", err=True)
    like: Sequence[str] = error.facts.get("did_you_mean") or ()
    if like:
        click.echo(f"Did you mean {' or '.join(like)}?", err=True)
    if error.suggested_fix:
        click.echo(error.suggested_fix, err=True)


def _tell_unexpected(error: Exception) -> None:
    said = " ".join(str(error).split())[:300]
    click.echo(f"orch: Something unforeseen happened: {type(error).__name__}: {said}", err=True)
    click.echo("Run it again as `orch --debug …` to see where, and please report it.", err=True)


def _forget_output() -> None:
    """The reader has seen enough: what is still buffered goes nowhere, without a complaint."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
