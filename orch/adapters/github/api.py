"""One repository at GitHub, asked over REST and GraphQL."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from orch import names
from orch.adapters.github.answers import SAID, patience, refusal
from orch.adapters.github.credentials import HEADERS, Credentials
from orch.clock import Clock
from orch.errors import GitRefused, GitUnreachable
from orch.rest import Answer, NoAnswer, Service, part

ENTERPRISE: Final = "/api/v3"
Wait = Callable[[float], object]
"""Lets this many seconds go by."""


class Gateway:
    """GitHub's API as a whole: where it is, who orch is there, and until when it is left alone."""

    def __init__(self, url: str, credentials: Credentials, now: Clock) -> None:
        """`url` is `https://api.github.com`, or `https://HOST/api/v3` for Enterprise."""
        base = url.rstrip("/")
        self.rest = Service(base, HEADERS)
        # Enterprise has the two beside each other, github.com has one below the other.
        is_beside = base.endswith(ENTERPRISE)
        self.graph = Service(base.removesuffix("/v3"), HEADERS) if is_beside else self.rest
        self.credentials = credentials
        self.now = now
        self._alone_until: datetime | None = None

    def ask(self, service: Service, method: str, path: str, repository: str, **how: Any) -> Answer:
        """One answer, whatever it says. Raises GitUnreachable while GitHub wants to be left alone.

        A token that is refused is asked for anew once.
        """
        left = self._left(self.now())
        if left > 0:
            raise GitUnreachable(
                f"GitHub lets orch ask again in {left:.0f} s: its rate limit is used up.", wait=left
            )
        answer = self._asked(service, method, path, repository, how)
        if answer.status == 401 and self.credentials.forget(repository):
            answer = self._asked(service, method, path, repository, how)
        wait = patience(answer, self.now())
        if wait is not None:
            self._alone_until = self.now() + timedelta(seconds=wait)
        return answer

    def _asked(
        self, service: Service, method: str, path: str, repository: str, how: Mapping[str, Any]
    ) -> Answer:
        token = self.credentials.token(repository)
        try:
            headers = {"Authorization": f"Bearer {token}"}
            return service.ask(method, path, headers=headers, **how)
        except NoAnswer as error:
            raise GitUnreachable(error.message) from error

    def _left(self, now: datetime) -> float:
        return (self._alone_until - now).total_seconds() if self._alone_until else 0.0


class Repository:
    """`owner/name` at GitHub."""

    def __init__(self, gateway: Gateway, name: str) -> None:
        self._gateway = gateway
        self.name = name
        self.owner, _, self.short = name.partition("/")
        self._base = f"/repos/{part(self.owner)}/{part(self.short)}"

    @property
    def app_id(self) -> int | None:
        """The App orch is here, or None: it is a user."""
        return self._gateway.credentials.app_id

    @property
    def moment(self) -> datetime | None:
        """What GitHub's clock said with its last answer."""
        return self._gateway.rest.moment

    def now(self) -> datetime:
        """The present moment."""
        return self._gateway.now()

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Any = None,
        also: Collection[int] = (),
    ) -> Answer:
        """An answer that did what was asked, or has one of the statuses in `also`.

        `path` is what follows the repository's own. Raises GitUnreachable, GitRefused.
        """
        gateway = self._gateway
        answer = gateway.ask(
            gateway.rest, method, self._base + path, self.name, query=query, body=body
        )
        if answer.ok or (answer.status in also and patience(answer, self.now()) is None):
            return answer
        raise refusal(answer, f"{method} {self.name}{path}", self.now())

    def read(self, path: str, query: Mapping[str, str | int] | None = None) -> Any:
        """What is at this path. Raises GitUnreachable, GitRefused."""
        return self.ask("GET", path, query=query).body

    def graph(self, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        """The data of a GraphQL answer. Raises GitUnreachable, GitRefused."""
        gateway = self._gateway
        body = {"query": query, "variables": dict(variables)}
        answer = gateway.ask(gateway.graph, "POST", "/graphql", self.name, body=body)
        if not answer.ok or not isinstance(answer.body, dict):
            raise refusal(answer, "a GraphQL query", self.now())
        errors = answer.body.get("errors")
        if errors:
            raise _graph_refusal(errors)
        data = answer.body.get("data")
        if not isinstance(data, dict):
            raise GitUnreachable("GitHub answered a GraphQL query with no data.")
        return data


def _graph_refusal(errors: Any) -> GitRefused | GitUnreachable:
    """GraphQL says 200 to everything: what went wrong stands in the answer."""
    listed = [error for error in errors if isinstance(error, dict)]
    words = names.cleaned("; ".join(str(error.get("message", "")) for error in listed), SAID)
    kinds = {str(error.get("type", "")) for error in listed}
    if kinds & {"RATE_LIMITED", "SERVICE_UNAVAILABLE", "INTERNAL"}:
        return GitUnreachable(f"GitHub answers a GraphQL query later: {words}")
    return GitRefused(f"GitHub refused: {words or 'without a word'}", kinds=sorted(kinds))
