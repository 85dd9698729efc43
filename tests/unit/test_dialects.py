"""How each program is called, and what its lines are taken to mean."""

from __future__ import annotations

import json
import marshal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import orch
from orch.adapters import agent_claude, agent_codex, agent_opencode
from orch.dialects import TEXT_KEPT, Call, Reader, failure_in
from orch.ports import AgentCommand

READERS = [agent_claude.Reader, agent_codex.Reader, agent_opencode.Reader]
BARE = AgentCommand("developer", ())
WALLED = replace(BARE, sandbox="bubblewrap")


def heard(reader: Reader, *events: dict[str, Any]) -> Reader:
    for event in events:
        reader.line(json.dumps(event).encode())
    return reader


def claude(*events: dict[str, Any]) -> Reader:
    return heard(agent_claude.Reader(), *events)


def result(subtype: str = "success", **more: Any) -> dict[str, Any]:
    return {"type": "result", "subtype": subtype, **more}


def retry(error: str) -> dict[str, Any]:
    return {"type": "system", "subtype": "api_retry", "error": error}


def test_claude_is_called_without_a_screen_and_without_the_repositorys_settings() -> None:
    argv = " ".join(agent_claude.options(Call(BARE, "/w")))
    assert argv == (
        "-p --output-format stream-json --verbose --setting-sources user --strict-mcp-config "
        "--permission-mode acceptEdits"
    )


def test_claude_is_told_its_limits_and_its_session() -> None:
    command = replace(WALLED, model="opus", max_turns=9, budget_usd=1.5)
    argv = " ".join(agent_claude.options(Call(command, "/w", "s-1")))
    assert argv.endswith(
        "--permission-mode bypassPermissions --model opus --max-turns 9 --max-budget-usd 1.50 "
        "--resume s-1"
    )


def test_codex_distrusts_the_repository_and_reads_its_prompt_from_standard_input() -> None:
    argv = agent_codex.options(Call(replace(BARE, model="m"), '/a "b".c', "s-1"))
    assert argv == [
        *("exec", "--json", "--skip-git-repo-check", "--ignore-rules", "-c"),
        'projects={"/a \\"b\\".c"={trust_level="untrusted"}}',
        *("--sandbox", "workspace-write", "--model", "m", "resume", "s-1", "-"),
    ]


def test_opencode_is_called_for_json_with_its_session() -> None:
    argv = agent_opencode.options(Call(replace(WALLED, model="p/m"), "/w", "ses_1"))
    assert argv == ["run", "--format", "json", "--auto", "--model", "p/m", "--session", "ses_1"]


@pytest.mark.parametrize(
    ("options", "own"),
    [
        (agent_claude.options, "--permission-mode=plan"),
        (agent_claude.options, "--dangerously-skip-permissions"),
        (agent_codex.options, "--sandbox"),
        (agent_opencode.options, "--auto"),
    ],
)
def test_what_the_operator_says_of_permissions_is_left_alone(options: Any, own: str) -> None:
    without = options(Call(replace(WALLED, argv=("x",)), "/w"))
    with_own = options(Call(replace(WALLED, argv=("x", own)), "/w"))
    assert own.partition("=")[0] not in with_own
    assert len(with_own) < len(without)


@pytest.mark.parametrize(
    ("events", "failure", "detail"),
    [
        ([result("error_max_turns", is_error=True)], None, "limit of turns"),
        ([result("error_max_budget_usd", is_error=True)], None, "its budget"),
        ([retry("authentication_failed"), result("error_during_execution")], "auth_invalid", ""),
        ([retry("billing_error"), result(is_error=True)], "provider_limited", "billing_error"),
        ([retry("rate_limit"), result(is_error=True)], "provider_limited", ""),
        ([retry("server_error"), result(is_error=True, result="Oh.")], None, "Oh."),
        ([result(is_error=True, api_error_status=401)], "auth_invalid", ""),
        ([result(is_error=True, api_error_status=429)], "provider_limited", ""),
        ([result(is_error=True, result="You've hit your limit")], "provider_limited", "hit"),
        ([result(is_error=True)], None, "success"),
    ],
)
def test_claude_names_its_failures(
    events: list[dict[str, Any]], failure: str | None, detail: str
) -> None:
    reader = claude(*events)
    assert (reader.ended, reader.failed, reader.failure) == (True, True, failure)
    assert detail in reader.detail


def test_trouble_that_claude_overcame_is_forgotten() -> None:
    answer = {"type": "assistant", "message": {"content": [{"type": "text", "text": "Well."}]}}
    reader = claude(retry("rate_limit"), answer)
    assert (reader.failure, reader.detail, reader.text) == (None, "", "Well.")


def test_claude_states_when_its_limit_ends() -> None:
    event = {"type": "rate_limit_event", "rate_limit_info": {"resetsAt": 1_778_565_600}}
    assert claude(event).resets == 0
    event["rate_limit_info"] |= {"status": "rejected"}  # type: ignore[operator]
    assert claude(event).resets == 1_778_565_600


