"""Codex: `codex exec --json`, prompt on standard input by `-`, a stream of JSON events back.

`turn.completed` or `turn.failed` is the end. An event `error` is not: the program also says so that
it connects once more.
"""

from __future__ import annotations

import json
from typing import Any, Final

from orch import dialects
from orch.dialects import Call, Dialect, inner, words

WALLS: Final = ("-s", "--sandbox", "--dangerously-bypass-approvals-and-sandbox")


def options(call: Call) -> list[str]:
    """The options of a turn. Settings and rules of the target repository are not loaded."""
    # Settings in a repository count only where it is trusted; a user may have trusted it once.
    folder = json.dumps(call.workdir)
    given = ["exec", "--json", "--skip-git-repo-check", "--ignore-rules"]
    given += ["-c", f'projects={{{folder}={{trust_level="untrusted"}}}}']
    if not call.given(*WALLS):
        given += ["--sandbox", "danger-full-access" if call.walled else "workspace-write"]
    if call.command.model:
        given += ["--model", call.command.model]
    return [*given, *(["resume", call.resume] if call.resume else []), "-"]


DIALECT: Final = Dialect(
    program="codex",
    options=options,
    reader=__name__,
    end="`turn.completed` or `turn.failed`",
    state=(".codex",),
)


class Reader(dialects.Reader):
    """Reads the events of Codex."""

    def event(self, said: dict[str, Any]) -> None:
        """Take in one event."""
        match said.get("type"):
            case "thread.started":
                self.knows(words(said, "thread_id"))
            case "item.completed" if words(said, "item", "type") == "agent_message":
                self.says(words(said, "item", "text"))
            case "error":
                self.trouble(_plain(words(said, "message")))
            case "turn.completed":
                self._completed(said)
            case "turn.failed":
                self.ended = self.failed = True
                self.trouble(_plain(words(said, "error", "message")) or "The turn failed.")

    def _completed(self, said: dict[str, Any]) -> None:
        self.ended, self.failed = True, False
        for name in ("input_tokens", "cached_input_tokens", "output_tokens"):
            self.count(name, inner(said, "usage", name))
        self.count("turns", 1)


def _plain(message: str) -> str:
    """The message itself where the provider's whole answer was passed on as JSON."""
    try:
        answer = json.loads(message)
    except (ValueError, RecursionError):
        return message
    return words(answer, "error", "message") or words(answer, "detail") or message
