"""Signing in with a browser: sessions, their proof on forms, and what a stranger gets."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from argon2 import PasswordHasher

from orch import passwords, people, sessions
from orch.passwords import Passwords
from orch.sessions import BY_ADDRESS, BY_NAME
from tests.factories import dump
from tests.web.conftest import CHEAP, PASSWORD, Person, Web, csrf_in

HTTPS = "https://localhost"


class Counted(PasswordHasher):
    """Counts what it verifies."""

    count = 0

    def verify(self, hash: str | bytes, password: str | bytes) -> Any:
        self.count += 1
        return super().verify(hash, password)


def is_in(person: Person) -> bool:
    return person.get("/ui/me").status_code == 200


def test_a_person_signs_in_reads_and_signs_out(web: Web) -> None:
    web.person("ann")
    ann = web.visitor()
    sent_away = ann.get("/ui/me?x=1")
    assert (sent_away.status_code, sent_away.location) == (302, "/ui/sign-in?next=/ui/me%3Fx%3D1")
    assert ann.sign_in("ann", next="/ui/me").location == "/ui/me"
    assert "ann" in ann.get("/ui/").text
    gone = ann.post("/ui/sign-out")
    assert (gone.status_code, gone.location) == (303, "/ui/sign-in")
    assert not is_in(ann)
    kinds = [(each["kind"], each["actor"]) for each in dump(web.rig.store)["events"]]
    assert kinds == [("person.added", "root"), ("session.opened", "ann"), ("session.ended", "ann")]


def test_a_session_is_no_way_into_the_api_and_a_token_none_to_the_pages(web: Web) -> None:
    ann = web.signed_in("admin")
    assert ann.get("/queue").status_code == 401
    token = {"Authorization": f"Bearer {web.token('admin')}"}
    assert web.visitor().get("/ui/me", headers=token).status_code == 302


@pytest.mark.parametrize("name", ["ann", "nobody", "gone", "proxied", "' OR 1=1", "a\x00", ""])
def test_every_refused_sign_in_verifies_one_hash_and_says_the_same(web: Web, name: str) -> None:
    web.person("ann")
    web.person("gone")
    people.disable(web.line, "gone", "root")
    people.add(web.line, web.passwords, people.NewPerson("proxied"), "root")
    counted = Counted(time_cost=1, memory_cost=8, parallelism=1)
    web.passwords = Passwords(counted)
    refused = web.visitor().sign_in(name, "wrong password")
    assert refused.status_code == 401
    assert "The name or the password is wrong." in refused.text
    assert counted.count == 1


def test_a_name_is_the_same_in_capitals(web: Web) -> None:
    web.person("ann@example.org")
    assert web.visitor().sign_in(" Ann@Example.org ").status_code == 303


def test_signing_in_brings_a_new_secret_and_the_old_one_opens_nothing(web: Web) -> None:
    web.person("ann")
    ann = web.visitor()
    ann.get("/ui/sign-in")
    before = ann.client.get_cookie("orch")
    assert before
    ann.sign_in("ann")
    after = ann.client.get_cookie("orch")
    assert after
    assert after.value != before.value
    fixed = web.visitor()
    fixed.client.set_cookie("orch", before.value)
    assert not is_in(fixed)
    assert after.value not in str(dump(web.rig.store))


def test_signing_in_again_ends_the_session_before(web: Web) -> None:
    ann = web.signed_in("viewer")
    old = ann.client.get_cookie("orch")
    assert old
    ann.sign_in("p-viewer")
    stolen = web.visitor()
    stolen.client.set_cookie("orch", old.value)
    assert (is_in(ann), is_in(stolen)) == (True, False)


def test_cookies_are_out_of_reach_of_scripts_and_other_sites(web: Web) -> None:
    plain = web.visitor().get("/ui/sign-in").headers["Set-Cookie"]
    assert plain.startswith("orch=")
    assert {"HttpOnly", "Path=/", "SameSite=Lax"} <= set(plain.split("; "))
    safe = web.visitor().get("/ui/sign-in", base_url=HTTPS)
    assert safe.headers["Set-Cookie"].startswith("__Host-orch=")
    assert {"Secure", "HttpOnly"} <= set(safe.headers["Set-Cookie"].split("; "))
    assert "Domain" not in safe.headers["Set-Cookie"]
    assert safe.headers["Strict-Transport-Security"]
    assert "Strict-Transport-Security" not in web.client.get("/healthz").headers


def test_over_https_the_cookie_of_plain_http_means_nothing(web: Web) -> None:
    ann = web.signed_in("viewer")
    assert is_in(ann)
    assert ann.get("/ui/me", base_url=HTTPS).status_code == 302


# --- the proof on forms


@pytest.mark.parametrize("proof", [None, "", "0" * 64, "é", "theirs"])
def test_a_form_without_the_proof_of_this_session_does_nothing(web: Web, proof: str | None) -> None:
    ann, ben = web.signed_in("admin"), web.signed_in("admin", name="ben")
    theirs = csrf_in(ben.get("/ui/me"))
    before = dump(web.rig.store)
    fields = {"name": "ben"} | ({} if proof is None else {"csrf": proof.replace("theirs", theirs)})
    assert ann.client.post("/ui/people/disable", data=fields).status_code == 403
    header = {} if proof is None else {"X-CSRF-Token": theirs}
    sent = ann.client.post("/ui/people/disable", data={"name": "ben"}, headers=header)
    assert sent.status_code == 403
    assert dump(web.rig.store) == before


def test_the_proof_may_stand_in_a_header_as_htmx_sends_it(web: Web) -> None:
    ann = web.signed_in("admin")
    web.person("ben")
    proof = {"X-CSRF-Token": csrf_in(ann.get("/ui/me"))}
    sent = ann.client.post("/ui/people/disable", data={"name": "ben"}, headers=proof)
    assert sent.status_code == 303


def test_a_page_of_another_site_sends_no_form_even_with_the_proof(web: Web) -> None:
    ann = web.signed_in("viewer")
    proof = csrf_in(ann.get("/ui/me"))
    for headers in ({"Origin": "https://evil.test"}, {"Sec-Fetch-Site": "cross-site"}):
        sent = ann.client.post("/ui/sign-out", data={"csrf": proof}, headers=headers)
        assert sent.status_code == 403
    assert is_in(ann)


def test_signing_in_itself_needs_the_proof(web: Web) -> None:
    web.person("ann")
    fields = {"name": "ann", "password": PASSWORD}
    assert web.visitor().client.post("/ui/sign-in", data=fields).status_code == 403


def test_this_machine_without_anybody_made_needs_the_proof_too(web: Web) -> None:
    local = web.visitor()
    assert local.client.post("/ui/people/add", data={"name": "ann"}).status_code == 403
    assert local.post("/ui/people/add", name="ann", role="admin").status_code == 200
    assert not is_in(local)


# --- how sessions end


def test_a_session_ends_unused_and_ends_at_last(web: Web) -> None:
    web.settings = web.settings.model_copy(
        update={"web_session_seconds": 10_000.0, "web_session_idle_seconds": 3000.0}
    )
    ann = web.signed_in("viewer")
    for _ in range(4):
        web.rig.clock.advance(2400)
        assert is_in(ann)
    web.rig.clock.advance(401)
    assert not is_in(ann)
    other = web.visitor()
    other.sign_in("p-viewer")
    web.rig.clock.advance(3000)
    assert not is_in(other)


def test_looking_often_writes_seldom(web: Web) -> None:
    ann = web.signed_in("viewer")
    before = dump(web.rig.store)
    assert is_in(ann)
    assert dump(web.rig.store) == before
    web.rig.clock.advance(61)
    assert is_in(ann)
    assert dump(web.rig.store)["sessions"] != before["sessions"]


@pytest.mark.parametrize("how", ["revoked", "disabled", "another password"])
def test_what_an_admin_ends_is_over_at_once(web: Web, how: str) -> None:
    ann = web.signed_in("viewer", name="ann")
    if how == "revoked":
        (found,) = sessions.listed(web.line, 60)
        assert sessions.revoke(web.line, found["id"], "root")["changed"]
        assert not sessions.revoke(web.line, found["id"], "root")["changed"]
    elif how == "disabled":
        assert people.disable(web.line, "ann", "root")["changed"]
    else:
        people.set_password(web.line, web.passwords, "ann", "some other words", "root")
    assert not is_in(ann)
    assert web.visitor().sign_in("ann").status_code == (303 if how == "revoked" else 401)


def test_another_role_counts_from_the_next_page_on(web: Web) -> None:
    ann = web.signed_in("admin", name="ann")
    assert ann.get("/ui/people").status_code == 200
    people.disable(web.line, "ann", "root")
    web.person("ann", "viewer")
    ann.sign_in("ann")
    assert ann.get("/ui/people").status_code == 403


# --- a session that ends while somebody types


def test_a_form_sent_after_the_end_is_kept_through_signing_in(web: Web) -> None:
    ann = web.signed_in("admin", name="ann")
    web.rig.clock.advance(13 * 3600)
    hostile = '"><script>alert(1)</script>\nand more'
    sent = ann.client.post("/ui/people/add", data={"name": "ben", "repos": hostile, "csrf": "old"})
    assert sent.status_code == 401
    assert "Your session is over" in sent.text
    assert "<script>alert" not in sent.text
    kept = turned_to_form(sent.text)
    again = ann.post("/ui/sign-in", "/ui/sign-in", name="ann", password="wrong", kept=kept)
    assert (again.status_code, turned_to_form(again.text)) == (401, kept)
    offered = ann.post("/ui/sign-in", "/ui/sign-in", name="ann", password=PASSWORD, kept=kept)
    assert offered.status_code == 200
    assert 'action="/ui/people/add"' in offered.text
    assert "<script>alert" not in offered.text
    done = ann.client.post("/ui/people/add", data={"name": "ben", "csrf": csrf_in(offered)})
    assert done.status_code == 200
    assert people.one(web.line, "ben")["role"] == "viewer"


def turned_to_form(page: str) -> str:
    import html
    import re

    found = re.search(r'name="kept" value="([^"]*)"', page)
    assert found, page
    return html.unescape(found[1])


@pytest.mark.parametrize(
    "kept",
    [
        "{", "[]", "7", '{"to": 1, "fields": []}', '{"to": "/ui/", "fields": [["a"]]}',
        '{"to": "/ui/", "fields": [["a", 1]]}', '{"to": "/ui/", "fields": [["csrf", "x"]]}',
        "[" * 5000, '{"to": "/ui/", "fields": [["password", "x"]]}',
    ],
)  # fmt: skip
def test_what_is_kept_may_be_anything_and_is_then_dropped(web: Web, kept: str) -> None:
    web.person("ann")
    assert web.visitor().sign_in("ann", kept=kept).location == "/ui/"


def test_a_password_is_never_kept(web: Web) -> None:
    web.person("ann")
    fields = {"name": "x", "password": "hush hush", "password_again": "hush hush", "key": "k"}
    sent = web.visitor().client.post("/ui/people/add", data=fields)
    assert sent.status_code == 401
    assert "hush" not in sent.text


@pytest.mark.parametrize(
    "where",
    ["//evil.test", "https://evil.test/", "/\\evil.test", "/ui//evil.test", "/ui/\\..\\x", "/queue",
     "/ui/\nx", "", "javascript:alert(1)"],
)  # fmt: skip
def test_signing_in_leads_nowhere_else(web: Web, where: str) -> None:
    web.person("ann")
    assert web.visitor().sign_in("ann", next=where).location == "/ui/"
    kept = f'{{"to": "{where}", "fields": [["a", "b"]]}}'.replace("\\", "\\\\").replace("\n", "\\n")
    assert 'action="/ui/"' in web.visitor().sign_in("ann", kept=kept).text


def test_a_form_older_than_the_session_can_be_sent_again_if_it_is_from_here(web: Web) -> None:
    ann = web.signed_in("admin")
    old = {"name": "ben", "csrf": "0" * 64}
    own = {"Origin": "http://localhost"}
    offered = ann.client.post("/ui/people/add", data=old, headers=own)
    assert offered.status_code == 403
    assert 'action="/ui/people/add"' in offered.text
    assert csrf_in(offered) == csrf_in(ann.get("/ui/me"))
    assert "Send again" not in ann.client.post("/ui/people/add", data=old).text


# --- how often


def test_a_name_is_tried_so_often_and_then_again_when_the_window_has_moved(web: Web) -> None:
    web.person("ann")
    web.person("ben")
    stranger = web.visitor()
    for _ in range(BY_NAME.most):
        assert stranger.sign_in("ann", "wrong password").status_code == 401
        web.rig.clock.advance(10)
    refused = stranger.sign_in("ANN")
    assert refused.status_code == 429
    wait = int(refused.headers["Retry-After"])
    assert wait == BY_NAME.seconds - 10 * BY_NAME.most
    assert f"again in {wait} seconds" in refused.text
    assert stranger.sign_in("ben").status_code == 303
    web.rig.clock.advance(wait - 1)
    assert web.visitor().sign_in("ann").status_code == 429
    web.rig.clock.advance(1)
    assert web.visitor().sign_in("ann").status_code == 303
    assert web.visitor().sign_in("ann", "wrong password").status_code == 401


def test_an_address_is_heard_so_often_whatever_the_names(web: Web) -> None:
    web.person("ann")
    near, far = {"REMOTE_ADDR": "2001:db8::1"}, {"REMOTE_ADDR": "2001:db8:0:1::1"}
    stranger = web.visitor()
    page = csrf_in(stranger.get("/ui/sign-in"))
    fields = {"csrf": page, "name": "ann", "password": PASSWORD}
    for number in range(BY_ADDRESS.most):
        wrong = fields | {"name": f"n{number}"}
        stranger.client.post("/ui/sign-in", data=wrong, environ_base=near)
    neighbour = {"REMOTE_ADDR": "2001:db8::ffff"}
    refused = stranger.client.post("/ui/sign-in", data=fields, environ_base=neighbour)
    assert (refused.status_code, refused.headers["Retry-After"]) == (
        429,
        str(int(BY_ADDRESS.seconds)),
    )
    assert stranger.client.post("/ui/sign-in", data=fields, environ_base=far).status_code == 303


# --- what is stored


def test_a_password_is_neither_stored_nor_logged_nor_shown(
    web_on_both: Web, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    web_on_both.signed_in("viewer", name="ann")
    web_on_both.visitor().sign_in("ann", "not the password")
    seen = f"{dump(web_on_both.rig.store)}{caplog.text}{''.join(capsys.readouterr())}"
    seen += f"{people.NewPerson('a', password=PASSWORD)!r}{sessions.SignIn('a', PASSWORD)!r}"
    assert PASSWORD not in seen
    assert "not the password" not in seen
    assert "$argon2id$" in seen


def test_a_hash_of_older_parameters_is_made_anew_when_its_person_comes(web: Web) -> None:
    web.person("ann")
    (before,) = dump(web.rig.store)["people"]
    web.passwords = Passwords(PasswordHasher(time_cost=2, memory_cost=8, parallelism=1))
    assert web.visitor().sign_in("ann", "wrong password").status_code == 401
    assert dump(web.rig.store)["people"] == [before]
    assert web.visitor().sign_in("ann").status_code == 303
    (after,) = dump(web.rig.store)["people"]
    assert "t=2" in after["password_hash"]
    assert web.visitor().sign_in("ann").status_code == 303


def test_who_finds_no_place_to_hash_is_told_to_come_again(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.person("ann")
    monkeypatch.setattr(passwords, "PATIENCE", 0)
    with web.passwords._room(), web.passwords._room():
        refused = web.visitor().sign_in("ann")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "0")
    assert web.visitor().sign_in("ann").status_code == 303


def test_a_part_of_a_page_is_not_replaced_by_a_redirect(web: Web) -> None:
    web.person("ann")
    part = web.visitor().get("/ui/?x=1", headers={"HX-Request": "true"})
    assert (part.status_code, 'value="/ui/?x=1"' in part.text) == (401, True)


def test_by_default_hashes_are_argon2id_of_rfc_9106() -> None:
    stored = Passwords().hasher
    assert (stored.type.name, stored.time_cost, stored.memory_cost) == ("ID", 3, 65536)
    assert CHEAP.type is stored.type


def test_old_rows_of_sessions_and_tries_are_thrown_away(web: Web) -> None:
    web.signed_in("viewer", name="ann")
    web.rig.clock.now += timedelta(days=40)
    web.visitor().sign_in("ann")
    left = dump(web.rig.store)
    assert (len(left["sessions"]), len(left["tries"])) == (1, 1)
