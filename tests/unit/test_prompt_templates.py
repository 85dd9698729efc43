"""A template that could fail or mislead later is refused when it is loaded, by file and line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orch.errors import ConfigError
from orch.prompting import STAGES, PromptFacts, load_prompts

DUE = "{{ task }}\n{{ again }}\n{{ answering }}\n"
FENCE = "k" * 20
FACTS = PromptFacts("ACME-7", "acme/shop", job=7, title="A title")


def override(folder: Path, content: str | bytes, name: str = "review.md") -> Path:
    data = content if isinstance(content, bytes) else content.encode()
    (folder / name).write_bytes(data)
    return folder


def problem(folder: Path) -> str:
    with pytest.raises(ConfigError) as refused:
        load_prompts(folder)
    assert refused.value.code == "config_invalid"
    return refused.value.message


def test_there_is_a_template_for_every_stage_with_an_agent() -> None:
    assert len(STAGES) == 7
    for stage in STAGES:
        assert FACTS.title in load_prompts().render(stage, FACTS, FENCE)


def test_file_in_the_folder_replaces_the_template_of_its_stage_only(tmp_path: Path) -> None:
    before, after = load_prompts(), load_prompts(override(tmp_path, "Our own.\n" + DUE))
    assert after.render("review", FACTS, FENCE).startswith("Our own.\nWork item ACME-7")
    for stage in set(STAGES) - {"review"}:
        assert after.render(stage, FACTS, FENCE) == before.render(stage, FACTS, FENCE)


def test_every_variable_may_be_used(tmp_path: Path) -> None:
    plain = "agent work_item repo stage branch base_sha folder document attempt attempts job"
    names = [*plain.split(), "rework_to", "criteria", "earlier"]
    shown = " ".join(f"{{{{ {name} }}}}" for name in names)
    listed = "{% for each in delivers %}{{ each }}{% else %}nothing{% endfor %}\n"
    asked = "{% if attempt == 1 and not criteria %}\nfirst\n{% elif stage != 0 %}more{% endif %}"
    text = load_prompts(override(tmp_path, shown + listed + asked + DUE))
    rendered = text.render("review", FACTS, FENCE)
    expected = "reviewer ACME-7 acme/shop review feature/ACME-7  docs/work-items/ACME-7 "
    assert rendered.startswith(expected + "docs/work-items/ACME-7/12-review.md 1 3 7 development  ")
    assert "`docs/work-items/ACME-7/12-review.md` (with" in rendered
    assert "first\nWork item" in rendered


@pytest.mark.parametrize(
    ("content", "line", "why"),
    [
        ("a\n{{ titel }}\n", 2, "the variable `titel` is unknown; known: again, agent,"),
        ("a\n{% if titel %}{% endif %}", 2, "the variable `titel` is unknown"),
        ("{% if job == 0 %}\n\n{{ titel }}{% endif %}", 3, "the variable `titel` is unknown"),
        ("{{ title }}", 1, "the variable `title` is unknown"),
        ("{% for x in delivers %}{% endfor %}\n{{ x }}", 2, "the variable `x` is unknown"),
        ("{% for x in delivers %}{{ loop }}{% endfor %}", 1, "the variable `loop` is unknown"),
        ("{{ self }}", 1, "the variable `self` is unknown"),
        ("{{ range }}", 1, "the variable `range` is unknown"),
        ("\n\n{% if %}", 3, "Expected an expression"),
        ("{{ task }", 1, "unexpected '}'"),
        ("\n{% if task %}\n", 6, "Unexpected end of template"),
        ("\n{% frobnicate %}", 2, "Encountered unknown tag 'frobnicate'"),
        ("{{ task|upper }}", 1, "a filter cannot be used in a prompt"),
        ("{{ range(9) }}", 1, "a call cannot be used in a prompt"),
        ("{{ task.__class__ }}", 1, "an attribute cannot be used in a prompt"),
        ("{{ task['x'] }}", 1, "an item cannot be used in a prompt"),
        ("\n{% include 'other.md' %}", 2, "`include` cannot be used in a prompt"),
        ("{% extends 'other.md' %}", 1, "`extends` cannot be used in a prompt"),
        ("{% import 'x' as y %}", 1, "“import” cannot be used in a prompt"),
        ("{% set task = 1 %}", 1, "`set` cannot be used in a prompt"),
        ("{% macro m() %}{% endmacro %}", 1, "`macro` cannot be used in a prompt"),
        ("{% if task is defined %}{% endif %}", 1, "“test” cannot be used in a prompt"),
        ("{{ 'x' * 10 ** 10 }}", 1, "“mul” cannot be used in a prompt"),
        ("{% if attempt > 'a' %}{% endif %}", 1, "only == and != can be asked"),
        ("{% for x in task %}{% endfor %}", 1, "`for` goes only through delivers"),
        ("{% for task in delivers %}{% endfor %}", 1, "`for` needs one new name"),
        ("{% for a, b in delivers %}{% endfor %}", 1, "`for` needs one new name"),
        ("{% for x in delivers recursive %}{% endfor %}", 1, "a recursive `for` cannot"),
        ("{{ delivers }}", 1, "`delivers` is a list: go through it with `for`"),
        ("{{ " + "(" * 5000, 1, ""),
    ],
)
def test_what_could_fail_or_mislead_is_refused_by_file_and_line(
    tmp_path: Path, content: str, line: int, why: str
) -> None:
    found = problem(override(tmp_path, f"{content}\n{DUE}"))
    assert f"{tmp_path}/review.md, line {line}: {why}" in found


def test_template_that_is_not_utf8_is_refused_by_file_and_line(tmp_path: Path) -> None:
    found = problem(override(tmp_path, DUE.encode() + b"\xff"))
    assert f"{tmp_path}/review.md, line 4: it is not UTF-8" in found


@pytest.mark.parametrize("name", ["task", "again", "answering"])
@pytest.mark.parametrize("instead", ["", "{{% if job == 0 %}}{{{{ {0} }}}}{{% endif %}}"])
def test_what_every_agent_has_to_know_is_printed_without_condition(
    tmp_path: Path, name: str, instead: str
) -> None:
    content = DUE.replace(f"{{{{ {name} }}}}", instead.format(name))
    assert f"review.md, line 1: `{{{{ {name} }}}}` is nowhere printed" in problem(
        override(tmp_path, content)
    )


def test_what_may_be_empty_may_be_asked_for_first(tmp_path: Path) -> None:
    content = "{% if again %}\n{{ again }}\n{% endif %}{{ task }}{{ answering }}"
    assert FACTS.title in load_prompts(override(tmp_path, content)).render("review", FACTS, FENCE)


def test_file_named_for_no_stage_is_a_mistake_and_one_of_an_editor_is_not(tmp_path: Path) -> None:
    override(tmp_path, DUE, ".review.md.swp")
    load_prompts(tmp_path)
    assert "reveiw.md: it is named for no stage; known: analysis.md," in problem(
        override(tmp_path, DUE, "reveiw.md")
    )


def test_folder_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    assert "gone: it cannot be listed: No such file" in problem(tmp_path / "gone")


def test_template_that_is_no_plain_file_or_too_large_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "review.md")
    (tmp_path / "testing.md").write_text("x" * 100_001)
    found = problem(tmp_path)
    assert "review.md: there is no such file" in found
    assert "testing.md: it is larger than 100000 bytes" in found


def test_missing_template_of_orchs_own_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orch.prompting.FOLDER", tmp_path)
    with pytest.raises(ConfigError) as refused:
        load_prompts()
    assert refused.value.message.count("there is no such file") == 10
    assert "prompts/deploy-staging.md: there is no such file" in refused.value.message


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    override(tmp_path, "{{ one }}\n{{ two }}\n" + DUE)
    override(tmp_path, "{{ three }}\n" + DUE, "testing.md")
    found = problem(tmp_path)
    assert [f"`{name}` is unknown" in found for name in ("one", "two", "three")] == [True] * 3
