"""What an answer of the server means: its JSON, or the error that it stands for."""

from dataclasses import replace
from typing import Any, TypeVar

import httpx

from retint.decoding import decode
from retint.errors import APIError, FieldError, InvalidRequest, Problem, ServerError, Unavailable, error_class
from retint.models import Job, Model, Page, Task, Upload

R = TypeVar("R", bound=Task | Upload)


def check(response: httpx.Response) -> None:
    """Let good answers pass. The body must have been read.

    Raises:
        APIError: the subclass that fits the status.
    """
    if response.is_success or response.status_code == httpx.codes.NOT_MODIFIED:
        return
    raise error_class(response.status_code)(_problem(response), retry_after=_retry_after(response))


def read_json(response: httpx.Response) -> dict[str, Any]:
    """The JSON object of a good answer.

    Raises:
        APIError: the answer is an error, or not JSON (then something else than the service answered).
    """
    check(response)
    try:
        data = response.json()
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise foreign(response)
    return data


def read_record(response: httpx.Response, kind: type[R]) -> R:
    data = read_json(response)
    try:
        return decode_record(data, kind)
    except (ValueError, TypeError) as error:
        raise foreign(response) from error


def decode_record(data: dict[str, Any], kind: type[R]) -> R:
    """Raises:
    ValueError, TypeError: `data` is none.
    """
    record = decode(kind, data)
    return replace(record, raw=data) if isinstance(record, Task) else record


def read_offset(response: httpx.Response) -> int:
    """Where an upload stands."""
    check(response)
    try:
        return int(response.headers["Upload-Offset"])
    except (KeyError, ValueError) as error:
        raise foreign(response) from error


def read_refusal(response: httpx.Response) -> None:
    """Of a form without its video: where that is all that is wrong with it, let the answer pass.

    Raises:
        APIError: what else is wrong.
    """
    try:
        check(response)
    except InvalidRequest as error:
        others = tuple(place for place in error.errors if place.pointer != "#/video")
        if others == error.errors:
            raise
        if others:
            raise type(error)(replace(error.problem, errors=others)) from None


def read_page(response: httpx.Response) -> Page:
    data = read_json(response)
    try:
        return Page(
            data=tuple(decode_record(item, Job) for item in data["data"]),
            next=data.get("next") if data.get("has_more") else None,
        )
    except (KeyError, ValueError, TypeError) as error:
        raise foreign(response) from error


def read_models(response: httpx.Response) -> tuple[Model, ...]:
    data = read_json(response)
    try:
        return tuple(decode(Model, item) for item in data["data"])
    except (KeyError, ValueError, TypeError) as error:
        raise foreign(response) from error


def foreign(response: httpx.Response) -> APIError:
    """A good answer that a retint service would not give."""
    detail = f"{response.url} answered, but not as a retint service does; is the address right?"
    return ServerError(
        Problem(
            status=response.status_code,
            code="not_retint",
            title="Not a retint service",
            detail=detail,
            request_id=None,
            errors=(),
        )
    )


def _problem(response: httpx.Response) -> Problem:
    status = response.status_code
    try:
        data = response.json()
    except ValueError:
        data = None
    if not isinstance(data, dict):
        data = {}
    places = data.get("errors") or ()
    return Problem(
        status=status,
        code=str(data.get("code") or f"http_{status}"),
        title=str(data.get("title") or response.reason_phrase),
        detail=str(data.get("detail") or _undescribed(response)),
        request_id=data.get("request_id"),
        errors=tuple(FieldError(pointer=str(place["pointer"]), detail=str(place["detail"])) for place in places),
    )


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds; the header's other form, a date, is not used by the service and counts as absent."""
    try:
        return max(0.0, float(response.headers["Retry-After"]))
    except (KeyError, ValueError):
        return None


def _undescribed(response: httpx.Response) -> str:
    """An error that no retint service made: of a gateway before it, or of something else at its address."""
    # Without its query: in object storage that is what opens the file.
    place = response.url.copy_with(query=None)
    answer = f"{place} answered {response.status_code} {response.reason_phrase}".rstrip()
    if error_class(response.status_code) is Unavailable:
        return f"{answer}."
    return f"{answer}, but not as a retint service does; is the address right?"
