"""`retint worker`: one process that does jobs."""

import socket
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import typer

from cli.errors import CommandError

if TYPE_CHECKING:
    from jobs.settings import Settings


def worker(
    device: Annotated[
        str | None, typer.Option(help="`auto`, `cpu`, `cuda` or `cuda:N`; default: RETINT_DEVICE.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Look whether a worker of this machine is alive, instead of running one.")
    ] = False,
    parent: Annotated[int | None, typer.Option(hidden=True, help="Process to die with.")] = None,
) -> None:
    """Take jobs from the queue, one at a time; Redis is where RETINT_REDIS_URL says."""
    from jobs.process import die_with_parent

    if parent is not None:
        die_with_parent(parent_pid=parent)
    from jobs.settings import Settings

    settings = Settings()
    if device is not None:
        settings = settings.model_copy(update={"device": device})
    if check:
        _check(settings)
        return
    if find_spec("torch") is None:
        raise CommandError("A worker needs torch; install retint-service with the extra `worker`.")
    from worker.main import run_worker

    run_worker(settings)


def _check(settings: "Settings") -> None:
    """For health checks: the worker beats in Redis every few seconds, working or idle.

    Raises:
        CommandError: it does not, or Redis is away.
    """
    from jobs.connection import REDIS_AWAY, connect_for_a_look
    from jobs.queue import JobQueue

    if settings.redis_url is None:
        raise CommandError("RETINT_REDIS_URL is not set, so that no worker can be seen.")
    host = socket.gethostname()
    try:
        alive = JobQueue(connect_for_a_look(settings.redis_url), settings).has_worker_on(host)
    except REDIS_AWAY as error:
        raise CommandError(f"Redis does not answer, so that no worker can be seen: {error}.") from error
    if not alive:
        raise CommandError(f"No worker on {host} is alive.")
