"""A real server process for tests, on a port of its own."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

SERVE = """
import socket, sys
from jobs.logging import configure_logging
from jobs.settings import Settings
from service.app import create_app
from service.server import run_server
settings = Settings()
configure_logging(settings.log_format)
run_server(create_app(settings), socket.socket(fileno=int(sys.argv[1])), grace_seconds=1)
"""
MEBIBYTE = 1024 * 1024


class Server:
    """A running server."""

    def __init__(self, *, process: "subprocess.Popen[bytes]", port: int, folder: Path) -> None:
        self.pid = process.pid
        self.stop = process.terminate
        self.port = port
        self.folder = folder
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)

    def peak_memory(self) -> int:
        """Most bytes that the process ever held."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("the kernel tells no VmHWM")

    def files(self) -> list[Path]:
        return [path for path in (self.folder / "store").rglob("*") if path.is_file()]


@contextmanager
def running(redis_url: str, folder: Path, *, log: Path | None = None, **settings: int | str) -> Iterator[Server]:
    """`log`: file that its log lines go to."""
    with socket.socket() as listener, ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        environment = {
            **os.environ,
            "RETINT_REDIS_URL": redis_url,
            "RETINT_DATA_FOLDER": str(folder),
            "RETINT_QUEUE_NAME": f"live-{folder.name}",
            "RETINT_MIN_FREE_BYTES": "0",
            **{f"RETINT_{name.upper()}": str(value) for name, value in settings.items()},
        }
        command = [sys.executable, "-c", SERVE, str(listener.fileno())]
        lines = stack.enter_context(log.open("wb")) if log is not None else None
        process = subprocess.Popen(command, env=environment, pass_fds=[listener.fileno()], stderr=lines)
        try:
            server = Server(process=process, port=listener.getsockname()[1], folder=folder)
            with server.client:
                assert server.client.get("/healthz").status_code == 200
                yield server
        finally:
            process.terminate()
            assert process.wait(15) is not None


def eventually(check: Callable[[], bool], *, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
