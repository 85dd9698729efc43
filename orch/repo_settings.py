"""What orch.toml can say of one repo: where it is, its commands, its way through the stages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from orch import names, stages
from orch.errors import BadInput
from orch.qg.commands import CommandName

Forge = Literal["git", "gitea", "github"]
# No squash: what lands must contain the commit that was tested.
MergeStyle = Literal["merge", "rebase", "rebase-merge", "fast-forward-only"]
Seconds = Annotated[float, Field(gt=0, le=30 * 24 * 3600, allow_inf_nan=False)]


def _words(value: tuple[str, ...]) -> tuple[str, ...]:
    if value and not value[0]:
        raise ValueError("the first word is empty, and no program")
    return value


def _track(value: tuple[str, ...]) -> tuple[str, ...]:
    unknown = [name for name in value if name not in stages.TRACKS["full"]]
    if unknown:
        known = ", ".join(stages.TRACKS["full"])
        raise ValueError(f"{', '.join(unknown)} is no stage of a track; known: {known}")
    if value[:1] != (stages.ENTRY,):
        raise ValueError(f"a track begins with {stages.ENTRY}")
    if list(value) != sorted(set(value), key=stages.STAGES.index):
        raise ValueError("a track names each stage once, in the order of the stage table")
    if value[-1] not in stages.LANDING:
        raise ValueError(f"a track ends with {stages.LANDING[-1]}: nothing is done before it lands")
    return value


def _approvals(value: tuple[str, ...]) -> tuple[str, ...]:
    unknown = [name for name in value if name not in stages.TRACKS["full"]]
    if unknown:
        raise ValueError(f"{', '.join(unknown)} is no stage that could wait for an approval")
    late = [name for name in value if name in stages.LANDING]
    if late:
        raise ValueError(
            f"{late[0]} cannot wait for an approval: it ends with what has landed. Name the stage "
            "before it"
        )
    return value


def _web_pattern(value: str) -> str:
    try:
        return names.web_url(value) if value else value
    except BadInput as error:
        raise ValueError(error.message) from error


Words = Annotated[tuple[str, ...], AfterValidator(_words)]
Track = Annotated[tuple[str, ...], AfterValidator(_track)]
Approvals = Annotated[tuple[str, ...], AfterValidator(_approvals)]
WebPattern = Annotated[str, AfterValidator(_web_pattern)]
"""The address of a page for people, in which a word in braces is filled in."""


class RepoSettings(BaseModel):
    """How orch works on one repo."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str
    default_branch: str = ""
    test: Words = ()
    staging: Words = ()
    deploy: Words = ()
    health: Words = ()
    command_timeout: Seconds = 3600
    prompts: Path | None = None
    """A folder whose templates replace orch's own."""
    track: str = stages.DEFAULT_TRACK
    """The track of a new task that names none."""
    tracks: dict[str, Track] = {}
    """The repo's own tracks, beside those of every repo."""
    approvals: Approvals = ()
    """Stages that a person has to approve before they are left."""
    branch_url: WebPattern = ""
    """The page of a branch at the forge, with {branch} in it."""
    commit_url: WebPattern = ""
    """The page of a commit at the forge, with {sha} in it."""
    forge: Forge = "git"
    """What shows and lands the work: a service, or plain git alone."""
    forge_repo: str = Field("", pattern=r"^([A-Za-z0-9._-]+/[A-Za-z0-9._-]+)?$")
    """owner/name at the service; empty is as in `url`."""
    merge_style: MergeStyle = "merge"
    reviewers: tuple[str, ...] = ()
    """Who is asked to look at a pull request that is ready, as the service names people."""
    token_file: Path | None = None
    """A file with the token for this repo, https and service alike; None is everybody's."""
    ssh_key: Path | None = None
    """The private key for this repo over ssh; None is what ssh finds by itself."""
    head_watch_seconds: float | None = Field(None, ge=0, le=30 * 24 * 3600)
    """After how long a blocking head of this repo is told of; None is as everywhere."""
    head_watch_park: bool | None = None

    @field_validator("url")
    @classmethod
    def _an_address(cls, value: str) -> str:
        try:
            return names.remote_url(value)
        except BadInput as error:
            raise ValueError(error.message) from error

    def commands(self) -> dict[CommandName, tuple[str, ...]]:
        """The commands that are named."""
        named: dict[CommandName, tuple[str, ...]] = {
            "test": self.test,
            "staging": self.staging,
            "deploy": self.deploy,
            "health": self.health,
        }
        return {name: words for name, words in named.items() if words}
