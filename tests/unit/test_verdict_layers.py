"""A verdict is looked for in three places, and the first that says something counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from orch.qg import documents
from orch.qg.verdict import OwnDocument, Statement, read_statement
from tests.unit.paperwork import FOLDER, ITEM, good, place

LAST_LINE = b"ORCH-VERDICT: fail\n"
REVIEW = f"{FOLDER}/12-review.md"


def own(worktree: Path) -> OwnDocument:
    document = documents.own_document(worktree, ITEM, "review")
    assert document is not None
    return document


def said(
    tmp_path: Path,
    content: str | bytes | None,
    result: str | None = None,
    output: bytes = LAST_LINE,
) -> Statement:
    """What is read after a turn in which the document and the result file were written so."""
    document = own(tmp_path)
    if content is not None:
        data = content if isinstance(content, bytes) else content.encode()
        place(tmp_path, "12-review.md").write_bytes(data)
    if result is not None:
        (tmp_path / "result.json").write_text(result)
    return read_statement(tmp_path / "result.json", output, document)


def test_result_file_wins_over_the_document(tmp_path: Path) -> None:
    assert said(tmp_path, good("12-review.md", "rework"), '{"verdict": "pass"}').word == "pass"


def test_document_wins_over_the_last_line(tmp_path: Path) -> None:
    assert said(tmp_path, good("12-review.md")) == Statement("pass", "In short.")


def test_refused_result_file_is_not_made_good_by_the_document(tmp_path: Path) -> None:
    statement = said(tmp_path, good("12-review.md"), "{}")
    assert (statement.word, "result file was refused" in statement.detail) == (None, True)


@pytest.mark.parametrize(
    "content",
    [None, "", "# Review\n", "---\nauthor: me\n---\n", "---\nverdict:\n---\n", "---\n---\n"],
)
def test_document_without_a_verdict_leaves_it_to_the_last_line(
    tmp_path: Path, content: str | None
) -> None:
    assert said(tmp_path, content).word == "fail"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("---\nsummary: s\nverdict: PASS\n---\n", "line 3: `verdict` is 'PASS', not one of pass"),
        ("---\nverdict: [pass]\n---\n", "line 2: `verdict` is not a text"),
        ("---\nverdict: pass\n", "line 1: its front matter is not closed"),
        ("---\nverdict: pass\nverdict: fail\n---\n", "line 3: the key `verdict` stands twice"),
        (b"---\nverdict: pass\xff\n---\n", "line 2 is not UTF-8"),
        (b"x" * 2 * 1024 * 1024, "larger than"),
    ],
)
def test_document_that_cannot_be_used_is_refused_and_not_passed_over(
    tmp_path: Path, content: str | bytes, why: str
) -> None:
    statement = said(tmp_path, content)
    assert statement.word is None
    assert statement.detail.startswith(f"{REVIEW} was refused: ")
    assert why in statement.detail


def test_document_behind_a_link_is_refused(tmp_path: Path) -> None:
    document = own(tmp_path)
    (tmp_path / "there").write_text(good("12-review.md"))
    place(tmp_path, "12-review.md").symlink_to(tmp_path / "there")
    statement = read_statement(tmp_path / "none", LAST_LINE, document)
    assert (statement.word, "symbolic link" in statement.detail) == (None, True)


def test_word_of_an_earlier_attempt_does_not_count(tmp_path: Path) -> None:
    place(tmp_path, "12-review.md").write_text(good("12-review.md"))
    assert said(tmp_path, None, output=b"").word is None
    assert said(tmp_path, good("12-review.md"), output=b"").word is None
    assert said(tmp_path, good("12-review.md", "rework"), output=b"").word == "rework"


def test_every_other_word_of_the_closed_list_is_taken_from_a_document(tmp_path: Path) -> None:
    assert said(tmp_path, "---\nverdict: no_work\nsummary: 'a: b'\n---\n") == Statement(
        "no_work", "a: b"
    )


def test_stage_without_documents_has_none_of_its_own(tmp_path: Path) -> None:
    assert documents.own_document(tmp_path, ITEM, "development") is None
