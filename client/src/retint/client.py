"""The blocking client."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
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
from retint.upload_meter import UploadProgress
from retint.watching import Watch

T = TypeVar("T")


class Client:
    """Talks to one service. Use it as a context manager, or `close` it. Threads may share it.

    Every method raises `APIError` where the server answers with a problem and `ConnectionFailed` where no answer comes.
    Those that take long (`submit`, `upload`, `wait`, `events`, `download`, and their like for keyframes) sit that out
    for `patience` seconds in a row: a server that is away, as while it restarts, and one that has no room for another
    job (429 and 503, as often as its `Retry-After` says). A server that was never reached is told at once.
    """

    def __init__(
        self, base_url: str = DEFAULT_SERVER, *, api_key: str | None = None, patience: float = PATIENCE_SECONDS
    ) -> None:
        self._address = Address(base_url)
        self._patience = patience
        self._http = httpx.Client(**http_settings(self._address.base_url, api_key=api_key))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def submit(
        self,
        video: str | Path | Upload,
        references: Sequence[str | Path],
        *,
        options: Mapping[str, Any] | None = None,
        on_upload: UploadProgress | None = None,
    ) -> Job:
        """Make a job of a video and its colored frames. What breaks on the way goes on where it ended, and never makes
        two jobs. The files are read as they are sent, never held whole.

        `video` is a file, or what `upload` returned; `options` is the `options` of the HTTP API, such as
        `{"tuning": "fast"}`. `on_upload` is called with the bytes of the files that were sent, and those in all.

        Raises:
            FileUnreadable: a file is not there, cannot be read, or changed while it was sent.
            RateLimited: the key has no room for another job, and got none within the client's patience.
        """
        return self._hold(submit_job(video, references, options=options, on_upload=on_upload, patience=self._patience))

    def resubmit(
        self,
        job_id: str,
        references: Sequence[str | Path] = (),
        *,
        omit: Sequence[str] = (),
        options: Mapping[str, Any] | None = None,
        on_upload: UploadProgress | None = None,
    ) -> Job:
        """Make another job of the video of an earlier one: `references` come to those that it had, or in place of those
        of the same file name, and those named in `omit` are left out. The video is not sent again, and only the shots
        that this changes are made anew.

        The earlier job's options stay, but for its webhook and for those that `options` gives. A reference stands
        where the earlier job was told that it, or the one that it replaces, stands, unless `references` in `options`
        says otherwise; with nothing but its `name` there, it is looked for in the whole video.

        Raises:
            NotFound: there is no such job.
            InvalidRequest: its video, or its references, are not kept any more.
            FileUnreadable, RateLimited: as `submit`.
        """
        return self._hold(
            resubmit_job(job_id, references, omit=omit, options=options, on_upload=on_upload, patience=self._patience)
        )

    def upload(self, video: str | Path, *, on_upload: UploadProgress | None = None) -> Upload:
        """Send a video that several jobs, or keyframes and a job, are to be made of. The server keeps it for a day.

        Raises:
            FileUnreadable: the file is not there, cannot be read, or changed while it was sent.
        """
        return self._hold(upload_file(Path(video), on_upload=on_upload, patience=self._patience))

    def get_upload(self, upload_id: str) -> Upload:
        """How an upload stands."""
        return self._run(calls.get_upload(upload_id))

    def delete_upload(self, upload_id: str) -> None:
        """Jobs that were made of it keep their video."""
        self._run(calls.delete_upload(upload_id))

    def get(self, job_id: str) -> Job:
        return self._run(JOBS.get(job_id))

    def list(self, *, status: Status | None = None, page_size: int = 50) -> Iterator[Job]:
        """All jobs, newest first; pages are fetched as they are needed."""
        after: str | None = None
        while True:
            page = self._run(calls.list_jobs(status=status, page_size=page_size, after=after))
            yield from page.data
            after = page.next
            if after is None:
                return

    def wait(
        self, job_id: str, *, on_progress: Callable[[Job], None] | None = None, timeout: float | None = None
    ) -> Job:
        """The job once it has succeeded; `on_progress` is called whenever it has changed.

        It asks again and again, each time for a change within 20 seconds, which every proxy lets through.

        Raises:
            JobFailed, JobCanceled: it ended otherwise.
            WaitTimedOut: it is not finished after `timeout` seconds.
        """
        poll = Poll(JOBS, job_id, timeout=timeout, patience=self._patience)
        return self._hold(wait_for(poll, on_progress=on_progress))

    def events(self, job_id: str) -> Iterator[Job]:
        """The job as it is now, and again whenever it changes, as soon as it does; ends with the job's end, however
        that is. None of the states in between is lost while a connection breaks.

        Raises:
            NotFound: there is no such job, or it was deleted while it was watched.
        """
        watch = Watch(JOBS, job_id, patience=self._patience)
        while not watch.ended:
            try:
                with self._stream(watch.ask()) as response:
                    for piece in response.iter_bytes():
                        yield from watch.take(piece)
                watch.broke()
            except RetintError as error:
                time.sleep(watch.failed(error))

    def cancel(self, job_id: str) -> Job:
        return self._run(JOBS.cancel(job_id))

    def retry(self, job_id: str) -> Job:
        """Let a job that has failed go on where it stopped."""
        return self._run(JOBS.retry(job_id))

    def delete(self, job_id: str) -> None:
        """Remove the job and its files."""
        self._run(JOBS.delete(job_id))

    def download(
        self,
        job_id: str,
        variant: str,
        path: str | Path,
        *,
        on_download: Callable[[int, int], None] | None = None,
    ) -> Path:
        """Fetch a result to `path`, which appears whole and with its sha256 checked, or not at all.

        A file that is there is replaced.

        A download that broke off, in this call or an earlier one, is continued where it ended.

        Raises:
            ChecksumMismatch: the bytes are not what the server said.
            FileUnwritable: the file cannot be written.
        """
        return self._fetch(self.get(job_id), variant, Path(path), on_download=on_download)

    def find_keyframes(
        self,
        video: str | Path | Upload,
        *,
        shots: Literal["auto", "single"] | Sequence[int] = "auto",
        every_seconds: float | None = None,
        metadata: Mapping[str, str] | None = None,
        on_upload: UploadProgress | None = None,
    ) -> Keyframes:
        """Begin to search a video for the frames worth coloring; wait for it with `wait_keyframes`.

        `video` is as in `submit`; `shots`: `auto`, `single`, or the first frame of every shot but the first. Every shot
        has one such frame, or, with `every_seconds`, one for about every so many seconds.
        """
        return self._hold(
            search_keyframes(
                video,
                shots=shots,
                every_seconds=every_seconds,
                metadata=metadata,
                on_upload=on_upload,
                patience=self._patience,
            )
        )

    def get_keyframes(self, keyframes_id: str) -> Keyframes:
        return self._run(KEYFRAMES.get(keyframes_id))

    def wait_keyframes(
        self,
        keyframes_id: str,
        *,
        on_progress: Callable[[Keyframes], None] | None = None,
        timeout: float | None = None,
    ) -> Keyframes:
        """The keyframes once they are found; as `wait`, errors included."""
        poll = Poll(KEYFRAMES, keyframes_id, timeout=timeout, patience=self._patience)
        return self._hold(wait_for(poll, on_progress=on_progress))

    def cancel_keyframes(self, keyframes_id: str) -> Keyframes:
        return self._run(KEYFRAMES.cancel(keyframes_id))

    def delete_keyframes(self, keyframes_id: str) -> None:
        """Remove the search and its pictures."""
        self._run(KEYFRAMES.delete(keyframes_id))

    def download_keyframes(
        self, keyframes_id: str, path: str | Path, *, on_download: Callable[[int, int], None] | None = None
    ) -> Path:
        """Fetch the pictures (PNG) and keyframes.json, checked: as one zip file where `path` ends in `.zip`, else into
        a folder of that name, which is made where there is none.

        Raises:
            ChecksumMismatch, FileUnwritable: as in `download`.
        """
        target = Path(path)
        archive = archive_of(target)
        self._fetch(self.get_keyframes(keyframes_id), "archive", archive, on_download=on_download)
        return target if archive == target else unpack(archive, into=target)

    def models(self) -> tuple[Model, ...]:
        """What the server can colorize with, the default first."""
        return self._run(calls.list_models())

    def version(self) -> dict[str, Any]:
        return self._run(calls.get_version())

    def ready(self) -> bool:
        """Whether the server, its queue, its store and at least one worker are up."""
        try:
            return self._run(calls.get_readiness())
        except ConnectionFailed:
            return False

    def _run(self, call: Call[T]) -> T:
        return call.read(self._send(call))

    def _send(self, call: Call[Any], *, stream: bool = False) -> httpx.Response:
        with self._address.calling():
            return self._http.send(call.request(self._http), stream=stream)

    def _hold(self, steps: Steps[T]) -> T:
        """Take every step of a conversation."""
        with closing(Conversation(steps)) as conversation:
            while (step := conversation.next()) is not None:
                match step:
                    case Call():
                        try:
                            conversation.answer(self._run(step))
                        except RetintError as error:
                            conversation.fail(error)
                    case Pause(seconds):
                        time.sleep(seconds)
                    case Tell(tell):
                        tell()
            return conversation.result

    @contextmanager
    def _stream(self, call: Call[None]) -> Iterator[httpx.Response]:
        """A good answer, to be read piece by piece."""
        with closing(self._send(call, stream=True)) as response, self._address.calling():
            if response.is_error:
                response.read()
            call.read(response)
            yield response

    def _fetch(self, task: Task, variant: str, path: Path, *, on_download: Callable[[int, int], None] | None) -> Path:
        with closing(PartialFile(path, variant=find_variant(task, variant), patience=self._patience)) as part:
            part.open()
            while not part.done:
                try:
                    with self._stream(part.ask()) as response:
                        for piece in response.iter_raw():
                            part.write(piece)
                            if on_download is not None:
                                on_download(part.size, part.variant.bytes)
                    part.end()
                except RetintError as error:
                    time.sleep(part.failed(error))
            return part.finish()
