"""Every call of the HTTP API as data: what to send, and how to read the answer. Does no I/O."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx

from retint.answers import check, read_json, read_models, read_offset, read_page, read_record, read_refusal
from retint.body import Body
from retint.connection import EVENTS_TIMEOUT, TIMEOUT, UPLOAD_TIMEOUT, WAIT_TIMEOUT
from retint.models import Job, Keyframes, Model, Page, Status, Task, Upload

T = TypeVar("T")
R = TypeVar("R", bound=Task)

UPLOADS = "/v1/uploads"
_TUS = {"Tus-Resumable": "1.0.0"}


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    method: str
    path: str
    read: Callable[[httpx.Response], T]
    """Makes the answer's meaning of it, or raises the `APIError` that it stands for."""
    params: Mapping[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body | None = None
    timeout: httpx.Timeout = field(default_factory=lambda: TIMEOUT)

    def request(self, http: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        """As a client of either kind sends it."""
        headers = {**self.headers, **(self.body.headers if self.body else {})}
        request = http.build_request(self.method, self.path, params=self.params, headers=headers, timeout=self.timeout)
        if self.body is not None:
            # Given as `content`, it would be read by one kind of client alone.
            request.stream = self.body
        return request


@dataclass(frozen=True, slots=True)
class Kind(Generic[R]):
    """What a worker does for the server's users: jobs, searches for keyframes."""

    path: str
    record: type[R]

    def create(self, body: Body, *, idempotency_key: str) -> Call[R]:
        headers = {"Idempotency-Key": idempotency_key}
        return Call("POST", self.path, self._read, headers=headers, body=body, timeout=UPLOAD_TIMEOUT)

    def check(self, body: Body) -> Call[None]:
        """What would be said of a form that lacks nothing but its video."""
        return Call("POST", self.path, read_refusal, body=body, timeout=UPLOAD_TIMEOUT)

    def get(self, record_id: str, *, wait: int | None = None) -> Call[R]:
        if wait is None:
            return Call("GET", self._at(record_id), self._read)
        return Call("GET", self._at(record_id), self._read, params={"wait": str(wait)}, timeout=WAIT_TIMEOUT)

    def events(
        self, record_id: str, *, last_event_id: str | None, read: Callable[[httpx.Response], None]
    ) -> Call[None]:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if last_event_id is not None:
            headers["Last-Event-ID"] = last_event_id
        return Call("GET", self._at(record_id, "events"), read, headers=headers, timeout=EVENTS_TIMEOUT)

    def cancel(self, record_id: str) -> Call[R]:
        return Call("POST", self._at(record_id, "cancel"), self._read)

    def retry(self, record_id: str) -> Call[R]:
        return Call("POST", self._at(record_id, "retry"), self._read)

    def delete(self, record_id: str) -> Call[None]:
        return Call("DELETE", self._at(record_id), check)

    def _at(self, record_id: str, *rest: str) -> str:
        return _path(self.path, record_id, *rest)

    def _read(self, response: httpx.Response) -> R:
        return read_record(response, self.record)


JOBS = Kind("/v1/jobs", Job)
KEYFRAMES = Kind("/v1/keyframes", Keyframes)


def list_jobs(*, status: Status | None, page_size: int, after: str | None) -> Call[Page]:
    params = {"limit": str(page_size)}
    if status is not None:
        params["status"] = status
    if after is not None:
        params["after"] = after
    return Call("GET", JOBS.path, read_page, params=params)


def create_upload(*, length: int, filename: str) -> Call[Upload]:
    name = base64.b64encode(filename.encode(errors="replace")).decode()
    headers = {**_TUS, "Upload-Length": str(length), "Upload-Metadata": f"filename {name}"}
    return Call("POST", UPLOADS, partial(read_record, kind=Upload), headers=headers)


def append_to_upload(upload_id: str, body: Body, *, offset: int, sha256: bytes) -> Call[int]:
    """The answer is where the upload stands then."""
    checksum = f"sha256 {base64.b64encode(sha256).decode()}"
    headers = {**_TUS, "Upload-Offset": str(offset), "Upload-Checksum": checksum}
    path = _path(UPLOADS, upload_id)
    return Call("PATCH", path, read_offset, headers=headers, body=body, timeout=UPLOAD_TIMEOUT)


def get_upload_offset(upload_id: str) -> Call[int]:
    """For who is about to go on with it: whatever still writes to it is ended."""
    return Call("HEAD", _path(UPLOADS, upload_id), read_offset, headers=_TUS)


def get_upload(upload_id: str) -> Call[Upload]:
    return Call("GET", _path(UPLOADS, upload_id), partial(read_record, kind=Upload))


def delete_upload(upload_id: str) -> Call[None]:
    return Call("DELETE", _path(UPLOADS, upload_id), check, headers=_TUS)


def list_models() -> Call[tuple[Model, ...]]:
    return Call("GET", "/v1/models", read_models)


def get_version() -> Call[dict[str, Any]]:
    return Call("GET", "/version", read_json)


def get_readiness() -> Call[bool]:
    return Call("GET", "/readyz", lambda response: response.is_success)


def _path(*steps: str) -> str:
    """Ids are quoted, so that no id reaches another address."""
    first, *rest = steps
    return "/".join([first, *(quote(step, safe="") for step in rest)])
