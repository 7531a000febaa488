"""A client that is refused early does not send gigabytes in vain, and learns why."""

import socket
from collections.abc import Iterator

import pytest

from tests.service.http_checks import assert_problem
from tests.service.live_server import MEBIBYTE, Server, running

FORM = {"Content-Type": "multipart/form-data; boundary=b"}
NO_FORM = b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/csv\r\n"


@pytest.fixture(scope="module")
def server(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(redis_url, tmp_path_factory.mktemp("early"), max_upload_bytes=10 * MEBIBYTE) as server:
        yield server


@pytest.fixture
def connection(server: Server) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        yield connection


def read_answer(connection: socket.socket) -> bytes:
    answer = connection.recv(65536)
    while not answer.endswith(b"}"):
        answer += connection.recv(65536)
    return answer


def send_till_cut(connection: socket.socket, piece: bytes) -> int:
    """How many bytes could be sent."""
    for number in range(100_000):
        try:
            connection.sendall(piece)
        except OSError:  # a broken pipe or a reset connection, as it happens
            return number * len(piece)
    raise AssertionError("the server takes it all")


@pytest.mark.parametrize(
    ("length", "piece"),
    [
        (b"Content-Length: 4000000000\r\n\r\n", b"x" * 65536),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65536 + b"\r\n"),
    ],
)
def test_a_client_that_goes_on_sending_is_cut_off(connection: socket.socket, length: bytes, piece: bytes) -> None:
    connection.sendall(NO_FORM + length)
    assert send_till_cut(connection, piece) < 100 * MEBIBYTE
    answer = read_answer(connection)
    assert answer.startswith(b"HTTP/1.1 415 ")
    assert b"\r\nconnection: close\r\n" in answer.lower()


@pytest.mark.parametrize("declared", [{"Content-Length": str(4000 * MEBIBYTE)}, {}])
def test_a_client_that_sends_all_before_it_listens_learns_why(server: Server, declared: dict[str, str]) -> None:
    film = (b"x" * MEBIBYTE for _ in range(4000))
    response = server.client.post("/v1/jobs", headers=FORM | declared, content=film)
    assert_problem(response, 413 if declared else 422, "payload_too_large" if declared else "invalid_request")
    assert next(film, b"") != b""


def test_a_client_that_listens_first_need_not_send_a_byte(connection: socket.socket) -> None:
    connection.sendall(NO_FORM + b"Content-Length: 4000000000\r\nExpect: 100-continue\r\n\r\n")
    assert read_answer(connection).startswith(b"HTTP/1.1 415 ")


def test_a_connection_with_little_left_can_be_used_again(connection: socket.socket) -> None:
    for _ in range(2):
        connection.sendall(NO_FORM + b"Content-Length: 100000\r\n\r\n" + b"x" * 100_000)
        answer = read_answer(connection)
        assert answer.startswith(b"HTTP/1.1 415 ")
        assert b"connection: close" not in answer.lower()


def test_an_answer_that_has_read_all_keeps_the_connection(server: Server) -> None:
    response = server.client.post("/v1/jobs", files={"video": ("a.mp4", b"x" * 3 * MEBIBYTE, "video/mp4")})
    assert_problem(response, 422, "invalid_request")
    assert "connection" not in response.headers
