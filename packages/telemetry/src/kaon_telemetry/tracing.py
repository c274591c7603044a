"""Spans of runs, steps and attempts for OpenTelemetry.

Ids are derived: the trace from the client's W3C context or else from the run's id, a span from its run, path
and issue. So coordinator and runner name the same span without communication, and a repeated span is the
same.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import SpanContext

_TRACE_PARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})\Z")


@dataclass(frozen=True, kw_only=True)
class SpanIds:
    """A span's ids: 16 and 8 bytes as numbers, never 0; the parent is 0 when there is none."""

    trace: int
    span: int
    parent: int = 0

    @property
    def trace_parent(self) -> str:
        """Return the W3C trace context of work inside this span."""
        return _context_text(self.trace, self.span)


def _context_text(trace: int, span: int) -> str:
    return f"00-{trace:032x}-{span:016x}-01"


def _number(size: int, *parts: object) -> int:
    text = "\0".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:size]) or 1


def is_trace_parent(text: str) -> bool:
    """Tell whether a text is a W3C trace context of version 00."""
    return _TRACE_PARENT.match(text) is not None


@lru_cache(maxsize=4096)
def run_span(run_id: str, trace_parent: str = "") -> SpanIds:
    """Return the span of a run; `trace_parent` is the context of its submission, if any."""
    known = _TRACE_PARENT.match(trace_parent)
    trace = int(known[1], 16) if known else _number(16, "run", run_id)
    return SpanIds(
        trace=trace, span=_number(8, "run", run_id), parent=int(known[2], 16) if known else 0
    )


def step_span(run: SpanIds, run_id: str, path: str, generation: int) -> SpanIds:
    """Return the span of one issue of a step, from READY to its end."""
    span = _step_number(run_id, path, generation)
    return SpanIds(trace=run.trace, span=span, parent=run.span)


def step_context(run: SpanIds, run_id: str, path: str, generation: int) -> str:
    """Return the W3C trace context of work inside the span of `step_span`."""
    return _context_text(run.trace, _step_number(run_id, path, generation))


def _step_number(run_id: str, path: str, generation: int) -> int:
    return _number(8, "step", run_id, path, generation)


def inner_span(trace_parent: str, what: str) -> SpanIds | None:
    """Return a span named `what` directly inside that of a W3C context; None for an invalid context."""
    known = _TRACE_PARENT.match(trace_parent)
    if known is None:
        return None
    parent = int(known[2], 16)
    return SpanIds(trace=int(known[1], 16), span=_number(8, what, known[2]), parent=parent)


class Spans(Protocol):
    """A receiver of finished spans. It never blocks and never raises."""

    # Whether spans are exported; otherwise they need not be composed.
    heard: bool

    def tell(
        self,
        name: str,
        ids: SpanIds,
        *,
        start_us: int,
        end_us: int,
        attributes: Mapping[str, str | int | float | bool],
        error: str = "",
    ) -> None:
        """Record a finished span; times are microseconds since the epoch, `error` is empty for a success."""

    def close(self) -> None:
        """Send waiting spans, within a few seconds."""


class NoSpans:
    """Tracing is off."""

    heard = False

    def tell(
        self,
        name: str,
        ids: SpanIds,
        *,
        start_us: int,
        end_us: int,
        attributes: Mapping[str, str | int | float | bool],
        error: str = "",
    ) -> None:
        """Ignore the span."""

    def close(self) -> None:
        """Do nothing: no span waits."""


def open_spans(service: str, environment: Mapping[str, str]) -> Spans:
    """Open tracing as configured by the environment; without either variable it is off.

    OTEL_EXPORTER_OTLP_ENDPOINT is a collector's base URL (OTLP over HTTP), KAON_TRACES a file for JSON lines.
    """
    exporter = _exporter(environment)
    if exporter is None:
        return NoSpans()
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    return ExportedSpans(service, BatchSpanProcessor(exporter))


def _exporter(environment: Mapping[str, str]) -> SpanExporter | None:
    if environment.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter()
    if path := environment.get("KAON_TRACES"):
        from kaon_telemetry.tracefile import TraceFile

        return TraceFile(Path(path))
    return None


class ExportedSpans:
    """Spans for a collector or a file, sent in batches on a thread of the OpenTelemetry SDK.

    Args:
        service: The name of this service.
        processor: Receives finished spans.
    """

    heard = True

    def __init__(self, service: str, processor: SpanProcessor) -> None:
        from opentelemetry.sdk.resources import Resource

        self._processor = processor
        self._resource = Resource.create({"service.name": service, "service.namespace": "kaon"})

    def tell(
        self,
        name: str,
        ids: SpanIds,
        *,
        start_us: int,
        end_us: int,
        attributes: Mapping[str, str | int | float | bool],
        error: str = "",
    ) -> None:
        """Record a finished span; see `Spans`."""
        self._processor.on_end(self._span(name, ids, start_us, end_us, attributes, error))

    def _span(
        self,
        name: str,
        ids: SpanIds,
        start_us: int,
        end_us: int,
        attributes: Mapping[str, str | int | float | bool],
        error: str,
    ) -> ReadableSpan:
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import Status, StatusCode

        return ReadableSpan(
            name=name,
            context=_context(ids.trace, ids.span),
            parent=_context(ids.trace, ids.parent) if ids.parent else None,
            resource=self._resource,
            attributes=dict(attributes),
            status=Status(StatusCode.ERROR, error) if error else Status(StatusCode.OK),
            start_time=start_us * 1000,
            end_time=end_us * 1000,
        )

    def close(self) -> None:
        """Send waiting spans; see `Spans`."""
        self._processor.force_flush(5_000)
        self._processor.shutdown()


def _context(trace: int, span: int) -> SpanContext:
    from opentelemetry.trace import SpanContext, TraceFlags

    return SpanContext(trace, span, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
