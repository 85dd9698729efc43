"""The verbs that run something: up, demo, one part of orch, one tick."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import click

from orch import processes, stages
from orch.cli import output
from orch.cli.session import Session, pass_session
from orch.errors import ConfigError, OrchError

NAME = click.option("--name", help="Part of the node name before the host.")


@click.command()
@click.option(
    "--concurrency", default=1, type=click.IntRange(1, 64), help="Jobs at once, per agent."
)
@click.option("--no-web", is_flag=True, help="Leave the web app out.")
@pass_session
def up(session: Session, concurrency: int, no_web: bool) -> None:
    """Run everything on this machine until Ctrl-C: broker, two dispatchers, workers, beat, web."""
    from orch import up as whole

    whole.run(session.settings, whole.Plan(concurrency=concurrency, web=not no_web), _tell_of)


def _tell_of(name: str, line: str) -> None:
    """One line of a child, behind its name; the group's own lines stand out."""
    said = output.visible_log(line)
    head = click.style(f"{name or 'orch':>9} │", fg="cyan" if name else "green", bold=not name)
    click.echo(f"{head} {said}")


@click.command()
@click.option(
    "--keep", is_flag=True, help="Keep the folder: repositories, worktrees, database, logs."
)
@click.option("--plain", is_flag=True, help="Lines instead of a live picture.")
@click.pass_context
def demo(ctx: click.Context, keep: bool, plain: bool) -> None:
    """Watch the line at work: three git repos, agents, the incident and its cure, all checked."""
    from orch.cli import demo as play

    ctx.exit(play.run(keep=keep, plain=plain))


@click.command()
@click.argument("agents", nargs=-1, metavar="[AGENT]...", type=click.Choice(stages.AGENTS))
@click.option(
    "--concurrency", default=1, type=click.IntRange(1, 64), help="Jobs at once, per agent."
)
@NAME
@pass_session
def worker(session: Session, agents: tuple[str, ...], concurrency: int, name: str | None) -> None:
    """Run a worker for AGENT, or one for each of several; for all configured when none is named.

    SIGTERM lets running agents end. SIGQUIT stops them and hands their jobs back, uncounted.
    """
    known = session.settings.agents
    chosen = agents or tuple(agent for agent in stages.AGENTS if agent in known)
    missing = [agent for agent in chosen if agent not in known]
    if missing or not chosen:
        raise ConfigError(
            f"No command is configured for {', '.join(missing) or 'any agent'}.",
            suggested_fix=f"Write [agents.{(*missing, stages.ENTRY_AGENT)[0]}] with its command "
            "into orch.toml.",
        )
    if len(chosen) > 1:
        from orch import up as whole

        whole.run_workers(chosen, concurrency, _tell_of)
        return
    node = name or f"{chosen[0]}-{os.getpid()}"
    _become(processes.worker_argv([stages.queue_of(chosen[0])], concurrency, node))


@click.command()
@NAME
def control(name: str | None) -> None:
    """Run a dispatcher: the worker of the control queue. Any number may run."""
    node = name or f"control-{os.getpid()}"
    _become(processes.worker_argv([stages.CONTROL_QUEUE], 1, node, "solo"))


@click.command()
def beat() -> None:
    """Run the clock that rings the dispatcher. Any number may run; two are the normal set-up."""
    _become(processes.beat_argv())


@click.command()
def web() -> None:
    """Run the web app."""
    _become(web_argv())


def web_argv() -> list[str]:
    """The command that runs the web app. Raises OrchError where there is none."""
    if find_spec("web") is None:
        raise OrchError("This installation has no web app.")
    return processes.web_argv()


def _become(argv: Sequence[str]) -> None:
    """Replace this process, so that signals reach the program itself."""
    program = shutil.which(argv[0]) or argv[0]
    os.execv(program, list(argv))  # noqa: S606 - an argument list, without a shell


@click.command()
@click.option("--dry-run", is_flag=True, help="Claim nothing; say what would be claimed.")
@output.as_json
@pass_session
def tick(session: Session, dry_run: bool) -> None:
    """Do now what a dispatcher does at each tick: reap, claim, ring."""
    from orch import dispatcher

    if dry_run:
        claimed, done = dispatcher.rehearse(session.line), None
    else:
        done = dispatcher.tick(session.line)
        claimed = done.claimed
    rows: list[dict[str, Any]] = [
        {"repo": each.repo, "job_id": each.claim.job_id, "agent": each.claim.agent}
        for each in claimed
    ]
    more = {"unsent": done.unsent, "reaped": done.reaped, "expired": done.expired} if done else {}
    if session.wants_json:
        output.json_line({"dry_run": dry_run, "claimed": rows, **more})
        return
    would = "would be claimed" if dry_run else "claimed"
    output.say(
        f"{len(rows)} {would}{''.join(f', {n} {word}' for word, n in more.items())}.", "bold"
    )
    for row in rows:
        output.say(f"  job {row['job_id']} of {row['agent']} in {row['repo']}")


@click.command()
@output.as_json
@pass_session
def sweep(session: Session) -> None:
    """Look at every repo for openings that no mark leads to, and count those it had to mend."""
    from orch import dispatcher

    mended = dispatcher.sweep(session.line)
    session.bell.kick()
    if session.wants_json:
        output.json_line({"mended": mended})
    else:
        output.say(f"Every repo was looked at; {mended} had to be mended.", "bold")
