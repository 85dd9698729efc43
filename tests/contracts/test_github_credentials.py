"""As whom orch comes to GitHub, and what it does when GitHub wants to be left alone."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from orch.adapters.github.api import Gateway
from orch.adapters.github.credentials import AppTokens, UserToken
from orch.config import Settings
from orch.errors import ConfigError, GitError, GitRefused, GitUnreachable
from orch.forge_building import build_pulls, token_of
from orch.repo_settings import RepoSettings
from tests.contracts.github_hub import TOPIC, Hub
from tests.contracts.github_stub import APP_TOKEN, NOW, TOKEN
from tests.contracts.stubs import FaultKind, Said
from tests.git_bench import make_template

RSA = rsa.generate_private_key(65537, 2048)
AT_RESET = str(int((NOW + timedelta(minutes=20)).timestamp()))


@pytest.fixture(scope="session")
def git_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_template(tmp_path_factory.mktemp("git"))


@pytest.fixture
def hub(tmp_path: Path, git_template: Path) -> Iterator[Hub]:
    known = Hub(tmp_path, git_template)
    with known.stub:
        yield known


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return written(tmp_path / "app.pem", RSA)


def written(path: Path, key: Any) -> Path:
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


def proven(value: str) -> bool:
    """Whether GitHub would believe an App that shows this at NOW."""
    head, said, signature = (base64.urlsafe_b64decode(f"{part}==") for part in value.split("."))
    try:
        signed = value.rpartition(".")[0].encode()
        RSA.public_key().verify(signature, signed, PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    claims, now = json.loads(said), NOW.timestamp()
    in_time = claims["iat"] <= now and claims["exp"] - claims["iat"] <= 600
    return bool(in_time and claims["iss"] == "5" and json.loads(head)["alg"] == "RS256")


def test_an_app_proves_itself_once_an_hour(hub: Hub, key: Path) -> None:
    hub.github.jwt = proven
    hub.github.tokens.clear()
    hub.come_as(AppTokens(hub.stub.url, 5, key, lambda: hub.now))
    for _ in range(2):
        hub.pulls.find("main", [TOPIC])
    assert len(hub.stub.seen("POST", "/access_tokens")) == 1
    hub.later(54 * 60)
    hub.pulls.find("main", [TOPIC])
    assert len(hub.stub.seen("POST", "/access_tokens")) == 1
    hub.github.jwt = lambda value: True  # it is another time by now
    hub.later(2 * 60)
    hub.pulls.find("main", [TOPIC])
    assert len(hub.stub.seen("POST", "/access_tokens")) == 2


def test_a_token_that_was_withdrawn_is_made_anew_once(hub: Hub, key: Path) -> None:
    hub.github.jwt = proven
    credentials = AppTokens(hub.stub.url, 5, key, lambda: hub.now)
    hub.come_as(credentials)
    hub.pulls.find("main", [TOPIC])
    hub.github.tokens.clear()
    hub.pulls.find("main", [TOPIC])
    assert len(hub.stub.seen("POST", "/access_tokens")) == 2
    assert APP_TOKEN not in repr(credentials)


def test_an_app_that_is_not_believed_says_so(hub: Hub, tmp_path: Path) -> None:
    hub.github.jwt = proven
    other = written(tmp_path / "other.pem", rsa.generate_private_key(65537, 2048))
    hub.come_as(AppTokens(hub.stub.url, 5, other, lambda: hub.now))
    with pytest.raises(GitUnreachable, match="401"):
        hub.pulls.find("main", [TOPIC])


@pytest.mark.parametrize("made", ["missing", "broken", "elliptic"])
def test_a_key_that_is_no_use_is_a_matter_of_settings(tmp_path: Path, made: str) -> None:
    path = tmp_path / "app.pem"
    if made == "broken":
        path.write_text("-----BEGIN NOTHING-----")
    if made == "elliptic":
        written(path, ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(ConfigError, match="private key"):
        AppTokens("https://api.github.com", 5, path, lambda: NOW)


def test_without_the_extra_an_app_is_a_matter_of_settings(
    key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.padding", None)
    with pytest.raises(ConfigError, match="extra github-app"):
        AppTokens("https://api.github.com", 5, key, lambda: NOW)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (Said(403, {}, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": AT_RESET}), 1200),
        (Said(429, {}, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "no"}), 60),
        (Said(403, {}, {"Retry-After": "30"}), 30),
        (Said(429, {"message": "slow down"}), 60),
        (Said(403, {"message": "You have exceeded a secondary rate limit."}), 60),
    ],
)
def test_github_is_left_alone_for_as_long_as_it_asks(hub: Hub, said: Said, seconds: int) -> None:
    hub.github.limit = said
    with pytest.raises(GitUnreachable, match=f"again in {seconds} s") as later:
        hub.pulls.find("main", [TOPIC])
    assert later.value.facts["wait"] == seconds
    asked, hub.github.limit = len(hub.stub.calls), None
    hub.later(seconds - 1)
    with pytest.raises(GitUnreachable, match="again in 1 s"):
        hub.pulls.find("main", [TOPIC])
    assert len(hub.stub.calls) == asked
    hub.later(2)
    assert hub.pulls.find("main", [TOPIC]) == {}


@pytest.mark.parametrize(
    ("said", "error", "words"),
    [
        (Said(401, {"message": "Bad credentials"}), GitUnreachable, "Bad credentials"),
        (Said(404, {"message": "Not Found"}), GitRefused, "does not see it"),
        (Said(301, {"message": "Moved Permanently"}), GitRefused, "another name or owner"),
        (
            Said(403, {"message": "No"}, {"X-Accepted-GitHub-Permissions": "pull_requests=read"}),
            GitRefused,
            "pull_requests=read",
        ),
        (Said(502, {"message": "Bad gateway"}), GitUnreachable, "502"),
        (Said(200, [{"number": "one"}]), GitUnreachable, "not of the shape"),
    ],
)
def test_other_answers_say_what_to_do(
    hub: Hub, said: Said, error: type[GitError], words: str
) -> None:
    hub.github.limit = said
    with pytest.raises(error, match=words) as told:
        hub.pulls.find("main", [TOPIC])
    assert told.value.suggested_fix


@pytest.mark.parametrize("kind", ["reset", "lost", "not-json", "other-json", "503"])
@pytest.mark.parametrize(
    "path", ["/pulls", "/pulls/1", "/ref/heads/main", "/rules/", "/branches/main", "/status"]
)
def test_whatever_breaks_is_an_error_of_the_forge_and_passes(
    hub: Hub, kind: FaultKind, path: str
) -> None:
    hub.open()
    hub.stub.fail(kind, "GET", path)
    with pytest.raises(GitUnreachable):
        hub.merge()
    assert hub.one.state == "open"
    hub.later(10)
    hub.merge()
    assert hub.one.state == "merged"


def test_no_token_at_all_is_said_before_github_is_asked(hub: Hub) -> None:
    hub.come_as(UserToken(lambda: ""))
    with pytest.raises(GitRefused, match="no token"):
        hub.pulls.find("main", [TOPIC])
    assert hub.stub.calls == []


@pytest.mark.parametrize(
    ("url", "graph"),
    [
        ("https://api.github.com", "https://api.github.com"),
        ("https://github.example.org/api/v3/", "https://github.example.org/api"),
    ],
)
def test_enterprise_has_graphql_beside_rest(url: str, graph: str) -> None:
    gateway = Gateway(url, UserToken(lambda: TOKEN), lambda: NOW)
    assert (gateway.rest.url, gateway.graph.url) == (url.rstrip("/"), graph)


def settings(**more: Any) -> Settings:
    return Settings(**{"github_token": "ghp-everybodys", **more})


def repo(url: str = "https://github.com/acme/shop.git", **more: Any) -> RepoSettings:
    return RepoSettings(url=url, forge="github", **more)


@pytest.mark.parametrize(
    ("known", "more", "words"),
    [
        (repo(merge_style="rebase"), {}, "what landed would not be what was tested"),
        (repo("https://github.example.org/acme/shop"), {}, "another GitHub"),
        (repo(), {"github_api": "https://github.example.org/api/v3"}, "another GitHub"),
        (repo(), {"github_app_id": "5"}, "both its id and its private key"),
        (repo("/srv/git/shop.git", forge_repo=""), {"github_app_key": "/nowhere"}, "both"),
    ],
)
def test_settings_that_cannot_work_are_refused(
    known: RepoSettings, more: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        build_pulls(settings(**more), "acme/shop", known)


def test_a_repo_may_have_a_token_of_its_own(tmp_path: Path, key: Path) -> None:
    own = tmp_path / "token"
    own.write_text("ghp-own\n")
    assert token_of(settings(), repo())() == "ghp-everybodys"
    as_app = settings(github_app_id="5", github_app_key=key)
    assert token_of(as_app, repo(token_file=own))() == "ghp-own"
    build_pulls(settings(), "acme/shop", repo())
    enterprise = settings(github_api="https://github.example.org/api/v3")
    build_pulls(enterprise, "acme/shop", repo("git@github.example.org:acme/shop.git"))


def test_git_and_the_api_share_the_token_of_an_app(hub: Hub, key: Path) -> None:
    hub.github.jwt = lambda value: True
    known = settings(github_app_id="5", github_app_key=key, github_api=hub.stub.url)
    hub.github.expires_at = "2999-01-01T00:00:00Z"
    assert token_of(known, repo())() == APP_TOKEN
    build_pulls(known, "acme/shop", repo("https://ghe.example.org/acme/shop")).find("main", [TOPIC])
    assert len(hub.stub.seen("POST", "/access_tokens")) == 1
