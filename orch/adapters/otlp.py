"""Sends spans by OTLP over HTTP with OpenTelemetry's own SDK, which only this file imports."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from orch.traces import Span

TIMEOUT: Final = 10.0
"""Seconds for one batch, the exporter's own further attempts included."""
PATH: Final = "/v1/traces"


class _AsTold(IdGenerator):
    """Hands out the ids that the spans have already."""

    def __init__(self) -> None:
        self.span: Span | None = None

    def generate_span_id(self) -> int:
        return int(self.span.id, 16) if self.span else 0

    def generate_trace_id(self) -> int:
        return int(self.span.trace, 16) if self.span else 0


class OtlpCollector:
    """A collector at an address. Headers and certificates are OpenTelemetry's own settings:
    OTEL_EXPORTER_OTLP_HEADERS, OTEL_EXPORTER_OTLP_CERTIFICATE."""

    def __init__(self, endpoint: str, version: str, timeout: float = TIMEOUT) -> None:
        base = endpoint.rstrip("/")
        address = base if base.endswith(PATH) else f"{base}{PATH}"
        self._exporter = OTLPSpanExporter(endpoint=address, timeout=timeout)
        self._ids = _AsTold()
        resource = Resource.create({"service.name": "orch", "service.version": version})
        provider = TracerProvider(
            ALWAYS_ON, resource, shutdown_on_exit=False, id_generator=self._ids
        )
        self._tracer = provider.get_tracer("orch", version)

    def send(self, spans: Sequence[Span]) -> str:
        """Hand these over; why they were not taken, or nothing when they were."""
        told = [self._told(span) for span in spans]
        try:
            answer = self._exporter.export(
                [each for each in told if isinstance(each, ReadableSpan)]
            )
        except (OSError, ValueError) as error:
            return f"The collector could not be asked: {error}"
        if answer is SpanExportResult.SUCCESS:
            return ""
        return "The collector did not take the spans; the lines of its client above say why."

    def _told(self, span: Span) -> object:
        self._ids.span = span
        parent = SpanContext(
            int(span.trace, 16), int(span.parent or "0", 16), False, TraceFlags(TraceFlags.SAMPLED)
        )
        made = self._tracer.start_span(
            span.name,
            set_span_in_context(NonRecordingSpan(parent)) if span.parent else None,
            attributes=dict(span.facts),
            start_time=_nanoseconds(span.began),
        )
        if span.failed:
            made.set_status(Status(StatusCode.ERROR, span.failed))
        made.end(_nanoseconds(max(span.began, span.ended)))
        return made


def _nanoseconds(moment: datetime) -> int:
    whole = int(moment.replace(microsecond=0).timestamp())
    return (whole * 1_000_000 + moment.microsecond) * 1000
