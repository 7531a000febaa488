"""`retint serve`: the whole service in one command, kept running until it is told to stop."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from cli.address import address
from cli.console import say, tell, write_json_line
from cli.errors import CommandError

if TYPE_CHECKING:
    from cli.supervisor import Child, Supervisor
    from jobs.settings import Settings

TEND_SECONDS = 0.5
START_SECONDS = 120.0
"""How long the first worker may take; on a slow disk importing torch alone takes tens of seconds."""


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; default: RETINT_HOST.")] = None,
    port: Annotated[
        int | None,
        typer.Option(
            help="Port to listen on, or 0 for any; default: RETINT_PORT, or 8000, or a free one where that is taken."
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Worker processes; one per device is best.")] = 1,
    no_auth: Annotated[bool, typer.Option("--no-auth", help="Serve everybody who can reach the address.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print address and processes as one line of JSON.")] = False,
    parent: Annotated[int | None, typer.Option(hidden=True, help="Process to die with.")] = None,
) -> None:
    """Run API, workers and, where RETINT_REDIS_URL is not set, a Redis server; Ctrl-C stops all."""
    from cli.redis_access import reachable_redis
    from cli.supervisor import Supervisor
    from jobs.connection import connect
    from jobs.keys import KeyRing
    from jobs.process import die_with_parent
    from jobs.settings import Settings
    from service.auth import require_some_key

    if parent is not None:
        die_with_parent(parent_pid=parent)
    settings = Settings()
    given = {"host": host, "auth": "off" if no_auth else None}
    settings = settings.model_copy(update={name: value for name, value in given.items() if value is not None})
    with ExitStack() as stack:
        stop = stack.enter_context(_stop_signals())
        listening = stack.enter_context(_listen(settings, port=port))
        redis_url = stack.enter_context(reachable_redis(settings))
        require_some_key(settings, KeyRing(connect(redis_url), settings.queue_name))
        settings = settings.model_copy(update={"redis_url": redis_url, "port": listening.getsockname()[1]})
        supervisor = Supervisor(tell=tell)
        stack.callback(supervisor.stop)
        for child in _children(settings, listening=listening, workers=workers):
            supervisor.start(child)
        if not _await_ready(settings, supervisor, workers=workers, stop=stop):
            return
        _announce(settings, supervisor, as_json=as_json)
        while not stop.asked:
            supervisor.tend()
            time.sleep(TEND_SECONDS)
        tell("Stopping.")


class _Stop:
    """Whether the process was asked to stop."""

    def __init__(self) -> None:
        self.asked = False

    def ask(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True


@contextmanager
def _stop_signals() -> Iterator[_Stop]:
    """SIGTERM, SIGINT and SIGHUP set a flag, so that a stop is never in the middle of something."""
    stop = _Stop()
    before = {number: signal.signal(number, stop.ask) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _listen(settings: "Settings", *, port: int | None) -> socket.socket:
    """Bound here and inherited by the API, so that no other process can take the port in between."""
    from cli.api import listen

    if port is not None:
        return listen(settings.host, port)
    try:
        return listen(settings.host, settings.port)
    except CommandError:
        if "port" in settings.model_fields_set:
            raise
        listening = listen(settings.host, 0)
        port = listening.getsockname()[1]
        server = address(settings.model_copy(update={"port": port}))
        tell(
            f"Port {settings.port} is taken; listening on port {port} instead. Give `retint jobs` commands --server "
            f"{server}, or set RETINT_SERVER to it."
        )
        return listening


def _children(settings: "Settings", *, listening: socket.socket, workers: int) -> Iterator["Child"]:
    """The API, the workers and the courier. They read their settings as every process does, from the environment."""
    from cli.supervisor import Child

    environment = {
        **os.environ,
        "RETINT_REDIS_URL": str(settings.redis_url),
        "RETINT_HOST": settings.host,
        "RETINT_AUTH": settings.auth,
        "RETINT_PORT": str(settings.port),
    }
    descriptor = listening.fileno()
    yield Child("API", ["api", "--fd", str(descriptor)], environment, sockets=(descriptor,))
    for number in range(1, workers + 1):
        yield Child(f"worker {number}" if workers > 1 else "worker", ["worker"], environment)
    yield Child("courier", ["deliver"], environment)


def _await_ready(settings: "Settings", supervisor: "Supervisor", *, workers: int, stop: _Stop) -> bool:
    """Whether the service came up; False where it was told to stop before.

    Raises:
        CommandError: a process dies at its start, again and again, or nothing answers in time.
    """
    import httpx

    probe = "readyz" if workers else "healthz"
    deadline = time.monotonic() + START_SECONDS
    with httpx.Client(timeout=5.0, trust_env=False) as client:
        while time.monotonic() < deadline:
            if stop.asked:
                return False
            supervisor.tend()
            for child in supervisor.children:
                if child.failures >= 2:
                    raise CommandError(f"The {child.name} does not start; its own message is above.")
            try:
                if client.get(f"{address(settings)}/{probe}").is_success:
                    return True
            except httpx.HTTPError:
                pass  # not up yet: that is what this loop waits for
            time.sleep(TEND_SECONDS)
    raise CommandError(f"The service did not come up within {START_SECONDS:g} seconds; its messages are above.")


def _announce(settings: "Settings", supervisor: "Supervisor", *, as_json: bool) -> None:
    if as_json:
        write_json_line(
            {
                "address": address(settings),
                "processes": [{"name": child.name, "pid": child.pid} for child in supervisor.children],
            }
        )
        return
    from service.auth import asks_for_keys

    key = " -H 'Authorization: Bearer KEY'" if asks_for_keys(settings) else ""
    say(f"retint is ready at {address(settings)} (documentation: {address(settings)}/docs; Ctrl-C stops it)")
    say(f"  curl{key} -F video=@film.mp4 -F references=@frame.png {address(settings)}/v1/jobs")
