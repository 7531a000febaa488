"""A record as it changes, as server-sent events (HTML standard, section 9.2): the same for jobs and for keyframes."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial

from anyio import to_thread
from fastapi import Request, Response
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event

from jobs.connection import REDIS_AWAY
from jobs.errors import JobExpired, JobNotFound
from jobs.record import TERMINAL_STATUSES
from jobs.record_reader import Look
from service.dependencies import Services
from service.event_hub import Event, EventHub, Watcher

KEEP_ALIVE_SECONDS = 15.0
"""A comment this often, so that no proxy takes a quiet stream for a dead one."""
QUEUED_SECONDS = 5.0
"""How often it is looked how many are before a queued record, which no event tells."""
AWAY_SECONDS = 1.0
"""How long a stream waits for Redis before it asks again."""
KEY_SECONDS = 5.0
"""How often it is looked whether the client's key is still there."""
RETRY_MILLISECONDS = 2000
"""What clients wait before they come back after a break."""
END = "end"
"""The id of the last event. No version, so that who has seen the last change, but not the end, gets it."""


async def answer_watch(
    request: Request, services: Services, look: Callable[[], Look], *, viewer: str | None, last_event_id: str | None
) -> Response:
    """The stream, or 204 where the client has seen its end; HEAD begins none. It ends early where the key `viewer` is
    revoked: whoever comes back then is refused."""
    found = await to_thread.run_sync(look)
    if last_event_id == END and found.status in TERMINAL_STATUSES:
        return Response(status_code=204)
    seen = _version(last_event_id)
    messages = _messages(
        services.events,
        look,
        found,
        seen=seen if seen is not None and seen <= found.version else None,
        may_watch=None if viewer is None else partial(services.keys.has, viewer),
    )
    return EventSourceResponse(
        () if request.method == "HEAD" else messages,
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _messages(
    hub: EventHub, look: Callable[[], Look], found: Look, *, seen: int | None, may_watch: Callable[[], bool] | None
) -> AsyncIterator[bytes]:
    yield format_sse_event(retry=RETRY_MILLISECONDS)
    async with (
        hub.watch(found.id, seen=found.version if seen is None else seen) as watcher,
        _closing_unless(may_watch, watcher),
    ):
        if seen is None:
            yield _whole("snapshot", found)
        client = _Client(look, found, watcher=watcher)
        while not (client.done or watcher.closing):
            for message in await client.next():
                yield message


@asynccontextmanager
async def _closing_unless(may_watch: Callable[[], bool] | None, watcher: Watcher) -> AsyncIterator[None]:
    """Close `watcher` once `may_watch` says no; None is never asked."""
    if may_watch is None:
        yield
        return
    task = asyncio.create_task(_close_unless(may_watch, watcher))
    try:
        yield
    finally:
        task.cancel()


async def _close_unless(may_watch: Callable[[], bool], watcher: Watcher) -> None:
    while not watcher.closing:
        await asyncio.sleep(KEY_SECONDS)
        with suppress(*REDIS_AWAY):  # then nobody knows, and nothing is told either
            if not await to_thread.run_sync(may_watch):
                watcher.close()


class _Client:
    """What is told to one client, behind the snapshot or what it knew."""

    def __init__(self, look: Callable[[], Look], found: Look, *, watcher: Watcher) -> None:
        self._look = look
        self._found = found
        self._watcher = watcher
        self._ended = False
        self.done = False
        """Whether nothing more will come."""

    async def next(self) -> Sequence[bytes]:
        """Waits for something to tell, but not for ever."""
        try:
            return await self._next()
        except REDIS_AWAY:
            await self._watcher.wait(AWAY_SECONDS)
            return [KEEPALIVE_COMMENT]
        except (JobNotFound, JobExpired):
            self.done = True
            return [format_sse_event(event="deleted", data_str="{}")]

    async def _next(self) -> Sequence[bytes]:
        caught_up = self._watcher.seen >= self._found.version
        if self._ended or (caught_up and self._found.status in TERMINAL_STATUSES):
            ending = await to_thread.run_sync(self._look)
            self.done = True
            return [_whole("end", ending, number=END)]
        events = await self._watcher.news()
        if events:
            self._ended = any(event.status in TERMINAL_STATUSES for event in events)
            return [_change(event) for event in events]
        queued = self._found.queue_position is not None
        if events is not None and await self._watcher.wait(QUEUED_SECONDS if queued else KEEP_ALIVE_SECONDS):
            return []
        return self._compare(await to_thread.run_sync(self._look))

    def _compare(self, found: Look) -> Sequence[bytes]:
        """What a look at the record itself tells that no event did."""
        before, self._found = self._found, found
        place = found.queue_position
        if found.version != self._watcher.seen:
            self._watcher.seen = found.version
            return [_whole("snapshot", found)]
        if place is not None and place != before.queue_position:
            return [format_sse_event(event="change", data_str=json.dumps({"queue_position": place}))]
        return [KEEPALIVE_COMMENT]


def _whole(name: str, look: Look, *, number: str | None = None) -> bytes:
    return format_sse_event(event=name, data_str=look.body.decode(), id=number or str(look.version))


def _change(event: Event) -> bytes:
    return format_sse_event(event="change", data_str=event.data, id=str(event.version))


def _version(last_event_id: str | None) -> int | None:
    """None where it is none of ours."""
    text = last_event_id or ""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else None
