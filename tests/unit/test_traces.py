"""Spans reach a real receiver as they were told; a collector that fails hurts nobody."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from orch import bootstrap
from orch.adapters.otlp import OtlpCollector
from orch.config import Settings, load_settings
from orch.errors import ConfigError
from orch.traces import Span, span_of, trace_of
from tests.unit.otlp_receiver import Receiver

BEGIN = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
TRACE = trace_of(7, "APP-7", BEGIN.isoformat())
TASK = span_of(TRACE, "task")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def span(name: str = "job review", **more: Any) -> Span:
    given: dict[str, Any] = {"parent": TASK, "facts": {"orch.attempt": 2, "orch.repo": "app"}}
    times = (BEGIN, BEGIN + timedelta(seconds=1.5))
    return Span(
        TRACE, span_of(TRACE, name), name=name, began=times[0], ended=times[1], **(given | more)
    )


def test_spans_arrive_with_their_ids_times_facts_and_status(receiver: Receiver) -> None:
    collector = OtlpCollector(receiver.url, "1.2")
    failed = span("job testing", failed="the tests are red")
    assert collector.send([span("task", parent="", facts={}), span(), failed]) == ""
    root, job, red = receiver.spans
    assert (root.name, root.trace_id.hex(), root.parent_span_id) == ("task", TRACE, b"")
    assert (job.trace_id.hex(), job.parent_span_id.hex()) == (TRACE, TASK)
    assert job.span_id.hex() == span_of(TRACE, "job review")
    assert job.start_time_unix_nano == int(BEGIN.timestamp()) * 10**9 + 123_456_000
    assert job.end_time_unix_nano - job.start_time_unix_nano == 1_500_000_000
    told = {each.key: each.value for each in job.attributes}
    assert (told["orch.attempt"].int_value, told["orch.repo"].string_value) == (2, "app")
    assert (red.status.code, red.status.message, job.status.code) == (2, "the tests are red", 0)
    assert receiver.resource["service.name"] == "orch"


@pytest.mark.parametrize("ending", ["", "/", "/v1/traces", "/v1/traces/"])
def test_the_address_may_be_told_with_or_without_its_path(receiver: Receiver, ending: str) -> None:
    assert OtlpCollector(receiver.url + ending, "1").send([span()]) == ""
    assert receiver.paths == ["/v1/traces"]


def test_a_double_is_the_same_span(receiver: Receiver) -> None:
    for _ in range(2):  # as from two processes
        OtlpCollector(receiver.url, "1").send([span()])
    one, other = receiver.spans
    assert one.SerializeToString() == other.SerializeToString()


def test_a_collector_that_refuses_is_an_answer_and_no_error(receiver: Receiver) -> None:
    receiver.status = 400
    assert OtlpCollector(receiver.url, "1").send([span()])
    receiver.status = 200
    assert OtlpCollector(receiver.url, "1").send([span()]) == ""


def test_a_collector_that_is_not_there_is_an_answer_and_no_error(receiver: Receiver) -> None:
    gone = OtlpCollector("http://127.0.0.1:9", "1", timeout=0.2)
    assert gone.send([span()])


def test_ids_are_those_of_their_thing_and_of_no_other() -> None:
    ids = {
        trace_of(*each)
        for each in [(1, "A-1", "x"), (1, "A-1", "y"), (2, "A-1", "x"), (1, "A", "-1x")]
    }
    assert len(ids) == 4
    assert trace_of(1, "A-1") == trace_of(1, "A-1")
    assert (len(TRACE), len(TASK)) == (32, 16)


# --- when it is on


def test_the_endpoint_is_orch_s_own_setting_else_the_one_every_program_goes_by(
    tmp_path: Path,
) -> None:
    usual = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://usual:4318"}
    assert load_settings({}, tmp_path).otel_endpoint == ""
    assert load_settings(usual, tmp_path).otel_endpoint == "http://usual:4318"
    own = usual | {"ORCH_OTEL_ENDPOINT": "http://own:4318"}
    assert load_settings(own, tmp_path).otel_endpoint == "http://own:4318"


@pytest.mark.parametrize("odd", ["http://me:secret@host", "localhost:4317", "grpc://host"])
def test_what_is_no_address_for_orch_is_refused_where_it_was_meant_for_orch(
    tmp_path: Path, odd: str
) -> None:
    with pytest.raises(ConfigError, match="ORCH_OTEL_ENDPOINT"):
        load_settings({"ORCH_OTEL_ENDPOINT": odd}, tmp_path)
    assert load_settings({"OTEL_EXPORTER_OTLP_ENDPOINT": odd}, tmp_path).otel_endpoint == ""


def test_without_an_endpoint_there_is_no_collector_to_build() -> None:
    with pytest.raises(ConfigError, match="No collector"):
        bootstrap.build_collector(Settings())


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "orch.adapters.otlp", None)
    with pytest.raises(ConfigError) as refused:
        bootstrap.build_collector(Settings(otel_endpoint="http://127.0.0.1:4318"))
    assert "orch[traces]" in refused.value.suggested_fix


LOADED = """
import sys, orch.cli.keeping, orch.tracing, orch.readings, orch.bootstrap, web.api
print([name for name in sys.modules if name.startswith("opentelemetry")])
import orch.tasks
ours = ("opentelemetry.exporter", "orch.adapters.otlp")
print([name for name in sys.modules if name.startswith(ours)])
"""
"""The client of Redis, which only the tasks load, loads OpenTelemetry for itself where it is there;
what orch would send spans with is not loaded for that."""


def test_who_sends_no_spans_never_loads_what_sends_them() -> None:
    command = [sys.executable, "-c", LOADED]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert told.stdout.split("\n") == ["[]", "[]", ""]
