"""Asking Gitea: one repo, every refusal in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from orch import names
from orch.errors import GitError, GitRefused, GitUnreachable
from orch.ports import Pull
from orch.rest import Answer, NoAnswer, Service, part

PAGE_SIZE: Final = 50
"""What one list brings."""
SAID_LIMIT: Final = 250
"""Letters of a status's description, and of what Gitea said went wrong."""


class Api:
    """Exchanges about one repo."""

    def __init__(self, service: Service, repo: str, token: Callable[[], str]) -> None:
        self.name = repo
        self.repo = "/repos/" + "/".join(part(each) for each in repo.split("/"))
        self._service, self._token = service, token
        self._default = ""

    @property
    def moment(self) -> datetime | None:
        """What Gitea's clock said with its last answer."""
        return self._service.moment

    def of(self, pull: Pull) -> str:
        """Where a pull request is."""
        return f"{self.repo}/pulls/{pull.number}"

    def default_branch(self) -> str:
        """The repo's default branch, asked for once."""
        if not self._default:
            self._default = text_at(self.ask("GET", self.repo), "default_branch")
        if not self._default:
            raise GitUnreachable("Gitea answered something that is no repository.")
        return self._default

    def statuses(self, sha: str) -> dict[str, Any]:
        """The newest status of each context of this commit."""
        path = f"{self.repo}/commits/{part(sha)}/status"
        combined = self.ask("GET", path, query={"limit": PAGE_SIZE})
        return {text_at(each, "context"): each for each in rows_of(combined.get("statuses") or [])}

    def ask(
        self, method: str, path: str, body: Any = None, query: Mapping[str, Any] | None = None
    ) -> Any:
        """What a request is answered that must do what it asks for. Raises GitError."""
        return self.good(self.answer(method, path, body, query), method)

    def answer(
        self, method: str, path: str, body: Any = None, query: Mapping[str, Any] | None = None
    ) -> Answer:
        """What a request is answered, whatever that is. Raises GitUnreachable."""
        headers = {"Authorization": f"token {self._token()}"} if self._token() else {}
        try:
            return self._service.ask(method, path, query=query, body=body, headers=headers)
        except NoAnswer as error:
            raise GitUnreachable(f"Gitea gives no answer: {error.message}") from error

    def good(self, answer: Answer, method: str) -> Any:
        """What an answer holds that did what was asked. Raises GitError for any other."""
        if answer.ok:
            return answer.body if answer.body is not None else {}
        raise self.no(answer, method)

    def no(self, answer: Answer, what: str) -> GitError:
        """An answer that is none of those asked for, in words a person can act on."""
        status, said, repo = answer.status, words_of(answer), self.name
        if status >= 500 or status == 429:
            return GitUnreachable(f"Gitea cannot answer for {repo} now ({status} {said}).")
        message, fix = _REFUSALS.get(status, (f"said no to a {what}", "Look at the message."))
        return GitRefused(f"Gitea {message} for {repo} ({status} {said}).", suggested_fix=fix)


_REFUSALS: Final = {
    401: (
        "does not take orch's token",
        "Make a token for orch's user, scopes write:repository, write:issue and read:user.",
    ),
    403: (
        "does not let orch's user do this",
        "Give its token the scopes write:repository and write:issue, and the user the right to "
        "write to the repo.",
    ),
    404: (
        "shows orch's user nothing",
        "Check the repo's forge_repo, and that orch's user may read it.",
    ),
    423: ("has it archived or locked", "Unarchive the repo, or take it out of orch.toml."),
}


def rows_of(value: Any) -> list[Any]:
    """A list of objects. Raises GitUnreachable for anything else."""
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise GitUnreachable("Gitea answered something that is no list.")
    return value


def text_at(body: Any, *path: str) -> str:
    """The text at this path; empty where there is none."""
    for name in path:
        body = body.get(name) if isinstance(body, dict) else None
    return body if isinstance(body, str) else ""


def words_of(answer: Answer) -> str:
    """What Gitea said of it; a conflict comes in a form of its own."""
    body = answer.body if isinstance(answer.body, dict) else {}
    said = body.get("message") or body.get("StdErr") or answer.text
    return names.cleaned(str(said or "no reason"), SAID_LIMIT)
