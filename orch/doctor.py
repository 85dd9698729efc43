"""The doctor: looks at everything orch stands on, and says what is wrong in words to act on.

A check answers findings and never repairs anything. Each stands alone: what one of them dies of is
a finding like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from orch import health
from orch.errors import OrchError
from orch.line import Line
from orch.ports import Forge, Readiness, Remote, Tracker
from orch.store import feeds, inbox, indexes, revisions, views, vitals
from orch.store.session import Store

Verdict = Literal["well", "look", "wrong"]
CLOCK_LOOK, CLOCK_WRONG = 2.0, 30.0
"""Seconds by which two clocks may differ before it is worth a look, and before it does harm."""
DISK_LOOK, DISK_WRONG = 5 * 2**30, 2**30
"""Bytes left, below which it is worth a look, and below which work fails soon."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    about: str
    """What it is about, such as `database` or `tracker main`."""
    verdict: Verdict
    said: str
    """A sentence."""
    fix: str = ""
    """What to do; empty when nothing is."""


Check = Callable[[], Iterable[Finding]]
Checks = Mapping[str, Check]


def examine(checks: Checks) -> Iterator[Finding]:
    """Every finding, as soon as it is there."""
    for about, check in checks.items():
        try:
            yield from check()
        except OrchError as error:
            yield Finding(about, "wrong", error.message, error.suggested_fix or "")


def _well(about: str, said: str) -> Finding:
    return Finding(about, "well", said)


# --- the database, the broker, the line -------------------------------------------------------


def database(store: Store) -> Iterator[Finding]:
    """Whether it answers, and has this version's schema: without that, nothing is to be had of
    it."""
    revisions.require_current(store)
    yield _well("database", f"It answers, and is at revision {revisions.newest()}.")


def complete(store: Store) -> Iterator[Finding]:
    """Whether it has all of its indexes."""
    wrong = indexes.faults(store)
    for fault in wrong:
        fix = "Drop it if it is there, and make it anew as docs/operating.md shows."
        yield Finding("indexes", "wrong", f"{fault[0].upper()}{fault[1:]}.", fix)
    if not wrong:
        yield _well("indexes", "All are there, with the rows they are meant for.")


def clock(line: Line, here: Callable[[], datetime]) -> Iterator[Finding]:
    """Whether this machine's clock goes with the database's, by which leases are kept."""
    before = here()
    theirs: datetime = line.store.read(lambda conn: views.moment(conn, line.now()))
    middle = before + (here() - before) / 2
    yield aside("clock", "the database's", (middle - theirs).total_seconds())


def aside(about: str, whose: str, seconds: float) -> Finding:
    """What it means that this machine's clock is so many seconds ahead of another."""
    off = abs(seconds)
    if off < CLOCK_LOOK:
        return _well(about, f"This machine's clock goes with {whose}.")
    how = "ahead of" if seconds > 0 else "behind"
    said = f"This machine's clock is {off:.0f} s {how} {whose}."
    fix = "Let both be set by NTP: leases do not depend on it, what people read does."
    return Finding(about, "look" if off < CLOCK_WRONG else "wrong", said, fix)


def broker(line: Line) -> Iterator[Finding]:
    """Whether the doorbell rings."""
    if line.queue.reachable():
        yield _well("broker", "It answers.")
        return
    fix = "Start Redis, or `orch up`; check ORCH_BROKER_URL."
    yield Finding("broker", "wrong", "It does not answer: nothing starts.", fix)


def attendance(line: Line, agents: Iterable[str]) -> Iterator[Finding]:
    """Whether somebody ticks, and who serves each of these agents."""
    found = health.report(line)
    wrong = health.troubles(found, line.limits)
    yield from _rounds(found, wrong)
    for name in agents:
        known = found["agents"].get(name) or {"workers": 0, "slots": 0}
        about, workers = f"agent {name}", known["workers"]
        if not workers:
            fix = f"Start `orch worker {name}`."
            yield Finding(about, "wrong", "No worker serves it: its jobs wait.", fix)
        else:
            they = "1 worker serves" if workers == 1 else f"{workers} workers serve"
            yield _well(about, f"{they} it, with {known['slots']} slots in all.")
    for name, said in wrong.items():
        if name.partition(":")[0] in ("stalled", "clause", "notices"):
            yield Finding("line", "wrong", _sentence(said), "Look at GET /healthz and the logs.")


def _rounds(found: dict[str, Any], wrong: dict[str, str]) -> Iterator[Finding]:
    if "beat" in wrong:
        fix = "Start `orch beat` and `orch control`, or `orch up`."
        yield Finding("dispatcher", "wrong", f"{_sentence(wrong['beat'])}", fix)
    else:
        yield _well("dispatcher", f"Beat rang {found['beat']['seconds']:.0f} s ago.")
    if "sweep" in wrong:
        # A new line is swept first when its time has come.
        verdict: Verdict = "look" if found["sweep"]["at"] is None else "wrong"
        fix = "Look into the log of `orch control` for what the sweep met."
        yield Finding("dispatcher", verdict, _sentence(wrong["sweep"]), fix)


