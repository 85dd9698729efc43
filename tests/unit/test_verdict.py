"""What an agent says of its work is read with suspicion."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orch.jobs import VERDICTS
from orch.qg.verdict import RESULT_LIMIT, TEXT_LIMIT, Statement, read_statement


def said(tmp_path: Path, content: bytes | str, output: bytes = b"") -> Statement:
    path = tmp_path / "result.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_statement(path, output)


@pytest.mark.parametrize("word", VERDICTS)
def test_every_word_of_the_closed_list_is_taken(tmp_path: Path, word: str) -> None:
    assert said(tmp_path, json.dumps({"verdict": word})).word == word
    assert read_statement(tmp_path / "none", f"ORCH-VERDICT: {word}\n".encode()).word == word


def test_all_keys_are_read_and_unknown_ones_passed_over(tmp_path: Path) -> None:
    content = {
        **{"verdict": "rework", "summary": "s", "question": "q", "rework_to": "development"},
        **{"cost_usd": 1, "mood": "good"},
    }
    expected = Statement("rework", "s", "q", "development", 1.0)
    assert said(tmp_path, json.dumps(content)) == expected


def test_null_is_the_same_as_absent(tmp_path: Path) -> None:
    content = '{"verdict":"pass","summary":null,"question":null,"rework_to":null,"cost_usd":null}'
    assert said(tmp_path, content) == Statement("pass")


def test_rework_stage_counts_only_with_rework(tmp_path: Path) -> None:
    assert said(tmp_path, '{"verdict": "pass", "rework_to": "nowhere"}').rework_to == ""


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON in UTF-8"),
        (b"[" * 100_000, "not JSON"),
        (b'{"verdict":"pass","cost_usd":NaN}', "not JSON"),
        (b'{"verdict":"pass","cost_usd":' + b"9" * 5000 + b"}", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b"{}", "`verdict` is None"),
        (b'{"verdict":"PASS"}', "'PASS', not one of pass, rework"),
        (b'{"verdict":["pass"]}', "['pass'], not one of"),
        (b'{"verdict":"' + b"x" * 1000 + b'"}', "xxx…, not one of"),
        (b'{"verdict":"pass","summary":5}', "`summary` is 5"),
        (b'{"verdict":"pass","question":{}}', "`question` is {}"),
        (b'{"verdict":"rework","rework_to":"done"}', "no stage of an agent"),
        (b'{"verdict":"rework","rework_to":"../x"}', "no stage of an agent"),
        (b'{"verdict":"pass","cost_usd":"1"}', "`cost_usd` is '1'"),
        (b'{"verdict":"pass","cost_usd":true}', "`cost_usd` is True"),
        (b'{"verdict":"pass","cost_usd":-1}', "not an amount"),
        (b'{"verdict":"pass","cost_usd":1e999}', "not an amount"),
        (b'{"verdict":"pass","cost_usd":' + b"9" * 400 + b"}", "too large"),
        (b'{"verdict":"pass"}' + b" " * RESULT_LIMIT, "larger than"),
    ],
)
def test_unusable_file_is_refused_with_a_sentence(tmp_path: Path, content: bytes, why: str) -> None:
    statement = said(tmp_path, content, output=b"ORCH-VERDICT: pass")
    assert statement.word is None
    assert why in statement.detail
    assert statement.detail.startswith("The result file was refused: ")
    assert len(statement.detail) < 200


def test_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_text('{"verdict": "pass"}')
    (tmp_path / "link").symlink_to(tmp_path / "target")
    statement = read_statement(tmp_path / "link", b"")
    assert (statement.word, "symbolic link" in statement.detail) == (None, True)


def test_text_is_made_storable(tmp_path: Path) -> None:
    assert said(tmp_path, r'{"verdict":"pass","summary":"a\u0000b\ud800c"}').summary == "a�b?c"
    long = json.dumps({"verdict": "pass", "summary": "x" * (TEXT_LIMIT + 1)})
    assert said(tmp_path, long).summary == "x" * (TEXT_LIMIT - 1) + "…"


def test_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    assert said(tmp_path, b'\xef\xbb\xbf{"verdict":"pass"}').word == "pass"


@pytest.mark.parametrize(
    ("output", "word"),
    [
        (b"", None),
        (b"hello\n", None),
        (b"ORCH-VERDICT: pass\nand then more\n", None),
        (b"ORCH-VERDICT: fail\n\nORCH-VERDICT: pass  \r\n \n", "pass"),
        (b"I think ORCH-VERDICT: pass", None),
        (b"\xff\0\nORCH-VERDICT:no_work", "no_work"),
        (b"ORCH-VERDICT: great", None),
    ],
)
def test_only_the_very_last_line_is_a_verdict(
    tmp_path: Path, output: bytes, word: str | None
) -> None:
    assert read_statement(tmp_path / "none", output).word == word


def test_unknown_word_in_the_last_line_is_named(tmp_path: Path) -> None:
    assert "'great'" in read_statement(tmp_path / "none", b"ORCH-VERDICT: great").detail


@given(content=st.binary(max_size=200), output=st.binary(max_size=200))
def test_no_bytes_make_it_raise(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, output: bytes
) -> None:
    statement = said(tmp_path_factory.mktemp("any"), content, output)
    assert statement.word is None or statement.word in VERDICTS
