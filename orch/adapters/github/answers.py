"""What GitHub's answers mean in orch's words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from orch import names
from orch.errors import BadInput, GitError, GitRefused, GitUnreachable
from orch.rest import Answer

SAID: Final = 300
SECONDARY: Final = 60.0
"""Seconds of patience where GitHub names none: what it asks for after a secondary limit."""
LONGEST: Final = 3600.0
"""GitHub's limits are by the hour; a clock that is wrong makes nobody wait for longer."""


@contextmanager
def as_known() -> Iterator[None]:
    """Raises GitUnreachable for an answer that has not the shape GitHub's answers have: something
    else answered, and may not the next time."""
    try:
        yield
    except (AttributeError, BadInput, IndexError, KeyError, TypeError, ValueError) as error:
        raise GitUnreachable("GitHub's answer is not of the shape orch knows.") from error


def understood(answer: Answer, what: str, now: datetime) -> Any:
    """The body of an answer that did what was asked. Raises GitUnreachable, GitRefused."""
    if answer.ok:
        return answer.body
    raise refusal(answer, what, now)


def refusal(answer: Answer, what: str, now: datetime) -> GitError:
    """Why GitHub did not do it: later (GitUnreachable), or never as it is (GitRefused)."""
    wait = patience(answer, now)
    if wait is not None:
        return GitUnreachable(
            f"GitHub lets orch ask again in {wait:.0f} s: its rate limit is used up.", wait=wait
        )
    words = said(answer)
    if answer.status >= 500 or answer.status in (408, 425):
        return GitUnreachable(f"GitHub answered {answer.status} to {what}: {words}")
    if answer.status == 401:
        return GitUnreachable(
            f"GitHub does not take orch's credentials (401) for {what}: {words}",
            suggested_fix="Put a token that is good into ORCH_GITHUB_TOKEN or the repo's "
            "token_file, or check the App's id and key.",
        )
    if 300 <= answer.status < 400:
        return GitRefused(
            f"GitHub sends orch elsewhere ({answer.status}) for {what}: the repository has "
            "another name or owner now.",
            suggested_fix="Put the new owner/name into the repo's url and forge_repo.",
        )
    if answer.status == 404:
        return GitRefused(
            f"GitHub shows orch no {what}: it is not there, or the token does not see it.",
            suggested_fix="Check forge_repo, and that the token or App has access to it.",
        )
    wanted = answer.headers.get("x-accepted-github-permissions", "")
    needed = f" It needs {names.cleaned(wanted, SAID)}." if wanted and answer.status == 403 else ""
    return GitRefused(f"GitHub refused {what} ({answer.status}): {words}{needed}")


def patience(answer: Answer, now: datetime) -> float | None:
    """For how many seconds GitHub wants to be left alone; None when that is not what it says."""
    if answer.status not in (403, 429):
        return None
    if answer.retry_after is not None:
        return min(max(answer.retry_after, 1.0), LONGEST)
    if answer.headers.get("x-ratelimit-remaining") == "0":
        reset = answer.headers.get("x-ratelimit-reset", "")
        if reset.isascii() and reset.isdigit() and len(reset) < 12:
            left = (datetime.fromtimestamp(int(reset), UTC) - now).total_seconds()
            return min(max(left, 1.0), LONGEST)
        return SECONDARY
    if answer.status == 429 or "rate limit" in said(answer).lower():
        return SECONDARY
    return None


def said(answer: Answer) -> str:
    """What GitHub says of it, on one line."""
    body = answer.body
    if not isinstance(body, dict):
        return answer.text or "without a word"
    words = [str(body.get("message", ""))]
    errors = body.get("errors")
    for error in errors if isinstance(errors, list) else []:
        words.append(
            str(error.get("message", error.get("code", "")) if isinstance(error, dict) else error)
        )
    return names.cleaned("; ".join(word for word in words if word), SAID) or "without a word"
