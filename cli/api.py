"""`retint api`: the HTTP front end alone. It needs no torch."""

import socket
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import typer

from cli.address import address
from cli.errors import CommandError

if TYPE_CHECKING:
    from jobs.settings import Settings

CHECK_SECONDS = 10.0
GRACE_SECONDS = 3
"""What calls get when `retint serve` stops, which waits for seconds alone (`cli.supervisor`)."""


def api(
    host: Annotated[str | None, typer.Option(help="Address to listen on; default: RETINT_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; default: RETINT_PORT.")] = None,
    no_auth: Annotated[bool, typer.Option("--no-auth", help="Serve everybody who can reach the address.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Ask the API that runs here whether it is ready, instead of running one.")
    ] = False,
    fd: Annotated[int | None, typer.Option(hidden=True, help="A listening socket that is open already.")] = None,
    parent: Annotated[int | None, typer.Option(hidden=True, help="Process to die with.")] = None,
) -> None:
    """Run the HTTP API; Redis is where RETINT_REDIS_URL says."""
    from jobs.process import die_with_parent

    if parent is not None:
        die_with_parent(parent_pid=parent)
    from jobs.logging import configure_logging
    from jobs.settings import Settings

    settings = Settings()
    changes = {"host": host, "port": port, "auth": "off" if no_auth else None}
    settings = settings.model_copy(update={name: value for name, value in changes.items() if value is not None})
    if check:
        _check(settings)
        return
    configure_logging(settings.log_format)
    if find_spec("fastapi") is None:
        raise CommandError("The API needs fastapi; install retint-service with the extra `api`.")
    from service.app import create_app
    from service.server import run_server

    app = create_app(settings)
    listening = listen(settings.host, settings.port) if fd is None else socket.socket(fileno=fd)
    with listening:
        if parent is None:
            run_server(app, listening)
        else:
            run_server(app, listening, grace_seconds=GRACE_SECONDS)


def _check(settings: "Settings") -> None:
    """For health checks of containers, which have no curl.

    Raises:
        CommandError: it does not answer, or is not ready; says why.
    """
    import httpx

    url = f"{address(settings)}/readyz"
    try:
        # Nothing of the environment: a proxy is no way to this machine.
        answer = httpx.get(url, timeout=CHECK_SECONDS, trust_env=False)
    except httpx.HTTPError as error:
        raise CommandError(f"{url} does not answer: {error}.") from error
    if not answer.is_success:
        raise CommandError(f"{url} says {answer.status_code}: {answer.text}")


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 is any free one.

    Raises:
        CommandError: the address is taken, or not this machine's.
    """
    if not 0 <= port <= 65535:  # the system's own look-up takes 99999 for 34463
        raise CommandError(f"There is no port {port}; give one from 0 (any free one) to 65535.")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(128)
        except BaseException:
            listening.close()
            raise
        return listening
    except OSError as error:
        raise CommandError(f"Cannot listen on {host} port {port}: {error.strerror}. Choose another port.") from error
