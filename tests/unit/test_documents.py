"""The documents of a stage are read with suspicion, and told of by file and line."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from orch.errors import BadInput
from orch.qg import documents, reading
from orch.qg.documents import DOCUMENTS, OWN, Produced
from orch.stages import STAGES, TABLE
from tests.unit.paperwork import FOLDER, ITEM, good, hand_in, place

DELIVERING = [stage.name for stage in TABLE if stage.delivers]
REVIEW = f"{FOLDER}/12-review.md"
PLAN = f"{FOLDER}/04-test-plan.yaml"


def wrong_with(tmp_path: Path, name: str, content: str | bytes, stage: str = "analysis") -> str:
    """The one problem there is once this document is replaced."""
    hand_in(tmp_path, stage)
    data = content if isinstance(content, bytes) else content.encode()
    place(tmp_path, name).write_bytes(data)
    (problem,) = documents.problems(tmp_path, ITEM, stage)
    return problem


def wrong_with_review(tmp_path: Path, content: str) -> str:
    return wrong_with(tmp_path, "12-review.md", content, "review")


def test_the_table_names_exactly_the_documents_that_are_known() -> None:
    assert [name for stage in TABLE for name in stage.delivers] == list(DOCUMENTS)


def test_every_delivering_stage_has_one_document_for_its_verdict() -> None:
    assert OWN == {
        "analysis": "01-brief.md",
        "architecture": "07-design.md",
        "review": "12-review.md",
        "testing": "13-test-report.md",
        "deploy-staging": "14-staging-log.md",
        "deploy": "15-deploy-log.md",
    }
    assert list(OWN) == DELIVERING


@pytest.mark.parametrize("stage", STAGES)
def test_nothing_is_wrong_with_what_is_as_it_should_be(tmp_path: Path, stage: str) -> None:
    hand_in(tmp_path, stage)
    assert documents.problems(tmp_path, ITEM, stage) == ()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_missing_document_is_named(tmp_path: Path, name: str) -> None:
    (stage,) = [stage.name for stage in TABLE if name in stage.delivers]
    hand_in(tmp_path, stage)
    place(tmp_path, name).unlink()
    (problem,) = documents.problems(tmp_path, ITEM, stage)
    assert problem.startswith(f"{FOLDER}/{name} is missing")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_empty_document_is_named(tmp_path: Path, name: str) -> None:
    (stage,) = [stage.name for stage in TABLE if name in stage.delivers]
    problem = wrong_with(tmp_path, name, " \n\n", stage)
    assert problem.endswith(", line 1: it is empty.")


def test_every_document_that_is_missing_is_told(tmp_path: Path) -> None:
    assert len(documents.problems(tmp_path, ITEM, "analysis")) == 4
    assert len(documents.problems(tmp_path / "gone", ITEM, "architecture")) == 2


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("# Title\n\nText.\n", "line 3 (its end): there is no section `## Requirements`."),
        (
            "# T\n## Requirements\n\n# More\ntext\n",
            "line 2: the section `## Requirements` is empty.",
        ),
        ("```\n## Requirements\ntext\n```\n", "line 4 (its end): there is no section"),
        ("~~~~\n~~~\n## Requirements\nx\n", "line 4 (its end): there is no section"),
        ("### Requirements\ntext\n", "there is no section"),
        ("##Requirements\ntext\n", "there is no section"),
        ("    ## Requirements\ntext\n", "there is no section"),
    ],
)
def test_section_has_to_be_there_and_to_say_something(
    tmp_path: Path, content: str, problem: str
) -> None:
    assert problem in wrong_with(tmp_path, "02-requirements.md", content)


@pytest.mark.parametrize(
    "content",
    [
        "## requirements ##\r\ntext\r\n",
        "  ##  Requirements  \n### First\n",
        "```\ncode\n```\n## Requirements\n```\n# no heading\n```\n",
        "## Requirements\n\n## Other\n\n## Requirements\nat last\n",
        "\ufeff## Requirements\ntext",
    ],
)
def test_section_is_found_however_it_is_written(tmp_path: Path, content: str) -> None:
    hand_in(tmp_path, "analysis")
    place(tmp_path, "02-requirements.md").write_bytes(content.encode())
    assert documents.problems(tmp_path, ITEM, "analysis") == ()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("a: 1\nb: [1, 2\nc: 3\n", "line 3: "),
        ("a: 1\n\tb: 2\n", "line 2: "),
        ("a: 1\na: 2\n", "line 2: the key `a` stands twice."),
        ("a: {b: 1,\n  b: 2}\n", "line 2: the key `b` stands twice."),
        ("a: *nobody\n", "line 1: found undefined alias 'nobody'."),
        ("- " * 60 + "x\n", "nested more than 50 levels deep."),
        ("x: " + "[" * 100_000, "nested more than 50 levels deep."),
        ("- a\n" * 20_000, "line 20000: it has more than 20000 entries."),
        ("a: 1\nb: \x1b\n", "line 2: the character U+001B is not allowed."),
        (
            "a: 1\n---\nb: 2\n",
            "line 2: expected a single document in the stream, but found another document.",
        ),
        ("just words\n", "line 1: it is neither a mapping nor a list"),
        ("{}\n", "line 1: it is neither a mapping nor a list"),
        ("# only a comment\n", "line 1: it is neither a mapping nor a list"),
    ],
)
def test_yaml_has_to_parse(tmp_path: Path, content: str, problem: str) -> None:
    found = wrong_with(tmp_path, "04-test-plan.yaml", content)
    assert found.startswith(f"{PLAN}, ")
    assert problem in found
    assert len(found) < 300


@pytest.mark.parametrize(
    "content",
    ["a: !!python/object/apply:os.system [exit]\n", "- 2026-99-99\n- " + "1:" * 9999 + "1\n"],
)
def test_yaml_makes_no_objects_and_guesses_no_types(tmp_path: Path, content: str) -> None:
    hand_in(tmp_path, "analysis")
    place(tmp_path, "04-test-plan.yaml").write_text(content)
    assert documents.problems(tmp_path, ITEM, "analysis") == ()


@pytest.mark.parametrize(
    ("head", "problem"),
    [
        ("", "line 1: it has no front matter with `verdict` and `summary`."),
        ("---\nverdict: pass\n", "line 1: its front matter is not closed by a line `---`."),
        ("---\nverdict: great\nsummary: s\n---\n", "line 2: `verdict` is “great”, not one of pass"),
        ("---\nsummary: s\nverdict: no_work\n---\n", "line 3: `verdict` is “no_work”, not one of"),
        ("---\nsummary: s\n---\n", "line 1: `verdict` is missing or empty."),
        ("---\nverdict: pass\nsummary:\n---\n", "line 3: `summary` is missing or empty."),
        ("---\nverdict: pass\nsummary: [a]\n---\n", "line 3: `summary` is not a text."),
        ("---\nverdict: pass\nverdict: fail\n---\n", "line 3: the key `verdict` stands twice."),
        ("---\nverdict: pass\nsummary: a: b\n---\n", "line 3: mapping values are not allowed"),
        ("---\n- pass\n---\n", "line 2: its front matter is not a list of `key: value` lines."),
    ],
)
def test_front_matter_says_verdict_and_summary(tmp_path: Path, head: str, problem: str) -> None:
    found = wrong_with_review(tmp_path, head + "## Findings\n\nNone.\n")
    assert found.startswith(f"{REVIEW}, {problem.rstrip('.')}")


def test_brief_may_do_without_front_matter_but_not_with_a_wrong_one(tmp_path: Path) -> None:
    body = "## Goal\nText.\n## Scope\nText.\n"
    hand_in(tmp_path, "analysis")
    for head in ("", "---\nauthor: me\n---\n"):
        place(tmp_path, "01-brief.md").write_text(head + body)
        assert documents.problems(tmp_path, ITEM, "analysis") == ()
    found = wrong_with(tmp_path, "01-brief.md", "---\nverdict: fine\n---\n" + body)
    assert "line 2: `verdict` is “fine”" in found


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"## Requirements\nx\n" + b"x" * 2 * 1024 * 1024, "it is larger than 1048576 bytes"),
        (b"## Requirements\n\xff\xfe\n", "line 2 is not UTF-8: it has the byte 0xff"),
        (b"## Requirements\nx\n\0\n", "line 3 holds a NUL character"),
    ],
)
def test_document_that_is_no_text_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    found = wrong_with(tmp_path, "02-requirements.md", content)
    assert found == f"{FOLDER}/02-requirements.md was refused: {why}."


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("link", "it is a symbolic link"),
        ("dangling", "it is a symbolic link"),
        ("fifo", "it is not a regular file"),
        ("folder", "it is not a regular file"),
    ],
)
def test_document_that_is_no_plain_file_is_refused(tmp_path: Path, kind: str, why: str) -> None:
    hand_in(tmp_path, "review")
    (tmp_path / "elsewhere.md").write_text(good("12-review.md"))
    path = place(tmp_path, "12-review.md")
    path.unlink()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / ("elsewhere.md" if kind == "link" else "nowhere"))
    assert documents.problems(tmp_path, ITEM, "review") == (f"{REVIEW} was refused: {why}.",)
    assert documents.own_verdict(tmp_path, ITEM, "review") is None


@pytest.mark.parametrize("folder", ["docs", "docs/work-items", FOLDER, f"{FOLDER}/06-adr"])
def test_no_folder_above_a_document_may_be_a_link(tmp_path: Path, folder: str) -> None:
    outside, worktree = tmp_path / "outside", tmp_path / "worktree"
    hand_in(worktree, "architecture")
    shutil.move(worktree / folder, outside)
    (worktree / folder).symlink_to(outside)
    why = f"its folder `{folder.rpartition('/')[2]}` is a symbolic link"
    found = documents.problems(worktree, ITEM, "architecture")
    assert found[0] == f"{FOLDER}/06-adr/ADR-NNN-<slug>.md was refused: {why}."
    assert documents.produced(worktree, ITEM) == () or folder.endswith("06-adr")


def test_file_in_the_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "docs").write_text("")
    (problem,) = documents.problems(tmp_path, ITEM, "review")
    assert "its folder `docs` is not a folder" in problem


@pytest.mark.parametrize("path", ["../x", "a//b", "/etc/passwd", "a/./b", "a\0b", ""])
def test_path_that_leads_elsewhere_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(reading.RefusedError, match="no plain path"):
        reading.content(tmp_path, path)


def test_name_that_is_no_work_item_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        documents.problems(tmp_path, "../x", "review")


def test_every_decision_record_is_looked_at_and_other_files_are_not(tmp_path: Path) -> None:
    hand_in(tmp_path, "architecture")
    folder = tmp_path / FOLDER / "06-adr"
    (folder / "ADR-002-x.md").write_text("## Context\na\n## Decision\nb\n")
    (folder / "README.md").write_text("")
    (problem,) = documents.problems(tmp_path, ITEM, "architecture")
    assert problem.endswith(
        "ADR-002-x.md, line 4 (its end): there is no section `## Consequences`."
    )


def test_what_was_produced_is_told_in_short(tmp_path: Path) -> None:
    hand_in(tmp_path, "analysis")
    hand_in(tmp_path, "review")
    place(tmp_path, "02-requirements.md").write_text("# R\n\n" + "many  words " * 100)
    place(tmp_path, "03-acceptance-criteria.md").unlink()
    found = documents.produced(tmp_path, ITEM, besides="review")
    assert found[0] == Produced(f"{FOLDER}/01-brief.md", "In short.")
    assert found[1].summary.startswith("many words many")
    assert len(found[1].summary) == documents.SUMMARY_LIMIT
    assert [each.path.rpartition("/")[2] for each in found[2:]] == ["04-test-plan.yaml"]


def test_acceptance_criteria_are_handed_on_as_they_are(tmp_path: Path) -> None:
    assert documents.acceptance_criteria(tmp_path, ITEM) == ""
    hand_in(tmp_path, "analysis")
    criteria = documents.acceptance_criteria(tmp_path, ITEM)
    assert criteria == good("03-acceptance-criteria.md")


def test_a_megabyte_of_odd_lines_is_read_at_once(tmp_path: Path) -> None:
    lines = ["## " + " " * 300_000 + "x", "#" * 300_000, "## a" + " #" * 100_000, "`" * 100_000]
    problem = wrong_with(tmp_path, "02-requirements.md", "\n".join(lines))
    assert "there is no section" in problem
