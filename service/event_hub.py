"""Tells those who watch a record what changes in it: one reader of Redis for all who watch anything in this process.

Each watched record has a channel with what came lately. A watcher knows up to which version it has seen the record,
takes what is newer from the channel, and reads the stream itself where the channel does not reach back so far. So
nothing is lost between a look at the record and the first event after it, however late the reader comes, and a slow
client costs no memory: what it missed is in Redis.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, cast

import structlog
from redis.asyncio import Redis

from jobs.connection import REDIS_AWAY, connect_async
from jobs.record_keys import RecordKeys

READ_SECONDS = 0.25
"""How long one reading waits: who begins to watch another record waits so long for its first event at most."""
REMEMBERED_BYTES = 64 * 1024
"""What a channel holds, but for the newest event, which it always does; whoever is further behind reads Redis."""
READ_EVENTS = 100
"""How many events of a record are read at once."""
RETRY_SECONDS = 1.0

log = structlog.stdlib.get_logger("retint.api")


@dataclass(frozen=True, slots=True)
class Event:
    """One change of a record."""

    version: int
    """The record's, from then on."""
    status: str | None
    """None where it stayed as it was."""
    data: str
    """JSON object of the top-level fields that changed, with their new values."""


@dataclass(slots=True)
class _Channel:
    after: int
    """Every event with a higher version is here, but those that the reader has not come to."""
    events: deque[Event] = field(default_factory=deque)
    watchers: set["Watcher"] = field(default_factory=set)
    held: int = 0

    @property
    def position(self) -> int:
        return self.events[-1].version if self.events else self.after

    def add(self, event: Event) -> None:
        if event.version != self.position + 1:
            # Some are lost, or the record is gone. Who has not seen those before finds that out from Redis.
            self.events.clear()
            self.after, self.held = event.version - 1, 0
        self.events.append(event)
        self.held += len(event.data)
        while self.held > REMEMBERED_BYTES and len(self.events) > 1:
            oldest = self.events.popleft()
            self.after = oldest.version
            self.held -= len(oldest.data)