def test_words_of_a_subordinate_agent_are_not_the_closing_words() -> None:
    content = {"content": [{"type": "text", "text": "ORCH-VERDICT: pass"}]}
    reader = claude({"type": "assistant", "message": content, "parent_tool_use_id": "t"}, result())
    assert (reader.ended, reader.text) == (True, "")


def test_connecting_once_more_is_not_the_end_of_codex() -> None:
    again = {"type": "error", "message": "Reconnecting... 1/5 (unexpected status 401 Unauthorized)"}
    reader = heard(agent_codex.Reader(), again)
    assert (reader.ended, reader.failed, reader.failure) == (False, False, "auth_invalid")
    reader = heard(reader, {"type": "turn.completed"})
    assert (reader.ended, reader.failed) == (True, False)


def test_codex_passes_on_the_providers_answer() -> None:
    answer = json.dumps({"error": {"message": "You exceeded your current quota."}})
    reader = heard(agent_codex.Reader(), {"type": "turn.failed", "error": {"message": answer}})
    assert (reader.detail, reader.failure) == (
        "You exceeded your current quota.",
        "provider_limited",
    )


def test_opencode_ends_with_a_last_step_that_said_its_verdict() -> None:
    def closing(words: str, reason: str) -> Reader:
        text = {"type": "text", "part": {"text": words}}
        step = {"type": "step_finish", "part": {"reason": reason}}
        return heard(agent_opencode.Reader(), text, step)

    assert closing("Done.\nORCH-VERDICT: pass\n", "stop").ended
    assert not closing("A summary of the work so far.", "stop").ended
    assert not closing("ORCH-VERDICT: pass", "tool-calls").ended


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        ({"name": "ProviderAuthError", "data": {"message": "No key."}}, "auth_invalid"),
        ({"name": "APIError", "data": {"message": "No.", "statusCode": 429}}, "provider_limited"),
        ({"name": "UnknownError"}, None),
        ("boom", None),
    ],
)
def test_opencode_names_its_failures(error: Any, failure: str | None) -> None:
    reader = heard(agent_opencode.Reader(), {"type": "error", "error": error})
    assert (reader.failed, reader.failure) == (True, failure)
    assert reader.detail


def test_a_later_step_overcomes_an_error_of_opencode() -> None:
    reader = heard(agent_opencode.Reader(), {"type": "error", "error": {}}, {"type": "step_finish"})
    assert (reader.failed, reader.detail) == (False, "")


@pytest.mark.parametrize("reader", READERS)
def test_session_that_could_be_an_option_is_not_remembered(reader: type[Reader]) -> None:
    events = [
        {"type": "system", "session_id": "--evil"},
        {"type": "thread.started", "thread_id": "--evil"},
        {"type": "text", "sessionID": "--evil"},
    ]
    assert heard(reader(), *events).session == ""


@pytest.mark.parametrize("reader", READERS)
def test_little_is_kept_of_endless_words(reader: type[Reader]) -> None:
    words = "x" * (3 * TEXT_KEPT)
    events = [
        {"type": "assistant", "message": {"content": [{"type": "text", "text": words}]}},
        {"type": "item.completed", "item": {"type": "agent_message", "text": words}},
        {"type": "text", "part": {"text": words}},
    ]
    assert len(heard(reader(), *events).text) == TEXT_KEPT


@pytest.mark.parametrize("reader", READERS)
def test_what_was_heard_can_be_reported_whatever_it_holds(reader: type[Reader]) -> None:
    words = "half a character: \ud800, and \0"
    events = [
        {"type": "assistant", "message": {"content": [{"type": "text", "text": words}]}},
        {"type": "item.completed", "item": {"type": "agent_message", "text": words}},
        {"type": "text", "part": {"text": words}},
    ]
    found = heard(reader(), *events).heard()
    assert marshal.loads(marshal.dumps(found)) == found  # noqa: S302
    assert found["text"] == words


@pytest.mark.parametrize("value", [-1, 10**400, "7", True, None, [1], float("nan")])
def test_usage_takes_no_nonsense(value: Any) -> None:
    usage = {"usage": {"input_tokens": value, "output_tokens": 2}}
    reader = heard(agent_codex.Reader(), {"type": "turn.completed", **usage})
    assert (reader.usage["input_tokens"], reader.usage["output_tokens"]) == (0, 2)


@pytest.mark.parametrize(
    ("text", "failure"),
    [
        ("You've hit your usage limit.", "provider_limited"),
        ("429 Too Many Requests", "provider_limited"),
        ("Credit balance is too low", "provider_limited"),
        ("Invalid API key · Please run /login", "auth_invalid"),
        ("unexpected status 401 Unauthorized", "auth_invalid"),
        ("The context window is exceeded.", None),
        ("the limit of the loop is 5", None),
    ],
)
def test_class_of_a_failure_is_read_from_its_words(text: str, failure: str | None) -> None:
    assert failure_in(text) == failure


@pytest.mark.parametrize("reader", [reader.__module__ for reader in READERS])
def test_reader_can_be_loaded_where_only_the_standard_library_is(reader: str) -> None:
    root = str(Path(orch.__file__).parents[1])
    code = f"import sys; sys.path.append({root!r}); import {reader}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-ISc", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert not {"pydantic", "sqlalchemy", "celery"} & set(done.stdout.split())
