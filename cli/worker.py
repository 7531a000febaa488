"""`retint worker`: one process that does jobs."""

from importlib.util import find_spec
from typing import Annotated

import typer

from cli.errors import CommandError


def worker(
    device: Annotated[
        str | None, typer.Option(help="`auto`, `cpu`, `cuda` or `cuda:N`; default: RETINT_DEVICE.")
    ] = None,
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
    if find_spec("torch") is None:
        raise CommandError("A worker needs torch; install retint-service with the extra `worker`.")
    from worker.main import run_worker

    run_worker(settings)
