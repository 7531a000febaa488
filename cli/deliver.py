"""`retint deliver`: the process that sends webhooks."""

from typing import Annotated

import typer


def deliver(parent: Annotated[int | None, typer.Option(hidden=True, help="Process to die with.")] = None) -> None:
    """Send the webhooks of jobs; Redis is where RETINT_REDIS_URL says. Any number may run at once."""
    from jobs.process import die_with_parent

    if parent is not None:
        die_with_parent(parent_pid=parent)
    from jobs.settings import Settings
    from jobs.webhook_courier import run_courier

    run_courier(Settings())
