"""The verbs that steer: of tasks, of what waits for a person's word, and of repos."""

from __future__ import annotations

from typing import Any

import click

from orch import clock, controls, names
from orch import preview as rehearsal
from orch.cli import output
from orch.cli.session import Session, pass_session
from orch.controls import Order

REASON = click.option("--reason", "-m", default="", help="Why; others will read it.")
UNTIL = click.option("--until", help="When it ends by itself: 2026-12-24T18:00Z, +90m, +2h, +1d.")
PREVIEW = click.option("--preview", is_flag=True, help="Change nothing; say what would change.")
TASK = click.argument("work_item", metavar="ID")
REPO = click.argument("repo", metavar="REPO")


def _order(session: Session, verb: str, target: str, reason: str, **more: Any) -> Order:
    until = names.moment(more.pop("until", None), "until", clock.utc_now())
    return Order(verb, target, session.actor, reason=reason, until=until, **more)


def _do(session: Session, order: Order, preview: bool) -> None:
    """Carry the order out, or rehearse it, and show the state after."""
    if preview:
        _show(session, rehearsal.preview(session.line, order))
        return
    answer = controls.carry_out(session.line, order)
    if order.verb in controls.OF_REPOS:
        answer |= {"sentence": _repo_sentence(order, answer)}
    _show(session, answer)


def _show(session: Session, answer: dict[str, Any]) -> None:
    if session.wants_json:
        output.json_line(answer)
        return
    if not answer["changed"]:
        output.say("Nothing to change: it is so already.", "yellow")
    output.say(answer["sentence"], "bold")
    for blocker in answer.get("blockers", ()):
        output.say(f"  {blocker['clause']}: {blocker['detail']}  ({blocker['clear_with']})")


def _repo_sentence(order: Order, answer: dict[str, Any]) -> str:
    lanes = answer["serial_gate"]["per_repo"]
    held = sum(len(lane["live"]) for lane in lanes.values())
    covered = ", ".join(lanes) or "no repo known so far"
    if order.verb == "unfreeze":
        still = [name for name, lane in lanes.items() if lane["frozen"]]
        return f"{', '.join(still)} is still frozen." if still else f"{covered}: not frozen."
    drains = f"; {held} running to the end" if held else ""
    return f"{order.target} is frozen (now: {covered}){drains}."


@click.command()
@TASK
@REASON
@UNTIL
@click.option("--now", is_flag=True, help="Stop its agent instead of letting it end.")
@PREVIEW
@output.as_json
@pass_session
def pause(
    session: Session, work_item: str, reason: str, until: str | None, now: bool, preview: bool
) -> None:
    """Park task ID: it gives up its place, and nothing of it starts. What runs may end."""
    order = _order(session, "pause", work_item, reason, until=until, now=now)
    _do(session, order, preview)


def _on_task(verb: str, words: str) -> click.Command:
    @click.command(name=verb, help=words)
    @TASK
    @REASON
    @PREVIEW
    @output.as_json
    @pass_session
    def act(session: Session, work_item: str, reason: str, preview: bool) -> None:
        _do(session, _order(session, verb, work_item, reason), preview)

    return act


resume = _on_task("resume", "Take parked task ID back: after the one at work, before the new.")
retry = _on_task("retry", "Let the next attempt at task ID start without waiting for its time.")
promote = _on_task("promote", "Move task ID, which has not started, to the front of its repo.")
cancel = _on_task("cancel", "End task ID for good, and stop its agent.")
approve = _on_task("approve", "Let task ID leave the stage whose approval it waits for.")


@click.command()
@TASK
@click.option(
    "--note",
    "--reason",
    "-m",
    "note",
    required=True,
    help="What is to be done; its agent reads it.",
)
@PREVIEW
@output.as_json
@pass_session
def reject(session: Session, work_item: str, note: str, preview: bool) -> None:
    """Send task ID, which waits for approval, back to be done again, with a note."""
    _do(session, _order(session, "reject", work_item, names.note(note)), preview)


@click.command()
@TASK
@click.argument("words", metavar="TEXT")
@PREVIEW
@output.as_json
@pass_session
def answer(session: Session, work_item: str, words: str, preview: bool) -> None:
    """Answer the question that parked task ID; its agent goes on with TEXT in hand."""
    _do(session, _order(session, "answer", work_item, names.note(words, "answer")), preview)


@click.command()
@TASK
@click.option("--on", required=True, metavar="ID", help="The task that comes first.")
@click.option("--remove", is_flag=True, help="Take the dependency back.")
@REASON
@PREVIEW
@output.as_json
@pass_session
def depend(
    session: Session, work_item: str, on: str, remove: bool, reason: str, preview: bool
) -> None:
    """Let task ID start only after another is over. Pausing either does not get around that."""
    verb = "undepend" if remove else "depend"
    _do(session, _order(session, verb, work_item, reason, on=on), preview)


@click.command()
@REPO
@click.option("--reason", "-m", required=True, help="Why; everybody who waits will read it.")
@UNTIL
@click.option("--allow", metavar="ID", help="Let this one task through: the fix.")
@PREVIEW
@output.as_json
@pass_session
def freeze(
    session: Session, repo: str, reason: str, until: str | None, allow: str | None, preview: bool
) -> None:
    """Let nothing start or land in REPO, or in all repos of a glob such as 'team/*'."""
    order = _order(session, "freeze", repo, reason, until=until, allow=allow)
    _do(session, order, preview)


@click.command()
@REPO
@REASON
@PREVIEW
@output.as_json
@pass_session
def unfreeze(session: Session, repo: str, reason: str, preview: bool) -> None:
    """Lift the freeze of REPO, or of a glob."""
    _do(session, _order(session, "unfreeze", repo, reason), preview)
