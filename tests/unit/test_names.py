"""The grammar of names and texts from outside."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orch import names
from orch.errors import BadInput, DoesNotFit

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOSTILE: list[object] = [
    "", " ", ".", "..", "-rf", "--help", "a b", "a\tb", "a\nb", "a\x00b", "a/../b", "../a", "/etc",
    "a;b", "a|b", "a$b", "a`b`", "$(a)", "a'b", 'a"b', "a\\b", "ä", "a\u202eb", "a" * 300, "~",
    "a..b", None, 7, b"a", [], "a\r", "%00", "a:b", "@{u}",
]  # fmt: skip


@pytest.mark.parametrize("value", ["ORCH-123", "a", "1", "A_b.c-d", "x" * 64])
def test_work_items_that_pass(value: str) -> None:
    assert names.work_item(value) == value


@pytest.mark.parametrize("value", [*HOSTILE, "a/b", "x" * 65, "_a", ".a", "a.lock", "a.", "A.LOCK"])
def test_work_items_that_do_not(value: object) -> None:
    with pytest.raises(BadInput) as refused:
        names.work_item(value)
    assert refused.value.facts["field"] == "work_item"
    assert refused.value.suggested_fix


@pytest.mark.parametrize("value", ["app", "team/app", "_x", "a.b-c_d", "x" * 100])
def test_repos_that_pass(value: str) -> None:
    assert names.repo(value) == names.repo_or_glob(value) == value


@pytest.mark.parametrize(
    "value",
    [*HOSTILE, "a/b/c", "a/", "/a", "a//b", ".git", "a/.git", "a.git", "a/b.lock", "con", "a/NUL"],
)
def test_repos_that_do_not(value: object) -> None:
    with pytest.raises(BadInput):
        names.repo(value)
    with pytest.raises(BadInput):
        names.repo_or_glob(value)


@pytest.mark.parametrize("value", ["*", "team/*", "a?b", "*-web", "?"])
def test_globs_are_for_freezes_only(value: str) -> None:
    assert names.repo_or_glob(value) == value
    with pytest.raises(BadInput):
        names.repo(value)


@pytest.mark.parametrize("value", ["* ", "a*b;c", "..*", "*\n", "*" * 201, "[ab]*", "{a}*"])
def test_globs_that_mean_something_elsewhere_are_refused(value: str) -> None:
    with pytest.raises(BadInput):
        names.repo_or_glob(value)


@pytest.mark.parametrize("value", ["developer", "a", "my-agent_2"])
def test_agents_that_pass(value: str) -> None:
    assert names.agent(value) == value


@pytest.mark.parametrize("value", [*HOSTILE, "Developer", "1st", "a/b", "x" * 65])
def test_agents_that_do_not(value: object) -> None:
    with pytest.raises(BadInput):
        names.agent(value)


@given(st.text())
def test_what_passes_as_a_name_is_one_plain_word(value: str) -> None:
    checks: list[Callable[[object], str]] = [names.work_item, names.repo, names.agent]
    for check in checks:
        try:
            passed = check(value)
        except BadInput:
            continue
        assert passed == value
        assert value.isascii()
        assert not value.startswith(("-", ".", "/"))
        assert ".." not in value
        assert not set(value) & set(" \t\n\x00;|&$`'\"\\<>*?[]{}()~:")


def test_texts_may_have_lines_and_tabs_and_any_script() -> None:
    assert names.text("eins\r\nzwei\tdrei — 四", "description") == "eins\nzwei\tdrei — 四"
    assert names.text(None, "description") == ""


@pytest.mark.parametrize("bad", ["a\x00", "a\x1b[31m", "a\x07", "a\u2028b", "a\x85", "\ud800", 3])
def test_texts_without_what_changes_a_terminal_or_a_log(bad: object) -> None:
    with pytest.raises(BadInput):
        names.text(bad, "description")


def test_texts_are_bounded_to_the_letter() -> None:
    assert len(names.text("x" * 10, "title", 10)) == 10
    with pytest.raises(BadInput, match="11 characters; 10 are allowed"):
        names.text("x" * 11, "title", 10)


def test_a_line_has_one_line() -> None:
    assert names.line("  a title ", "title") == "a title"
    with pytest.raises(BadInput):
        names.line("a\nb", "title")


def test_a_reason_may_be_empty_unless_it_is_required() -> None:
    assert names.reason(" ") == names.reason(None) == ""
    for empty in ("", "  ", None):
        with pytest.raises(BadInput, match="reason is required"):
            names.reason(empty, required=True)
    with pytest.raises(BadInput):
        names.reason("x" * (names.REASON_LIMIT + 1))


@pytest.mark.parametrize(
    ("given_", "wanted"),
    [
        ("+90m", NOW + timedelta(minutes=90)),
        ("+1s", NOW + timedelta(seconds=1)),
        ("+2h", NOW + timedelta(hours=2)),
        ("+1d", NOW + timedelta(days=1)),
        ("2026-03-01T12:00:01Z", NOW + timedelta(seconds=1)),
        ("2026-03-01T14:30:00+02:00", NOW + timedelta(minutes=30)),
        ("", None),
        (None, None),
        ("9999-12-31T23:59:59-12:00", names.LATEST),  # beyond what UTC can say
    ],
)
def test_moments_that_pass_come_out_in_utc(given_: object, wanted: datetime | None) -> None:
    found = names.moment(given_, "until", NOW)
    assert found == wanted
    assert found is None or found.tzinfo is UTC


@pytest.mark.parametrize(
    "value",
    [
        "2026-03-01T12:00:00Z",  # now is not the future
        "2020-01-01T00:00:00Z",
        "2026-03-02T12:00:00",  # no zone
        "2026-03-02",
        "tomorrow",
        "+0m",
        "+m",
        "-5m",
        "+5w",
        "+1234567d",
        "0001-01-01T00:00:00+14:00",  # before what UTC can say
        90,
        "\x00",
    ],
)
def test_moments_that_do_not(value: object) -> None:
    with pytest.raises(BadInput) as refused:
        names.moment(value, "until", NOW)
    assert refused.value.facts["field"] == "until"


@given(st.text())
def test_any_text_is_a_moment_or_bad_input(value: str) -> None:
    try:
        found = names.moment(value, "until", NOW)
    except BadInput:
        return
    assert found is None or found > NOW


@given(st.text(max_size=400))
def test_what_is_shown_in_a_message_is_short_and_on_one_line(value: str) -> None:
    shown = names.shown(value)
    assert len(shown) <= 80
    assert shown.isprintable() or not set(shown) & set("\n\r\x1b\x00\x85\u2028\u2029")


SHA = "0123456789abcdef" * 2 + "01234567"


@pytest.mark.parametrize("value", [SHA, "0" * 40, "a" * 64])
def test_full_names_of_commits_pass(value: str) -> None:
    assert names.sha(value) == value


@pytest.mark.parametrize(
    "value", [*HOSTILE, "main", SHA[:39], SHA + "0", SHA.upper(), SHA + "\n", "main;id", "-" * 40]
)
def test_other_names_of_commits_do_not(value: object) -> None:
    with pytest.raises(BadInput):
        names.sha(value)


@pytest.mark.parametrize("value", ["main", "release/2.0", "feature/ORCH-1", "_x", "a.b/c-d"])
def test_branches_that_pass(value: str) -> None:
    assert names.branch(value) == value


@pytest.mark.parametrize(
    "value",
    [*HOSTILE, "HEAD", "-D", "@{-1}", "refs/heads/main", "a//b", "/a", "a/", "a.lock/b", "a/.b"],
)
def test_branches_that_do_not(value: object) -> None:
    with pytest.raises(BadInput):
        names.branch(value)


@pytest.mark.parametrize(
    "value",
    [
        "https://example.org/team/app.git", "http://127.0.0.1:3000/a", "ssh://git@example.org:22/a",
        "ssh://example.org/a", "git@example.org:team/app.git", "file:///srv/a.git", "/srv/a.git",
    ],
)  # fmt: skip
def test_remotes_that_pass(value: str) -> None:
    assert names.remote_url(value) == value


@pytest.mark.parametrize(
    "value",
    [
        "", "-oProxyCommand=id", "ext::sh -c id", "EXT::sh", "https://ann:secret@example.org/a",
        "https://secret@example.org/a", "ssh://-oProxyCommand=id/a", "ssh://git:secret@h/a",
        "git@-h:a", "-u@h:a", "relative/a", "a:b", "fd::1", "git@h::x", "https://h/a b", "/a\nb",
        "file://host/a", "transport::/a", None, "/" + "a" * 600,
    ],
)  # fmt: skip
def test_remotes_that_do_not(value: object) -> None:
    with pytest.raises(BadInput) as refused:
        names.remote_url(value)
    assert "secret" not in refused.value.message


@given(st.text())
def test_a_cleaned_text_is_one_short_line(value: str) -> None:
    cleaned = names.cleaned(value)
    assert len(cleaned) <= names.TITLE_LIMIT
    assert not set(cleaned) & set("\n\r\t\0\x1b\u2028\u202e")
    assert cleaned == names.cleaned(cleaned)


LETTERS = [chr(code) for code in range(0x10000) if not 0xD800 <= code < 0xE000]


@pytest.mark.parametrize(
    ("grammar", "check"),
    [
        (names.TEXT, lambda value: names.text(value, "text")),
        (names.LINE, lambda value: names.line(value, "line")),
        (names.WORDS, names.note),
        (names.WORDS, lambda value: names.reason(value, required=True)),
    ],
)
def test_the_grammar_that_is_shown_is_the_one_that_decides(
    grammar: str, check: Callable[[str], str]
) -> None:
    assert re.fullmatch(grammar, "one\r\ntwo") is None or check("one\r\ntwo") == "one\ntwo"
    for letter in LETTERS:
        try:
            check(letter)
        except BadInput:
            assert re.fullmatch(grammar, letter) is None, ascii(letter)
        else:
            assert re.fullmatch(grammar, letter), ascii(letter)


@pytest.mark.parametrize(
    "value", ["x" * 101, "a/" + "x" * 101, "a" * 100 + "/" + "b" * 100, "a.LOCK"]
)
def test_repos_as_long_as_their_column_and_no_longer(value: str) -> None:
    with pytest.raises(BadInput):
        names.repo(value)
    assert names.repo("a" * 100 + "/" + "b" * 99)


def test_a_time_on_the_wrong_side_of_now_is_no_mistake_of_writing() -> None:
    with pytest.raises(DoesNotFit):
        names.moment("2001-01-01T00:00:00Z", "until", NOW)
    with pytest.raises(DoesNotFit):
        names.past("2099-01-01T00:00:00Z", "since", NOW)
