"""The settings of trackers and forges: where they are, and as whom orch comes to them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from orch import names
from orch.errors import BadInput
from orch.notice_settings import WebUrl
from orch.repo_settings import Seconds, WebPattern

OUTSIDE_SECRETS = frozenset(
    {
        "plane_token",
        "plane_webhook_secret",
        "gitea_token",
        "gitea_webhook_secret",
        "github_token",
        "github_webhook_secret",
    }
)
"""Settings of this file that are secret."""


TRACKER_NAME: Final = re.compile(r"^[a-z][a-z0-9_-]{0,31}$")


def _repo(value: str) -> str:
    try:
        return names.repo(value)
    except BadInput as error:
        raise ValueError(error.message) from error


class TrackerSettings(BaseModel):
    """`[trackers.NAME]` of orch.toml: a project of a tracker, and the repo its items belong to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["plane", "folder"]
    repo: Annotated[str, AfterValidator(_repo)]
    """The repo of an item that no label sends elsewhere."""
    repo_label: str = "repo:"
    """Labels that begin so name another repo, `repo:acme/shop`; empty reads none."""
    track_label: str = "track:"
    """Labels that begin so name the track, `track:quick`; empty reads none."""
    project: str = ""
    """Plane: the project's id."""
    path: Path | None = None
    """Folder: where the Markdown files lie."""
    start_states: tuple[str, ...] = ()
    """Names of states in which an item is taken up; empty is every unstarted state."""
    start_actors: tuple[str, ...] = ()
    """Who may put an item there and answer questions, as the tracker names people: ids, mail
    addresses or display names; empty is everybody in the project."""
    park_states: tuple[str, ...] = ()
    """Names of states that pause the item's task, and out of which it is resumed; empty is none."""
    states: dict[str, str] = {}
    """What each phase is called there, `working = "In Progress"`; a phase left out has orch's own
    choice, by name and then by group."""
    page: WebPattern = ""
    """Page of an item for people, with {work_item} or {item} in it; empty is the tracker's own."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.kind == "plane" and not self.project:
            raise ValueError("a tracker of kind plane needs a project: its id")
        if self.kind == "folder" and self.path is None:
            raise ValueError("a tracker of kind folder needs a path")
        return self


class OutsideSettings(BaseModel):
    """A part of all settings, in a file of its own."""

    plane_url: WebUrl = Field(
        "", description="Address of Plane, https://plane.example.org; empty: no Plane."
    )
    plane_workspace: str = Field(
        "", pattern=r"^[A-Za-z0-9_-]{0,80}$", description="The workspace's slug in Plane."
    )
    plane_token: SecretStr = Field(SecretStr(""), description="API key of orch's user in Plane.")
    plane_webhook_secret: SecretStr = Field(
        SecretStr(""), description="Secret of Plane's webhook; empty: none is taken."
    )
    plane_requests_per_minute: int = Field(
        40, ge=10, le=6000, description="How much of its key's rate orch uses; Plane allows 60."
    )
    gitea_url: WebUrl = Field("", description="Address of Gitea; empty: that of each repo's url.")
    gitea_token: SecretStr = Field(SecretStr(""), description="Token of orch's user in Gitea.")
    gitea_webhook_secret: SecretStr = Field(
        SecretStr(""), description="Secret of Gitea's webhooks; empty: none is taken."
    )
    github_api: WebUrl = Field(
        "https://api.github.com", description="GitHub's API; https://HOST/api/v3 for Enterprise."
    )
    github_token: SecretStr = Field(SecretStr(""), description="Token of orch's user in GitHub.")
    github_app_id: str = Field(
        "", pattern=r"^[0-9]{0,20}$", description="App by which orch comes to GitHub, for a token."
    )
    github_app_key: Path | None = Field(None, description="File with the App's private key (PEM).")
    github_webhook_secret: SecretStr = Field(
        SecretStr(""), description="Secret of GitHub's webhooks; empty: none is taken."
    )
    poll_seconds: Seconds = Field(
        30, description="How often a tracker or forge is asked what is new there."
    )

    @field_validator("trackers", check_fields=False)
    @classmethod
    def _sound_trackers(cls, value: dict[str, TrackerSettings]) -> dict[str, TrackerSettings]:
        for name in value:
            if not TRACKER_NAME.match(name):
                raise ValueError(f"{name}: a tracker is called by 1 to 32 of a-z, 0-9, - and _")
        return value
