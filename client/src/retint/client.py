"""The blocking client."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from retint.answers import check, connection_failed, read_job, read_json, read_models, read_page
from retint.connection import DEFAULT_SERVER, TIMEOUT, UPLOAD_TIMEOUT, WAIT_TIMEOUT, headers, job_path, uses_proxies
from retint.errors import ConnectionFailed, RetintError, Unavailable
from retint.models import Job, Model, Status
from retint.partial import ATTEMPTS, PartialFile, find_variant
from retint.polling import Poll
from retint.upload import UploadProgress, open_form


class Client:
    """Talks to one service. Use it as a context manager, or `close` it.

    Every method raises `APIError` where the server answers with a problem and `ConnectionFailed` where no answer comes.
    """

    def __init__(self, base_url: str = DEFAULT_SERVER, *, api_key: str | None = None) -> None:
        self._base_url = base_url.rstrip("/")
        with translated(self._base_url):
            self._http = httpx.Client(
                base_url=self._base_url,
                headers=headers(api_key),
                timeout=TIMEOUT,
                follow_redirects=True,
                trust_env=uses_proxies(self._base_url),
            )

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
            OSError: a file cannot be read.
        """
        paths = [Path(path) for path in references]
        with open_form(Path(video), paths, options=options, on_upload=on_upload) as form:
            return read_job(self._send("POST", "/v1/jobs", data=form.data, files=form.files, timeout=UPLOAD_TIMEOUT))

    def get(self, job_id: str) -> Job:
        return read_job(self._send("GET", job_path(job_id)))

    def list(self, *, status: Status | None = None, page_size: int = 50) -> Iterator[Job]:
        """All jobs, newest first; pages are fetched as they are needed."""
        query = {"limit": str(page_size), **({"status": status} if status else {})}
        while True:
            page = read_page(self._send("GET", "/v1/jobs", params=query))
            yield from page.data
            if page.next is None:
                return
            query["after"] = page.next

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
                job = read_job(self._send("GET", job_path(job_id), params=poll.ask(), timeout=WAIT_TIMEOUT))
            except RetintError as error:
                pause: float | None = poll.failed(error)
            else:
                pause = poll.answered(job)
            if pause is None:
                return job
            time.sleep(pause)

    def cancel(self, job_id: str) -> Job:
        return read_job(self._send("POST", job_path(job_id, "cancel")))

    def delete(self, job_id: str) -> None:
        """Remove the job and its files."""
        check(self._send("DELETE", job_path(job_id)))

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
            OSError: the file cannot be written.
        """
        wanted = find_variant(self.get(job_id), variant)
        with PartialFile(Path(path), variant=wanted) as part:
            failures = 0
            while not part.complete:
                before = part.size
                try:
                    self._fetch(wanted.href, part, total=wanted.bytes, on_download=on_download)
                except (ConnectionFailed, Unavailable) as error:
                    failures = failures + 1 if part.size == before else 0
                    if failures >= ATTEMPTS:
                        raise
                    time.sleep((error.retry_after if isinstance(error, Unavailable) else None) or failures * 0.5)
                else:
                    break
            return part.finish()

    def models(self) -> tuple[Model, ...]:
        """What the server can colorize with, the default first."""
        return read_models(self._send("GET", "/v1/models"))

    def version(self) -> dict[str, Any]:
        return read_json(self._send("GET", "/version"))

    def ready(self) -> bool:
        """Whether the server, its queue, its store and at least one worker are up."""
        try:
            return self._send("GET", "/readyz").is_success
        except ConnectionFailed:
            return False

    def _send(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        with translated(self._base_url):
            return self._http.request(method, path, **arguments)

    def _fetch(
        self, href: str, part: PartialFile, *, total: int, on_download: Callable[[int, int], None] | None
    ) -> None:
        """One answer's worth of a download."""
        with (
            translated(self._base_url),
            self._http.stream("GET", href, headers=part.headers(), timeout=TIMEOUT) as response,
        ):
            if not response.is_success:
                response.read()
                check(response)
            part.begin(response)
            for piece in response.iter_raw():
                part.write(piece)
                if on_download is not None:
                    on_download(part.size, total)


@contextmanager
def translated(base_url: str) -> Iterator[None]:
    """What httpx raises, as what this package raises."""
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise connection_failed(error, base_url=base_url) from error
