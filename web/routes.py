"""A call, declared once: address, role, parameters, meaning. Flask and OpenAPI both read this."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Generic, Literal, TypeVar

from flask import Flask, Response, current_app, g, request
from werkzeug.wrappers import Response as Answer

from orch import clock, health, overview, readings, tally
from orch.changes import Changes
from orch.clock import Clock
from orch.config import Settings
from orch.line import Line
from orch.outside import signals
from orch.passwords import Passwords
from orch.readings import Readings
from orch.tokens import Holder, Role
from web import entrance, given, turned_away, visits
from web.given import Given, Source
from web.limits import Later
from web.streams import Streams
from web.visits import May, Visit

G = TypeVar("G", bound=Given)
Method = Literal["GET", "POST", "DELETE"]
EVERYBODY: Final = Holder("anybody", "")


FOR_PEOPLE: Final = "An admin can give you another role, on the page People."


SHARE: Final = 20
"""An answer is kept for so many times as long as it took: asking never takes more than a twentieth
of one processor, however much waits."""


ESTIMATE_LASTS: Final = timedelta(minutes=1)
ESTIMATES_KEPT: Final = 200


class Remembered:
    """The last answer to a question, for a while, so that many who ask cost as much as one."""

    def __init__(self, stopwatch: Callable[[], Callable[[], float]] = clock.stopwatch) -> None:
        self._stopwatch = stopwatch
        self._lock = threading.Lock()
        self._until: datetime | None = None
        self._answer: Any = None

    def get(self, now: datetime, seconds: float, ask: Callable[[], Any]) -> Any:
        """The answer, asked anew when it has become too old."""
        with self._lock:
            if self._until is None or now >= self._until:
                elapsed = self._stopwatch()
                self._answer = ask()
                self._until = now + timedelta(seconds=max(seconds, SHARE * elapsed()))
            return self._answer


class Estimates:
    """What was estimated of late, each for a minute: a page that asks again costs nothing.

    One is worked out at a time, and nobody waits for that: who comes meanwhile gets none yet.
    """

    def __init__(self) -> None:
        self._working = threading.Lock()
        self._kept: dict[Hashable, tuple[datetime, Any]] = {}

    def get(self, key: Hashable, now: datetime, ask: Callable[[], Any]) -> Any:
        """What was found for the key, asked if need be; None while another is being asked."""
        known = self._kept.get(key)
        if known is not None and now < known[0]:
            return known[1]
        if not self._working.acquire(blocking=False):
            return known and known[1]
        try:
            found = ask()
            left = {k: kept for k, kept in self._kept.items() if now < kept[0]}
            recent = dict(list(left.items())[1 - ESTIMATES_KEPT :])
            self._kept = {**recent, key: (now + ESTIMATE_LASTS, found)}
            return found
        finally:
            self._working.release()


@dataclass(frozen=True)
class Desk:
    """What the calls work with."""

    line: Line
    settings: Settings
    clock: Clock
    streams: Streams
    changes: Changes
    passwords: Passwords = field(default_factory=Passwords)
    later: Later = field(default_factory=Later)

    _health: Remembered = field(default_factory=Remembered)
    _readings: Remembered = field(default_factory=Remembered)
    _trend: Remembered = field(default_factory=Remembered)
    _estimates: Estimates = field(default_factory=Estimates)

    @cached_property
    def hooks(self) -> signals.Known:
        """What webhooks may be about."""
        return signals.known(self.settings)

    @property
    def data_dir(self) -> Path:
        """Orch's own folder."""
        return self.settings.data_dir

    def health(self) -> dict[str, Any]:
        """How the line is; asked anew at most once a second, because anybody may ask."""
        found: dict[str, Any] = self._health.get(
            self.clock(), 1.0, lambda: health.report(self.line)
        )
        return found

    def readings(self) -> Readings:
        """The line's numbers; counting what waits takes a moment, so at most every five seconds."""
        named = self.settings.metrics_repos

        def ask() -> Readings:
            tally.flush(self.line)  # what this process has counted is shown, too
            return readings.readings(self.line, named)

        found: Readings = self._readings.get(self.clock(), 5.0, ask)
        return found

    def trend(self) -> dict[str, list[dict[str, Any]]]:
        """The last hours; they are the same for a minute."""
        found: dict[str, list[dict[str, Any]]] = self._trend.get(
            self.clock(), 60.0, lambda: overview.trend(self.line)
        )
        return found

    def estimate(self, key: Hashable, ask: Callable[[], Any]) -> Any:
        """An estimate, at most a minute old; None while another one is being worked out."""
        return self._estimates.get(key, self.clock(), ask)


