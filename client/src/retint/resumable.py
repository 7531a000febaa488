"""Sending a file so that it goes on where it broke off, by tus 1.0: a part at a time, each checked by its sha256."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from retint import calls
from retint.body import Body
from retint.calls import Call
from retint.conversation import Pause, Steps, ask, persist
from retint.errors import RetintError
from retint.models import Upload
from retint.outage import Outage
from retint.source import Source
from retint.upload_meter import UploadMeter, UploadProgress

MOST_BYTES = 8 * 1024 * 1024
"""Of one call. What a call has sent is lost if it breaks off, since its checksum is of the whole."""
LEAST_BYTES = 256 * 1024
PASSING = frozenset({"upload_offset_mismatch", "upload_locked", "http_423", "upload_incomplete", "checksum_mismatch"})
"""Codes of problems after which the upload is asked where it stands, and goes on from there; an answer to that question
has no body (HEAD), so its problem is known by its status alone."""


def upload_file(path: Path, *, on_upload: UploadProgress | None, patience: float) -> Steps[Upload]:
    with closing(Source(path)) as source:
        meter = UploadMeter(source.length, on_upload)
        return (yield from send_file(source, meter=meter, outage=Outage(patience=patience)))


def send_file(source: Source, *, meter: UploadMeter, outage: Outage) -> Steps[Upload]:
    """Raises:
    APIError, ConnectionFailed: it got no further within the patience, or never will.
    FileUnreadable: the file cannot be read, or has another length now.
    """
    upload = yield from persist(
        partial(calls.create_upload, length=source.length, filename=source.path.name), outage=outage
    )
    most = MOST_BYTES
    offset = upload.offset
    while offset < source.length:
        stop = min(offset + most, source.length)
        try:
            offset = yield from ask(_append(upload.id, source, offset, stop, on_sent=meter.reached))
        except RetintError as error:
            yield Pause(outage.failed(error, passing=PASSING))
            # A connection that often breaks lets small parts through.
            most = max(most // 2, LEAST_BYTES)
            where = yield from persist(partial(calls.get_upload_offset, upload.id), outage=outage, passing=PASSING)
            if where > offset:
                outage.over()
            offset = where
        else:
            outage.over()
            most = min(most * 2, MOST_BYTES)
    source.require_unchanged()
    return replace(upload, offset=offset)


def _append(upload_id: str, source: Source, start: int, stop: int, *, on_sent: Callable[[int], None]) -> Call[int]:
    source.require_unchanged()
    body = Body(
        partial(source.pieces, start, stop),
        length=stop - start,
        content_type="application/offset+octet-stream",
        on_sent=lambda sent: on_sent(start + sent),
    )
    return calls.append_to_upload(upload_id, body, offset=start, sha256=source.sha256(start, stop))
