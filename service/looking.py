"""The answer to a look at a record: the same for jobs and for keyframes."""

import hashlib
import time
from collections.abc import Callable
from typing import Any

from anyio import to_thread
from fastapi import Request, Response

from jobs.record import TERMINAL_STATUSES
from jobs.record_reader import Look
from service.conditions import matches
from service.dependencies import Services

POLL_SECONDS = 2
"""What a client is told to wait before it looks again."""
RETRY_AFTER: dict[str, Any] = {
    "Retry-After": {
        "schema": {"type": "integer"},
        "description": "Seconds until another look is worth it; absent once it changes no more.",
    }
}
LOOK_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "headers": {
            "ETag": {"schema": {"type": "string"}, "description": "Changes when the record does."},
            **RETRY_AFTER,
        }
    },
    304: {"description": "It is as `If-None-Match` says.", "headers": RETRY_AFTER},
}
"""What describes the answers to a look, but for the record itself."""
SLICE_SECONDS = 2.0
"""How often a call that waits looks whether its client is still there, and how many are before a queued job."""


async def answer_look(
    request: Request, services: Services, look: Callable[[], Look], *, wait: float, if_none_match: str | None
) -> Response:
    """Answers when the record has changed (from the state of `If-None-Match`, or else from now), or after `wait`
    seconds; one that has ended, at once."""
    deadline = time.monotonic() + wait
    first_tag: str | None = None
    while True:
        found = await to_thread.run_sync(look)
        etag = f'"{hashlib.sha256(found.body).hexdigest()[:32]}"'
        first_tag = first_tag or etag
        known = matches(if_none_match, etag=etag)
        changed = not known if if_none_match is not None else etag != first_tag
        left = deadline - time.monotonic()
        ended = found.status in TERMINAL_STATUSES
        if changed or ended or left <= 0 or await request.is_disconnected():
            break
        async with services.events.watch(found.id, seen=found.version) as watcher:
            if watcher.closing:
                break
            await watcher.wait(min(SLICE_SECONDS, left))
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if not ended:
        headers["Retry-After"] = str(POLL_SECONDS)
    if known:
        return Response(status_code=304, headers=headers)
    return Response(found.body, media_type="application/json", headers=headers)
