"""A proxy that lets a server look slow, broken or away, and remembers what it was asked."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

Mood = Literal["well", "slow", "errors", "away"]

SLOW_SECONDS = 1.5
TOO_BUSY = (
    b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"
)
XML = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


class FailingProxy:
    """Passes bytes on to a port of this machine, as its mood is when a connection is made or speaks."""

    def __init__(self, port: int) -> None:
        self.mood: Mood = "well"
        self.refused = 0
        """Connections and calls that it failed."""
        self.heads: list[bytes] = []
        """Of the first call of each connection: from the first line to the last header."""
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def be(self, mood: Mood) -> None:
        """Change the mood; what is connected is cut."""
        self.mood = mood
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def serve(self) -> None:
        """Until the listener is closed."""
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.be("away")

    def _pass_on(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            if self.mood == "away":
                self.refused += 1
                return
            if self.mood == "slow":
                time.sleep(SLOW_SECONDS)
            head = b""
            while b"\r\n\r\n" not in head:
                data = client.recv(1 << 16)
                if not data:
                    return
                head += data
            self.heads.append(head.partition(b"\r\n\r\n")[0])
            if self.mood == "errors":
                self.refused += 1
                client.sendall(TOO_BUSY % (len(XML), XML))
                return
            with socket.create_connection(("127.0.0.1", self._target)) as server:
                self._open |= {client, server}
                try:
                    server.sendall(head)
                    back = threading.Thread(target=_copy, args=(server, client), daemon=True)
                    back.start()
                    _copy(client, server)
                    back.join()
                finally:
                    self._open -= {client, server}


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    for side in (source, target):
        with contextlib.suppress(OSError):
            side.shutdown(socket.SHUT_RDWR)


@contextmanager
def failing_proxy(port: int) -> Iterator[FailingProxy]:
    proxy = FailingProxy(port)
    thread = threading.Thread(target=proxy.serve)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join()
