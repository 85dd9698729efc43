"""What stands in the way of landing at Gitea: rights, the branch's protection, the webhook."""

from __future__ import annotations

from typing import Any, Final

from orch.adapters.gitea.api import PAGE_SIZE, Api, rows_of, text_at
from orch.errors import GitRefused
from orch.ports import Readiness
from orch.rest import part
from orch.their_webhooks import TheirWebhook, wanting

EVENTS: Final = ("push", "pull_request", "status")
"""Without which a change would be seen only when Gitea is asked."""
KEPT: Final = (403, 404)
"""How Gitea answers about what only an administrator of the repo may see."""


class Rights:
    """Looks at one repo, and changes nothing."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._problems: list[str] = []
        self._advice: list[str] = []
        self._notes: list[str] = []

    def look(self, base: str, hook: str) -> Readiness:
        """All there is to say. Raises GitUnreachable."""
        myself = ""
        try:
            myself = text_at(self._api.ask("GET", "/user"), "login")
            self._repo()
            self._branch(base or self._api.default_branch())
            if hook:
                self._hook(hook)
        except GitRefused as error:
            self._problems.append(f"{error.message} {error.suggested_fix}")
        found = (tuple(self._problems), tuple(self._notes))
        return Readiness(myself, *found, self._api.moment, tuple(self._advice))

    def _repo(self) -> None:
        body = self._api.ask("GET", self._api.repo)
        rights = body.get("permissions") or {}
        if not rights.get("push"):
            self._problems.append(
                f"orch's user may not write to {self._api.name}: let it, as a collaborator."
            )
        if body.get("archived"):
            self._problems.append(f"{self._api.name} is archived: unarchive it.")
        if rights.get("admin"):
            self._advice.append(
                f"orch's user is an administrator of {self._api.name}: the right to write is "
                "enough, and a token that leaks could then skip no protection."
            )

    def _branch(self, base: str) -> None:
        branch = self._api.ask("GET", f"{self._api.repo}/branches/{part(base)}")
        if branch.get("user_can_merge") is False:
            self._problems.append(
                f"orch's user may not merge into {base}: put it on the merge whitelist of the "
                "branch protection."
            )
        if not branch.get("protected"):
            self._advice.append(
                f"{base} is not protected: what is pushed to it by hand was tested by nobody. "
                "docs/forges.md says how to protect it."
            )
            return
        name = text_at(branch, "effective_branch_protection_name") or base
        answer = self._api.answer("GET", f"{self._api.repo}/branch_protections/{part(name)}")
        if answer.status in KEPT:
            self._notes.append(
                f"Not known, as only an administrator is told: how {base} is protected."
            )
        else:
            self._protection(base, self._api.good(answer, "GET"))

    def _protection(self, base: str, rule: Any) -> None:
        if not rule.get("block_on_outdated_branch"):
            self._advice.append(
                f"The protection of {base} lets outdated branches be merged: switch on "
                "block_on_outdated_branch, so that what lands is what was tested."
            )
        if not rule.get("block_admin_merge_override"):
            self._advice.append(
                f"The protection of {base} can be skipped by administrators: switch on "
                "block_admin_merge_override."
            )
        if rule.get("enable_push"):
            self._advice.append(
                f"The protection of {base} lets people push: what they push was tested by nobody."
            )

    def _hook(self, address: str) -> None:
        answer = self._api.answer("GET", f"{self._api.repo}/hooks", query={"limit": PAGE_SIZE})
        if answer.status in KEPT:
            self._notes.append(
                "Not known, as only an administrator is told: which webhooks the repo has."
            )
            return
        hooks = [
            TheirWebhook(
                text_at(each, "config", "url"),
                bool(each.get("active")),
                text_at(each, "config", "content_type"),
                frozenset(map(str, each.get("events") or ())),
            )
            for each in rows_of(self._api.good(answer, "GET"))
        ]
        self._advice += wanting(hooks, address, EVENTS)
