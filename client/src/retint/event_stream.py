"""Server-sent events out of bytes (HTML standard, "Server-sent events")."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerEvent:
    name: str
    data: str
    last_id: str | None
    """Id of this event, or of the last before it that had one."""


class EventStream:
    """Feed it what comes, piece by piece of any size.

    httpx's own reading by lines ends them at characters that JSON may hold as they are, such as U+2028.
    """

    def __init__(self, *, last_id: str | None) -> None:
        self._line = bytearray()
        self._name = ""
        self._data: list[str] = []
        self._last_id = last_id

    def feed(self, piece: bytes) -> Iterator[ServerEvent]:
        """The events that `piece` completes.

        Raises:
            ValueError: it is no UTF-8.
        """
        *ended, rest = piece.split(b"\n")
        for line in ended:
            self._line += line
            text, self._line = self._line.removesuffix(b"\r").decode(), bytearray()
            yield from self._take(text)
        self._line += rest

    def _take(self, line: str) -> Iterator[ServerEvent]:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if line == "":
            if self._data:
                yield ServerEvent(self._name, "\n".join(self._data), self._last_id)
            self._name, self._data = "", []
        elif field == "event":
            self._name = value
        elif field == "data":
            self._data.append(value)
        elif field == "id":
            self._last_id = value
