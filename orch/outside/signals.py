"""What a webhook says, read without asking anybody: who sent it, and what to look at again.

Nothing that is signed carries a time, and none of it is believed: it names an item or a repo, and
what has become of that is asked of the sender's own API.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, get_args

from orch.config import Settings
from orch.repo_settings import RepoSettings

Source = Literal["plane", "gitea", "github"]
SOURCES: Final[tuple[Source, ...]] = get_args(Source)
Why = Literal["unknown", "malformed", "contradiction", "foreign"]
"""Why a signed webhook is ignored: an event or action that orch has no use for; nothing in it that
could be looked at; a header that says another event than the body; a project or repo that is not
configured."""
WHYS: Final[tuple[Why, ...]] = get_args(Why)


class Headers(Protocol):
    """Those of one request, asked for in whatever case."""

    def get(self, name: str, default: str, /) -> str:
        """The value of one, or of several of that name joined by commas."""
        ...

    def __contains__(self, name: Any, /) -> bool: ...


@dataclass(frozen=True)
class Signal:
    """A hint: this may have changed."""

    source: Source
    event: str
    """What the sender calls the kind of change; Plane's `issue` or `issue_comment`."""
    subject: str
    """Plane: the item's id. Forges: owner/name of a repo that is configured."""
    delivery: str
    """By which its sender knows it, to be found in its log; empty where it has none."""


@dataclass(frozen=True)
class Ignored:
    """A signed webhook with nothing in it for orch."""

    why: Why


# --- who sent it ------------------------------------------------------------------------------

_SIGNATURES: Final[dict[Source, tuple[str, str]]] = {
    "plane": ("X-Plane-Signature", ""),
    "gitea": ("X-Gitea-Signature", ""),
    "github": ("X-Hub-Signature-256", "sha256="),
}
_HEX: Final = re.compile(r"[0-9a-f]{64}\Z")
# Gitea signs in GitHub's words, too. It has an address of its own, where its events are understood.
_NOT_GITHUB: Final = ("X-Gitea-Signature", "X-Gitea-Event", "X-Gogs-Signature", "X-Gogs-Event")


def claimed_digest(source: Source, headers: Headers) -> str | None:
    """What the sender says the body's HMAC is; None unless said exactly as is documented."""
    if source == "github" and any(name in headers for name in _NOT_GITHUB):
        return None
    name, prefix = _SIGNATURES[source]
    said = headers.get(name, "")
    digest = said.removeprefix(prefix)
    return digest if said == prefix + digest and _HEX.match(digest) else None


def is_signed(secret: str, body: bytes, digest: str) -> bool:
    """Whether this is the HMAC-SHA256 of the body, compared in constant time. No secret: never."""
    if not secret:
        return False
    return hmac.compare_digest(hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(), digest)


# --- what it says -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Known:
    """What webhooks may be about: everything else is somebody else's."""

    projects: frozenset[str]
    """Plane's, by id."""
    repos: Mapping[Source, frozenset[str]]
    """owner/name, by the forge."""


def known(settings: Settings) -> Known:
    """Projects and repos of the settings."""
    return Known(
        frozenset(each.project.lower() for each in settings.trackers.values() if each.project),
        {
            source: frozenset(
                service_name(repo) for repo in settings.repos.values() if repo.forge == source
            )
            for source in SOURCES
        },
    )


def service_name(repo: RepoSettings) -> str:
    """What the forge calls a repo, owner/name: as it is set, else the end of its address."""
    path = repo.url.rstrip("/").removesuffix(".git").replace(":", "/")
    return repo.forge_repo or "/".join(path.split("/")[-2:])


def read(
    source: Source, headers: Headers, body: Mapping[str, Any], about: Known
) -> Signal | Ignored:
    """What a signed webhook says to look at, or why there is nothing."""
    return (
        _of_plane(headers, body, about)
        if source == "plane"
        else _of_forge(source, headers, body, about)
    )


_DELIVERY: Final = re.compile(r"[A-Za-z0-9._-]{1,80}\Z")


def _delivery(headers: Headers, name: str) -> str:
    said = headers.get(name, "")
    return said if _DELIVERY.match(said) else ""


# --- Plane ------------------------------------------------------------------------------------

_ACTIONS: Final = frozenset({"created", "updated", "deleted", "create", "update", "delete"})
_PARTS: Final = frozenset({"comment", "relation", "dependency", "link"})
_ITEM_ACTIONS: Final = frozenset({"created", "updated", "archived", "unarchived", "deleted"})
_ITEM_OF: Final = ("issue", "issue_id", "work_item", "work_item_id", "workitem", "workitem_id")
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
_ENUM: Final = "WebhookScope.ScopeChoices."
"""Version 2 was seen to send what Python calls the event, WORK_ITEM_UPDATED, not its value."""


