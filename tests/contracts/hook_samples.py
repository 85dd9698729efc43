"""Webhooks as they come: those of Plane recorded from a server, those of the forges as published.

Secrets and identities in them are made up.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from orch.outside.signals import SOURCES, Source

FOLDER = Path(__file__).with_name("webhooks")
PROJECT = "00000000-0000-4000-8000-000000000007"
ITEM = "00000000-0000-4000-8000-000000000003"
SIGNED_BY = {
    "plane": ("X-Plane-Signature", ""),
    "gitea": ("X-Gitea-Signature", ""),
    "github": ("X-Hub-Signature-256", "sha256="),
}


@dataclass(frozen=True)
class Sample:
    """One webhook."""

    source: Source
    name: str
    headers: dict[str, str]
    raw: bytes
    secret: str

    @property
    def body(self) -> Any:
        return json.loads(self.raw)

    def header(self, **more: str | None) -> Sample:
        """The same with other headers, their names with underscores; None takes one away."""
        named = {name.replace("_", "-"): value for name, value in more.items()}
        changed = {**self.headers, **named}
        return replace(self, headers={k: v for k, v in changed.items() if v is not None})

    def signed(self, raw: bytes | None = None, secret: str | None = None) -> Sample:
        """The same with another body, or by another secret, signed rightly."""
        raw = self.raw if raw is None else raw
        key = (self.secret if secret is None else secret).encode()
        digest = hmac.new(key, raw, hashlib.sha256).hexdigest()
        name, prefix = SIGNED_BY[self.source]
        return replace(self, raw=raw, headers={**self.headers, name: prefix + digest})

    def saying(self, **more: Any) -> Sample:
        """The same with other values at the top of its body, signed rightly."""
        return self.signed(json.dumps({**self.body, **more}).encode())


def _raw(source: Source, sample: dict[str, Any]) -> str:
    """The text that was signed: Gitea indents what it sends, GitHub does not."""
    if source == "plane":
        return str(sample["raw_body"])
    how: dict[str, Any] = {"indent": 2} if source == "gitea" else {"separators": (",", ":")}
    return json.dumps(sample["body"], ensure_ascii=False, **how)


def samples_of(source: Source) -> list[Sample]:
    found = json.loads((FOLDER / f"{source}.json").read_text(encoding="utf-8"))
    return [
        Sample(source, each["name"], each["headers"], _raw(source, each).encode(), found["secret"])
        for each in found["samples"]
    ]


SAMPLES = {source: samples_of(source) for source in SOURCES}
SECRETS = {f"{source}_webhook_secret": SAMPLES[source][0].secret for source in SOURCES}
EVERY = [
    pytest.param(sample, id=f"{sample.source}-{sample.name}")
    for source in SOURCES
    for sample in SAMPLES[source]
]


def sample(source: Source, name: str) -> Sample:
    """The first whose name begins so."""
    return next(each for each in SAMPLES[source] if each.name.startswith(name))


def settings() -> dict[str, Any]:
    """Settings under which every sample is about something that is configured."""
    names = {"gitea": ["acme/demo"], "github": ["Octocoders/Hello-World", "Codertocat/Hello-World"]}
    names["github"].append("octo-org/octo-repo")
    repos = {
        name.lower(): {"url": f"https://{forge}.example.org/{name}.git", "forge": forge}
        for forge, known in names.items()
        for name in known
    }
    trackers = {"shop": {"kind": "plane", "repo": "acme/demo", "project": PROJECT}}
    return {**SECRETS, "repos": repos, "trackers": trackers}


V2: dict[str, Any] = {
    "version": "v2",
    "delivery_id": "d-1",
    "event_id": "e-1",
    "entity_id": ITEM,
    "entity_type": "workitem",
    "event": "workitem.updated",
    "data": {"id": ITEM, "project_id": PROJECT, "parent": "None"},
    "previous_attributes": {"state": "None"},
}
"""A body of Plane's second version, as far as it is documented."""


def second(**more: Any) -> Sample:
    """A webhook of that version."""
    raw = json.dumps({**V2, **more}).encode()
    return sample("plane", "issue.updated").signed(raw).header(X_Plane_Event="workitem.updated")
