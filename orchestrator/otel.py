"""Traces by OpenTelemetry, sent by OTLP/HTTP as the standard OTEL_* variables say (extra `otel`)."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from orchestrator.load import process_id
from orchestrator.settings import Settings
from orchestrator.wording import redacted
from streams import tracing
from streams.errors import ConfigError

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext, Tracer

SERVICE = "finagent"


@contextmanager
def traced(settings: Settings) -> Iterator[None]:
    """Trace this process until the block ends, where the settings ask for it and nobody around it does already.

    What is left to send is sent at the end. Raises ConfigError where the extra `otel` is not installed.
    """
    disabled = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if not settings.observability.tracing or disabled or tracing.installed() is not None:
        yield
        return
    provider = _provider()
    tracing.install(_OtelTracer(provider.get_tracer(SERVICE, version("finagent-orchestration"))))
    try:
        yield
    finally:
        tracing.install(None)
        provider.shutdown()


def _provider() -> Any:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.id_generator import IdGenerator
    except ImportError as error:
        raise ConfigError(
            f"observability.tracing needs the extra otel ({error}): pip install 'finagent-orchestration[otel]'"
        ) from None

    class SystemIds(IdGenerator):
        """Draws ids from the system: the library's own generator would use up numbers of `random`."""

        def generate_span_id(self) -> int:
            return secrets.randbits(64) or 1

        def generate_trace_id(self) -> int:
            return secrets.randbits(128) or 1

    own = Resource.create({"service.name": SERVICE, "service.instance.id": process_id()})
    provider = TracerProvider(resource=own.merge(OTELResourceDetector().detect()), id_generator=SystemIds())
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


class _OtelSpan:
    def __init__(self, span: Any) -> None:
        self._span = span
        context = span.get_span_context()
        self.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    def end(self, error: str = "") -> None:
        if error:
            from opentelemetry.trace import StatusCode

            self._span.set_status(StatusCode.ERROR, redacted(error))
        self._span.end()


class _OtelTracer:
    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def span(
        self, name: str, attributes: Mapping[str, str | int], parent: str | None = None, links: Sequence[str] = ()
    ) -> _OtelSpan:
        from opentelemetry.context import Context
        from opentelemetry.trace import Link, NonRecordingSpan, SpanKind, set_span_in_context

        within = set_span_in_context(NonRecordingSpan(_context(parent)), Context()) if parent else Context()
        kind = SpanKind.CONSUMER if "messaging.destination.name" in attributes else SpanKind.INTERNAL
        linked = [Link(_context(each)) for each in links]
        return _OtelSpan(self._tracer.start_span(name, within, kind, attributes, linked))


def _context(traceparent: str) -> SpanContext:
    from opentelemetry.trace import SpanContext, TraceFlags

    _, trace_id, span_id, flags = traceparent.split("-")
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))
