"""Claude Code: `claude -p`, prompt on standard input, a stream of JSON events back.

The line of type `result` is the end. The program is known to stay alive after it, and to go on
calling a provider that refuses; both are the supervisor's to end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from orch import dialects
from orch.dialects import Call, Dialect, inner, number, words

if TYPE_CHECKING:
    from orch.jobs import Failure

CLASSES: Final[dict[str, Failure]] = {
    "authentication_failed": "auth_invalid",
    "oauth_org_not_allowed": "auth_invalid",
    "billing_error": "provider_limited",
    "rate_limit": "provider_limited",
}
"""What the program calls an error of its provider; the others are worth another attempt."""
STATUS_CLASSES: Final[dict[float, Failure]] = {401: "auth_invalid", 429: "provider_limited"}
LIMITS: Final = {
    "error_max_turns": "It reached its limit of turns.",
    "error_max_budget_usd": "It reached its budget.",
}
USAGE: Final = {
    "input_tokens": ("inputTokens", "cacheReadInputTokens", "cacheCreationInputTokens"),
    "cached_input_tokens": ("cacheReadInputTokens",),
    "output_tokens": ("outputTokens",),
}
LAST_CALL: Final = {
    "input_tokens": ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"),
    "cached_input_tokens": ("cache_read_input_tokens",),
    "output_tokens": ("output_tokens",),
}


def options(call: Call) -> list[str]:
    """The options of a turn. Settings and servers of the target repository are not loaded."""
    command = call.command
    given = ["-p", "--output-format", "stream-json", "--verbose"]
    given += ["--setting-sources", "user", "--strict-mcp-config"]
    if not call.given("--permission-mode", "--dangerously-skip-permissions"):
        given += ["--permission-mode", "bypassPermissions" if call.walled else "acceptEdits"]
    if command.model:
        given += ["--model", command.model]
    if command.max_turns is not None:
        given += ["--max-turns", str(command.max_turns)]
    if command.budget_usd is not None:
        given += ["--max-budget-usd", f"{command.budget_usd:.2f}"]
    return [*given, "--resume", call.resume] if call.resume else given


DIALECT: Final = Dialect(
    program="claude",
    options=options,
    reader=__name__,
    end="its `result` line",
    env={"DISABLE_AUTOUPDATER": "1"},
    walled_env={"IS_SANDBOX": "1"},  # or it would not skip its questions for a user called root
    state=(".claude", ".claude.json"),
)


class Reader(dialects.Reader):
    """Reads the events of Claude Code."""

    def event(self, said: dict[str, Any]) -> None:
        """Take in one event."""
        match said.get("type"):
            case "system":
                self._system(said)
            case "assistant" if not said.get("parent_tool_use_id"):
                self._assistant(said)
            case "rate_limit_event" if words(said, "rate_limit_info", "status") == "rejected":
                self.resets = number(inner(said, "rate_limit_info", "resetsAt"))
            case "result":
                self._result(said)

    def _system(self, said: dict[str, Any]) -> None:
        if words(said, "session_id"):
            self.knows(words(said, "session_id"))
        if said.get("subtype") == "api_retry":
            error = words(said, "error")
            self.trouble(f"The provider refuses: {error or 'unknown'}.", CLASSES.get(error))

    def _assistant(self, said: dict[str, Any]) -> None:
        content = inner(said, "message", "content")
        parts = content if isinstance(content, list) else []
        text = "".join(words(part, "text") for part in parts if words(part, "type") == "text")
        error = words(said, "error")
        if error:
            self.trouble(text or error, CLASSES.get(error))
        else:
            self.detail, self.failure = "", None  # an answer: what was wrong is over
            if text:
                self.says(text)

    def _result(self, said: dict[str, Any]) -> None:
        self.ended = True
        self._measure(said)
        subtype, text = words(said, "subtype"), words(said, "result")
        self.failed = bool(said.get("is_error")) or subtype.startswith("error")
        if not self.failed:
            self.says(text or self.text)
            return
        errors = said.get("errors")
        listed = [self.detail, text, *(errors if isinstance(errors, list) else [])]
        told = dict.fromkeys(part for part in listed if isinstance(part, str) and part)
        known = STATUS_CLASSES.get(number(said.get("api_error_status")), self.failure)
        self.trouble(LIMITS.get(subtype) or " ".join(told) or subtype or "It failed.", known)

    def _measure(self, said: dict[str, Any]) -> None:
        self.usage = {}  # a later result line repeats the sums of an earlier one
        models = said.get("modelUsage")
        # `usage` may be the last call only; what the models used is the whole session.
        sums, names = (list(models.values()), USAGE) if isinstance(models, dict) else ([], USAGE)
        if not sums:
            sums, names = [said.get("usage")], LAST_CALL
        for name, keys in names.items():
            for part in sums:
                for key in keys:
                    self.count(name, inner(part, key))
        self.count("cost_usd", said.get("total_cost_usd"))
        self.count("turns", said.get("num_turns"))
