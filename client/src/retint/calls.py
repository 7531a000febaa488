"""Every call of the HTTP API as data: what to send, and how to read the answer. Does no I/O."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import httpx

from retint.answers import check, read_job, read_json, read_models, read_page
from retint.connection import TIMEOUT, UPLOAD_TIMEOUT, WAIT_TIMEOUT, job_path
from retint.models import Job, Model, Page, Status

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    method: str
    path: str
    read: Callable[[httpx.Response], T]
    """Makes the answer's meaning of it, or raises the `APIError` that it stands for."""
    params: Mapping[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content: Any = None
    """The body; httpx wants an iterable for one client and an async iterable for the other."""
    timeout: httpx.Timeout = field(default_factory=lambda: TIMEOUT)

    @property
    def arguments(self) -> dict[str, Any]:
        """Of the method `request` of httpx's clients."""
        return {
            "method": self.method,
            "url": self.path,
            "params": self.params,
            "headers": self.headers,
            "content": self.content,
            "timeout": self.timeout,
        }


def submit_job(*, headers: Mapping[str, str], content: Any) -> Call[Job]:
    return Call("POST", "/v1/jobs", read_job, headers=headers, content=content, timeout=UPLOAD_TIMEOUT)


def get_job(job_id: str, *, wait: int | None = None) -> Call[Job]:
    if wait is None:
        return Call("GET", job_path(job_id), read_job)
    return Call("GET", job_path(job_id), read_job, params={"wait": str(wait)}, timeout=WAIT_TIMEOUT)


def list_jobs(*, status: Status | None, page_size: int, after: str | None) -> Call[Page]:
    params = {"limit": str(page_size)}
    if status is not None:
        params["status"] = status
    if after is not None:
        params["after"] = after
    return Call("GET", "/v1/jobs", read_page, params=params)


def cancel_job(job_id: str) -> Call[Job]:
    return Call("POST", job_path(job_id, "cancel"), read_job)


def delete_job(job_id: str) -> Call[None]:
    return Call("DELETE", job_path(job_id), check)


def list_models() -> Call[tuple[Model, ...]]:
    return Call("GET", "/v1/models", read_models)


def get_version() -> Call[dict[str, Any]]:
    return Call("GET", "/version", read_json)


def get_readiness() -> Call[bool]:
    return Call("GET", "/readyz", lambda response: response.is_success)
