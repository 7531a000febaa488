"""Addresses of Redis that cannot be one, and answers of one that cannot serve now."""

import socket
from threading import Thread

import pytest
from redis import RedisError

from jobs.connection import REDIS_AWAY, connect
from jobs.errors import StartupError


@pytest.mark.parametrize(
    "address", ["nonsense", "", "http://localhost", "redis://:secret@host:port/0", "redis://[::1", "redis://host?db=x"]
)
def test_a_wrong_address_is_told_without_what_it_may_hold_of_a_password(address: str) -> None:
    with pytest.raises(StartupError, match="RETINT_REDIS_URL is not the address of a Redis server") as caught:
        connect(address)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "away"),
    [
        ("MISCONF Errors writing to the AOF file: No space left on device", True),
        ("OOM command not allowed when used memory > 'maxmemory'.", True),
        ("READONLY You can't write against a read only replica.", True),
        ("ERR unknown command", False),
    ],
)
def test_a_server_that_cannot_write_now_is_away_and_a_wrong_command_is_a_fault(answer: str, away: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        Thread(target=_answer, args=(server, answer), daemon=True).start()
        client = connect(f"redis://127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(RedisError) as caught:
            client.set("a", "b")
        client.close()
    assert isinstance(caught.value, REDIS_AWAY) == away


def _answer(server: socket.socket, answer: str) -> None:
    """The same to every command of one connection; what introduces the client comes before."""
    connection, _ = server.accept()
    with connection:
        while received := connection.recv(4096):
            connection.sendall(f"-{answer}\r\n".encode() * received.count(b"*"))
