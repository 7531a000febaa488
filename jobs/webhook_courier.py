"""Takes events from the queue and sees to it that each is delivered, tried again later, or given up."""

import asyncio
import logging
import os
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

import structlog

from jobs.connection import REDIS_AWAY, connect
from jobs.errors import JobExpired, JobNotFound, StartupError
from jobs.logging import configure_logging
from jobs.options import WebhookOptions
from jobs.record import Delivery, Job
from jobs.repository import JobRepository
from jobs.safe_network import SystemResolver
from jobs.settings import Settings
from jobs.webhook_address import UnfitAddress, parse_address
from jobs.webhook_message import WebhookBody, WebhookMessage, make_message
from jobs.webhook_queue import LEASE_SECONDS, DueEvent, WebhookQueue
from jobs.webhook_sender import Answer, WebhookSender

# Standard Webhooks 1.0, "Deliverability and reliability": ten attempts over three days.
PAUSES = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""Seconds before the second attempt, the third, ..."""
JITTER = 0.1
"""Share by which a pause is longer at most, so that what failed together does not come back together."""
LONGEST_RETRY_AFTER = 86_400.0
MOST_IN_FLIGHT = 64
MOST_PER_HOST = 4
"""So many slots a receiver may hold, however slow it is; what is more waits without a slot."""
BUSY_SECONDS = (1.0, 10.0)
POLL_SECONDS = 0.25
REDIS_PAUSE_SECONDS = 1.0
STOP_SECONDS = 2.0
"""For what is in flight when the courier is asked to stop; what is left is sent again when its lease is over."""

Send = Callable[[str, WebhookMessage], Awaitable[Answer]]
log = structlog.stdlib.get_logger("retint.webhooks")


class Courier:
    """Holds no more than `MOST_IN_FLIGHT` events in memory; the rest stays in Redis."""

    def __init__(
        self, queue: WebhookQueue, repository: JobRepository, send: Send, *, pauses: Sequence[float] = PAUSES
    ) -> None:
        self._queue = queue
        self._repository = repository
        self._send = send
        self._pauses = pauses
        self._under_way: set[asyncio.Task[None]] = set()
        self._busy: Counter[str] = Counter()

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set."""
        away = False
        while not stop.is_set():
            pause = POLL_SECONDS
            try:
                for event in await asyncio.to_thread(self._queue.take, MOST_IN_FLIGHT - len(self._under_way)):
                    task = asyncio.create_task(self._handle(event))
                    self._under_way.add(task)
                    task.add_done_callback(self._under_way.discard)
                away = False
            except REDIS_AWAY as error:
                if not away:
                    log.warning("redis_away", cause=str(error))
                away, pause = True, REDIS_PAUSE_SECONDS
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause)
        if self._under_way:
            _, late = await asyncio.wait(self._under_way, timeout=STOP_SECONDS)
            for task in late:
                task.cancel()

    async def _handle(self, event: DueEvent) -> None:
        try:
            await self._deliver(event)
        except REDIS_AWAY as error:
            log.warning("redis_away", job_id=event.job_id, webhook_id=event.id, cause=str(error))
        except Exception:
            # One event must not end the others; this one comes again when its lease is over, and is given up in time.
            log.exception("webhook_attempt_broke", job_id=event.job_id, webhook_id=event.id)

    async def _deliver(self, event: DueEvent) -> None:
        try:
            job = await asyncio.to_thread(self._repository.get, event.job_id)
        except (JobNotFound, JobExpired):
            await asyncio.to_thread(self._queue.drop, event)
            log.info("webhook_dropped", job_id=event.job_id, webhook_id=event.id, cause="the job is gone")
            return
        webhook = job.options.webhook
        assert webhook is not None  # transition.lua queues events of jobs with a webhook alone
        delivery = _known(event, job)
        if any(other.last_status == 410 for other in job.deliveries):
            await self._give_up(event, delivery, "The receiver answered 410 Gone to an event of this job before.")
        elif delivery.attempts > len(self._pauses):
            await self._give_up(event, delivery, "The last attempt was broken off on this server's side.")
        elif (host := _host(webhook)) is not None and self._busy[host] >= MOST_PER_HOST:
            await asyncio.to_thread(self._queue.postpone, event, seconds=random.uniform(*BUSY_SECONDS))
        else:
            with self._slot(host or ""):
                await self._attempt(event, delivery, job=job, webhook=webhook)

    async def _attempt(self, event: DueEvent, delivery: Delivery, *, job: Job, webhook: WebhookOptions) -> None:
        now = datetime.now(UTC)
        begun = delivery.model_copy(
            update={
                "attempts": delivery.attempts + 1,
                "last_attempt_at": now,
                "next_attempt_at": now + timedelta(seconds=LEASE_SECONDS),
            }
        )
        if not await asyncio.to_thread(self._queue.begin, event, begun):
            return
        deliveries = [*(other for other in job.deliveries if other.id != event.id), begun]
        shown = job.model_copy(update={"deliveries": deliveries})
        body = WebhookBody(type=event.type, timestamp=begun.occurred_at, data=shown)
        message = make_message(body, identity=event.id, secret=webhook.secret.get_secret_value())
        answer = await self._send(webhook.url, message)
        ended, pause = self._judge(begun, answer)
        await asyncio.to_thread(self._queue.settle, event, ended, due_in=pause)
        _tell(event, ended, host=_host(webhook), cause=answer.cause)

    async def _give_up(self, event: DueEvent, delivery: Delivery, reason: str) -> None:
        ended = delivery.model_copy(update={"status": "failed", "last_error": reason, "next_attempt_at": None})
        await asyncio.to_thread(self._queue.settle, event, ended, due_in=None)
        _tell(event, ended, host=None, cause=None)

    def _judge(self, delivery: Delivery, answer: Answer) -> tuple[Delivery, float | None]:
        """What becomes of the delivery, and seconds to the next attempt, where there is one."""
        heard = {"last_status": answer.status, "last_error": answer.error, "next_attempt_at": None}
        if answer.error is None:
            return delivery.model_copy(update={**heard, "status": "delivered"}), None
        if answer.status == 410 or delivery.attempts > len(self._pauses):
            return delivery.model_copy(update={**heard, "status": "failed"}), None
        pause = self._pauses[delivery.attempts - 1] * random.uniform(1, 1 + JITTER)
        pause = max(pause, min(answer.retry_after or 0, LONGEST_RETRY_AFTER))
        following = datetime.now(UTC) + timedelta(seconds=pause)
        return delivery.model_copy(update={**heard, "next_attempt_at": following}), pause

    @contextmanager
    def _slot(self, host: str) -> Iterator[None]:
        self._busy[host] += 1
        try:
            yield
        finally:
            self._busy[host] -= 1
            if not self._busy[host]:
                del self._busy[host]


