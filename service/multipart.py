"""multipart/form-data as a stream of events: bytes in, parts out, nothing kept but the part's headers.

FastAPI's own `UploadFile` spools every part to a temporary file and hands it over at the end: twice the disk, no limit
per part while it arrives. Here the bytes can go where they belong as they come.
"""

from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from jobs.errors import InvalidRequest, UnsupportedMediaType, UploadIncomplete

MAX_PART_HEADERS = 8
"""Browsers and clients send two or three."""
MAX_HEADER_BYTES = 4096
"""Of one header line: a file name of 255 characters fits several times over."""


@dataclass(frozen=True, slots=True)
class PartStarted:
    name: str
    filename: str | None
    """As the client gave it, folders and all; None for a plain field."""
    content_type: str | None
    """Lower case, without parameters."""


@dataclass(frozen=True, slots=True)
class PartData:
    data: bytes


@dataclass(frozen=True, slots=True)
class PartEnded:
    pass


Event = PartStarted | PartData | PartEnded


def boundary_of(content_type: str | None) -> bytes:
    """The boundary that a request's `Content-Type` names.

    Raises:
        UnsupportedMediaType: it is no multipart/form-data with a boundary.
    """
    kind, parameters = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        given = content_type or "none"
        raise UnsupportedMediaType(
            f"The request's content type is {given}; expected multipart/form-data with the parts `video`, "
            "`references` and, if wanted, `options`. With curl: -F video=@FILE -F references=@FILE."
        )
    boundary = parameters.get(b"boundary", b"")
    if not boundary:
        raise UnsupportedMediaType(
            "The request's content type is multipart/form-data without a boundary; let your HTTP client set it."
        )
    return boundary


class MultipartReader:
    """Feed it the body, piece by piece of any size, and take the events; then `close`."""

    def __init__(self, boundary: bytes) -> None:
        self._events: list[Event] = []
        self._headers: dict[bytes, bytes] = {}
        self._field = bytearray()
        self._value = bytearray()
        self._complete = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": self._extend_field,
                    "on_header_value": self._extend_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._start_part,
                    "on_part_data": self._add_data,
                    "on_part_end": self._end_part,
                    "on_end": self._end,
                },
                max_header_count=MAX_PART_HEADERS,
                max_header_size=MAX_HEADER_BYTES,
            )
        except FormParserError as error:
            raise UnsupportedMediaType(f"The boundary of the multipart body cannot be used: {error}.") from error

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes.

        Raises:
            InvalidRequest: the bytes are not what multipart/form-data allows.
        """
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise InvalidRequest(f"The multipart body is malformed: {error}.") from error
        events, self._events = self._events, []
        return events

    def close(self) -> None:
        """Raises:
        UploadIncomplete: the body ended before its closing boundary.
        """
        if not self._complete:
            raise UploadIncomplete(
                "The body ended before the closing boundary of its multipart form, so that a file would be cut off. "
                "Nothing was kept; send it again."
            )

    def _begin_part(self) -> None:
        self._headers.clear()

    def _extend_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _extend_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[bytes(self._field).lower()] = bytes(self._value)
        self._field.clear()
        self._value.clear()

    def _start_part(self) -> None:
        disposition, parameters = parse_options_header(self._headers.get(b"content-disposition"))
        if disposition != b"form-data" or b"name" not in parameters:
            raise InvalidRequest(
                "A part of the multipart body has no name; every part needs a header "
                'like: Content-Disposition: form-data; name="video"; filename="film.mp4".'
            )
        filename = parameters.get(b"filename")
        kind, _ = parse_options_header(self._headers.get(b"content-type"))
        self._events.append(
            PartStarted(
                name=_text(parameters[b"name"]),
                filename=None if filename is None else _text(filename),
                content_type=kind.decode("latin-1") or None,
            )
        )

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(PartData(data[start:end]))

    def _end_part(self) -> None:
        self._events.append(PartEnded())

    def _end(self) -> None:
        self._complete = True


def _text(value: bytes) -> str:
    """Names come as UTF-8, with quotes and line ends escaped as browsers do (WHATWG HTML, multipart/form-data)."""
    text = value.decode("utf-8", errors="replace")
    return text.replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")