class Watcher:
    """What one client has seen of a record."""

    def __init__(self, hub: "EventHub", record_id: str, channel: _Channel, *, seen: int) -> None:
        self._hub = hub
        self._record_id = record_id
        self._channel = channel
        self._woken = asyncio.Event()
        self.seen = seen
        """The version up to which the client knows the record."""
        self.closing = False
        """Whether the stream is to end, though the record has not."""

    def wake(self) -> None:
        self._woken.set()

    def close(self) -> None:
        """Let the client know that nothing more is to come."""
        self.closing = True
        self.wake()

    async def wait(self, seconds: float) -> bool:
        """Whether there may be news, which it waits for so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        return self._woken.is_set()

    async def news(self) -> Sequence[Event] | None:
        """What came since the last call; None where the record itself must be looked at, since some of it is lost, or
        the record is gone.

        Raises:
            One of `jobs.connection.REDIS_AWAY`.
        """
        self._woken.clear()
        if self.seen < self._channel.after:
            found = await self._hub.read(self._record_id, after=self.seen)
        else:
            found = [event for event in self._channel.events if event.version > self.seen]
        news = []
        for event in found:
            if event.version != self.seen + 1:
                break
            self.seen += 1
            news.append(event)
        return news if news or not found else None


class EventHub:
    """Makes its connection when somebody watches, and lets it go when nobody does."""

    def __init__(self, url: str, prefix: str) -> None:
        self._url = url
        self._keys = RecordKeys(prefix)
        self._channels: dict[str, _Channel] = {}
        self._reader: asyncio.Task[None] | None = None
        self._redis: Redis | None = None
        self._one_reads = asyncio.Lock()
        self._closed = False

    @property
    def watched(self) -> int:
        """How many watch; other threads may ask (for `/metrics`)."""
        return sum(len(channel.watchers) for channel in list(self._channels.values()))

    @asynccontextmanager
    async def watch(self, record_id: str, *, seen: int) -> AsyncIterator[Watcher]:
        """Watch a record that the client knows up to the version `seen`."""
        channel = self._channels.setdefault(record_id, _Channel(after=seen))
        watcher = Watcher(self, record_id, channel, seen=seen)
        watcher.closing = self._closed
        channel.watchers.add(watcher)
        if channel.position > seen:
            watcher.wake()
        if self._reader is None:
            self._reader = asyncio.create_task(self._read_while_watched())
        try:
            yield watcher
        finally:
            channel.watchers.discard(watcher)
            if not channel.watchers:
                self._channels.pop(record_id, None)

    def close(self) -> None:
        """Let all who watch know that the server wants to end."""
        self._closed = True
        for channel in self._channels.values():
            for watcher in channel.watchers:
                watcher.close()

    async def read(self, record_id: str, *, after: int) -> Sequence[Event]:
        """The next events of a record behind a version, as far as Redis still has them."""
        # One at a time, so that many who come back at once need no connection each.
        async with self._one_reads:
            redis = self._connection()
            found = await redis.xrange(self._keys.events(record_id), min=f"({after}-0", count=READ_EVENTS)
            return await self._events(record_id, cast("Any", found))

    async def _read_while_watched(self) -> None:
        away = False
        try:
            while self._channels:
                try:
                    await self._read_once()
                    away = False
                except REDIS_AWAY as error:
                    # Nothing is lost: it goes on from the same versions.
                    if not away:
                        log.warning("redis_unavailable", cause=str(error))
                    away = True
                    await asyncio.sleep(RETRY_SECONDS)
                except Exception:
                    # Those who watch would wait for ever.
                    log.exception("event_reader_failed")
                    await asyncio.sleep(RETRY_SECONDS)
        finally:
            self._reader = None
            if self._redis is not None:
                redis, self._redis = self._redis, None
                await redis.aclose()

    async def _read_once(self) -> None:
        streams = {self._keys.events(name): f"{channel.position}-0" for name, channel in self._channels.items()}
        names = {self._keys.events(name): name for name in self._channels}
        answer = await self._connection().xread(cast("Any", streams), count=READ_EVENTS, block=int(READ_SECONDS * 1000))
        for stream, found in _pairs(answer):
            record_id = names[stream.decode()]
            events = await self._events(record_id, found)
            channel = self._channels.get(record_id)
            if channel is None or f"{channel.position}-0" != streams[stream.decode()]:
                continue  # all left meanwhile; who came since then begins elsewhere
            for event in events:
                channel.add(event)
            for watcher in channel.watchers:
                watcher.wake()

    async def _events(self, record_id: str, found: Iterable[tuple[bytes, Mapping[bytes, bytes]]]) -> Sequence[Event]:
        """Events of entries. What is large is read from the record once, and is in the last event that names it."""
        entries = list(found)
        last = {name: number for number, entry in entries for name in _heavy(entry)}
        texts: list[bytes | None] = []
        if last:
            texts = await cast("Any", self._connection().hmget(self._keys.record(record_id), list(last)))
        large: dict[bytes, dict[str, bytes]] = {}
        for (name, number), text in zip(last.items(), texts, strict=True):
            if text is not None:
                large.setdefault(number, {})[name] = text
        return [_event(number, entry, large=large.get(number, {})) for number, entry in entries]

    def _connection(self) -> Redis:
        if self._redis is None:
            self._redis = connect_async(self._url)
        return self._redis


def _heavy(entry: Mapping[bytes, bytes]) -> Sequence[str]:
    return [name for name in entry.get(b"heavy", b"").decode().split(",") if name]


def _event(number: bytes, entry: Mapping[bytes, bytes], *, large: Mapping[str, bytes]) -> Event:
    changes = json.loads(entry.get(b"changes", b"{}"))
    status = changes.get("status")
    if status is not None and status != "queued":
        changes["queue_position"] = None
    changes |= {name: json.loads(text) for name, text in large.items()}
    return Event(version=int(number.split(b"-")[0]), status=status, data=json.dumps(changes))


def _pairs(answer: Any) -> Iterable[tuple[bytes, Any]]:
    """What XREAD answers, in the form of both versions of Redis's protocol."""
    if isinstance(answer, Mapping):
        return [(stream, entries[0]) for stream, entries in answer.items()]
    return answer or ()
