"""Spans of what the service does; those here are sent nowhere: nothing of OpenTelemetry is imported for them.

A span names its parent by `traceparent` (W3C Trace Context), which is also what crosses the queue, so that no state of
a thread or task is needed. `jobs.otlp` has those that are sent.
"""

from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import Literal, Self

from jobs.errors import Internal, RetintError

Attributes = Mapping[str, str | int | float]
NOTHING_SAID: Attributes = MappingProxyType({})
SpanKind = Literal["internal", "server", "producer", "consumer"]


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