def run_courier(settings: Settings, *, pauses: Sequence[float] = PAUSES, lease_seconds: float = LEASE_SECONDS) -> None:
    """Deliver until SIGTERM or SIGINT; waits for Redis where it is away. Tests shorten `pauses` and the lease.

    Raises:
        StartupError: a setting is missing or wrong.
    """
    configure_logging(settings.log_format)
    if settings.redis_url is None:
        raise StartupError(
            "RETINT_REDIS_URL is not set, so the courier knows no queue. Set it, or use `retint serve`, which brings "
            "its own Redis server."
        )
    redis = connect(settings.redis_url)
    resolve = SystemResolver(threads=MOST_IN_FLIGHT)
    sender = WebhookSender(resolve, allowed=settings.webhook_allowed_networks)
    courier = Courier(
        WebhookQueue(redis, settings.queue_name, lease_seconds=lease_seconds),
        JobRepository(redis, settings.queue_name, retention_seconds=settings.retention_seconds),
        sender.send,
        pauses=pauses,
    )
    log.info("courier_ready", pid=os.getpid())
    asyncio.run(_run_until_signal(courier))
    log.info("courier_stopped", pid=os.getpid())


async def _run_until_signal(courier: Courier) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await courier.run(stop)


def _known(event: DueEvent, job: Job) -> Delivery:
    """What the job's log says of the event; it is new before the first attempt."""
    for delivery in job.deliveries:
        if delivery.id == event.id:
            return delivery
    return Delivery(id=event.id, event=event.type, occurred_at=event.due_at, status="pending")


def _host(webhook: WebhookOptions) -> str | None:
    try:
        return parse_address(webhook.url).host
    except UnfitAddress:
        return None


def _tell(event: DueEvent, delivery: Delivery, *, host: str | None, cause: str | None) -> None:
    """One line per attempt; of the address the host alone, since paths may hold secrets."""
    names = {"delivered": "webhook_delivered", "failed": "webhook_given_up", "pending": "webhook_attempt_failed"}
    log.log(
        logging.INFO if delivery.status == "delivered" else logging.WARNING,
        names[delivery.status],
        job_id=event.job_id,
        webhook_id=event.id,
        event_type=event.type,
        host=host,
        attempt=delivery.attempts,
        status=delivery.last_status,
        error=delivery.last_error,
        cause=cause,
    )