def _of_plane(headers: Headers, body: Mapping[str, Any], about: Known) -> Signal | Ignored:
    name = body.get("event")
    if not isinstance(name, str):
        return Ignored("malformed")
    second = body.get("version") == "v2"
    event = _event_of_second(name) if second else _event_of_first(name, body.get("action"))
    if event is None:
        return Ignored("unknown")
    if not _agrees(headers.get("X-Plane-Event", ""), name, second):
        return Ignored("contradiction")
    data = body.get("data")
    data = data if isinstance(data, dict) else {}
    item = _item(event, data) or (second and event == "issue" and _id(body.get("entity_id"))) or ""
    project = _id(data.get("project")) or _id(data.get("project_id"))
    if not item:
        return Ignored("malformed")
    if not about.projects or (project and project not in about.projects):
        return Ignored("foreign")
    return Signal("plane", event, item, _delivery(headers, "X-Plane-Delivery"))


def _event_of_first(name: str, action: Any) -> str | None:
    is_known = name in ("issue", "issue_comment") and action in _ACTIONS
    return name if is_known else None


def _event_of_second(name: str) -> str | None:
    """In the words of version 1: what hangs on an item is a reason to look at that item."""
    words = _words_of_second(name)
    if words[0] != "workitem":
        return None
    if len(words) == 2 and words[1] in _ITEM_ACTIONS:
        return "issue"
    if len(words) == 3 and words[1] in _PARTS:
        return "issue_comment" if words[1] == "comment" else "issue"
    return None


def _words_of_second(name: str) -> list[str]:
    spelled = name.removeprefix(_ENUM).lower().replace("work_item", "workitem")
    return spelled.replace("_", ".").split(".")


def _agrees(header: str, name: str, second: bool) -> bool:
    """Whether the header, which is not signed, says what the body says."""
    if not header:
        return True
    if not second:
        return header == name
    # How version 2 names events in the header is not documented: it may be either way.
    return _words_of_second(header)[0] in ("workitem", "issue")


def _item(event: str, data: Mapping[str, Any]) -> str:
    own = "" if any(name in data for name in _ITEM_OF) else _id(data.get("id"))
    of = next(filter(None, (_id(data.get(name)) for name in _ITEM_OF)), "")
    return of or (own if event == "issue" else "")


def _id(value: Any) -> str:
    """An id as it is, or that of an object; empty for what is none, such as Plane's "None"."""
    if isinstance(value, dict):
        value = value.get("id")
    spelled = value.lower() if isinstance(value, str) else ""
    return spelled if _UUID.match(spelled) else ""


# --- forges -----------------------------------------------------------------------------------

_PULL: Final = ("pull_request",)
_SHOWN_BY: Final[dict[str, tuple[str, ...]]] = {
    "push": ("ref", "before", "after"),
    "create": ("ref", "ref_type"),
    "delete": ("ref", "ref_type"),
    "pull_request": _PULL,
    "pull_request_review": _PULL,
    "pull_request_approved": _PULL,
    "pull_request_rejected": _PULL,
    "status": ("sha", "state"),
    "check_run": ("check_run",),
    "check_suite": ("check_suite",),
    "workflow_run": ("workflow_run",),
    "workflow_job": ("workflow_job",),
    "merge_group": ("merge_group",),
}
"""Events that are a reason to look, and what the body of each holds. The body does not name its
event, and the header that does is not signed."""
_EVENT: Final[dict[Source, str]] = {"gitea": "X-Gitea-Event", "github": "X-GitHub-Event"}
_BY: Final[dict[Source, str]] = {"gitea": "X-Gitea-Delivery", "github": "X-GitHub-Delivery"}


def _of_forge(
    source: Source, headers: Headers, body: Mapping[str, Any], about: Known
) -> Signal | Ignored:
    event = headers.get(_EVENT[source], "")
    if event not in _SHOWN_BY:
        return Ignored("unknown")
    if not all(name in body for name in _SHOWN_BY[event]):
        return Ignored("contradiction")
    repo = body.get("repository")
    name = repo.get("full_name") if isinstance(repo, dict) else None
    if not isinstance(name, str):
        return Ignored("malformed")
    if name not in about.repos[source]:
        return Ignored("foreign")
    return Signal(source, event, name, _delivery(headers, _BY[source]))
