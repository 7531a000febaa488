"""The blocking client."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from retint.upload import Upload, UploadProgress

T = TypeVar("T")


class Client:
    """Talks to one service. Use it as a context manager, or `close` it.

    Every method raises `APIError` where the server answers with a problem and `ConnectionFailed` where no answer comes.
    """

    def __init__(self, base_url: str = DEFAULT_SERVER, *, api_key: str | None = None) -> None:
        self._base_url = base_url.rstrip("/")
        with translated(self._base_url):
            self._http = httpx.Client(**http_settings(self._base_url, api_key=api_key))

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
        video: str | Path,
        references: Sequence[str | Path],
        *,
        options: Mapping[str, Any] | None = None,
        on_upload: UploadProgress | None = None,
    ) -> Job:
        """Upload a video and its colored frames as a new job; the files are read as they are sent, never held whole.

        `options` is the `options` of the HTTP API, such as `{"tuning": "fast"}`.

        Raises:
            FileUnreadable: a file is not there or cannot be read.
        """
        paths = [Path(path) for path in references]
        with Upload(Path(video), paths, options=options, on_upload=on_upload) as upload:
            return self._run(calls.submit_job(headers=upload.headers, content=upload))

    def get(self, job_id: str) -> Job:
        return self._run(calls.get_job(job_id))

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
        """The job once it has succeeded; `on_progress` is called whenever it has changed. Outages are sat out.

        Raises:
            JobFailed, JobCanceled: it ended otherwise.
            WaitTimedOut: it is not finished after `timeout` seconds.
        """
        poll = Poll(job_id, timeout=timeout, on_progress=on_progress)
        while True:
            try:
                job = self._run(poll.ask())
            except RetintError as error:
                pause: float | None = poll.failed(error)
            else:
                pause = poll.answered(job)
            if pause is None:
                return job
            time.sleep(pause)

    def cancel(self, job_id: str) -> Job:
        return self._run(calls.cancel_job(job_id))

    def delete(self, job_id: str) -> None:
        """Remove the job and its files."""
        self._run(calls.delete_job(job_id))

    def download(
        self,
        job_id: str,
        variant: str,
        path: str | Path,
        *,
        on_download: Callable[[int, int], None] | None = None,
    ) -> Path:
        """Fetch a result to `path`, which appears whole and with its sha256 checked, or not at all.

        A download that broke off, in this call or an earlier one, is continued where it ended.

        Raises:
            ChecksumMismatch: the bytes are not what the server said.
            FileUnwritable: the file cannot be written.
        """
        with PartialFile(Path(path), variant=find_variant(self.get(job_id), variant)) as part:
            while not part.done:
                try:
                    self._fetch(part, on_download=on_download)
                except RetintError as error:
                    time.sleep(part.failed(error))
            return part.finish()

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
        with translated(self._base_url):
            response = self._http.request(**call.arguments)
        return call.read(response)

    def _fetch(self, part: PartialFile, *, on_download: Callable[[int, int], None] | None) -> None:
        """One answer's worth of a download."""
        with (
            translated(self._base_url),
            self._http.stream("GET", part.variant.href, headers=part.headers()) as response,
        ):
            if response.is_error:
                response.read()
            part.begin(response)
            for piece in response.iter_raw():
                part.write(piece)
                if on_download is not None:
                    on_download(part.size, part.variant.bytes)
            part.end()
