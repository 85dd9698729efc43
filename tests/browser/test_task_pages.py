"""The pages of one thing in a real browser: a log that is followed, and all of them clean."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import update

from orch.store.schema import jobs
from tests.browser.conftest import Seat

HOSTILE = '<img src=x onerror=alert(1)>\x1b[31m"><script>alert(2)</script>\x1b[0m\u202e'


@pytest.fixture
def log(busy: Seat) -> Path:
    """The log of ORCH-116's job, which runs."""
    path = busy.site.folder.resolve() / "jobs" / "1" / "held-1" / "log"
    path.parent.mkdir(parents=True)
    path.write_text("".join(f"line {number}\n" for number in range(600)))
    return path


def write(log: Path, text: str) -> None:
    with log.open("a") as file:
        file.write(text)


def over(seat: Seat, log: Path) -> None:
    """The job ends."""
    ended = update(jobs).where(jobs.c.id == 1)
    facts = {"status": "succeeded", "log_path": str(log), "finished_at": seat.rig.clock()}
    seat.rig.store.write(lambda conn: conn.execute(ended.values(**facts)))


def is_at_the_end(page: Page) -> bool:
    found: bool = page.locator("#log").evaluate(
        "log => log.scrollHeight - log.scrollTop - log.clientHeight < 40"
    )
    return found


def test_a_log_is_followed_while_its_page_refreshes(busy: Seat, log: Path) -> None:
    page = busy.open("/ui/jobs/1/log")
    shown, said = page.locator("#log"), page.locator("#log-said")
    expect(said).to_contain_text("Following")
    assert is_at_the_end(page)
    write(log, f"{HOSTILE}\nhello\n")
    expect(shown).to_contain_text("hello")
    assert shown.locator("*").count() == 0
    busy.rig.order("pause", "ORCH-116", "lunch")
    busy.later(page)
    write(log, "after the refresh\n")
    expect(shown).to_contain_text("after the refresh")
    assert (shown.text_content() or "").count("hello") == 1
    assert is_at_the_end(page)
    write(log, "the last word")
    over(busy, log)
    expect(said).to_have_text("The job is over: succeeded.")
    expect(shown).to_contain_text("the last word")


def test_following_can_be_stopped_and_taken_up_again(busy: Seat, log: Path) -> None:
    page = busy.open("/ui/jobs/1/log")
    shown = page.locator("#log")
    shown.evaluate("log => { log.scrollTop = 0; }")
    write(log, "unseen\n")
    expect(shown).to_contain_text("unseen")
    assert not is_at_the_end(page)
    page.get_by_role("button", name="To the end").click()
    assert is_at_the_end(page)
    page.get_by_role("button", name="Stop following").click()
    expect(page.locator("#log-said")).to_have_text("Stopped.")
    write(log, "meanwhile\n")
    page.get_by_role("button", name="Follow", exact=True).click()
    expect(shown).to_contain_text("meanwhile")


def test_without_a_stream_the_page_asks_again_and_again(busy: Seat, log: Path) -> None:
    page = busy.open("/ui/")
    page.route("**/log/stream*", lambda route: route.fulfill(status=429))
    page.goto("/ui/jobs/1/log")
    with page.expect_response("**/log/part*"):
        pass
    write(log, "found by asking\n")
    busy.later(page)
    expect(page.locator("#log")).to_contain_text("found by asking")
    busy.forgive("429")


def test_without_scripts_the_last_lines_are_there(busy: Seat, log: Path) -> None:
    page = busy.open("/ui/jobs/1/log", java_script_enabled=False)
    expect(page.locator("#log")).to_contain_text("line 599")
    write(log, "one more\n")
    page.get_by_role("link", name="Load it anew").click()
    expect(page.locator("#log")).to_contain_text("one more")
    page.goto("/ui/ledger")
    page.get_by_label("What").fill("task.paused")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("#live")).to_contain_text("Nothing here matches")


def test_a_task_is_steered_from_its_own_page(busy: Seat) -> None:
    page = busy.open("/ui/tasks/ORCH-123")
    expect(page.locator(".sentence")).to_contain_text("ORCH-116")
    page.get_by_role("link", name="Pause", exact=True).click()
    page.get_by_role("textbox", name="Why").fill("not today")
    page.get_by_role("button", name="Preview").click()
    page.get_by_role("button", name="Pause ORCH-123").click()
    expect(page.locator("#live")).to_contain_text("not today")
    expect(page.get_by_role("link", name="Resume", exact=True)).to_be_visible()
