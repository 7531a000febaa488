"""The client for asyncio: the same calls as `Client`, awaited. What touches the disk runs in threads."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from retint import calls
from retint.calls import Call
from retint.connection import DEFAULT_SERVER, http_settings, translated
from retint.errors import ConnectionFailed, RetintError
from retint.models import Job, Model, Status
from retint.partial import PartialFile, find_variant
from retint.polling import Poll
from retint.threads import in_thread
from retint.upload import Upload, UploadProgress

T = TypeVar("T")


class AsyncClient:
    """Talks to one service. Use it as an async context manager, or `close` it.

    Every method is `Client`'s, with its arguments and errors; callbacks are called in the event loop's thread.
    """

    def __init__(self, base_url: str = DEFAULT_SERVER, *, api_key: str | None = None) -> None:
        self._base_url = base_url.rstrip("/")
        with translated(self._base_url):
            self._http = httpx.AsyncClient(**http_settings(self._base_url, api_key=api_key))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def submit(
        self,
        video: str | Path,
        references: Sequence[str | Path],
        *,
        options: Mapping[str, Any] | None = None,
        on_upload: UploadProgress | None = None,
    ) -> Job:
        """Upload a video and its colored frames as a new job; see `Client.submit`."""
        upload = Upload(Path(video), [Path(path) for path in references], options=options, on_upload=on_upload)
        try:
            await in_thread(upload.open)
            return await self._run(calls.submit_job(headers=upload.headers, content=_ReadInThreads(upload)))
        finally:
            await in_thread(upload.close)

    async def get(self, job_id: str) -> Job:
        return await self._run(calls.get_job(job_id))

    async def list(self, *, status: Status | None = None, page_size: int = 50) -> AsyncIterator[Job]:
        """All jobs, newest first; pages are fetched as they are needed."""
        after: str | None = None
        while True:
            page = await self._run(calls.list_jobs(status=status, page_size=page_size, after=after))
            for job in page.data:
                yield job
            after = page.next
            if after is None:
                return

    async def wait(
        self, job_id: str, *, on_progress: Callable[[Job], None] | None = None, timeout: float | None = None
    ) -> Job:
        """The job once it has succeeded; see `Client.wait`."""
        poll = Poll(job_id, timeout=timeout, on_progress=on_progress)
        while True:
            try:
                job = await self._run(poll.ask())
            except RetintError as error:
                pause: float | None = poll.failed(error)
            else:
                pause = poll.answered(job)
            if pause is None:
                return job
            await asyncio.sleep(pause)

    async def cancel(self, job_id: str) -> Job:
        return await self._run(calls.cancel_job(job_id))

    async def delete(self, job_id: str) -> None:
        """Remove the job and its files."""
        await self._run(calls.delete_job(job_id))

    async def download(
        self,
        job_id: str,
        variant: str,
        path: str | Path,
        *,
        on_download: Callable[[int, int], None] | None = None,
    ) -> Path:
        """Fetch a result to `path`, which appears whole and checked, or not at all; see `Client.download`."""
        part = PartialFile(Path(path), variant=find_variant(await self.get(job_id), variant))
        try:
            await in_thread(part.open)
            while not part.done:
                try:
                    await self._fetch(part, on_download=on_download)
                except RetintError as error:
                    await asyncio.sleep(part.failed(error))
            return await in_thread(part.finish)
        finally:
            await in_thread(part.close)

    async def models(self) -> tuple[Model, ...]:
        """What the server can colorize with, the default first."""
        return await self._run(calls.list_models())

    async def version(self) -> dict[str, Any]:
        return await self._run(calls.get_version())

    async def ready(self) -> bool:
        """Whether the server, its queue, its store and at least one worker are up."""
        try:
            return await self._run(calls.get_readiness())
        except ConnectionFailed:
            return False

    async def _run(self, call: Call[T]) -> T:
        with translated(self._base_url):
            response = await self._http.request(**call.arguments)
        return call.read(response)

    async def _fetch(self, part: PartialFile, *, on_download: Callable[[int, int], None] | None) -> None:
        """One answer's worth of a download."""
        with translated(self._base_url):
            async with self._http.stream("GET", part.variant.href, headers=part.headers()) as response:
                if response.is_error:
                    await response.aread()
                await in_thread(partial(part.begin, response))
                async for piece in response.aiter_raw():
                    await in_thread(partial(part.write, piece))
                    if on_download is not None:
                        on_download(part.size, part.variant.bytes)
                part.end()


class _ReadInThreads:
    """An upload's bytes; each loop starts anew."""

    def __init__(self, upload: Upload) -> None:
        self._upload = upload

    async def __aiter__(self) -> AsyncIterator[bytes]:
        pieces = self._upload.pieces()
        while (piece := await in_thread(partial(next, pieces, None))) is not None:
            yield piece
            self._upload.passed(piece)
