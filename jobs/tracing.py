"""Whether spans are sent: OpenTelemetry is imported, and anything made for it, only where it is set up."""

import re

from jobs.errors import StartupError
from jobs.settings import Settings
from jobs.spans import Tracing

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


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
