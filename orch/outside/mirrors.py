"""What a control worker does for forges: look at the pull requests of each repo when it is time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from orch.line import Line
from orch.outside import feeds
from orch.outside.feeds import Answered, Feed, Ran
from orch.outside.pulls import look_at_pulls
from orch.ports import Forge, Remote
from orch.store import feeds as rows_of
from orch.store import tracked
from orch.store.session import Connection, Row

MOST_HINTS: Final = 500
"""How many hints are looked after at once: whatever they say, the repos are looked at."""


@dataclass(frozen=True)
class Hosted:
    """A repo whose work a service shows."""

    remote: Remote
    service: str
    """Of what kind, as its webhooks are called: gitea, github."""


@dataclass(frozen=True)
class Mirrors:
    """The repos of these settings whose work a service shows."""

    forge: Forge
    hosted: Mapping[str, Hosted] = field(default_factory=dict)
    every: float = 30
    """Seconds between two looks where nothing hints at an earlier one."""
    leaving: Callable[[], bool] = lambda: False

    def feed(self, repo: str) -> Feed:
        """The feed of a repo. Nothing stops it: a token may be made good where nobody sees it."""
        return Feed(f"forge:{repo}", self.every, refusals=())


def look(line: Line, mirrors: Mirrors) -> dict[str, Ran]:
    """Look at the repos whose time has come, and at those of which a webhook hints; what came of
    each."""
    if not mirrors.hosted:
        return {}
    hinted = line.store.write(lambda conn: _hinted(conn, line, mirrors))
    due = line.store.read(lambda conn: _due(conn, line, mirrors))
    found = {}
    for repo, known in sorted(mirrors.hosted.items()):
        if mirrors.leaving() or not (repo in due or known.service in hinted):
            continue
        ask = partial(_ask, line, mirrors.forge, known.remote)
        ran = feeds.run(line, mirrors.feed(repo), ask, urgent=known.service in hinted)
        if ran is not None:
            found[repo] = ran
    return found


def _ask(line: Line, forge: Forge, remote: Remote, _: Row) -> Answered:
    return Answered([f"{look_at_pulls(line, forge, remote)} looked at"])


def _due(conn: Connection, line: Line, mirrors: Mirrors) -> set[str]:
    feed_of = {mirrors.feed(repo).name: repo for repo in mirrors.hosted}
    known = {row["name"] for row in rows_of.all_rows(conn)}
    due = {*rows_of.due(conn, feed_of, line.now()), *(feed_of.keys() - known)}
    return {feed_of[name] for name in due}


def _hinted(conn: Connection, line: Line, mirrors: Mirrors) -> set[str]:
    """The services of which webhooks wait; before the look, so that none is missed."""
    found = set()
    for service in {known.service for known in mirrors.hosted.values()}:
        ids = [row["id"] for row in tracked.hints(conn, service, MOST_HINTS)]
        tracked.take_hints(conn, ids, line.now(), "looked")
        if ids:
            found.add(service)
    return found
