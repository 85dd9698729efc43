"""The app does what openapi.json says, whoever asks: schemathesis plays it for each role."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema

from orch.store.session import Store
from tests.factories import Rig
from tests.web.conftest import Web
from web.streams import Streams

ROLES = ("nobody", "viewer", "operator", "admin")
SEED = 4
EXAMPLES = 2
"""Drawn cases of each operation, beside the examples of the document. The coverage phase is left
out: it takes minutes for each role, and test_bad_input walks the bounds."""
LEFT_OUT = [
    # A valid value may be refused for what it means: a time that has passed, a control that
    # simulating does not know, an empty reason. That goes beyond what a schema can say.
    "positive_data_acceptance",
    # Read strictly from a query, and more kindly than a schema says: `1`, `on` and `yes` are true.
    "negative_data_rejection",
    # Without a token some calls answer all the same: test_entrance says which, and to whom.
    "ignored_auth",
]


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
    rig.task("WEB-1", repo="owner/web")
    rig.asked("LIB-2")
    rig.order("depend", "WEB-1", on="APP-2")
    rig.order("freeze", "lib", "main is red")
    web = Web(rig, tmp_path)
    web.streams = Streams(most=2, longest=0.5, pause=web.pauses.append)
    yield web
    store.dispose()


def settings(headers: dict[str, str]) -> SchemathesisConfig:
    """All checks but those left out, a fixed seed, and no state that outlives the run."""
    return SchemathesisConfig.from_dict(
        {
            "seed": SEED,
            "headers": headers,
            "workers": 1,
            "continue-on-failure": True,
            "generation": {"max-examples": EXAMPLES, "database": "none", "no-shrink": True},
            "phases": {"stateful": {"enabled": False}, "coverage": {"enabled": False}},
            "checks": {name: {"enabled": False} for name in LEFT_OUT},
        }
    )


@pytest.mark.parametrize("role", ROLES)
def test_the_interface_is_as_described(
    line: Web, role: str, record_property: Callable[[str, object], None]
) -> None:
    token = "orch_none" if role == "nobody" else line.token(role)
    headers = {"Authorization": f"Bearer {token}"}
    schema = schemathesis.openapi.from_wsgi("/openapi.json", line.app, config=settings(headers))
    operations, cases, wrong = set(), 0, {}
    for event in from_schema(schema).execute():
        if isinstance(event, events.NonFatalError | events.FatalError):
            wrong[str(event)] = repr(event)
        if not isinstance(event, events.ScenarioFinished):
            continue
        operations.add(event.recorder.label)
        cases += len(event.recorder.interactions)
        for nodes in event.recorder.checks.values():
            for node in nodes:
                if node.status == Status.FAILURE and node.failure_info is not None:
                    failure = node.failure_info.failure
                    wrong[f"{event.recorder.label} {node.name}"] = (
                        f"{failure}\n{node.failure_info.code_sample}"
                    )
    assert not wrong, "\n\n".join(f"{where}: {what}" for where, what in wrong.items())
    described = {
        f"{method.upper()} {path}"
        for path, methods in schema.raw_schema["paths"].items()
        for method in methods
    }
    # The document's own address is left out by schemathesis; test_documents reads it.
    assert operations == described - {"GET /openapi.json"}
    record_property("conformance", f"{role}: {len(operations)} operations, {cases} cases")