def versions(line: Line, mine: str) -> Iterator[Finding]:
    """Whether all workers run this version of orch."""
    stale = line.limits.worker_stale
    rows = line.store.read(lambda conn: vitals.live_workers(conn, line.now(), stale))
    others = sorted({row["version"] for row in rows} - {mine})
    if others:
        said = f"Workers of other versions run: {', '.join(others)}; this is {mine}."
        yield Finding("workers", "look", said, "Start them anew.")


# --- programs and disks -----------------------------------------------------------------------


def program(about: str, name: str, found: str | None, version: str) -> Finding:
    """What it means that a program was, or was not, found in a place, and what it calls itself."""
    if found is None:
        said = f"There is no program {name}."
        return Finding(about, "wrong", said, "Install it, or name another in orch.toml.")
    return _well(about, f"Its program is {found}{f', {version}' if version else ''}.")


def disk(about: str, folder: str, free: int) -> Finding:
    """What it means that so many bytes are left in a folder."""
    said = f"{free / 2**30:.1f} GiB are left in {folder}."
    if free >= DISK_LOOK:
        return _well(about, said)
    fix = "Make room; `orch clean` discards the workspaces of ended tasks."
    return Finding(about, "wrong" if free < DISK_WRONG else "look", said, fix)


# --- trackers and forges ----------------------------------------------------------------------


def repository(forge: Forge, remote: Remote) -> Iterator[Finding]:
    """Whether the shared repository of a repo answers."""
    tip = forge.look(remote).tip
    yield _well(f"repo {remote.repo}", f"Its default branch is at {tip[:12]}.")


def tracker(name: str, asked: Tracker, now: Callable[[], datetime]) -> Iterator[Finding]:
    """What stands in the way of working with a tracker, and whether its clock goes with ours."""
    yield from readiness(f"tracker {name}", asked.prepare(), now)


def readiness(about: str, found: Readiness, now: Callable[[], datetime]) -> Iterator[Finding]:
    """The same of whatever says what stands in the way."""
    if found.moment is not None:
        # Told to the second that had begun.
        ahead = (now() - found.moment).total_seconds() - 0.5
        yield aside(about, "the one there", ahead)
    for problem in found.problems:
        yield Finding(about, "wrong", problem)
    for advice in found.advice:
        yield Finding(about, "look", advice)
    if not found.problems:
        yield _well(about, f"orch is {found.myself} there." if found.myself else "orch is let in.")
    for note in found.notes:
        yield _well(about, note)


def feeds_of(line: Line) -> Iterator[Finding]:
    """Which trackers and forges do not answer, or are asked no more."""
    for row in line.store.read(feeds.all_rows):
        about = f"feed {row['name']}"
        if row["stopped"]:
            fix = "Mend that; then `orch tracker resume NAME`, if it is a tracker."
            yield Finding(about, "wrong", _sentence(f"stopped: {row['stopped'].rstrip('.')}"), fix)
        elif row["failing_since"] is not None:
            since = f"{row['failing_since']:%Y-%m-%d %H:%M} UTC"
            said = f"It fails since {since}: {row['fault']}"
            yield Finding(about, "wrong", said, "It is asked again; `orch tracker sync` asks now.")


def heard(
    line: Line, sources: Iterable[str], now: Callable[[], datetime], private: str = ""
) -> Iterator[Finding]:
    """When the last webhook of each of these came; `private` is the host they are sent to, where
    its address is no public one."""
    seen = line.store.read(inbox.last_seen)
    for source in sources:
        yield webhooks(source, seen.get(source), now(), private)


SILENCE: Final = 24 * 3600.0
"""Seconds without a webhook after which it is worth a look whether they arrive."""


ALLOWING: Final = {
    "gitea": "Gitea sends to public addresses only: let [webhook] ALLOWED_HOST_LIST of its app.ini "
    "have {host}.",
    "plane": "Plane sends to no private address: let WEBHOOK_ALLOWED_HOSTS of its server have "
    "{host}, or WEBHOOK_ALLOWED_IPS its network.",
    "github": "github.com reaches no private address, such as that of {host}.",
}
"""What the other side has to allow, where orch is at a private address."""


def webhooks(source: str, last: datetime | None, now: datetime, private: str = "") -> Finding:
    """What it means that the last webhook of a source came then."""
    about = f"webhooks of {source}"
    fix = "Nothing is lost, polling finds it; docs/webhooks.md says what usually keeps them away."
    if private:
        fix = f"{ALLOWING[source].format(host=private)} {fix}"
    if last is None:
        return Finding(about, "look", "None has ever come.", fix)
    hours = (now - last).total_seconds() / 3600
    said = f"The last one came at {last:%Y-%m-%d %H:%M} UTC, {hours:.1f} hours ago."
    return Finding(about, "look", said, fix) if hours * 3600 > SILENCE else _well(about, said)


def door(source: str, url: str, status: int | None) -> Finding:
    """What it means that the public address for webhooks, merely looked at, answers so; None is
    not at all."""
    about = f"webhooks of {source}"
    if status == 405:  # it takes what is posted
        return _well(about, f"{url} can be reached from here.")
    if status is None:
        said, fix = f"{url} gives no answer here.", "Start `orch web`, or see to name and proxy."
    else:
        said = f"{url} answers {status} here, as if orch were not there."
        fix = "Let the proxy pass it on, and ORCH_WEB_NAMES have its host name."
    return Finding(about, "look", said, fix)


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."
