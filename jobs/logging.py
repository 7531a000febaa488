"""One look for every log line: ours, RQ's and the web server's."""

import logging
import re
import sys
from typing import Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

LogFormat = Literal["console", "json"]

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def configure_logging(log_format: LogFormat, *, level: int = logging.INFO) -> None:
    """Send all logging of the process to standard error, readable or as one JSON object per line."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    renderer: list[Processor]
    if log_format == "json":
        # Without local variables: they hold keys and whole uploads.
        tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        renderer = [structlog.processors.ExceptionRenderer(tracebacks), structlog.processors.JSONRenderer()]
    else:
        renderer = [
            _escape_control_characters,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
            ),
        ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # These bring their own handlers or talk too much: let them speak through ours.
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "rq.worker", "rq.job"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    for name in ("httpx", "botocore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # Where nobody takes the spans, it says so at every try.
    logging.getLogger("opentelemetry").setLevel(logging.ERROR)
    # What it warns of (jobs stopped, processes that died) we say ourselves, once and in our words.
    logging.getLogger("rq").setLevel(logging.ERROR)


def _escape_control_characters(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    """What others sent, such as the path of a request, is one line's text and moves nobody's cursor."""
    return {name: _escaped(value) if isinstance(value, str) else value for name, value in line.items()}


def _escaped(text: str) -> str:
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
