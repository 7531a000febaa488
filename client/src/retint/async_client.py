"""The client for asyncio: the same calls as `Client`, awaited. What touches the disk runs in threads."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import httpx

from retint import calls
from retint.calls import JOBS, KEYFRAMES, Call
from retint.connection import DEFAULT_SERVER, Address, http_settings
from retint.conversation import Conversation, Pause, Steps, Tell
from retint.errors import ConnectionFailed, RetintError
from retint.models import Job, Keyframes, Model, Status, Task, Upload
from retint.outage import PATIENCE_SECONDS
from retint.partial import PartialFile, find_variant
from retint.pictures import archive_of, unpack
from retint.polling import Poll, wait_for
from retint.resumable import upload_file
from retint.submitting import resubmit_job, search_keyframes, submit_job
from retint.threads import in_thread
from retint.upload_meter import UploadProgress
from retint.watching import Watch

T = TypeVar("T")


class AsyncClient:
    """Talks to one service. Use it as an async context manager, or `close` it.

    Every method is `Client`'s, with its arguments and errors; callbacks are called in the event loop's thread.
    """

    def __init__(
        self, base_url: str = DEFAULT_SERVER, *, api_key: str | None = None, patience: float = PATIENCE_SECONDS
    ) -> None:
        self._address = Address(base_url)
        self._patience = patience
        self._http = httpx.AsyncClient(**http_settings(self._address.base_url, api_key=api_key))

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
        video: str | Path | Upload,
        references: Sequence[str | Path],
        *,
        options: Mapping[str, Any] | None = None,
        on_upload: UploadProgress | None = None,
    ) -> Job:
        """Make a job of a video and its colored frames; see `Client.submit`."""
        return await self._hold(
            submit_job(video, references, options=options, on_upload=on_upload, patience=self._patience)
        )

    async def resubmit(
        self,
        job_id: str,
        references: Sequence[str | Path] = (),
        *,
        omit: Sequence[str] = (),
        options: Mapping[str, Any] | None = None,
        on_upload: UploadProgress | None = None,
    ) -> Job:
        """Make another job of the video of an earlier one; see `Client.resubmit`."""
        return await self._hold(
            resubmit_job(job_id, references, omit=omit, options=options, on_upload=on_upload, patience=self._patience)
        )

    async def upload(self, video: str | Path, *, on_upload: UploadProgress | None = None) -> Upload:
        """Send a video that several jobs, or keyframes and a job, are to be made of; see `Client.upload`."""
        return await self._hold(upload_file(Path(video), on_upload=on_upload, patience=self._patience))

    async def get_upload(self, upload_id: str) -> Upload:
        """How an upload stands."""
        return await self._run(calls.get_upload(upload_id))

    async def delete_upload(self, upload_id: str) -> None:
        """Jobs that were made of it keep their video."""
        await self._run(calls.delete_upload(upload_id))

    async def get(self, job_id: str) -> Job:
        return await self._run(JOBS.get(job_id))

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
        poll = Poll(JOBS, job_id, timeout=timeout, patience=self._patience)
        return await self._hold(wait_for(poll, on_progress=on_progress))

    async def events(self, job_id: str) -> AsyncIterator[Job]:
        """The job as it is now, and again whenever it changes, until its end; see `Client.events`.

        Who leaves the loop early closes the connection with `contextlib.aclosing`, or by and by.
        """
        watch = Watch(JOBS, job_id, patience=self._patience)
        while not watch.ended:
            try:
                async with self._stream(watch.ask()) as response:
                    async for piece in response.aiter_bytes():
                        for job in watch.take(piece):
                            yield job
                watch.broke()
            except RetintError as error:
                await asyncio.sleep(watch.failed(error))

    async def cancel(self, job_id: str) -> Job:
        return await self._run(JOBS.cancel(job_id))

    async def retry(self, job_id: str) -> Job:
        """Let a job that has failed go on where it stopped."""
        return await self._run(JOBS.retry(job_id))

    async def delete(self, job_id: str) -> None:
        """Remove the job and its files."""
        await self._run(JOBS.delete(job_id))

    async def download(
        self,
        job_id: str,
        variant: str,
        path: str | Path,
        *,
        on_download: Callable[[int, int], None] | None = None,
    ) -> Path:
        """Fetch a result to `path`, which appears whole and checked, or not at all; see `Client.download`."""
        return await self._fetch(await self.get(job_id), variant, Path(path), on_download=on_download)

    async def find_keyframes(
        self,
        video: str | Path | Upload,
        *,
        shots: Literal["auto", "single"] | Sequence[int] = "auto",
        every_seconds: float | None = None,
        metadata: Mapping[str, str] | None = None,
        on_upload: UploadProgress | None = None,
    ) -> Keyframes:
        """Begin to search a video for the frames worth coloring; see `Client.find_keyframes`."""
        return await self._hold(
            search_keyframes(
                video,
                shots=shots,
                every_seconds=every_seconds,
                metadata=metadata,
                on_upload=on_upload,
                patience=self._patience,
            )
        )

    async def get_keyframes(self, keyframes_id: str) -> Keyframes:
        return await self._run(KEYFRAMES.get(keyframes_id))

    async def wait_keyframes(
        self,
        keyframes_id: str,
        *,
        on_progress: Callable[[Keyframes], None] | None = None,
        timeout: float | None = None,
    ) -> Keyframes:
        """The keyframes once they are found; as `wait`, errors included."""
        poll = Poll(KEYFRAMES, keyframes_id, timeout=timeout, patience=self._patience)
        return await self._hold(wait_for(poll, on_progress=on_progress))

    async def cancel_keyframes(self, keyframes_id: str) -> Keyframes:
        return await self._run(KEYFRAMES.cancel(keyframes_id))

    async def delete_keyframes(self, keyframes_id: str) -> None:
        """Remove the search and its pictures."""
        await self._run(KEYFRAMES.delete(keyframes_id))

    async def download_keyframes(
        self, keyframes_id: str, path: str | Path, *, on_download: Callable[[int, int], None] | None = None
    ) -> Path:
        """Fetch the pictures as a zip file or a folder; see `Client.download_keyframes`."""
        target = Path(path)
        archive = archive_of(target)
        await self._fetch(await self.get_keyframes(keyframes_id), "archive", archive, on_download=on_download)
        return target if archive == target else await in_thread(partial(unpack, archive, into=target))

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
        return call.read(await self._send(call))

    async def _send(self, call: Call[Any], *, stream: bool = False) -> httpx.Response:
        with self._address.calling():
            return await self._http.send(call.request(self._http), stream=stream)

    async def _hold(self, steps: Steps[T]) -> T:
        """Take every step of a conversation."""
        conversation = Conversation(steps)
        try:
            while (step := await in_thread(conversation.next)) is not None:
                match step:
                    case Call():
                        try:
                            conversation.answer(await self._run(step))
                        except RetintError as error:
                            conversation.fail(error)
                    case Pause(seconds):
                        await asyncio.sleep(seconds)
                    case Tell(tell):
                        tell()
            return conversation.result
        finally:
            await in_thread(conversation.close)

    @asynccontextmanager
    async def _stream(self, call: Call[None]) -> AsyncIterator[httpx.Response]:
        """A good answer, to be read piece by piece."""
        async with aclosing(await self._send(call, stream=True)) as response:
            with self._address.calling():
                if response.is_error:
                    await response.aread()
                await in_thread(partial(call.read, response))
                yield response

    async def _fetch(
        self, task: Task, variant: str, path: Path, *, on_download: Callable[[int, int], None] | None
    ) -> Path:
        part = PartialFile(path, variant=find_variant(task, variant), patience=self._patience)
        try:
            await in_thread(part.open)
            while not part.done:
                try:
                    async with self._stream(part.ask()) as response:
                        async for piece in response.aiter_raw():
                            await in_thread(partial(part.write, piece))
                            if on_download is not None:
                                on_download(part.size, part.variant.bytes)
                    part.end()
                except RetintError as error:
                    await asyncio.sleep(part.failed(error))
            return await in_thread(part.finish)
        finally:
            await in_thread(part.close)
