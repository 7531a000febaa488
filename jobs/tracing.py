"""Spans of what the service does, for OpenTelemetry: nothing of it is imported, and nothing made, unless it is set up.

A span names its parent by `traceparent` (W3C Trace Context), which is also what crosses the queue, so that no state of
a thread or task is needed. `jobs.otlp` has those that are sent.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import Literal, Self

from jobs.errors import Internal, RetintError, StartupError
from jobs.settings import Settings

Attributes = Mapping[str, str | int | float]
NOTHING_SAID: Attributes = MappingProxyType({})
SpanKind = Literal["internal", "server", "producer", "consumer"]
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class Span:
    """One step of the work, ended by leaving it; this one is sent nowhere, and hands its parent on."""

    def __init__(self, traceparent: str = "") -> None:
        self.traceparent = traceparent
        """What its children name as their parent; empty where there is no trace."""

    def rename(self, name: str) -> None:
        """For a span whose name is known late."""

    def note(self, attributes: Attributes) -> None:
        """Say more about it."""

    def fail(self, code: str) -> None:
        """It went wrong; `code` is as in `jobs.errors`."""

    def end(self) -> None:
        """It is over now."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception):
            self.fail(error.code if isinstance(error, RetintError) else Internal.code)
        self.end()


class Tracing:
    """Makes spans; this one, for a service that is not traced, makes none. As a context manager it closes itself."""

    def start(
        self,
        name: str,  # noqa: ARG002
        *,
        kind: SpanKind = "internal",  # noqa: ARG002
        parent: str = "",
        attributes: Attributes = NOTHING_SAID,  # noqa: ARG002
    ) -> Span:
        """A span that begins now. `parent`: a `traceparent`; empty begins a new trace."""
        return Span(parent)

    def close(self) -> None:
        """Send what is left, for a few seconds at most."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_tracing(settings: Settings, *, service: str) -> Tracing:
    """What the settings ask for. Its threads do not survive a fork: open it in the process that uses it.

    Raises:
        StartupError: OpenTelemetry is asked for and not installed.
    """
    if settings.otlp_endpoint is None:
        return Tracing()
    try:
        from jobs.otlp import OtlpTracing
    except ModuleNotFoundError as error:
        raise StartupError(
            "RETINT_OTLP_ENDPOINT is set, but OpenTelemetry is not installed. Install retint-service with the extra "
            "`otel`, or unset it."
        ) from error
    return OtlpTracing(settings.otlp_endpoint, service=service)


def trace_id_of(traceparent: str) -> str:
    """For log lines; empty where there is no trace."""
    return traceparent[3:35]


def checked_traceparent(text: str) -> str:
    """The header's value; empty where it is none, so that nothing odd goes on."""
    return text if _TRACEPARENT.fullmatch(text) else ""
