"""A proxy that cuts connections in the middle, as bad networks do."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class CuttingProxy:
    """Passes bytes on to a port of this machine. Who first sends `cuts[0]` bytes is cut then, and so on."""

    def __init__(self, port: int, *, cuts: list[int]) -> None:
        self._target = port
        self._cuts = list(cuts)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.cut = 0

    def serve(self) -> None:
        """Until the listener is closed."""
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _pass_on(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._target)) as server:
            answers = threading.Thread(target=self._pass_back, args=(server, client), daemon=True)
            answers.start()
            self._pass_forth(client, server)
            for side in (client, server):
                with contextlib.suppress(OSError):
                    side.shutdown(socket.SHUT_RDWR)
            answers.join()

    def _pass_forth(self, client: socket.socket, server: socket.socket) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                server.sendall(data)
                passed += len(data)
                if self._cuts and passed >= self._cuts[0]:
                    self._cuts.pop(0)
                    self.cut += 1
                    return

    def _pass_back(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 16):
                client.sendall(data)


@contextmanager
def cutting_proxy(port: int, *, cuts: list[int]) -> Iterator[CuttingProxy]:
    proxy = CuttingProxy(port, cuts=cuts)
    thread = threading.Thread(target=proxy.serve)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join()
