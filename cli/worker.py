"""`retint worker`: one process that does jobs."""

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
    from jobs.logging import configure_logging
    from jobs.settings import Settings

    settings = Settings()
    if device is not None:
        settings = settings.model_copy(update={"device": device})
    if settings.redis_url is None:
        raise CommandError(
            "RETINT_REDIS_URL is not set; a worker needs the Redis server that the API uses. "
            "`retint serve` runs all three."
        )
    configure_logging(settings.log_format)
    try:
        from worker.main import run_worker
    except ModuleNotFoundError as error:
        raise CommandError(
            f"A worker needs {error.name}, which is not installed; install retint-service with the extra `worker`."
        ) from error
    run_worker(settings)
