"""Who comes in, with which token, and what a foreign page or a foreign host name gets."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask.testing import FlaskClient

from orch import tokens
from orch.errors import AlreadyThere, BadInput, ConfigError, NotFound
from orch.tokens import ROLES
from tests.factories import dump
from tests.web.conftest import Web, csrf_in
from web.api import ROUTES
from web.pages.frame import PAGES
from web.routes import Route
from web.serve import require_tokens_beyond_loopback

PAUSE = "/serial-gate/pause?work_item=APP-1"
EVERYWHERE = "0.0.0.0"  # noqa: S104
OPEN_TO_ALL = {"/healthz", "/readyz", "/openapi.json", "/docs", "/", "/static/<path:name>"}
SIGNED = {"/webhooks/plane", "/webhooks/gitea", "/webhooks/github"}
"""Anybody may come; what is taken is signed by its sender (test_webhooks.py)."""
THE_DOOR = {"/ui/sign-in", "/ui/welcome"}
EVERY_ROUTE = [*ROUTES.all, *PAGES.all]


def status_with(client: FlaskClient, header: str | None, address: str = "/queue") -> int:
    headers = {} if header is None else {"Authorization": header}
    return client.get(address, headers=headers).status_code


def test_every_address_flask_knows_is_a_declared_call(web: Web) -> None:
    declared = {(route.path, route.method) for route in EVERY_ROUTE}
    served = {
        (rule.rule, method)
        for rule in web.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD"}
    }
    assert served == declared


@pytest.mark.parametrize("route", EVERY_ROUTE, ids=lambda route: route.endpoint)
def test_every_call_states_who_may_and_keeps_to_it(web: Web, route: Route) -> None:
    is_open = route.path in OPEN_TO_ALL | THE_DOOR | SIGNED
    assert route.role is None if is_open else route.role in ROLES
    web.token("viewer", "somebody")
    refused = web.client.open(address_of(route), method=route.method).status_code
    sent_away = 302 if is_for_people(route) and route.method == "GET" else 401
    assert (refused == sent_away) == (route.role is not None)
    if route.role in ("operator", "admin") and not is_for_people(route):
        viewer = web.client_of("viewer").open(address_of(route), method=route.method)
        assert viewer.status_code == 403
        assert f"this needs {route.role}" in viewer.text


def is_for_people(route: Route) -> bool:
    return route.path.startswith("/ui/")


def address_of(route: Route) -> str:
    return route.path.replace("<work_item>", "APP-1").replace("<job_id>", "1")


@pytest.mark.parametrize("route", list(filter(is_for_people, PAGES.all)), ids=lambda r: r.endpoint)
def test_every_page_keeps_to_its_role_and_every_form_to_its_proof(web: Web, route: Route) -> None:
    below = {"operator": "viewer", "admin": "operator"}.get(str(route.role))
    if below is not None:
        person = web.signed_in(below)
        proof = {"X-CSRF-Token": csrf_in(person.get("/ui/me"))}
        refused = person.client.open(address_of(route), method=route.method, headers=proof)
        assert (refused.status_code, f"this needs {route.role}" in refused.text) == (403, True)
    if route.method != "GET":
        unproved = web.signed_in("admin", name="root").client
        before = dump(web.rig.store)
        assert unproved.open(address_of(route), method=route.method).status_code == 403
        assert dump(web.rig.store) == before


def test_every_page_is_for_people_and_nothing_else_is() -> None:
    strays = [route.path for route in PAGES.all if not is_for_people(route)]
    assert set(strays) == {"/", "/static/<path:name>"}
    assert not [route.path for route in ROUTES.all if is_for_people(route)]


@pytest.mark.parametrize(
    ("method", "address"), [("GET", "/queue"), ("GET", "/why?work_item=APP-1"), ("POST", PAUSE)]
)
def test_roles_allow_what_the_ones_below_allow(web: Web, method: str, address: str) -> None:
    web.rig.task("APP-1")
    allowed = [web.client_of(role).open(address, method=method).status_code for role in ROLES]
    assert allowed == ([200, 200, 200] if method == "GET" else [403, 200, 200])


def test_a_role_nobody_knows_may_nothing(web: Web) -> None:
    assert not tokens.Holder("ann", "root").may("viewer")


def test_the_name_of_the_token_stands_beside_what_was_done(web: Web) -> None:
    web.rig.task("APP-1")
    web.client_of("operator").post(PAUSE)
    assert web.rig.events("task.paused")[0]["actor"] == "the-operator"


def test_without_any_token_this_machine_is_admin_until_the_first_is_made(web: Web) -> None:
    web.rig.task("APP-1")
    assert web.client.post(PAUSE).status_code == 200
    assert web.rig.events("task.paused")[0]["actor"] == "local"
    web.token("viewer")
    assert web.client.get("/queue").status_code == 401
    tokens.revoke(web.line, "the-viewer", "ann")
    assert web.client.get("/queue").status_code == 401


def test_without_any_token_another_machine_is_nobody(web: Web) -> None:
    far = {"REMOTE_ADDR": "192.0.2.7"}
    assert web.client.get("/queue", environ_base=far).status_code == 401
    forged = {"X-Forwarded-For": "127.0.0.1", "Forwarded": "for=127.0.0.1"}
    assert web.client.get("/queue", environ_base=far, headers=forged).status_code == 401


def test_bound_to_the_world_nobody_comes_in_without_a_token(web: Web) -> None:
    open_to_all = Web(web.rig, web.folder, web_host=EVERYWHERE)
    assert open_to_all.client.get("/queue").status_code == 401
    with pytest.raises(ConfigError, match="no token and no person"):
        require_tokens_beyond_loopback(web.line, open_to_all.settings)
    require_tokens_beyond_loopback(web.line, web.settings)
    web.token("viewer")
    require_tokens_beyond_loopback(web.line, open_to_all.settings)


def test_a_token_must_come_whole_and_alone(web: Web) -> None:
    token = web.token("viewer")
    assert status_with(web.client, f"Bearer {token}") == 200
    wrong = [
        None, "", "Bearer", "Bearer ", token, f"bearer {token}", f"Bearer {token[:-1]}",
        f"Bearer {token}x", f"Bearer  {token}", f"Bearer {token} ", f"Basic {token}",
        f"Bearer {token.upper()}", f"Bearer {token},{token}", "Bearer " + "x" * 5000,
        "Bearer orch_" + "0" * 64, "Bearer ' OR 1=1",
    ]  # fmt: skip
    assert [status_with(web.client, header) for header in wrong] == [401] * len(wrong)


def test_a_line_break_after_the_token_is_no_part_of_it(web: Web) -> None:
    token = web.token("viewer")
    environ = {"HTTP_AUTHORIZATION": f"Bearer {token}\n"}
    assert web.client.get("/queue", environ_base=environ).status_code == 401


def test_a_refusal_names_the_way_in(web: Web) -> None:
    web.token("viewer")
    refused = web.client.get("/queue")
    assert refused.headers["WWW-Authenticate"].startswith("Bearer")
    assert refused.get_json(force=True)["code"] == "unauthorised"


def test_a_token_ends_when_its_time_is_over_and_when_it_is_revoked(web: Web) -> None:
    ends = web.rig.clock() + timedelta(hours=1)
    short = tokens.add(web.line, "short", "viewer", "ann", expires_at=ends)["token"]
    assert status_with(web.client, f"Bearer {short}") == 200
    web.rig.clock.advance(3600)
    assert status_with(web.client, f"Bearer {short}") == 401
    long = web.token("viewer", "long")
    assert tokens.revoke(web.line, "long", "ann")["changed"]
    assert status_with(web.client, f"Bearer {long}") == 401
    assert not tokens.revoke(web.line, "long", "ann")["changed"]
    with pytest.raises(NotFound):
        tokens.revoke(web.line, "nobody", "ann")


def test_a_token_is_stored_as_a_hash_and_shown_once(web_on_both: Web) -> None:
    secret = web_on_both.token("admin")
    assert len(secret) == len("orch_") + 64
    assert secret.removeprefix("orch_") not in str(dump(web_on_both.rig.store))
    (shown,) = tokens.listed(web_on_both.line)
    assert shown["usable"]
    assert not {"token", "token_hash"} & set(shown)
    assert tokens.check(web_on_both.line, secret) == tokens.Holder("the-admin", "admin")
    kinds = web_on_both.rig.events("token.added")
    assert [(event["actor"], event["data"]["role"]) for event in kinds] == [("ann", "admin")]


def test_two_tokens_of_one_name_cannot_be_alive_together(web: Web) -> None:
    web.token("viewer", "ci")
    with pytest.raises(AlreadyThere):
        web.token("admin", "ci")
    tokens.revoke(web.line, "ci", "ann")
    web.token("admin", "ci")


@pytest.mark.parametrize(("name", "role"), [("", "viewer"), ("a\nb", "viewer"), ("x", "root")])
def test_a_token_needs_a_name_and_a_role(web: Web, name: str, role: str) -> None:
    with pytest.raises(BadInput):
        tokens.add(web.line, name, role, "ann")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.test"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_page_of_another_site_changes_nothing(web: Web, headers: dict[str, str]) -> None:
    web.rig.task("APP-1")
    before = dump(web.rig.store)
    assert web.client.post(PAUSE, headers=headers).status_code == 403
    assert dump(web.rig.store) == before


def test_a_page_of_this_server_may(web: Web) -> None:
    web.rig.task("APP-1")
    own = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    assert web.client.post(PAUSE, headers=own).status_code == 200


@pytest.mark.parametrize("host", ["evil.test", "127.0.0.1.evil.test", "localhost.evil.test", "a b"])
def test_a_host_name_that_is_not_ours_is_refused(web: Web, host: str) -> None:
    for address in ("/queue", "/healthz", "/nowhere"):
        refused = web.client.get(address, headers={"Host": host})
        assert (refused.status_code, refused.content_type) == (400, "application/problem+json")


def test_a_forwarded_host_means_nothing(web: Web) -> None:
    assert web.client.get("/queue", headers={"X-Forwarded-Host": "evil.test"}).status_code == 200


def test_host_names_can_be_added(web: Web) -> None:
    named = Web(web.rig, web.folder, web_host=EVERYWHERE, web_names="orch.example,web")
    assert named.client.get("/readyz", headers={"Host": "web:8765"}).status_code == 200
    assert named.client.get("/readyz", headers={"Host": "other"}).status_code == 400


def test_a_cookie_is_no_way_in(web: Web) -> None:
    token = web.token("admin")
    client = web.client
    client.set_cookie("token", token)
    client.set_cookie("session", token)
    assert client.get("/queue").status_code == 401


def test_every_answer_carries_the_security_headers(web: Web) -> None:
    for address in ("/queue", "/docs", "/healthz", "/nowhere", "/why", "/ui/me", "/ui/sign-in"):
        headers = web.client.get(address).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["Referrer-Policy"] == "same-origin"
        assert "Access-Control-Allow-Origin" not in headers
        expected = "private, no-cache" if address == "/queue" else "no-store"
        assert headers["Cache-Control"] == expected
