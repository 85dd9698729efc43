"""OpenCode: `opencode run --format json`, prompt on standard input, a stream of JSON events back.

It has no end line: a step that finished may be followed by another, and long sessions are summed up
in between. A last step whose closing words hold a verdict is taken for the end; otherwise the exit
is. An `error` event counts more than the exit code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from orch import dialects
from orch.dialects import Call, Dialect, inner, number, words
from orch.jobs import MARK

if TYPE_CHECKING:
    from orch.jobs import Failure

CLASSES: Final[dict[str, Failure]] = {"ProviderAuthError": "auth_invalid"}
STATUS_CLASSES: Final[dict[float, Failure]] = {
    401: "auth_invalid",
    402: "provider_limited",
    429: "provider_limited",
}
PROMPTS: Final = ("--auto", "--dangerously-skip-permissions")


def options(call: Call) -> list[str]:
    """The options of a turn. What it would ask is refused, or granted behind orch's wall."""
    given = ["run", "--format", "json"]
    if call.walled and not call.given(*PROMPTS):
        given += ["--auto"]
    if call.command.model:
        given += ["--model", call.command.model]
    return [*given, "--session", call.resume] if call.resume else given


DIALECT: Final = Dialect(
    program="opencode",
    options=options,
    reader=__name__,
    env={
        "OPENCODE_DISABLE_PROJECT_CONFIG": "1",
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_CLAUDE_CODE": "1",
        "OPENCODE_DISABLE_EXTERNAL_SKILLS": "1",
    },
    # One of its two loaders of settings, plugins included, knows no switch (seen in 1.18.33).
    obeys=("opencode.json", "opencode.jsonc", ".opencode"),
    state=(".local/share/opencode", ".local/state/opencode", ".cache/opencode", ".config/opencode"),
)


class Reader(dialects.Reader):
    """Reads the events of OpenCode."""

    def event(self, said: dict[str, Any]) -> None:
        """Take in one event."""
        if words(said, "sessionID"):
            self.knows(words(said, "sessionID"))
        match said.get("type"):
            case "text":
                self.says(words(said, "part", "text"))
            case "step_finish":
                self._finished(said)
            case "error":
                self._error(said.get("error"))

    def _finished(self, said: dict[str, Any]) -> None:
        self.failed, self.detail, self.failure = False, "", None
        part = said.get("part")
        # What was read from the cache is not part of `input` here.
        self.count("input_tokens", inner(part, "tokens", "input"))
        for kind in ("read", "write"):
            self.count("input_tokens", inner(part, "tokens", "cache", kind))
        self.count("cached_input_tokens", inner(part, "tokens", "cache", "read"))
        self.count("output_tokens", inner(part, "tokens", "output"))
        self.count("output_tokens", inner(part, "tokens", "reasoning"))
        self.count("cost_usd", inner(part, "cost"))
        self.count("turns", 1)
        closing = self.text.rstrip().rpartition("\n")[2]
        if words(part, "reason") == "stop" and closing.startswith(MARK):
            self.ended = True

    def _error(self, error: object) -> None:
        name = words(error, "name")
        known = CLASSES.get(name) or STATUS_CLASSES.get(number(inner(error, "data", "statusCode")))
        self.trouble(words(error, "data", "message") or name or "It reported an error.", known)
        self.failed = True
