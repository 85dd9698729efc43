"""The server does what openapi.json says, whoever asks: schemathesis plays it for each role.

What is explored is the same every time. `make fuzz` draws other cases, and many more of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import settings
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema

from orch.store.session import Store
from tests.factories import Rig
from tests.web.conftest import Web
from tests.web.serving import served
from web import documents
from web.api import ROUTES
from web.streams import Streams

ROLES = ("nobody", "viewer", "operator", "admin")
SEED = 4
EXAMPLES = 2
"""Drawn cases of each operation, beside the examples of the document and the bounds of each value:
what coverage tries."""
MANY = 100

ACCEPTED = ["2xx", "3xx", "401", "403", "404", "409", "414", "429", "5xx"]
REFUSED = [
    "400",
    "401",
    "403",
    "404",
    "405",
    "409",
    "413",
    "414",
    "415",
    "416",
    "429",
    "431",
    "5xx",
]
CHECKS: dict[str, Any] = {
    # Each value may be right, and all of them together be longer than an address may.
    "positive_data_acceptance": {"expected-statuses": ACCEPTED},
    "negative_data_rejection": {"expected-statuses": REFUSED},
}
"""All checks run. `max_response_time` and `object_level_authorization` find nothing to do: there is
no limit here that a busy machine would keep, and test_reach asks for what others may not see."""
LEFT_OUT = {
    # Its words are a small language: what they may say depends on the tasks that there are.
    "GET /simulate": ["positive_data_acceptance"],
    # Their 404 may be about the other task, the one in the body.
    "POST /tasks/{work_item}/dependencies": ["ensure_resource_availability"],
    "DELETE /tasks/{work_item}/dependencies": ["ensure_resource_availability"],
}
"""By operation, with the reason."""


@pytest.fixture
def line(sqlite_database: str, tmp_path: Path) -> Iterator[Web]:
    """Tasks in all states, and somebody with each role."""
    store = Store(sqlite_database, synchronous="OFF")
    rig = Rig(store)
    rig.workers()
    rig.task("APP-1", "development", job="running")
    rig.task("APP-2")
    rig.task("APP-3", "done", job=None)
    rig.task("APP-4", "cancelled", job=None)
    rig.task("LIB-1", repo="lib")
    rig.task("LIB-2", "review", repo="lib")
    # The examples of the document are there.
    rig.task("ORCH-123", repo="owner/name")
    rig.asked("LIB-2")
    rig.order("depend", "ORCH-123", on="APP-2")
    rig.order("freeze", "lib", "main is red")
    web = Web(rig, tmp_path)
    web.streams = Streams(most=2, longest=1, pause=web.pauses.append, stopwatch=web.waited)
    yield web
    store.dispose()


@dataclass
class Play:
    """One run of schemathesis."""

    seed: int | None
    wrong: dict[str, str] = field(default_factory=dict)
    cases: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """By operation."""

    def note(self, event: object) -> None:
        if isinstance(event, events.NonFatalError | events.FatalError):
            self.wrong[f"{event}"] = f"{event.info.format()}"
        if not isinstance(event, events.ScenarioFinished):
            return
        told = event.recorder
        self.cases[told.label] += len(told.interactions)
        for node in [node for nodes in told.checks.values() for node in nodes]:
            if node.status == Status.FAILURE and node.failure_info is not None:
                found = f"{node.failure_info.failure}\n{node.failure_info.code_sample}"
                self.wrong.setdefault(f"{told.label} {node.name}", found)


def play(port: int, token: str, spec: dict[str, Any], **more: Any) -> Play:
    """Play all phases that are not switched off, and note what is wrong."""
    config = {
        "base-url": f"http://127.0.0.1:{port}",
        "headers": {"Authorization": f"Bearer {token}"},
        "workers": 1,
        "continue-on-failure": True,
        "checks": CHECKS,
        **more,
    }
    schema = schemathesis.openapi.from_dict(spec, config=SchemathesisConfig.from_dict(config))
    played = Play(schema.config.seed)
    for event in from_schema(schema).execute():
        played.note(event)
    return played


def left_out(role: str, *, everything: bool) -> list[dict[str, Any]]:
    """What is not asked of each operation. The bounds of a call, which are most of the cases, are
    tried once, by the least role that it lets in; `everything` is by all of them."""
    return [
        {
            "include-name": name,
            "checks": {check: {"enabled": False} for check in LEFT_OUT.get(name, ())},
            "phases": {
                "coverage": {
                    "enabled": everything or (route.role or "nobody") == role,
                    # One app refuses them all in one place: two of them show how.
                    **({} if everything else {"unexpected-methods": ["PATCH", "TRACE"]}),
                }
            },
        }
        for route in ROUTES.all
        for name in [f"{route.method} {documents.address(route)}"]
    ]


def drawn(role: str) -> dict[str, Any]:
    """The same cases each time, or under `make fuzz` many others by a seed that a failure names."""
    fuzzing = settings.get_current_profile_name() == "fuzz"
    generation = {"max-examples": MANY if fuzzing else EXAMPLES, "database": "none"}
    return {
        **({} if fuzzing else {"seed": SEED}),
        "generation": {**generation, "no-shrink": not fuzzing},
        "operations": left_out(role, everything=fuzzing),
    }


@pytest.mark.parametrize("role", ROLES)
def test_the_interface_is_as_described(
    line: Web, role: str, record_property: Callable[[str, object], None]
) -> None:
    # Until there is a token, everybody on this machine is an admin: nobody comes after that.
    known = {each: line.token(each) for each in ROLES[1:]}
    with served(lambda _: line.app) as port:
        played = play(port, known.get(role, "orch_none"), spec_of(line), **drawn(role))
    told = "\n\n".join(f"{where}: {what}" for where, what in played.wrong.items())
    assert not played.wrong, f"seed {played.seed}\n{told}"
    described = {
        f"{method.upper()} {path}"
        for path, methods in spec_of(line)["paths"].items()
        for method in methods
    }
    assert played.cases.keys() - {"Stateful tests"} == described
    counted = f"{role}: {len(described)} operations, {sum(played.cases.values())} cases"
    record_property("conformance", counted)


# --- what would be wrong is seen --------------------------------------------------------------


def _other_type(spec: Any) -> None:
    content = spec["paths"]["/agents"]["get"]["responses"]["200"]["content"]["application/json"]
    content["schema"]["properties"]["agents"]["items"]["properties"]["slots"] = {"type": "string"}


def _no_404(spec: Any) -> None:
    del spec["paths"]["/why"]["get"]["responses"]["404"]


def _any_item(spec: Any) -> None:
    spec["paths"]["/why"]["get"]["parameters"][0]["schema"] = {"type": "string"}


def _fewer(spec: Any) -> None:
    asked = spec["paths"]["/notices"]["get"]["parameters"]
    next(each for each in asked if each["name"] == "limit")["schema"]["maximum"] = 200


def _closed(spec: Any) -> None:
    spec["paths"]["/readyz"]["get"]["security"] = [{"token": []}]


def _needed_header(spec: Any) -> None:
    header = {"name": "X-Line", "in": "header", "required": True, "schema": {"type": "string"}}
    spec["paths"]["/agents"]["get"]["parameters"].append(header)


def _other_kind(spec: Any) -> None:
    content = spec["paths"]["/metrics"]["get"]["responses"]["200"]["content"]
    content["application/json"] = content.pop("text/plain")


def _more_headers(spec: Any) -> None:
    header = {"X-Line": {"required": True, "schema": {"type": "string"}}}
    spec["paths"]["/agents"]["get"]["responses"]["200"]["headers"] = header


PLANTED: list[tuple[str, Callable[[Any], None], str]] = [
    ("/agents", _other_type, "response_schema_conformance"),
    ("/why", _no_404, "status_code_conformance"),
    ("/why", _any_item, "positive_data_acceptance"),
    ("/notices", _fewer, "negative_data_rejection"),
    ("/readyz", _closed, "ignored_auth"),
    ("/agents", _needed_header, "missing_required_header"),
    ("/metrics", _other_kind, "content_type_conformance"),
    ("/agents", _more_headers, "response_headers_conformance"),
]


@pytest.mark.parametrize(("path", "plant", "check"), PLANTED)
def test_a_document_that_is_not_true_is_found_out(
    line: Web, path: str, plant: Callable[[Any], None], check: str
) -> None:
    spec = spec_of(line)
    spec["paths"] = {path: spec["paths"][path]}
    plant(spec)
    with served(lambda _: line.app) as port:
        played = play(port, line.token("viewer"), spec, **drawn("viewer"))
    assert f"GET {path} {check}" in played.wrong


def test_a_call_that_crashes_is_found_out(line: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orch.agents.listed", lambda _: 1 / 0)
    spec = spec_of(line)
    spec["paths"] = {"/agents": spec["paths"]["/agents"]}
    with served(lambda _: line.app) as port:
        played = play(port, line.token("viewer"), spec, **drawn("viewer"))
    assert "GET /agents not_a_server_error" in played.wrong


def spec_of(line: Web) -> dict[str, Any]:
    spec: dict[str, Any] = line.client.get("/openapi.json").get_json()
    return spec
