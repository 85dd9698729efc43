"""What webhooks say, read without asking anybody."""

from __future__ import annotations

from typing import Any

import pytest
from werkzeug.datastructures import Headers

from orch.config import Settings
from orch.outside import signals
from orch.outside.signals import Ignored, Signal, Source
from orch.repo_settings import RepoSettings
from tests.contracts.hook_samples import EVERY, ITEM, PROJECT, Sample, sample, second, settings

KNOWN = signals.known(Settings.model_validate(settings()))
OTHER = "00000000-0000-4000-8000-0000000000ff"


def read(of: Sample) -> Signal | Ignored:
    return signals.read(of.source, Headers(of.headers), of.body, KNOWN)


def subject(of: Sample) -> str:
    found = read(of)
    return found.subject if isinstance(found, Signal) else f"ignored: {found.why}"


@pytest.mark.parametrize("of", EVERY)
def test_every_sample_proves_its_sender_and_says_what_to_look_at(of: Sample) -> None:
    digest = signals.claimed_digest(of.source, Headers(of.headers))
    assert digest is not None
    assert signals.is_signed(of.secret, of.raw, digest)
    assert not signals.is_signed(of.secret, of.raw + b" ", digest)
    found = read(of)
    if of.name in ("ping", "comment on a pull request"):
        assert found == Ignored("unknown")
    else:
        assert isinstance(found, Signal)
        assert found.delivery == next(v for k, v in of.headers.items() if k.endswith("-Delivery"))
        assert found.event == next(v for k, v in of.headers.items() if k.endswith("-Event"))


def test_no_secret_proves_nothing() -> None:
    of = sample("gitea", "push").signed(secret="")
    digest = signals.claimed_digest("gitea", Headers(of.headers))
    assert digest is not None
    assert not signals.is_signed("", of.raw, digest)


def test_a_comment_of_plane_is_about_its_item() -> None:
    assert subject(sample("plane", "issue_comment")) == ITEM
    assert subject(sample("plane", "issue.updated")) == ITEM


@pytest.mark.parametrize(
    ("more", "event"),
    [
        ({}, "issue"),
        ({"event": "workitem.created"}, "issue"),
        ({"event": "WebhookScope.ScopeChoices.WORK_ITEM_UPDATED"}, "issue"),
        ({"event": "workitem.deleted", "data": "None"}, "issue"),
        ({"event": "workitem.archived", "data": {"id": "None", "project": "None"}}, "issue"),
        ({"event": "workitem.comment.created", "data": {"id": OTHER, "issue": ITEM}},
         "issue_comment"),
        ({"event": "WebhookScope.ScopeChoices.WORK_ITEM_COMMENT_CREATED",
          "data": {"id": OTHER, "work_item": {"id": ITEM.upper()}}}, "issue_comment"),
        ({"event": "workitem.dependency.deleted", "data": {"issue_id": ITEM}}, "issue"),
    ],
)  # fmt: skip
def test_the_second_version_of_plane_is_understood(more: dict[str, Any], event: str) -> None:
    found = read(second(**more))
    assert isinstance(found, Signal)
    assert (found.event, found.subject) == (event, ITEM)


PLANE = sample("plane", "issue.updated")
PUSH, PULL = sample("gitea", "push"), sample("gitea", "pull_request opened")


@pytest.mark.parametrize(
    ("of", "why"),
    [
        (PLANE.saying(event="module"), "unknown"),
        (PLANE.saying(action="painted"), "unknown"),
        (PLANE.saying(action=None), "unknown"),
        (PLANE.saying(event=["issue"]), "malformed"),
        (PLANE.saying(data=None), "malformed"),
        (PLANE.saying(data={"id": 5}), "malformed"),
        (PLANE.saying(data={"id": f"{ITEM}/.."}), "malformed"),
        (PLANE.saying(data={"id": ITEM, "project": OTHER}), "foreign"),
        (PLANE.header(X_Plane_Event="issue_comment"), "contradiction"),
        (second(event="workitem.danced"), "unknown"),
        (second(event="workitem"), "unknown"),
        (second(event="workitem.comment.created", data={"id": OTHER}), "malformed"),
        (second().header(X_Plane_Event="project"), "contradiction"),
        (PUSH.header(X_Gitea_Event=None), "unknown"),
        (PUSH.header(X_Gitea_Event="pull_request"), "contradiction"),
        (PULL.header(X_Gitea_Event="push"), "contradiction"),
        (PUSH.saying(repository=None), "malformed"),
        (PUSH.saying(repository={"full_name": ["acme/demo"]}), "malformed"),
        (PUSH.saying(repository={"full_name": "acme/other"}), "foreign"),
        (PUSH.saying(repository={"full_name": "Acme/Demo"}), "foreign"),
    ],
)
def test_what_leads_nowhere_is_ignored_with_the_reason(of: Sample, why: str) -> None:
    assert read(of) == Ignored(why)  # type: ignore[arg-type]


def test_without_a_tracker_nothing_of_plane_is_looked_at() -> None:
    nothing = signals.known(Settings())
    body = {"event": "issue", "action": "deleted", "data": {"id": ITEM}}
    assert signals.read("plane", Headers(), body, nothing) == Ignored("foreign")
    assert isinstance(signals.read("plane", Headers(), body, KNOWN), Signal)


def test_a_delivery_is_kept_only_as_an_id() -> None:
    found = read(PUSH.header(X_Gitea_Delivery="1\x1b[31m"))
    assert isinstance(found, Signal)
    assert found.delivery == ""


@pytest.mark.parametrize(
    ("url", "named", "expected"),
    [
        ("https://git.example.org/acme/demo.git", "", "acme/demo"),
        ("https://example.org/gitea/acme/demo/", "", "acme/demo"),
        ("git@git.example.org:acme/demo.git", "", "acme/demo"),
        ("ssh://git@git.example.org:2222/acme/demo", "", "acme/demo"),
        ("https://git.example.org/acme/demo.git", "acme/renamed", "acme/renamed"),
    ],
)
def test_a_repo_is_known_by_the_end_of_its_address(url: str, named: str, expected: str) -> None:
    assert signals.service_name(RepoSettings(url=url, forge_repo=named)) == expected


@pytest.mark.parametrize("source", signals.SOURCES)
def test_a_project_and_repos_are_those_of_the_settings(source: Source) -> None:
    assert KNOWN.projects == {PROJECT}
    assert KNOWN.repos["gitea"] == {"acme/demo"}
    assert not KNOWN.repos["plane"]
