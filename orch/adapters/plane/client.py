"""Asking Plane: one project, within the budget of the key, every refusal in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from orch import names
from orch.adapters.plane.budget import Budget
from orch.errors import TrackerRefused, TrackerUnavailable
from orch.rest import Answer, NoAnswer, Service, part

PAGE: Final = 500
"""Rows asked for at once, of the 1000 that Plane gives: so many fit with their texts."""
PATIENCE: Final = 60.0
"""Seconds to leave Plane alone that said too much was asked, and not for how long."""
PASSES: Final = 4
"""So often a list of several pages is read until it held still."""


class Plane:
    """The API of one project, as one user of Plane."""

    def __init__(self, service: Service, workspace: str, project: str, budget: Budget) -> None:
        """`service` is Plane's address with the key in its headers."""
        self._service = service
        self.workspace, self.project, self.budget = workspace, project, budget
        self.page = PAGE
        self.base = f"/api/v1/workspaces/{part(workspace)}/projects/{part(project)}"

    def __repr__(self) -> str:
        return f"Plane({self._service.url}, {self.workspace}, {self.project})"

    @property
    def moment(self) -> datetime | None:
        """What Plane's clock said with its last answer."""
        return self._service.moment

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Any = None,
        also: tuple[int, ...] = (),
    ) -> Answer:
        """One request; what it answers is fine, or of a status in `also`.

        `path` is within the project; one that begins with /api/ is Plane's own. Raises
        TrackerUnavailable, TrackerRefused.
        """
        self.budget.take()
        whole = path if path.startswith("/api/") else f"{self.base}/{path}"
        try:
            answer = self._service.ask(method, whole, query=query, body=body)
        except NoAnswer as error:
            raise TrackerUnavailable(error.message) from error
        self.budget.heed(answer.headers.get("x-ratelimit-remaining", ""))
        if not answer.ok and (answer.status not in also or not isinstance(answer.body, dict)):
            # A 404 that is no JSON comes from somebody in between: it does not say "deleted".
            self._refuse(f"{method} {whole}", answer)
        return answer

    def object(self, path: str, *, also: tuple[int, ...] = (), **query: str | int) -> Any:
        """The object at a path; None where it answered with a status in `also`."""
        answer = self.ask("GET", path, query=query, also=also)
        if not answer.ok:
            return None
        with understanding(path):
            return dict(answer.body)

    def rows(self, path: str, **query: str | int) -> list[dict[str, Any]]:
        """All rows of a list. Several pages are read again until nothing moved between them: Plane
        counts them from the beginning, so that a row taken away there hides another."""
        before, found, pages = set[str](), self._pages(path, query), 1
        for _ in range(PASSES):
            rows, pages, total = found
            ids = {str(row.get("id")) for row in rows}
            if pages == 1 or (ids == before and len(ids) == total):
                return list({str(row.get("id")): row for row in rows}.values())
            before, found = ids, self._pages(path, query)
        raise TrackerUnavailable(f"{path} changed in Plane as often as it was read.")

    def _pages(
        self, path: str, query: Mapping[str, str | int]
    ) -> tuple[list[dict[str, Any]], int, int]:
        """The rows, on how many pages, and how many Plane says there are."""
        rows: list[dict[str, Any]] = []
        for page in range(self.budget.most):
            asked = {**query, "per_page": self.page, "cursor": f"{self.page}:{page}:0"}
            answer = self.ask("GET", path, query=asked)
            with understanding(path):
                rows += [dict(row) for row in answer.body["results"]]
                if not answer.body["next_page_results"]:
                    return rows, page + 1, int(answer.body["total_count"])
        raise TrackerRefused(
            f"{path} of Plane has more than {self.budget.most * self.page} rows.",
            suggested_fix="Archive what is done, or raise ORCH_PLANE_REQUESTS_PER_MINUTE.",
        )

    def _refuse(self, asked: str, answer: Answer) -> None:
        """Say what an answer means. Raises TrackerUnavailable, TrackerRefused."""
        status, wait = answer.status, answer.retry_after
        if status == 429:
            wait = wait if wait is not None else PATIENCE
            self.budget.hold(wait)
            raise TrackerUnavailable(
                f"Plane wants no request for {wait:.0f} seconds.", retry_after=wait
            )
        if status >= 500 or status == 408:
            facts: dict[str, Any] = {} if wait is None else {"retry_after": wait}
            if wait is not None:
                self.budget.hold(wait)
            raise TrackerUnavailable(f"{asked} failed in Plane: {_said(answer)}", **facts)
        message, fix = self._words(asked, answer)
        raise TrackerRefused(message, suggested_fix=fix, status=status)

    def _words(self, asked: str, answer: Answer) -> tuple[str, str]:
        """What went wrong, and what to do about it."""
        said, status = _said(answer), answer.status
        if status == 401:
            return "Plane got no API key.", "Put one into ORCH_PLANE_TOKEN."
        if status == 403 and "token" in said.lower():
            return (
                "Plane does not take the API key: it was revoked, has expired, or is misspelt.",
                "Make a new key for orch's user in Plane and put it into ORCH_PLANE_TOKEN.",
            )
        if status == 403:
            return (
                f"Plane lets orch's user not into the project {self.project} of the workspace "
                f"“{self.workspace}”, or there is no such workspace: it answers the same to both.",
                "Compare ORCH_PLANE_WORKSPACE with the address of the workspace in the browser; "
                "then make orch's user a member of the project.",
            )
        if status == 404 and isinstance(answer.body, dict):
            return (
                f"Plane has no project {self.project} in the workspace “{self.workspace}”: "
                f"{asked} answered 404.",
                "Correct `project` under [trackers.NAME]: the id stands in the project's address.",
            )
        if status == 404 or 300 <= status < 400:
            return (
                f"{self._service.url} does not answer as Plane does: {status}. {said}",
                "Correct ORCH_PLANE_URL: the address without /api, and to which nothing redirects.",
            )
        return f"Plane refused {asked} with {status}: {said}", ""


@contextmanager
def understanding(what: str) -> Iterator[None]:
    """Read an answer; one that has another shape is no answer. Raises TrackerUnavailable."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TrackerUnavailable(
            f"Plane's answer to {what} is not as it should be: {type(error).__name__} "
            f"{names.cleaned(str(error), 100)}"
        ) from error


def _said(answer: Answer) -> str:
    body = answer.body
    words = body.get("detail") or body.get("error") or body if isinstance(body, dict) else body
    return names.cleaned(str(answer.text if words is None else words), 200) or str(answer.status)
