"""Following a job by its server-sent events, over as many connections as it takes. Does no I/O."""

import json
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import httpx

from retint.answers import check, decode_record, foreign
from retint.calls import Call, Kind
from retint.errors import ConnectionFailed, NotFound, Problem, RetintError
from retint.event_stream import EventStream, ServerEvent
from retint.models import Task
from retint.outage import Outage

R = TypeVar("R", bound=Task)


class Watch(Generic[R]):
    """Until it has `ended`: make the call that it asks for, `take` what comes, say `broke` at the end of the answer, or
    tell what `failed`."""

    def __init__(self, kind: Kind[R], record_id: str, *, patience: float) -> None:
        self.ended = False
        self._kind = kind
        self._record_id = record_id
        self._outage = Outage(patience=patience)
        self._last_id: str | None = None
        self._stream: EventStream
        self._data: dict[str, Any] = {}
        self._told: R | None = None

    def ask(self) -> Call[None]:
        """Where a connection before broke, for what came since."""
        return self._kind.events(self._record_id, last_event_id=self._last_id, read=self._begin)

    def take(self, piece: bytes) -> Iterator[R]:
        """The states that the record has come to.

        Raises:
            NotFound: it was deleted.
        """
        for event in self._stream.feed(piece):
            self._outage.over()
            record = self._follow(event)
            self._last_id = event.last_id
            if record is not None and record != self._told:
                self._told = record
                yield record

    def broke(self) -> None:
        """The answer is over.

        Raises:
            ConnectionFailed: the record has not ended, so there is more to come.
        """
        if not self.ended:
            raise ConnectionFailed(f"The server ended the events of {self._record_id} before their end.")

    def failed(self, error: RetintError) -> float:
        """The seconds to wait before asking again; see `Outage.failed`."""
        return self._outage.failed(error)

    def _begin(self, response: httpx.Response) -> None:
        check(response)
        if response.status_code == httpx.codes.NO_CONTENT:
            self.ended = True
        elif not response.headers.get("Content-Type", "").startswith("text/event-stream"):
            raise foreign(response)
        self._stream = EventStream(last_id=self._last_id)

    def _follow(self, event: ServerEvent) -> R | None:
        match event.name:
            case "snapshot":
                self._data = json.loads(event.data)
            case "change":
                self._data = {**self._data, **json.loads(event.data)}
            case "end":
                self._data = json.loads(event.data)
                self.ended = True
            case "deleted":
                raise _deleted(self._record_id)
            case _:
                return None
        return decode_record(self._data, self._kind.record)


def _deleted(record_id: str) -> NotFound:
    return NotFound(
        Problem(
            status=404,
            code="job_not_found",
            title="No such job",
            detail=f"{record_id} was deleted while it was watched.",
            request_id=None,
            errors=(),
        )
    )
