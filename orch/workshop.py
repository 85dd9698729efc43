"""What a worker needs for the repos that have an address: git, their commands, their prompts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from orch.ports import Forge, Remote, RepoCommand, RepoCommands, Workspaces
from orch.prompting import Prompts
from orch.qg.commands import CommandName


@dataclass(frozen=True)
class Plan:
    """How one repo is worked on."""

    remote: Remote
    prompts: Prompts
    commands: Mapping[CommandName, RepoCommand]
    approvals: frozenset[str] = frozenset()
    """Stages that a person has to approve before they are left."""
    shown: bool = False
    """Whether a service shows the work to people, and takes what orch's checks find."""
    web_url: str = ""
    """The public address of the web app, to which those checks lead; empty is none."""


@dataclass(frozen=True)
class Workshop:
    """The tools, and the plan of each repo."""

    workspaces: Workspaces
    forge: Forge
    commands: RepoCommands
    plans: Mapping[str, Plan]
    fence: Callable[[], str]
    """A new key for the blocks of a prompt."""