@dataclass(frozen=True)
class Call(Generic[G]):
    """One request that was let in, with its values checked."""

    desk: Desk
    given: G
    holder: Holder
    visit: Visit | None = None
    """The visit of a person, where it is a page that was asked for."""
    may: May = field(default=lambda: False, repr=False)
    """Whether whoever sent it may still do so, for an answer that goes on."""

    @property
    def csrf(self) -> str:
        """What the forms of this answer carry."""
        return "" if self.visit is None else self.visit.csrf


View = Callable[[Call[Any]], Any]


def is_page(path: str) -> bool:
    """Whether people come to this address with a browser; the rest is the programs' API."""
    return path == "/" or path.startswith("/ui/")


@dataclass(frozen=True)
class Route:
    """One call. `role` is None where anybody may come; that has to be said, too."""

    method: Method
    path: str
    role: Role | None
    takes: type[Given]
    source: Source
    view: View

    @property
    def says(self) -> str:
        """What it does, in a sentence: the first line of its function."""
        return (self.view.__doc__ or "").splitlines()[0]

    @property
    def endpoint(self) -> str:
        """The name Flask knows it by."""
        return f"{self.method} {self.path}"

    @property
    def path_names(self) -> list[str]:
        """The parameters that are part of the address."""
        return re.findall(r"<(?:\w+:)?(\w+)>", self.path)

    @property
    def is_page(self) -> bool:
        """Whether it is for people: entered by a cookie, refused with a page."""
        return is_page(self.path)


@dataclass
class Routes:
    """The calls of the API, as they are declared."""

    all: list[Route] = field(default_factory=list)

    def add(
        self,
        method: Method,
        path: str,
        role: Role | None,
        takes: type[Given] = Given,
        source: Source = "query",
    ) -> Callable[[View], View]:
        """Declare the function below to be a call."""

        def declare(view: View) -> View:
            self.all.append(Route(method, path, role, takes, source, view))
            return view

        return declare

    def register(self, app: Flask, desk: Desk) -> None:
        """Let Flask answer them, and nothing but them."""
        for route in self.all:
            app.add_url_rule(
                route.path,
                endpoint=route.endpoint,
                view_func=_answering(route, desk),
                methods=[route.method],
                provide_automatic_options=False,
            )


def _answering(route: Route, desk: Desk) -> Callable[..., Answer]:
    def answer(**path: str) -> Answer:
        if route.path.startswith("/ui/"):
            return _answer_person(route, desk, path)
        if route.role is None:
            return _said(route, path, Call(desk, Given(), EVERYBODY))
        holder = entrance.admit(desk.line, desk.settings, request, route.role)
        may = entrance.lasting(desk.line, desk.settings, request, route.role)
        return _said(route, path, Call(desk, Given(), holder, may=may))

    return answer


def _answer_person(route: Route, desk: Desk, path: Mapping[str, str]) -> Answer:
    g.visit = visit = entrance.visit(desk.line, desk.settings, request)
    if visit.holder is None and route.path != turned_away.SIGN_IN:
        request.max_content_length = turned_away.STRANGERS_LIMIT
    answer = _stopped(route, visit)
    if answer is None:
        call = Call(desk, Given(), visit.holder or EVERYBODY, visit)
        if route.role is not None:
            may = entrance.visiting(desk.line, desk.settings, request, route.role)
            call = replace(call, may=may)
        answer = _said(route, path, call)
    if visit.is_new and "Set-Cookie" not in answer.headers:
        visits.give(answer, request, visit.secret, desk.settings.web_session_seconds)
    return answer


def _stopped(route: Route, visit: Visit) -> Answer | None:
    """Why a person does not get there. Raises Forbidden, also for a form that is not of ours."""
    if route.role is not None and visit.holder is None:
        return turned_away.turn_away(visit, request)
    if not visits.is_proved(visit, request):
        return turned_away.refuse_form(visit, request)
    if route.role is not None and visit.holder is not None:
        entrance.require_role(visit.holder, route.role, FOR_PEOPLE)
    return None


def _said(route: Route, path: Mapping[str, str], call: Call[Given]) -> Answer:
    values = given.read(route.takes, request, dict(path), route.source)
    said = route.view(replace(call, given=values))
    return said if isinstance(said, Answer) else as_json(said)


def as_json(said: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A value as JSON, by the app's own rules."""
    text = current_app.json.dumps(said, separators=(",", ":"))
    return Response(f"{text}\n", status, headers, content_type="application/json")
