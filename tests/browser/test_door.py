"""Coming in and going with a real browser: its own idea of origins, cookies and forms."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from orch import invitations, people, sessions
from orch.clock import new_id
from orch.line import Line
from orch.passwords import Passwords
from orch.people import NewPerson
from tests.browser.conftest import Seat, violations

WORDS = "a few words in a row"


def line_of(seat: Seat) -> Line:
    rig = seat.rig
    return Line(rig.store, rig.queue, rig.clock, new_id, rig.gate)


def sign_in(page: Page, name: str) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(WORDS)
    page.get_by_role("button", name="Sign in").click()


@pytest.mark.parametrize("scripts", [True, False])
def test_the_first_admin_comes_by_the_link_and_leaves(seat: Seat, scripts: bool) -> None:
    secret = invitations.first(line_of(seat))
    assert secret
    page = seat.open(invitations.welcome_path(secret), java_script_enabled=scripts, width=320)
    page.get_by_label("Name").fill("Ann")
    page.get_by_label("Password").fill(WORDS)
    page.get_by_label("Once more").fill(WORDS)
    page.get_by_role("button", name="Choose this password").click()
    page.get_by_role("link", name="People").click()
    expect(page.get_by_role("rowheader", name="ann")).to_have_count(2)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.goto("/ui/people")
    sign_in(page, "ann")
    expect(page.get_by_role("heading", name="People")).to_be_visible()


def test_what_is_typed_survives_the_end_of_the_session(seat: Seat) -> None:
    line = line_of(seat)
    people.add(line, Passwords(), NewPerson("ann", "admin", (), WORDS), "root")
    page = seat.open("/ui/people")
    sign_in(page, "ann")
    page.get_by_label("Name").fill("ben")
    page.get_by_label("Repos").fill("lib-* shop")
    page.get_by_label("Role").select_option("operator")
    (session,) = sessions.listed(line, 900)
    sessions.revoke(line, session["id"], "root")
    page.get_by_role("button", name="Add, and make a link").click()
    expect(page.get_by_role("alert")).to_contain_text("Your session is over")
    assert violations(page) == []
    sign_in(page, "ann")
    expect(page.get_by_text("lib-* shop")).to_be_visible()
    assert violations(page) == []
    page.get_by_role("button", name="Send again").click()
    expect(page.get_by_role("rowheader", name="ben")).to_be_visible()
    assert people.one(line, "ben")["repos"] == ["lib-*", "shop"]
    assert violations(page) == []
    seat.forgive("401")
