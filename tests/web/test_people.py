"""Who may come in: one-time links, the page of people, a reverse proxy's word, repos by globs."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

from orch import invitations, people, sessions, tokens
from orch.errors import AlreadyThere, BadInput, ConfigError, Forbidden, NotFound
from orch.people import NewPerson
from tests.factories import dump
from tests.web.conftest import PASSWORD, Person, Web, csrf_in
from web import serve
from web.serve import require_tokens_beyond_loopback, tell_invitation

EVERYWHERE = "0.0.0.0"  # noqa: S104
CHOSEN = {"password": PASSWORD, "password_again": PASSWORD}
PROXY = {"REMOTE_ADDR": "192.0.2.1"}
BEHIND = {"web_proxy_addresses": "192.0.2.0/28", "web_proxy_user_header": "Remote-User"}


def follow(visitor: Person, secret: str, **fields: Any) -> Any:
    page = invitations.welcome_path(secret)
    return visitor.post("/ui/welcome", page, key=secret, **(CHOSEN | fields))


def first(web: Web) -> str:
    secret = invitations.first(web.line)
    assert secret
    return secret


# --- the first admin


def test_the_first_admin_comes_by_a_link_that_works_once(web_on_both: Web) -> None:
    web, visitor = web_on_both, web_on_both.visitor()
    secret, other = first(web), first(web)
    before = dump(web.rig.store)
    for _ in range(2):
        assert "you become the admin" in visitor.get(invitations.welcome_path(secret)).text
    assert dump(web.rig.store) == before
    assert follow(visitor, secret, name="Ann").status_code == 303
    assert visitor.get("/ui/people").status_code == 200
    assert people.one(web.line, "ann")["role"] == "admin"
    for spent in (secret, other):
        assert web.visitor().get(invitations.welcome_path(spent)).status_code == 404
        with pytest.raises(NotFound):
            invitations.accept(web.line, web.passwords, spent, "eve", PASSWORD)
    assert secret not in str(dump(web.rig.store))
    assert invitations.first(web.line) is None


def test_a_link_ends_after_half_an_hour(web: Web) -> None:
    secret = first(web)
    web.rig.clock.advance(1799)
    assert web.visitor().get(invitations.welcome_path(secret)).status_code == 200
    web.rig.clock.advance(1)
    assert web.visitor().get(invitations.welcome_path(secret)).status_code == 404


def test_two_who_follow_the_first_link_at_once_make_one_admin(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, theirs = first(web), first(web)
    stored, done = people.stored, []

    def meanwhile(*args: Any) -> Any:
        if not done:
            done.append(1)
            invitations.accept(web.line, web.passwords, theirs, "ben", PASSWORD)
        return stored(*args)

    monkeypatch.setattr(people, "stored", meanwhile)
    with pytest.raises(NotFound):
        invitations.accept(web.line, web.passwords, mine, "ann", PASSWORD)
    assert [each["name"] for each in people.listed(web.line)] == ["ben"]


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""}, {"name": "a b"}, {"name": "local"}, {"name": "ann", "password": "short",
        "password_again": "short"}, {"name": "ann", "password_again": "other"},
        {"name": "ann", "password": "x" * 201, "password_again": "x" * 201},
    ],
)  # fmt: skip
def test_what_cannot_be_used_leaves_the_link_as_it_was(web: Web, fields: dict[str, str]) -> None:
    secret, visitor = first(web), web.visitor()
    refused = follow(visitor, secret, **fields)
    assert refused.status_code == 400
    assert 'role="alert"' in refused.text
    assert follow(visitor, secret, name="ann").status_code == 303


@pytest.mark.parametrize("there", ["person", "token"])
def test_no_first_link_is_made_once_there_is_somebody(web: Web, there: str) -> None:
    web.person("ann") if there == "person" else web.token("viewer")
    assert invitations.first(web.line) is None


def test_the_first_link_is_told_once_and_not_through_the_log(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tell_invitation("5ec7e7", "http://[::1]:8765")
    out, err = capsys.readouterr()
    assert (out, err.count("5ec7e7"), err.count("\n")) == ("", 1, 1)
    assert "http://[::1]:8765/ui/welcome?key=5ec7e7" in err


@pytest.mark.parametrize(
    ("bound", "told"),
    [
        (("127.0.0.1", 8765), "http://127.0.0.1:8765/ui/welcome?key=5ec7e7"),
        (("0.0.0.0", 80), "http://127.0.0.1:80/ui/welcome?key=5ec7e7"),  # noqa: S104
        (("::1", 8765, 0, 0), "http://[::1]:8765/ui/welcome?key=5ec7e7"),
    ],
)
def test_a_server_tells_the_link_once_it_listens_and_its_port_is_known(
    web: Web, capsys: pytest.CaptureFixture[str], bound: Any, told: str
) -> None:
    listening = SimpleNamespace(LISTENERS=[SimpleNamespace(getsockname=lambda: bound)])
    serve._Server(web.settings, None)._ready(listening)
    assert capsys.readouterr().err == ""
    serve._Server(web.settings, "5ec7e7")._ready(listening)
    assert told in capsys.readouterr().err
    public = web.settings.model_copy(update={"web_url": "https://orch.example"})
    serve._Server(public, "5ec7e7")._ready(listening)
    assert "https://orch.example/ui/welcome?key=5ec7e7" in capsys.readouterr().err


def test_bound_to_the_world_a_person_is_enough_and_a_disabled_one_is_not(web: Web) -> None:
    world = Web(web.rig, web.folder, web_host=EVERYWHERE)
    with pytest.raises(ConfigError, match="no person"):
        require_tokens_beyond_loopback(web.line, world.settings)
    web.person("ann")
    require_tokens_beyond_loopback(web.line, world.settings)
    people.disable(web.line, "ann", "root")
    with pytest.raises(ConfigError):
        require_tokens_beyond_loopback(web.line, world.settings)
    proxied = Web(web.rig, web.folder, web_host=EVERYWHERE, **BEHIND)
    require_tokens_beyond_loopback(web.line, proxied.settings)


def test_the_first_person_ends_that_this_machine_is_admin(web: Web) -> None:
    assert web.client.get("/queue").status_code == 200
    web.person("ann")
    assert web.client.get("/queue").status_code == 401
    people.disable(web.line, "ann", "root")
    assert web.client.get("/queue").status_code == 401
    assert web.visitor().get("/ui/me").status_code == 302


# --- the page of people


def test_an_admin_lets_somebody_in_who_chooses_a_password(web: Web) -> None:
    admin, ben = web.signed_in("admin"), web.visitor()
    made = admin.post("/ui/people/add", name="ben", role="operator", repos="lib-*, shop")
    (secret,) = re.findall(r"http://localhost/ui/welcome\?key=([0-9a-f]{64})", made.text)
    assert "Welcome, ben" in ben.get(invitations.welcome_path(secret)).text
    assert follow(ben, secret, name="eve").status_code == 303
    assert people.one(web.line, "ben")["repos"] == ["lib-*", "shop"]
    assert secret not in admin.get("/ui/people").text
    assert ben.get("/ui/people").status_code == 403


def test_a_link_to_a_new_password_ends_the_sessions_before_it(web: Web) -> None:
    admin, ann = web.signed_in("admin", name="root"), web.signed_in("viewer", name="ann")
    (secret,) = re.findall(r"key=([0-9a-f]{64})", admin.post("/ui/people/link", name="ann").text)
    assert ann.get("/ui/me").status_code == 200
    new = {"password": "entirely new words", "password_again": "entirely new words"}
    assert follow(web.visitor(), secret, **new).status_code == 303
    assert ann.get("/ui/me").status_code == 302
    assert (ann.sign_in("ann").status_code, ann.sign_in("ann", new["password"]).status_code) == (
        401,
        303,
    )


def test_a_link_of_somebody_disabled_meanwhile_does_not_work(web: Web) -> None:
    web.person("ann")
    secret = invitations.invite(web.line, "ann", "root")
    people.disable(web.line, "ann", "root")
    assert web.visitor().get(invitations.welcome_path(secret)).status_code == 404
    with pytest.raises(Forbidden):
        invitations.invite(web.line, "ann", "root")


@pytest.mark.parametrize("how", ["disabled and let in again", "password", "a newer link"])
def test_what_ends_a_way_in_ends_the_links_made_before(web: Web, how: str) -> None:
    web.person("ann")
    secret = invitations.invite(web.line, "ann", "root")
    if how == "password":
        people.set_password(web.line, web.passwords, "ann", "entirely new words", "root")
    elif how == "a newer link":
        invitations.invite(web.line, "ann", "root")
    else:
        people.disable(web.line, "ann", "root")
        web.person("ann")
    assert web.visitor().get(invitations.welcome_path(secret)).status_code == 404


def test_an_admin_ends_sessions_tokens_and_people(web: Web) -> None:
    admin, ann = web.signed_in("admin", name="root"), web.signed_in("viewer", name="ann")
    secret = web.token("viewer", "<b>ci</b>")
    page = admin.get("/ui/people").text
    assert "<b>ci</b>" not in page
    assert secret not in page
    (session,) = re.findall(r'name="session" value="(\d+)"', page)
    assert admin.post("/ui/people/end-session", session=session).status_code == 303
    assert ann.get("/ui/me").status_code == 302
    assert admin.post("/ui/people/revoke-token", name="<b>ci</b>").status_code == 303
    assert not any(each["usable"] for each in tokens.listed(web.line))
    assert admin.post("/ui/people/disable", name="ann").status_code == 303
    assert ann.sign_in("ann").status_code == 401
    assert admin.post("/ui/people/disable", name="root").status_code == 409


def test_a_person_sees_and_ends_their_own_sessions_only(web: Web) -> None:
    ann, root = web.signed_in("viewer", name="ann"), web.signed_in("admin", name="root")
    phone = web.visitor()
    phone.client.environ_base["HTTP_USER_AGENT"] = "A \u202e<i>phone</i>"
    phone.sign_in("ann")
    page = ann.get("/ui/me").text
    assert "&lt;i&gt;phone" in page
    (session,) = re.findall(r'name="session" value="(\d+)"', page)
    foreign = re.findall(r'name="session" value="(\d+)"', root.get("/ui/people").text)
    of_root = str(max(map(int, foreign)) - 1)
    assert ann.post("/ui/me/end-session", session=of_root).status_code == 403
    assert ann.post("/ui/me/end-session", session=session).status_code == 303
    assert (phone.get("/ui/me").status_code, root.get("/ui/me").status_code) == (302, 200)


def test_people_are_made_once_and_come_back_under_their_name(web: Web) -> None:
    web.person("ann")
    with pytest.raises(AlreadyThere):
        web.person("Ann")
    assert people.disable(web.line, "ann", "root")["changed"]
    assert not people.disable(web.line, "ann", "root")["changed"]
    with pytest.raises(Forbidden):
        people.set_password(web.line, web.passwords, "ann", PASSWORD, "root")
    web.person("ann", "operator")
    assert people.one(web.line, "ann")["disabled_at"] is None
    with pytest.raises(NotFound):
        people.disable(web.line, "ben", "root")


@pytest.mark.parametrize(
    ("role", "repos"),
    [
        ("admin", ["a"]),
        ("viewer", ["a"]),
        ("king", []),
        ("operator", ["a b"]),
        ("operator", [f"a{number}" for number in range(51)]),
    ],
)
def test_a_role_and_its_repos_have_to_make_sense(web: Web, role: str, repos: list[str]) -> None:
    with pytest.raises(BadInput):
        people.add(web.line, web.passwords, NewPerson("ann", role, repos), "root")
    with pytest.raises(BadInput):
        tokens.add(web.line, "ci", role, "root", repos=repos)


# --- a reverse proxy


def proxied(web: Web, **more: Any) -> Web:
    behind = Web(web.rig, web.folder, **BEHIND, web_host=EVERYWHERE, **more)
    behind.settings = behind.settings.model_copy(update={"web_names": ("orch.example",)})
    return behind


def by_proxy(web: Web, name: str, peer: dict[str, str] = PROXY, **headers: str) -> Person:
    visitor = web.visitor()
    given = {f"HTTP_{key.upper()}": value for key, value in headers.items()}
    visitor.client.environ_base.update({**peer, "HTTP_REMOTE_USER": name, **given})
    return visitor


def test_a_proxy_is_believed_and_a_stranger_is_not(web: Web) -> None:
    behind = proxied(web)
    assert "Ann".lower() in by_proxy(behind, "Ann").get("/ui/me").text
    stranger = by_proxy(behind, "ann", {"REMOTE_ADDR": "192.0.2.99"})
    assert stranger.get("/ui/me").status_code == 302
    near = by_proxy(behind, "ann", {"REMOTE_ADDR": "127.0.0.1"})
    assert near.get("/ui/me").status_code == 302
    assert by_proxy(behind, "").get("/ui/me").status_code == 302
    assert by_proxy(behind, "ann").get("/queue").status_code == 401


def test_an_admin_says_what_those_behind_a_proxy_may(web: Web) -> None:
    behind = proxied(web)
    assert by_proxy(behind, "ann").get("/ui/people").status_code == 403
    web.person("ann", "admin")
    assert by_proxy(behind, "ann").get("/ui/people").status_code == 200
    people.disable(web.line, "ann", "root")
    assert by_proxy(behind, "ann").get("/ui/me").status_code == 403
    assert by_proxy(behind, "local").get("/ui/me").status_code == 400
    closed = proxied(web, web_proxy_role="none")
    assert by_proxy(closed, "ben").get("/ui/me").status_code == 403


def test_forms_behind_a_proxy_need_the_proof_of_the_same_person(web: Web) -> None:
    web.person("ann", "admin")
    web.person("ben", "viewer")
    ann = by_proxy(proxied(web), "ann")
    assert ann.client.post("/ui/people/disable", data={"name": "ben"}).status_code == 403
    old = csrf_in(ann.get("/ui/me"))
    assert ann.post("/ui/people/disable", name="ben").status_code == 303
    ann.client.environ_base["HTTP_REMOTE_USER"] = "cyd"
    assert ann.client.post("/ui/sign-out", data={"csrf": old}).status_code == 403


def test_address_scheme_and_host_come_from_a_believed_proxy_only(web: Web) -> None:
    behind = proxied(web)
    behind.person("ann")
    said = {"x_forwarded_for": "203.0.113.9", "x_forwarded_proto": "https"}
    said["x_forwarded_host"] = "orch.example"
    page = by_proxy(behind, "ann", **said).get("/ui/me")
    assert page.headers["Set-Cookie"].startswith("__Host-orch=")
    assert page.headers["Strict-Transport-Security"]
    forged = by_proxy(behind, "ann", {"REMOTE_ADDR": "198.51.100.7"}, **said).get("/ui/sign-in")
    assert forged.headers["Set-Cookie"].startswith("orch=")
    said["x_forwarded_host"] = "evil.test"
    assert by_proxy(behind, "ann", **said).get("/ui/me").status_code == 400


def test_the_address_that_counts_is_the_last_one_a_believed_proxy_adds(web: Web) -> None:
    behind = proxied(web)
    behind.person("ann")
    visitor = behind.visitor()
    visitor.client.environ_base.update(PROXY)
    visitor.client.environ_base["HTTP_X_FORWARDED_FOR"] = "10.0.0.1, 203.0.113.9"
    visitor.sign_in("ann")
    (opened,) = sessions.listed(web.line, 900)
    assert opened["address"] == "203.0.113.9"


def test_who_is_passed_on_to_this_machine_is_not_this_machine(web: Web) -> None:
    assert web.client.get("/queue", headers={"X-Forwarded-For": "203.0.113.9"}).status_code == 401
    assert web.client.get("/ui/me", headers={"Forwarded": "for=127.0.0.1"}).status_code == 302
    assert web.client.get("/ui/me").status_code == 200
    behind = Web(web.rig, web.folder, web_proxy_addresses="127.0.0.1")
    assert behind.client.get("/ui/me").status_code == 302


@pytest.mark.parametrize(
    "given",
    [{"web_proxy_user_header": "Remote-User"}, {"web_proxy_addresses": "somewhere"},
     {"web_proxy_user_header": "a b", "web_proxy_addresses": "::1"}],
)  # fmt: skip
def test_a_header_is_believed_of_named_proxies_or_not_at_all(web: Web, given: Any) -> None:
    with pytest.raises(ValueError, match=r"web_proxy_user_header|somewhere"):
        Web(web.rig, web.folder, **given)
