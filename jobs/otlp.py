"""Spans that are sent by OTLP over HTTP, with the SDK of OpenTelemetry.

The SDK reads its own variables besides: `OTEL_EXPORTER_OTLP_HEADERS` for a collector's key, `OTEL_TRACES_SAMPLER`,
`OTEL_RESOURCE_ATTRIBUTES` and the like.
"""

from importlib.metadata import version

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from jobs.spans import NOTHING_SAID, Attributes, Span, SpanKind, Tracing

EXPORT_SECONDS = 3.0
"""How long a batch may take to be sent, tries and all; a job's process ends so much later where nobody takes it."""
_KINDS: dict[SpanKind, trace.SpanKind] = {
    "internal": trace.SpanKind.INTERNAL,
    "server": trace.SpanKind.SERVER,
    "producer": trace.SpanKind.PRODUCER,
    "consumer": trace.SpanKind.CONSUMER,
}
_PROPAGATOR = TraceContextTextMapPropagator()


class OtlpTracing(Tracing):
    """Runs a thread that sends spans in batches. Nothing global is set."""

    def __init__(self, endpoint: str, *, service: str) -> None:
        """`endpoint`: of the collector, such as http://localhost:4318."""
        resource = Resource.create({"service.name": service, "service.version": version("retint-service")})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_SECONDS)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("retint", version("retint-service"))

    def start(
        self, name: str, *, kind: SpanKind = "internal", parent: str = "", attributes: Attributes = NOTHING_SAID
    ) -> Span:
        context = _PROPAGATOR.extract({"traceparent": parent})
        return OtlpSpan(self._tracer.start_span(name, context=context, kind=_KINDS[kind], attributes=dict(attributes)))

    def close(self) -> None:
        self._provider.shutdown()


class OtlpSpan(Span):
    def __init__(self, span: trace.Span) -> None:
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier, context=trace.set_span_in_context(span))
        super().__init__(carrier["traceparent"])
        self._span = span

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def note(self, attributes: Attributes) -> None:
        self._span.set_attributes(dict(attributes))

    def fail(self, code: str) -> None:
        self._span.set_status(trace.StatusCode.ERROR, code)
        self._span.set_attribute("error.type", code)

    def end(self) -> None:
        self._span.end()
