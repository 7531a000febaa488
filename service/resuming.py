"""Writes the bodies of calls to resumable uploads, one call per upload at a time.

A client whose connection hangs comes back on another one, while the server still waits for the first: the newcomer
leaves a mark, the call under way sees it and lets go.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import anyio
from anyio import to_thread
from starlette.requests import Request

from jobs.checksum import Checksum
from jobs.errors import UploadLocked
from jobs.resumable import ResumableUploads, UploadWriter, too_many_bytes
from service.body import declared_length, pump
from service.disk_space import DiskSpace

TAKEOVER_SECONDS = 5.0
"""How long a call waits for the one before it to let go."""
ASK_SECONDS = 0.1
"""How often it tries."""
LOOK_SECONDS = 0.5
"""How often the one before looks whether it is to let go."""
KEPT = "What came is kept, unless it has a checksum: ask for the offset with HEAD and go on from there."


@asynccontextmanager
async def claimed(uploads: ResumableUploads, upload_id: str, *, viewer: str | None) -> AsyncIterator[UploadWriter]:
    """The writer of an upload, taken over from a call that still holds it.

    Raises:
        UploadNotFound, UploadExpired
        UploadLocked: the other call did not let go.
    """
    writer = await _claim(uploads, upload_id, viewer=viewer)
    try:
        yield writer
    finally:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(writer.close)


async def _claim(uploads: ResumableUploads, upload_id: str, *, viewer: str | None) -> UploadWriter:
    claim = partial(uploads.claim, upload_id, viewer=viewer)
    deadline = time.monotonic() + TAKEOVER_SECONDS
    asked = False
    while True:
        try:
            return await to_thread.run_sync(claim)
        except UploadLocked:
            if time.monotonic() > deadline:
                raise
        if not asked:
            # Once: two that ask again and again would take it from each other for ever.
            await to_thread.run_sync(uploads.ask_for, upload_id)
            asked = True
        await anyio.sleep(ASK_SECONDS)


async def receive(request: Request, writer: UploadWriter, *, space: DiskSpace, checksum: Checksum | None) -> None:
    """Append the body of `request`.

    Raises:
        PayloadTooLarge, StoreFull, UploadIncomplete, UploadLocked: what came is kept, unless it has a checksum.
        ChecksumMismatch: nothing of it is kept.
    """
    if declared_length(request) > writer.bytes_left:
        raise too_many_bytes(writer.length)
    if checksum is not None:
        with space.full_is_told():
            await to_thread.run_sync(writer.expect, checksum)

    def write(chunk: bytes) -> None:
        space.use(len(chunk))
        with space.full_is_told():
            writer.write(chunk)

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_end_when_wanted, writer)
            await pump(request, write, kept=KEPT)
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
    await to_thread.run_sync(writer.finish)


async def _end_when_wanted(writer: UploadWriter) -> None:
    while not await to_thread.run_sync(writer.is_wanted):
        await anyio.sleep(LOOK_SECONDS)
    raise UploadLocked(f"Another call has taken this upload over. {KEPT}", retry_after=1)
