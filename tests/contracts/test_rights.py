"""What a forge says of orch's rights, of the branch's protection and of the webhook, before any
work is lost on them; nothing is changed there, and the stubs refuse what no forge has."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orch.adapters.gitea import GiteaPulls, Way
from orch.errors import GitUnreachable
from orch.ports import Preparing, Readiness
from orch.rest import Service
from tests.contracts.gitea_stub import TOKEN, Gitea, gitea
from tests.contracts.github_hub import AppForTests, Hub
from tests.git_bench import make_template

HOOK = "https://orch.example.org/webhooks/gitea"
EVENTS = ["push", "pull_request", "status"]
SOUND: dict[str, Any] = {"block_on_outdated_branch": True, "block_admin_merge_override": True}


@pytest.fixture(scope="session")
def git_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_template(tmp_path_factory.mktemp("git"))


def _hook(**changes: Any) -> dict[str, Any]:
    config = {"url": HOOK, "content_type": changes.pop("content_type", "json")}
    return {"id": 1, "config": config, "active": True, "events": EVENTS, **changes}


# --- Gitea ------------------------------------------------------------------------------------


@pytest.fixture
def service(git_template: Path) -> Iterator[Gitea]:
    with gitea(git_template / "remote.git") as known:  # nothing is written to it
        known.protection = SOUND
        yield known


def _looked(service: Gitea, hook: str = HOOK, token: str = TOKEN) -> Readiness:
    api = Service(f"{service.url}/api/v1")
    pulls = GiteaPulls(api, Way("acme/shop"), lambda: token, threading.Event().wait)
    assert isinstance(pulls, Preparing)
    found = pulls.prepare("", hook)
    assert {call.method for call in service.stub.calls} == {"GET"}
    return found


def test_gitea_lets_a_writer_in_and_keeps_the_rest_for_administrators(service: Gitea) -> None:
    found = _looked(service)
    assert (found.myself, found.problems, found.advice) == ("orch-bot", (), ())
    assert len(found.notes) == 2
    assert found.moment is not None


GITEA: dict[str, tuple[Callable[[Gitea], object], str]] = {
    "no right to write": (
        lambda there: there.permissions.update(push=False),
        "may not write to acme/shop",
    ),
    "archived": (lambda there: setattr(there, "archived", True), "is archived"),
    "no right to merge": (
        lambda there: setattr(there, "may_merge", False),
        "may not merge into main",
    ),
    "another token": (lambda there: setattr(there, "token", "other"), "Make a token"),
}


@pytest.mark.parametrize("wrong", GITEA)
def test_what_keeps_orch_from_landing_at_gitea(service: Gitea, wrong: str) -> None:
    act, said = GITEA[wrong]
    act(service)
    assert said in " ".join(_looked(service).problems)


ADVICE: dict[str, tuple[dict[str, Any] | None, list[dict[str, Any]], str]] = {
    "open branch": (None, [_hook()], "main is not protected"),
    "outdated": ({"block_admin_merge_override": True}, [_hook()], "block_on_outdated_branch"),
    "override": ({"block_on_outdated_branch": True}, [_hook()], "block_admin_merge_override"),
    "pushes": ({**SOUND, "enable_push": True}, [_hook()], "lets people push"),
    "no webhook": (SOUND, [], f"No webhook of the repo leads to {HOOK}"),
    "webhook off": (SOUND, [_hook(active=False)], "switched off"),
    "a form": (SOUND, [_hook(content_type="form")], "application/json"),
    "deaf": (SOUND, [_hook(events=["push"])], "leaves out pull_request, status"),
}


@pytest.mark.parametrize("lacking", ADVICE)
def test_what_had_better_be_otherwise_at_gitea(service: Gitea, lacking: str) -> None:
    service.permissions["admin"] = True
    service.protection, service.hooks, said = ADVICE[lacking]
    found = _looked(service)
    assert found.problems == ()
    administrator, other = found.advice
    assert "is an administrator" in administrator
    assert said in other


def test_a_gitea_that_is_away_is_no_finding_about_rights(service: Gitea) -> None:
    service.stub.fail("503", times=None)
    with pytest.raises(GitUnreachable):
        _looked(service)


# --- GitHub -----------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path: Path, git_template: Path) -> Iterator[Hub]:
    known = Hub(tmp_path, git_template)
    known.github.require("ci", strict=True)
    known.github.hooks = [_hook(name="web", type="Repository", last_response={"code": 200})]
    with known.stub:
        yield known


def test_github_lets_a_writer_in(hub: Hub) -> None:
    assert isinstance(hub.pulls, Preparing)
    found = hub.pulls.prepare("main", HOOK)
    assert (found.problems, found.advice, found.notes) == ((), (), ())
    assert found.moment is not None
    hub.github.is_admin = False
    assert len(hub.pulls.prepare("main", HOOK).notes) == 1


GITHUB: dict[str, tuple[Callable[[Hub], object], str]] = {
    "no right to write": (lambda hub: setattr(hub.github, "may_push", False), "role Write"),
    "archived": (lambda hub: setattr(hub.github, "is_archived", True), "is archived"),
    "linear": (lambda hub: hub.github.rule("required_linear_history"), "Allow merge commits"),
    "another repository": (lambda hub: setattr(hub.github, "name", "acme/x"), "forge_repo"),
    "no rules": (lambda hub: setattr(hub.github, "rules", []), "main asks for nothing"),
    "no webhook": (lambda hub: setattr(hub.github, "hooks", []), "No webhook"),
    "last delivery": (
        lambda hub: hub.github.hooks[0].update(last_response={"code": 502}),
        "answered 502",
    ),
}


@pytest.mark.parametrize("wrong", GITHUB)
def test_what_is_in_the_way_at_github(hub: Hub, wrong: str) -> None:
    act, said = GITHUB[wrong]
    act(hub)
    found = hub.pulls.prepare("main", HOOK)
    (only,) = (*found.problems, *found.advice)
    assert said in only


def test_an_app_is_not_told_of_a_users_rights(hub: Hub) -> None:
    hub.github.may_push = False
    hub.come_as(AppForTests())
    assert hub.pulls.prepare("main", "").problems == ()
