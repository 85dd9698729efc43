#!/usr/bin/env python3
"""Speaks as one of the programs does, and behaves badly in the way it is told."""

import json
import os
import signal
import sys

kind, way = sys.argv[1:3]
CLOSING = "All is done.\nORCH-VERDICT: pass"
LIMIT = "You've hit your usage limit, try again in 2 hours 30 minutes."
REFUSAL = "Unauthorized: please run /login"
STALE = {
    "claude": "No conversation found with session ID: old",
    "codex": "Error: thread/resume failed: no rollout found for thread id old",
    "opencode": "Error: Session not found",
    "command": "",
}[kind]


def line(**event: object) -> bytes:
    return json.dumps(event).encode() + b"\n"


def text(words: str) -> bytes:
    """The agent says something."""
    if kind == "claude":
        content = [{"type": "text", "text": words}]
        return line(type="assistant", message={"content": content}, parent_tool_use_id=None)
    if kind == "codex":
        return line(type="item.completed", item={"type": "agent_message", "text": words})
    if kind == "opencode":
        return line(type="text", sessionID="ses_1", part={"type": "text", "text": words})
    return words.encode() + b"\n"


def end() -> bytes:
    """The turn is over."""
    if kind == "claude":
        usage = {"m": {"inputTokens": 7, "cacheReadInputTokens": 3, "outputTokens": 2}}
        more = {"modelUsage": usage, "total_cost_usd": 0.25, "num_turns": 4, "result": CLOSING}
        return line(type="result", subtype="success", is_error=False, session_id="s-1", **more)
    if kind == "codex":
        usage = {"input_tokens": 10, "cached_input_tokens": 3, "output_tokens": 2}
        return line(type="turn.completed", usage=usage)
    if kind == "opencode":
        tokens = {"input": 7, "output": 1, "reasoning": 1, "cache": {"read": 3, "write": 0}}
        part = {"reason": "stop", "cost": 0.25, "tokens": tokens}
        return line(type="step_finish", sessionID="ses_1", part=part)
    return b""


def failure(why: str) -> bytes:
    """The turn came to nothing."""
    if kind == "claude":
        more = {"session_id": "s-1", "errors": [why]}
        return line(type="result", subtype="error_during_execution", is_error=True, **more)
    if kind == "codex":
        return line(type="error", message=why) + line(type="turn.failed", error={"message": why})
    if kind == "opencode":
        error = {"name": "APIError", "data": {"message": why}}
        return line(type="error", sessionID="ses_1", error=error)
    return why.encode() + b"\n"


def begin() -> bytes:
    """The session is there."""
    if kind == "claude":
        return line(type="system", subtype="init", session_id="s-1")
    return line(type="thread.started", thread_id="s-1") if kind == "codex" else b""


def broken() -> bytes:
    """Lines that are nearly events, or far from it."""
    names = ("system", "assistant", "result?", "rate_limit_event", "item.completed", "error?")
    shapes: list[object] = [None, 5, [], {"message": 5}, {"item": []}, {"part": "x"}]
    lines = [json.dumps(shape).encode() for shape in shapes]
    for name in names:
        for key in ("message", "item", "part", "rate_limit_info", "session_id", "usage"):
            lines += [json.dumps({"type": name, key: shape}).encode() for shape in shapes]
    lines += [b'{"type": "ass', b"[" * 100_000, b'{"a":' * 100_000, b'{"type": "text", "n": 1e999}']
    return b"\n".join([*lines, b'{"type": {"a": [1]}}', b'{"n": ' + b"9" * 9000 + b"}", b""])


def noise() -> bytes:
    """What a clean stream does not hold."""
    if way == "long lines":
        return line(type="user", text="x" * 9_000_000) + line(type="user", text="y" * 11_000_000)
    if way == "NUL and invalid UTF-8":
        return b'\0\0{"type": "system", "x": "\xff\xfe\0"}\n\xc3\x28\0\n' + broken()
    return broken() if way == "lines that are no events" else b""


def say(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


def fail(why: str, code: int = 1) -> None:
    say(begin() + failure(why))
    sys.exit(code)


if way == "exits 0 with nothing":
    sys.exit(0)
if way == "reads standard input to its end":
    sys.stdin.read()
if way == "its session is gone" and {"--resume", "resume", "--session"} & set(sys.argv):
    sys.stderr.write(STALE + "\n")
    sys.exit(1)
if way == "says that it failed":
    fail("The model is confused.")
if way == "says that it failed, exits 0":
    fail("The model is confused.", 0)
if way == "the provider's limit is reached":
    fail(LIMIT)
if way == "the provider refuses the key":
    fail(REFUSAL)
say(begin() + text("I begin."))
if way == "dies without a result":
    sys.exit(1)
if way == "is killed (exit 137)":
    os.kill(os.getpid(), signal.SIGKILL)
say(noise() + text(CLOSING) + end())
if way == "a child keeps the pipe open" and os.fork() == 0:
    os.setsid()
    signal.pause()
if way == "stays alive after its result":
    signal.pause()
