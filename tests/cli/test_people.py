"""user, session, and tokens that steer some repos only."""

from __future__ import annotations

from typing import Any

import pytest
from argon2 import PasswordHasher
from click.testing import CliRunner, Result

import orch.cli.people as verbs
from orch import sessions
from orch.cli.root import root
from orch.passwords import Passwords
from orch.sessions import Browser, Lasting, SignIn
from tests.cli.conftest import CommandLine

WORDS = "a few words in a row"
CHEAP = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verbs, "Passwords", lambda: CHEAP)


def typed(text: str, *args: str) -> Result:
    """A call at whose questions this is typed."""
    return CliRunner().invoke(root, args, prog_name="orch", input=text)


def signed_in(orch: CommandLine, name: str, password: str = WORDS) -> Any:
    line, browser = orch.line(), Browser("192.0.2.1", "a browser")
    try:
        return sessions.sign_in(line, CHEAP, SignIn(name, password), browser, Lasting(900, 900))[1]
    finally:
        line.store.dispose()


def test_a_person_is_let_in_with_a_password_that_is_asked_for(orch: CommandLine) -> None:
    done = typed(
        f"{WORDS}\n{WORDS}\n", "user", "add", "Ann", "--role", "operator", "--repos", "lib-*"
    )
    assert done.exit_code == 0, done.output
    assert WORDS not in done.output
    (shown,) = orch.facts("user", "list")
    assert (shown["name"], shown["repos"], shown["has_password"]) == ("ann", ["lib-*"], True)
    assert "lib-*" in orch.told("user", "list")
    assert signed_in(orch, "ann").holder.repos == ("lib-*",)


def test_a_password_comes_from_a_file_or_standard_input(orch: CommandLine) -> None:
    (orch.folder / "secret").write_text(f"{WORDS}\n")
    orch.fact("user", "add", "ann", "--password-file", "secret")
    assert typed(f"{WORDS}!\n", "user", "password", "ann", "--password-file", "-").exit_code == 0
    assert signed_in(orch, "ann", f"{WORDS}!")
    missing = orch("user", "add", "ben", "--password-file", "nowhere")
    assert (missing.exit_code, "cannot be read" in missing.output) == (2, True)
    short = typed("short", "user", "add", "ben", "--password-file", "-")
    assert (short.exit_code, "10 to 200 characters" in short.output) == (2, True)


def test_a_link_is_made_for_the_first_admin_and_then_for_people(orch: CommandLine) -> None:
    made = orch.fact("user", "link")
    assert made["address"] == f"http://127.0.0.1:8765{made['path']}"
    orch.fact("user", "add", "ann", "--no-password")
    assert orch("user", "link").exit_code == 2
    assert "/ui/welcome?key=" in orch.told("user", "link", "ann")
    assert orch("user", "link", "nobody").exit_code == 3


def test_sessions_are_listed_and_ended_and_a_removed_person_is_out(orch: CommandLine) -> None:
    (orch.folder / "secret").write_text(WORDS)
    orch.fact("user", "add", "ann", "--password-file", "secret")
    first, second = signed_in(orch, "ann").id, signed_in(orch, "ann").id
    assert [each["id"] for each in orch.facts("session", "list")] == [second, first]
    assert orch.fact("session", "revoke", str(first))["changed"]
    assert "was ended before" in orch.told("session", "revoke", str(first))
    assert orch("session", "revoke", "99").exit_code == 3
    assert [each["id"] for each in orch.facts("session", "list")] == [second]
    assert orch.fact("user", "remove", "ann")["changed"]
    assert orch.facts("session", "list") == []
    assert len(orch.facts("session", "list", "--all")) == 2
    assert orch("user", "remove", "nobody").exit_code == 3


def test_a_token_may_be_for_some_repos(orch: CommandLine) -> None:
    made = orch.fact("token", "add", "ci", "--role", "operator", "--repos", "lib-*", "--repos", "a")
    assert made["repos"] == ["lib-*", "a"]
    assert "lib-*, a" in orch.told("token", "list")
    assert orch("token", "add", "x", "--role", "admin", "--repos", "a").exit_code == 2
