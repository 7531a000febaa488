"""Every error answer in one shape: `application/problem+json` after RFC 9457, from one exception tree."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Scope

from jobs.connection import REDIS_AWAY
from jobs.errors import (
    FieldError,
    InternalError,
    InvalidRequest,
    LimitReached,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    RedisUnavailable,
    RequestError,
    RetintError,
    StoreAway,
    StoreUnavailable,
    Unauthorized,
    UnsupportedMediaType,
)
from jobs.options import StrictModel
from jobs.wording import in_words
from service.rate_limit import RATE_LIMIT_HEADERS, rate_limit_headers

MEDIA_TYPE = "application/problem+json"
REDIS_RETRY_SECONDS = 5
STORE_RETRY_SECONDS = 10
RETRY_LATER = frozenset({429, 503, 507})
"""Statuses that pass by themselves; each answer says when."""

Kind = TypeVar("Kind", bound=RetintError)

log = structlog.stdlib.get_logger("retint.api")


class ProblemField(StrictModel):
    """One offending place in the request."""

    pointer: str
    """JSON pointer: `#/options/...`, `#/video`, `#/references/0`, `#/query/limit`."""
    detail: str
    """What is wrong there."""


class Problem(StrictModel):
    """What went wrong, in the shape of RFC 9457."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "/docs#job_not_found",
                    "title": "No such job",
                    "status": 404,
                    "detail": "There is no job 0b9f; its id may be misspelt, or it was deleted.",
                    "code": "job_not_found",
                    "request_id": "5f0c1c6f7ab14cf3a3a7c4c1f2a1f0de",
                    "errors": [],
                }
            ]
        }
    )

    type: str
    """Stable address of the kind of problem, relative to this server."""
    title: str
    """The kind of problem in words."""
    status: int
    """The answer's HTTP status."""
    detail: str
    """What was wrong, what was expected, what to do."""
    code: str
    """Stable name of the kind of problem, for programs."""
    request_id: str
    """The answer's `X-Request-ID`; the server's log has it too."""
    errors: list[ProblemField] = Field(default_factory=list)
    """The offending places, where they are known."""


def describe_problems(*errors: type[RequestError], asks_redis: bool = True) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route: each status with the codes that it may carry, as problem+json."""
    by_status: dict[int, list[type[RequestError]]] = {}
    always: tuple[type[RequestError], ...] = (RedisUnavailable, InternalError) if asks_redis else (InternalError,)
    for error in (*errors, *always):
        by_status.setdefault(error.status, []).append(error)
    return {
        status: {
            "description": "; ".join(f"{error.title} (`{error.code}`)" for error in of_status),
            "headers": _headers_of(of_status),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status, of_status in sorted(by_status.items())
    }


def _headers_of(errors: Sequence[type[RequestError]]) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if any(error.status in RETRY_LATER for error in errors):
        headers["Retry-After"] = {"schema": {"type": "integer"}, "description": "Seconds until a try is worth it."}
    if any(issubclass(error, LimitReached) for error in errors):
        headers |= RATE_LIMIT_HEADERS
    if Unauthorized in errors:
        headers["WWW-Authenticate"] = {"schema": {"type": "string"}, "description": "What kind of key is asked for."}
    return headers


def problem_response(
    error: RequestError, *, request_id: str, headers: Mapping[str, str] | None = None, status: int | None = None
) -> JSONResponse:
    """The answer to one error. `status` overrides the error's own, for statuses that have no class."""
    problem = Problem(
        type=f"/docs#{error.code}",
        title=error.title,
        status=status or error.status,
        detail=error.detail,
        code=error.code,
        request_id=request_id,
        errors=[ProblemField(pointer=field.pointer, detail=field.detail) for field in error.errors],
    )
    sent = {**(headers or {}), "Cache-Control": "no-store"}
    if error.retry_after is not None:
        sent["Retry-After"] = str(error.retry_after)
    if isinstance(error, LimitReached):
        sent |= rate_limit_headers(error.quota, limit=error.limit, left=0, reset=error.retry_after)
    if isinstance(error, Unauthorized):
        sent["WWW-Authenticate"] = 'Bearer realm="retint"'
    return JSONResponse(problem.model_dump(), status_code=problem.status, headers=sent, media_type=MEDIA_TYPE)


