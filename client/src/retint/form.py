"""The multipart form (RFC 7578) of a job or a search for keyframes, read from disk as it is sent."""

import json
import mimetypes
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from retint.body import Body
from retint.source import Source

_LINE_END = b"\r\n"


@dataclass(frozen=True, slots=True)
class _Part:
    head: bytes
    content: Source | bytes

    @property
    def length(self) -> int:
        content = self.content
        return len(self.head) + (content.length if isinstance(content, Source) else len(content)) + len(_LINE_END)

    def pieces(self) -> Iterator[bytes]:
        yield self.head
        if isinstance(self.content, Source):
            yield from self.content.pieces(0, self.content.length)
        else:
            yield self.content
        yield _LINE_END


class Form:
    """Holds the references' files open until it is closed.

    Raises:
        FileUnreadable: one is not there or may not be read, here or as it is sent.
    """

    def __init__(self, references: Sequence[Path], *, options: Mapping[str, Any] | None) -> None:
        self._options = json.dumps(dict(options or {})).encode()
        self._boundary = secrets.token_hex(16)
        with ExitStack() as opened:
            self._references = [opened.enter_context(closing(Source(path))) for path in references]
            self._files = opened.pop_all()

    def close(self) -> None:
        self._files.close()

    @property
    def reference_bytes(self) -> int:
        return sum(source.length for source in self._references)

    def body(self, *, upload_id: str | None = None, on_sent: Callable[[int], None] | None = None) -> Body:
        """With the id of the video's upload, or without a video."""
        parts = [self._field("options", self._options, "application/json")]
        if upload_id is not None:
            parts.append(self._field("video_upload", upload_id.encode(), "text/plain"))
        parts += [self._file("references", source) for source in self._references]
        end = f"--{self._boundary}--\r\n".encode()
        return Body(
            partial(_pieces, parts, end),
            length=sum(part.length for part in parts) + len(end),
            content_type=f"multipart/form-data; boundary={self._boundary}",
            on_sent=on_sent,
        )

    def _field(self, name: str, value: bytes, kind: str) -> _Part:
        return _Part(self._head(f'name="{name}"', kind), value)

    def _file(self, name: str, source: Source) -> _Part:
        kind = mimetypes.guess_type(source.path.name)[0] or "application/octet-stream"
        return _Part(self._head(f'name="{name}"; filename="{_quoted(source.path.name)}"', kind), source)

    def _head(self, names: str, kind: str) -> bytes:
        head = f"--{self._boundary}\r\nContent-Disposition: form-data; {names}\r\nContent-Type: {kind}\r\n\r\n"
        return head.encode(errors="replace")  # names of files may hold bytes that are no letters


def _pieces(parts: Sequence[_Part], end: bytes) -> Iterator[bytes]:
    for part in parts:
        yield from part.pieces()
    yield end


def _quoted(name: str) -> str:
    """As browsers do (HTML standard, "Multipart form data")."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
