"""What one call of the command line works with, each part made when it is first asked for."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import click

from orch.ports import Claim, JobQueue

if TYPE_CHECKING:
    from orch.config import Settings
    from orch.line import Line


@dataclass
class LateBell:
    """A JobQueue that is built when it has to ring, and whose kicks wait until the answer is out.

    So that looking never loads Celery, and a person never waits for the broker.
    """

    settings: Settings
    asked: bool = False

    @cached_property
    def real(self) -> JobQueue:
        """The doorbell itself."""
        from orch import bootstrap

        return bootstrap.build_queue(self.settings)

    def publish(self, claims: Sequence[Claim]) -> list[Claim]:
        """Ring at once: whoever claims wants to know what could not be sent."""
        return self.real.publish(claims)

    def kick(self) -> bool:
        """Remember to ring."""
        self.asked = True
        return True

    def reachable(self) -> bool:
        """Whether the broker answers."""
        return self.real.reachable()

    def ring(self) -> bool:
        """Ring if anybody asked for it. False when the broker did not answer."""
        asked, self.asked = self.asked, False
        return self.real.kick() if asked else True


@dataclass
class Session:
    """Settings, line and doorbell of one call."""

    json_lines: bool | None = None
    """What --json or --table asked for; None leaves it to who is looking."""
    opened: list[Line] = field(default_factory=list)

    @property
    def wants_json(self) -> bool:
        """What was asked for, else JSON unless a person is looking."""
        return not sys.stdout.isatty() if self.json_lines is None else self.json_lines

    @cached_property
    def settings(self) -> Settings:
        """The settings in force. Raises ConfigError."""
        from orch import bootstrap, logs

        settings = bootstrap.load()
        # Standard output is for answers, and what goes wrong is told in a sentence.
        logs.configure("CRITICAL", "text")
        return settings

    @cached_property
    def bell(self) -> LateBell:
        """The doorbell, silent until the answer is out."""
        return LateBell(self.settings)

    @cached_property
    def line(self) -> Line:
        """The line on its store. Raises ConfigError, SchemaMismatch, StoreUnavailable."""
        from orch import bootstrap

        line = bootstrap.build_line(self.settings, self.bell)
        self.opened.append(line)
        return line

    @cached_property
    def actor(self) -> str:
        """Who is asking, as the ledger will say."""
        try:
            return f"cli:{getpass.getuser()}"
        except (KeyError, OSError):  # a container's user without a name
            return f"cli:{os.getuid()}"

    def close(self) -> None:
        """Ring if a gate may have opened, then let go of everything."""
        for line in self.opened:
            line.store.dispose()
        if self.opened and not self.bell.ring():
            click.echo("The broker does not answer; the next tick will see it.", err=True)


pass_session = click.make_pass_decorator(Session)
