"""One exchange with a service that speaks JSON: time-outs, caps, no redirects, no secret in a log.

Knows no service. An adapter says what an answer means in orch's words.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

import urllib3

from orch import names
from orch.errors import OrchError

ANSWER_LIMIT: Final = 16 * 1024 * 1024
"""Bytes of an answer that are read: a list of a thousand work items fits."""
CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 20.0
SAID: Final = 300
"""Letters kept of what a service said went wrong."""


class NoAnswer(OrchError):
    """A service could not be reached, did not answer in time, or answered no JSON.

    What was asked may have happened all the same: whoever asked looks before asking again.
    """

    code = "no_answer"
    fix = "Nothing to do at first, it is asked again; if it stays, check the way to the service."


@dataclass(frozen=True)
class Answer:
    """What a service said."""

    status: int
    body: Any
    """The JSON value; None where there was none."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """By names in small letters."""
    text: str = ""
    """The beginning of what it said, on one line, where it was no JSON."""

    @property
    def ok(self) -> bool:
        """Whether it did what was asked."""
        return 200 <= self.status < 300

    @property
    def retry_after(self) -> float | None:
        """The seconds for which it asked for patience."""
        said = self.headers.get("retry-after", "")
        return float(said) if said.isdigit() and len(said) < 7 else None


class Service:
    """An address, and the headers by which it knows orch."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        *,
        connect: float = CONNECT_SECONDS,
        read: float = READ_SECONDS,
    ) -> None:
        """`url` is the base all paths are added to; `headers` may hold a secret."""
        self.url = url.rstrip("/")
        self.moment: datetime | None = None
        """What its clock said with its last answer, to a second; None when it said nothing."""
        self._headers = {"Accept": "application/json", "User-Agent": "orch", **(headers or {})}
        self._pool = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=connect, read=read), retries=False, maxsize=2
        )

    def __repr__(self) -> str:
        return f"Service({self.url})"

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request; redirects are answers, not followed. Raises NoAnswer."""
        url = f"{self.url}{path}" + (f"?{urlencode(query)}" if query else "")
        sent = {**self._headers, **(headers or {})}
        data = None
        if body is not None:
            data = json.dumps(body, ensure_ascii=True).encode("ascii")
            sent["Content-Type"] = "application/json"
        try:
            answer = self._pool.request(
                method, url, body=data, headers=sent, redirect=False, preload_content=False
            )
            try:
                raw = answer.read(ANSWER_LIMIT + 1, decode_content=True)
            except BaseException:
                answer.close()
                raise
            if len(raw) > ANSWER_LIMIT:
                answer.close()
            answer.release_conn()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise NoAnswer(f"{method} {self.url}{path} got no answer: {_plain(error)}.") from error
        self.moment = _moment(answer.headers.get("Date", ""))
        if len(raw) > ANSWER_LIMIT:
            raise NoAnswer(f"{method} {self.url}{path} answered more than {ANSWER_LIMIT} bytes.")
        return _understood(method, f"{self.url}{path}", answer.status, raw, answer.headers.items())


def part(value: object) -> str:
    """One part of a path, with everything escaped that could end it."""
    return quote(str(value), safe="")


def _moment(said: str) -> datetime | None:
    try:
        return parsedate_to_datetime(said).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _understood(
    method: str, url: str, status: int, raw: bytes, headers: Iterable[tuple[str, str]]
) -> Answer:
    known = {name.lower(): value for name, value in headers}
    if not raw.strip():
        return Answer(status, None, known)
    try:
        return Answer(status, json.loads(raw), known)
    except (ValueError, RecursionError) as error:
        said = names.cleaned(raw[:4000].decode("utf-8", "replace"), SAID)
        if 200 <= status < 300:
            raise NoAnswer(f"{method} {url} answered {status} with no JSON: {said}") from error
        return Answer(status, None, known, said)


def _plain(error: BaseException) -> str:
    """What went wrong, on one line: never the headers, which urllib3 does not show."""
    return names.cleaned(f"{type(error).__name__}: {error}", SAID)