def as_request_error(error: Exception) -> RequestError:
    """What a user is told about `error`; the unexpected says nothing of the inside."""
    if isinstance(error, RequestError):
        return error
    if isinstance(error, REDIS_AWAY):
        return RedisUnavailable(
            "Redis, which holds the jobs, does not answer or takes nothing now. Nothing was changed; try again "
            "in a few seconds.",
            retry_after=REDIS_RETRY_SECONDS,
        )
    if isinstance(error, StoreAway):
        return StoreUnavailable(
            "The storage that holds the files cannot be used now. Try again in a few seconds; the server's log says "
            "what is wrong.",
            retry_after=STORE_RETRY_SECONDS,
        )
    if isinstance(error, RequestValidationError):
        return InvalidRequest(
            "A parameter does not fit; `errors` says which and why.",
            errors=[
                FieldError(pointer=json_pointer(item["loc"]), detail=f"{in_words(item)}.".replace("..", "."))
                for item in error.errors()
            ],
        )
    return InternalError(
        "The server met an error that it did not expect. Its log has the cause under this request_id; please report it."
    )


def kinds_below(root: type[Kind]) -> Iterator[type[Kind]]:
    """Every class of errors below `root`."""
    for kind in root.__subclasses__():
        yield kind
        yield from kinds_below(kind)


def json_pointer(location: Sequence[str | int]) -> str:
    """RFC 6901, as a URI fragment: `('options', 'a/b', 0)` is `#/options/a~1b/0`."""
    return "#" + "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in location)


def request_id_of(request: Request) -> str:
    return str(request.scope.get("state", {}).get("request_id", ""))


def install_problem_handlers(app: FastAPI) -> None:
    """Make `app` answer every error that reaches a handler as a problem."""
    for kind in (RequestError, StoreAway, RequestValidationError, *REDIS_AWAY):
        app.add_exception_handler(kind, _answer)
    app.add_exception_handler(HTTPException, _answer_http_exception)


def _answer(request: Request, error: Exception) -> JSONResponse:
    answer = as_request_error(error)
    if isinstance(answer, RedisUnavailable):
        log.warning("redis_unavailable", cause=str(error))
    if isinstance(answer, StoreUnavailable):
        log.warning("storage_unavailable", cause=str(error))
    return problem_response(answer, request_id=request_id_of(request))


def _answer_http_exception(request: Request, error: Exception) -> JSONResponse:
    """Starlette's own: unknown paths, wrong methods and the like."""
    assert isinstance(error, HTTPException)
    path = request.url.path
    answers: dict[int, RequestError] = {
        404: NotFound(f"Nothing is at {path}; /docs lists every call."),
        405: MethodNotAllowed(f"{path} does not take {request.method}; the header `Allow` says what it takes."),
        413: PayloadTooLarge("The request's body is larger than this server allows."),
        415: UnsupportedMediaType("The request's content type is not one that this call reads."),
    }
    answer = answers.get(error.status_code) or InvalidRequest(f"{error.detail}.".replace("..", "."))
    headers = dict(error.headers or {})
    if isinstance(answer, MethodNotAllowed):
        headers["Allow"] = ", ".join(_methods_of(request.scope))
    return problem_response(answer, request_id=request_id_of(request), headers=headers, status=error.status_code)


def _methods_of(scope: Scope) -> list[str]:
    """What the path takes. Starlette's own header names the methods of the first route there alone."""
    return [
        method
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
        # A path that takes GET takes HEAD too: `service.head`.
        if takes(method, scope=scope) or (method == "HEAD" and takes("GET", scope=scope))
    ]


def takes(method: str, *, scope: Scope) -> bool:
    """Whether there is a route of `method` for the path of the call `scope`."""
    routes = scope["app"].router.routes
    return any(route.matches({**scope, "method": method})[0] is Match.FULL for route in routes)
