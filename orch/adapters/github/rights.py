"""What stands in the way of landing at GitHub: rights, the branch's rules, the webhook."""

from __future__ import annotations

from typing import Any, Final

from orch.adapters.github.api import Repository
from orch.adapters.github.rules import PAGE, Rules, read_rules
from orch.errors import GitRefused
from orch.ports import Readiness
from orch.their_webhooks import TheirWebhook, wanting

EVENTS: Final = ("push", "pull_request", "status")
"""Without which a change would be seen only when GitHub is asked."""
KEPT: Final = (403, 404)
"""How GitHub answers about what only an administrator of the repository may see."""


def look(repository: Repository, base: str, hook: str) -> Readiness:
    """All there is to say; nothing is changed. Raises GitUnreachable."""
    problems, advice, notes = list[str](), list[str](), list[str]()
    try:
        body = repository.read("")
        problems += _rights(repository, body)
        branch = base or str(body["default_branch"])
        rules = read_rules(repository, branch)
        if rules == Rules():
            advice.append(
                f"{branch} asks for nothing: what is pushed to it by hand was tested by nobody. "
                "docs/github.md says how to protect it."
            )
        _hooks(repository, hook, advice, notes)
        rules.insist_on_merging(branch)
    except GitRefused as error:
        problems.append(f"{error.message} {error.suggested_fix or ''}".strip())
    return Readiness("", tuple(problems), tuple(notes), repository.moment, tuple(advice))


def _rights(repository: Repository, body: Any) -> list[str]:
    found = []
    # An App is told of its own rights elsewhere; what it lacks, GitHub names when it refuses.
    if repository.app_id is None and not (body.get("permissions") or {}).get("push"):
        found.append(f"orch's user may not write to {repository.name}: give it the role Write.")
    if body.get("archived"):
        found.append(f"{repository.name} is archived: unarchive it.")
    return found


def _hooks(repository: Repository, hook: str, advice: list[str], notes: list[str]) -> None:
    if not hook:
        return
    answer = repository.ask("GET", "/hooks", query={"per_page": PAGE}, also=KEPT)
    if not answer.ok:
        notes.append(
            "Not known, as only an administrator is told: which webhooks the repository has."
        )
        return
    advice += wanting([_hook(each) for each in answer.body], hook, EVENTS)


def _hook(body: Any) -> TheirWebhook:
    config, last = body.get("config") or {}, body.get("last_response") or {}
    code = last.get("code")
    return TheirWebhook(
        str(config.get("url", "")),
        bool(body.get("active")),
        str(config.get("content_type", "")),
        frozenset(map(str, body.get("events") or ())),
        f"it was answered {code}" if isinstance(code, int) and not 200 <= code < 300 else "",
    )
