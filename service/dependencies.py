"""What routes are given, and the headers and parameters that several of them take, as annotated types.

Whatever waits for nothing is a coroutine: plain functions take turns with those that Redis or the store holds up.
"""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, cast

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Header, Query, Request
from fastapi.security import HTTPAuthorizationCredentials
from prometheus_client import CollectorRegistry
from redis import Redis

from jobs.admission import Admission
from jobs.errors import FieldError, InvalidRequest
from jobs.idempotency import IdempotencyKeys
from jobs.keys import KeyRing
from jobs.queue import JobQueue
from jobs.repository import JobRepository
from jobs.resumable import ResumableUploads
from jobs.sessions import SessionBook
from jobs.settings import Settings
from jobs.spans import Tracing
from jobs.store import Store
from service.auth import asks_for_keys, bearer, identify_caller, refuse_other_sites
from service.body import require_plain_body
from service.event_hub import EventHub
from service.stopping import CallsUnderWay
from service.traffic import Traffic
from service.under_way import UnderWay


@dataclass(frozen=True, slots=True)
class Services:
    """What one app works with; made once by `create_app`."""

    settings: Settings
    repository: JobRepository
    keys: KeyRing
    sessions: SessionBook
    store: Store
    queue: JobQueue
    events: EventHub
    admission: Admission
    idempotency: IdempotencyKeys
    resumable: ResumableUploads
    uploads: UnderWay
    """Those that hold files: of cut ones these have to go."""
    calls: CallsUnderWay
    traffic: Traffic
    metrics: CollectorRegistry
    metrics_without_redis: CollectorRegistry
    looks: Redis
    """For who would rather hear at once that Redis is away."""
    scrapes: CapacityLimiter
    """The threads that `/metrics` has to itself, so that it is answered though calls hold up all others."""
    tracing: Tracing


async def get_services(request: Request) -> Services:
    return cast(Services, request.app.state.services)


ServicesDep = Annotated[Services, Depends(get_services)]


async def get_settings(services: ServicesDep) -> Settings:
    return services.settings


async def get_repository(services: ServicesDep) -> JobRepository:
    return services.repository


async def get_store(services: ServicesDep) -> Store:
    return services.store


async def get_queue(services: ServicesDep) -> JobQueue:
    return services.queue


async def get_viewer(
    request: Request,
    services: ServicesDep,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> str | None:
    """The id of the key that the call carries, or that its session was opened with; None, which may see everything,
    where keys are not asked for."""
    if not asks_for_keys(services.settings):
        refuse_other_sites(request)
        return None
    look = partial(identify_caller, request, credentials, keys=services.keys, sessions=services.sessions)
    return await to_thread.run_sync(look)


ViewerDep = Annotated[str | None, Depends(get_viewer)]
SettingsDep = Annotated[Settings, Depends(get_settings)]
RepositoryDep = Annotated[JobRepository, Depends(get_repository)]
StoreDep = Annotated[Store, Depends(get_store)]
QueueDep = Annotated[JobQueue, Depends(get_queue)]


async def get_idempotency_key(
    request: Request,
    idempotency_key: Annotated[
        str | None,
        Header(
            description="A name that you choose, such as a UUID. The same submission with the same key makes nothing "
            "new: it is answered with what the first one made, for a day.",
            json_schema_extra={"pattern": "^[!-~]{1,255}$"},
        ),
    ] = None,
) -> str | None:
    """The key as the header has it.

    Raises:
        InvalidRequest: the call carries two.
    """
    if len(request.headers.getlist("Idempotency-Key")) > 1:
        detail = "The call has more than one `Idempotency-Key`; send one."
        raise InvalidRequest(detail, errors=[FieldError("#/header/Idempotency-Key", detail)])
    return idempotency_key


IdempotencyKey = Annotated[str | None, Depends(get_idempotency_key)]
PLAIN_BODY = Depends(require_plain_body)
IfNoneMatch = Annotated[str | None, Header(description="304 if the ETag is this.")]
IfRange = Annotated[str | None, Header(description="Send the range only if the ETag is still this.")]
Range = Annotated[str | None, Header(alias="Range", description="One range of bytes.")]
Wait = Annotated[float, Query(ge=0, le=30, description="Seconds to wait for a change, if it is not finished.")]
