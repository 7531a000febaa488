"""A tiny HTTP server that answers as told."""

import json
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

JOB = {"id": "job_1", "status": "queued", "created_at": "2026-01-02T03:04:05Z", "news": "from a later version"}


@dataclass
class Received:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Answer:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    """Close the connection after so many bytes of the body."""
    lost: bool = False
    """Close the connection instead of answering."""


def json_answer(data: Any, *, status: int = 200, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, json.dumps(data).encode(), {"Content-Type": "application/json", **named})


def problem(status: int, code: str, **headers: str) -> Answer:
    data = {"title": "A title", "status": status, "detail": "A detail.", "code": code, "request_id": "r1"}
    return json_answer(data, status=status, **headers)


def job_answer(**changes: Any) -> Answer:
    return json_answer({**JOB, **changes})


class FakeServer:
    """Answers come from a list, one after the other, the last for ever; or from a function."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answers: list[Answer] = []
        self.read_bodies = True
        self.respond: Callable[[Received], Answer] = self._next
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length) if server.read_bodies else self._skip(length)
                server.received.append(Received(self.command, self.path, dict(self.headers), body))
                answer = server.respond(server.received[-1])
                if answer.lost:
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer.body[: answer.cut_after])
                if answer.cut_after is not None:
                    self.close_connection = True

            def _skip(self, length: int) -> bytes:
                while length > 0:
                    length -= len(self.rfile.read(min(length, 1 << 16)))
                return b""

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_one

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def _next(self, _: Received) -> Answer:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def use_tls(self, context: ssl.SSLContext) -> None:
        """Speak TLS from now on; a handshake that fails is not reported."""
        self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self._http.handle_error = lambda *_: None  # type: ignore[method-assign]

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
