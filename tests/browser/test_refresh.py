"""Pages that refresh: only when something changed, and taking nothing out of one's hands."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import EVERY, Seat


def answers(page: Page) -> list[int]:
    """What the server says to each question of this page from now on."""
    seen: list[int] = []
    page.on("response", lambda answer: seen.append(answer.status))
    return seen


def test_an_unchanged_page_is_one_304(busy: Seat) -> None:
    page = busy.open("/ui/line")
    with page.expect_response(lambda answer: answer.url.endswith("/ui/line")) as found:
        busy.later(page)
    assert found.value.status == 304
    expect(page.locator("#fresh")).to_have_text(re.compile("as of"))


def test_a_refresh_leaves_focus_choice_scroll_and_words_alone(busy: Seat) -> None:
    for number in range(40):
        busy.rig.task(f"PAY-{number}", repo="pay", title="One of many")
    page = busy.open("/ui/line?repo=pay")
    page.get_by_label("Text").fill("half a wor")
    page.locator("#w-PAY-7 [name=item]").check()
    page.locator("#w-PAY-30 a.item").focus()
    before = page.locator("#w-PAY-30").bounding_box()
    busy.rig.order("pause", "PAY-39", "later")
    busy.later(page)
    expect(page.locator("#p-PAY-39")).to_be_attached()
    expect(page.locator("#said")).to_have_text(re.compile("tasks? changed"))
    expect(page.locator("#w-PAY-30 a.item")).to_be_focused()
    expect(page.locator("#w-PAY-7 [name=item]")).to_be_checked()
    expect(page.get_by_label("Text")).to_have_value("half a wor")
    assert page.locator("#w-PAY-30").bounding_box() == before


def test_what_was_opened_stays_open(busy: Seat) -> None:
    page = busy.open("/ui/")
    page.locator("#numbers-waiting summary").click()
    busy.rig.order("freeze", "lib", "main is red")
    busy.later(page)
    expect(page.locator("[aria-labelledby=frozen]")).to_contain_text("main is red")
    expect(page.locator("#numbers-waiting table")).to_be_visible()


def test_the_server_goes_and_comes_back_and_no_word_is_lost(busy: Seat) -> None:
    page = busy.open("/ui/line")
    page.get_by_label("Text").fill("typed before")
    page.locator("#lane-lib").get_by_role("button", name="Freeze lib").click()
    why = page.locator("#dialog").get_by_label("Why")
    why.fill("typed as well")
    busy.site.stop()
    busy.later(page)
    expect(page.locator("#away")).to_contain_text("Not connected since")
    page.locator("#dialog").get_by_role("button", name="Preview").click()
    expect(page.locator("#dialog .alert")).to_contain_text("does not answer")
    expect(why).to_have_value("typed as well")
    busy.rig.order("pause", "ORCH-130", "meanwhile")
    busy.site.start()
    busy.later(page, 4 * EVERY)
    expect(page.locator("#away")).to_be_hidden()
    expect(page.locator("#p-ORCH-130")).to_be_attached()
    expect(page.get_by_label("Text")).to_have_value("typed before")
    page.locator("#dialog").get_by_role("button", name="Preview").click()
    page.locator("#dialog").get_by_role("button", name="Freeze lib").click()
    expect(page.locator("#flash")).to_contain_text("lib was frozen")
    busy.forgive("ERR_CONNECTION_REFUSED")


def test_refreshing_can_be_stopped_and_stays_so(busy: Seat) -> None:
    page = busy.open("/ui/line")
    page.get_by_label("Live").uncheck()
    expect(page.locator("#fresh")).to_have_text("stopped")
    seen = answers(page)
    busy.rig.order("pause", "ORCH-130", "later")
    busy.later(page, 4 * EVERY)
    page.reload()
    expect(page.get_by_label("Live")).not_to_be_checked()
    busy.later(page, 4 * EVERY)
    assert 304 not in seen
    with page.expect_response(re.compile("/ui/line")):
        page.get_by_label("Live").check()


def test_a_hidden_page_asks_nothing_until_it_is_seen_again(busy: Seat) -> None:
    page = busy.open("/ui/line")
    hide = """(hidden) => {
      Object.defineProperty(document, 'hidden', {configurable: true, get: () => hidden});
      document.dispatchEvent(new Event('visibilitychange'));
    }"""
    page.evaluate(hide, True)
    seen = answers(page)
    busy.later(page, 4 * EVERY)
    assert seen == []
    with page.expect_response(re.compile("/ui/line")):
        page.evaluate(hide, False)


def test_times_stay_true_without_asking(busy: Seat) -> None:
    page = busy.open("/ui/line")
    busy.later(page)
    expect(page.locator("#fresh")).to_have_text(re.compile("as of"))
    page.get_by_label("Live").uncheck()
    time = page.locator("#w-ORCH-123 > time")
    expect(time).to_have_text(re.compile(r"^15 min"))
    busy.later(page, 3_600_000)
    expect(time).to_have_text(re.compile(r"^1 h 15 min ago"))
