"""From the body of a submission to a record in the queue: once, within the limits, and with nothing left behind where
it fails."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, Protocol, TypeVar

import anyio
import redis.exceptions
import structlog
from anyio import to_thread
from fastapi import Request

from jobs.admission import Limits, Quota
from jobs.connection import REDIS_AWAY
from jobs.errors import FieldError, IdempotencyKeyReused, InvalidRequest
from jobs.idempotency import LEASE_SECONDS, Lease, Made
from jobs.record import Coloring, Keyframes, Record
from jobs.submission import Submission
from service.dependencies import Services
from service.fingerprint import Fingerprint
from service.form import Form, Options
from service.intake import Upload
from service.problems import request_id_of
from service.rate_limit import rate_limit_headers
from service.stored_inputs import StoredInputs
from service.tracing import traceparent_of
from service.uploads import receive_upload

MOST_KEY_CHARACTERS = 255

R = TypeVar("R", bound=Record)
Found = TypeVar("Found", bound=Record, covariant=True)


class Find(Protocol[Found]):
    """`JobRepository.get`, or its twin for another kind of record."""

    def __call__(self, record_id: str, /, *, viewer: str | None = None) -> Found: ...


@dataclass(frozen=True, slots=True)
class Submitted(Generic[R]):
    record: R
    headers: Mapping[str, str]
    """Of the answer."""


async def submit(
    request: Request,
    services: Services,
    *,
    form: Form[Options],
    viewer: str | None,
    record_id: str,
    idempotency_key: str | None,
    check_options: Callable[[Options], None],
    make: Callable[[Upload[Options]], R],
    find: Find[R],
) -> Submitted[R]:
    """Take the request's body in, and record and queue what `make` makes of it; `find` reads it back.

    Raises:
        TooManyJobs, QueueFull, IdempotencyKeyInUse, IdempotencyKeyReused, and all that `receive_upload` raises: with
            nothing left in the store, and the idempotency key free again.
    """
    stored = StoredInputs(
        store=services.store,
        uploads=services.resumable,
        repository=services.repository,
        viewer=viewer,
        job_id=record_id,
    )
    receive = partial(
        receive_upload,
        request,
        form=form,
        store=services.store,
        job_id=record_id,
        settings=services.settings,
        stored=stored,
        check_options=check_options,
    )
    async with _held(services, idempotency_key, owner=viewer or "", record_id=record_id) as held:
        fingerprint = Fingerprint() if held is not None else None
        if isinstance(held, Made):
            # Nothing is checked again: what was taken once is answered, also where it would not be taken now.
            upload = await receive(keep=False, fingerprint=fingerprint, check_options=lambda _: None)
            return await _replay(upload, held, services, find=find, viewer=viewer)
        # Asked before the upload, so that no gigabytes are sent to be refused.
        quota = await to_thread.run_sync(services.admission.require_room, viewer or "")
        upload = await receive(fingerprint=fingerprint)
        with services.tracing.start(
            "submit job", kind="producer", parent=traceparent_of(request), attributes={"job.id": record_id}
        ) as span:
            submission = Submission(
                owner=viewer or "",
                reference_names=upload.reference_names,
                request_id=request_id_of(request),
                trace_context=span.traceparent,
            )
            create = partial(
                services.repository.create,
                submission=submission,
                limits=Limits.of(services.settings),
                lease=held,
                fingerprint=upload.fingerprint,
            )
            with anyio.CancelScope(shield=True):  # a record half made would be an upload that nobody owns
                record = await to_thread.run_sync(_enqueue, services, create, make(upload), find)
    structlog.contextvars.bind_contextvars(job_id=record.id)
    return Submitted(record, headers=_quota_headers(replace(quota, left=max(0, quota.left - 1))))


def _is_quick(record: Record) -> bool:
    """Whether somebody sits and waits for it, and it takes seconds: what takes minutes can wait for it."""
    return isinstance(record, Coloring) or (isinstance(record, Keyframes) and bool(record.options.frames))


def _enqueue(services: Services, create: Callable[[R], None], record: R, find: Find[R]) -> R:
    """Record and queue what is in the store; where that fails, the files go."""
    try:
        create(record)
        services.queue.enqueue(record.id, first=_is_quick(record))
        return find(record.id)
    except BaseException:
        services.store.delete(record.id)
        with suppress(redis.exceptions.RedisError):  # where Redis went away in between, housekeeping ends the record
            services.repository.delete(record.id)
        raise


async def _replay(
    upload: Upload[Options], made: Made, services: Services, *, find: Find[R], viewer: str | None
) -> Submitted[R]:
    """Answer a submission that was made before."""
    if upload.fingerprint != made.fingerprint:
        raise IdempotencyKeyReused(
            "The `Idempotency-Key` stands for another submission: the video, a reference or an option differs. Send a "
            "new key with what is new."
        )
    record = await to_thread.run_sync(partial(find, made.record_id, viewer=viewer))
    quota = await to_thread.run_sync(services.admission.look, viewer or "")
    return Submitted(record, headers={"Idempotency-Replayed": "true", **_quota_headers(quota)})


@asynccontextmanager
async def _held(
    services: Services, text: str | None, *, owner: str, record_id: str
) -> AsyncIterator[Lease | Made | None]:
    """Hold the idempotency key, if there is one; where nothing comes of it, it is free again."""
    if text is None:
        yield None
        return
    begin = partial(services.idempotency.begin, _key_of(text), owner=owner, record_id=record_id)
    held = await to_thread.run_sync(begin)
    if isinstance(held, Made):
        yield held
        return
    renewing = asyncio.create_task(_keep_renewing(services, held))
    try:
        yield held
    except BaseException:
        with anyio.CancelScope(shield=True), suppress(*REDIS_AWAY):
            await to_thread.run_sync(services.idempotency.release, held)
        raise
    finally:
        renewing.cancel()


async def _keep_renewing(services: Services, lease: Lease) -> None:
    while True:
        await anyio.sleep(LEASE_SECONDS / 3)
        with suppress(*REDIS_AWAY):
            await to_thread.run_sync(services.idempotency.renew, lease)


def _key_of(header: str) -> str:
    """The key in a header, with the quotes of the draft or without them, as most send it.

    Raises:
        InvalidRequest: it holds no key.
    """
    text = header.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1]
    if not 0 < len(text) <= MOST_KEY_CHARACTERS or not (text.isascii() and text.isprintable()):
        detail = f"`Idempotency-Key` takes 1 to {MOST_KEY_CHARACTERS} printable characters of ASCII, such as a UUID."
        raise InvalidRequest(detail, errors=[FieldError("#/header/Idempotency-Key", detail)])
    return text


def _quota_headers(quota: Quota) -> dict[str, str]:
    return rate_limit_headers(quota.name, limit=quota.limit, left=quota.left)
