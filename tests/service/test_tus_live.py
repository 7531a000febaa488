"""Resumable uploads against real server processes: cut and hanging connections, servers that die, races, memory."""

import os
import random
import signal
import socket
import struct
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.service.live_server import MEBIBYTE, Server, eventually, running

TUS = {"Tus-Resumable": "1.0.0"}
STREAM = {**TUS, "Content-Type": "application/offset+octet-stream"}
ABORT = struct.pack("ii", 1, 0)
"""SO_LINGER that ends a connection with RST instead of FIN."""


@pytest.fixture(scope="module")
def content() -> bytes:
    return random.Random(3).randbytes(20 * MEBIBYTE + 12345)


def create(server: Server, length: int) -> str:
    response = server.client.post("/v1/uploads", headers={**TUS, "Upload-Length": str(length)})
    assert response.status_code == 201, response.text
    return response.headers["Location"]


def offset_of(server: Server, where: str) -> int:
    response = server.client.head(where, headers=TUS)
    assert response.status_code == 200
    return int(response.headers["Upload-Offset"])


def send_rest(server: Server, where: str, content: bytes) -> None:
    """As clients do: try again where a call before, whose connection is gone, was still on its way."""
    for _ in range(20):
        offset = offset_of(server, where)
        headers = {**STREAM, "Upload-Offset": str(offset)}
        response = server.client.patch(where, content=content[offset:], headers=headers)
        if response.status_code not in (409, 423):
            break
    assert response.status_code == 204, response.text
    assert response.headers["Upload-Offset"] == str(len(content))


def begin(server: Server, where: str, content: bytes, *, count: int, offset: int = 0) -> socket.socket:
    """A connection that promises all bytes from `offset` on and sends so many of them."""
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    head = [
        f"PATCH {where} HTTP/1.1",
        "Host: localhost",
        f"Content-Length: {len(content) - offset}",
        f"Upload-Offset: {offset}",
    ]
    head += [f"{name}: {value}" for name, value in STREAM.items()]
    connection.sendall("\r\n".join([*head, "", ""]).encode() + content[offset : offset + count])
    return connection


def passes(server: Server, where: str, offset: int) -> bool:
    """Whether the upload gets beyond `offset` before long."""
    return eventually(lambda: bool(server.client.get(where).json()["offset"] > offset))


def stored(folder: Path, where: str) -> bytes:
    return (folder / "store" / "uploads" / where.rsplit("/", 1)[-1] / "data").read_bytes()


def test_an_upload_interrupted_ten_times_ends_in_the_same_bytes(redis_url: str, tmp_path: Path, content: bytes) -> None:
    with running(redis_url, tmp_path) as server:
        where = create(server, len(content))
        reached = sent = 0
        for turn, count in enumerate([1, 70_000, MEBIBYTE, 3 * MEBIBYTE + 7, 0] * 2):
            connection = begin(server, where, content, count=count, offset=reached)
            if count > MEBIBYTE:
                assert passes(server, where, reached)
            if turn % 2:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
            connection.close()
            sent = max(sent, reached + count)
            offset = offset_of(server, where)
            assert reached <= offset <= sent
            reached = offset
        assert reached > 0
        send_rest(server, where, content)
    assert stored(tmp_path, where) == content


def test_what_came_before_the_connection_broke_is_kept(redis_url: str, tmp_path: Path, content: bytes) -> None:
    with running(redis_url, tmp_path) as server:
        where = create(server, len(content))
        for reached in (300_000, 600_000):
            begin(server, where, content, count=300_000, offset=reached - 300_000).close()
            assert passes(server, where, reached - 1)


def test_a_connection_that_hangs_gives_way_to_the_next(redis_url: str, tmp_path: Path, content: bytes) -> None:
    with running(redis_url, tmp_path) as server:
        where = create(server, len(content))
        with begin(server, where, content, count=2 * MEBIBYTE + 5) as hanging:
            assert passes(server, where, 0)
            send_rest(server, where, content)
            assert hanging.recv(1000).startswith(b"HTTP/1.1 423 ")
    assert stored(tmp_path, where) == content


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM])
def test_an_upload_goes_on_with_the_next_server(
    redis_url: str, tmp_path: Path, content: bytes, ending: signal.Signals
) -> None:
    with running(redis_url, tmp_path) as server:
        where = create(server, len(content))
        connection = begin(server, where, content, count=5 * MEBIBYTE)
        assert passes(server, where, MEBIBYTE)
        os.kill(server.pid, ending)
    connection.close()
    with running(redis_url, tmp_path) as server:
        assert offset_of(server, where) > MEBIBYTE
        send_rest(server, where, content)
    assert stored(tmp_path, where) == content


def test_clients_that_race_through_two_servers_end_in_the_same_bytes(
    redis_url: str, tmp_path: Path, content: bytes
) -> None:
    with running(redis_url, tmp_path) as first, running(redis_url, tmp_path) as second:
        where = create(first, len(content))

        def upload(server: Server, piece: int) -> set[int]:
            answers = set()
            with httpx.Client(base_url=server.client.base_url, timeout=60) as client:
                offset = 0
                while offset < len(content):
                    headers = {**STREAM, "Upload-Offset": str(offset)}
                    response = client.patch(where, content=content[offset : offset + piece], headers=headers)
                    answers.add(response.status_code)
                    head = client.head(where, headers=TUS)
                    assert head.status_code in (200, 423)
                    offset = int(head.headers.get("Upload-Offset", offset))
            return answers

        pieces = [(first, 700_001), (second, 1_300_003), (second, 2 * MEBIBYTE), (first, 99_999)]
        with ThreadPoolExecutor(len(pieces)) as threads:
            answers = set().union(*threads.map(lambda each: upload(*each), pieces))
        assert {204, 409} <= answers <= {204, 409, 423}
    assert stored(tmp_path, where) == content


@pytest.mark.skipif(sys.platform != "linux", reason="reads the process's memory from /proc")
def test_memory_does_not_grow_with_a_resumable_upload(redis_url: str, tmp_path: Path) -> None:
    def blocks() -> Iterator[bytes]:
        block = os.urandom(MEBIBYTE)
        for _ in range(200):
            yield block

    with running(redis_url, tmp_path) as server:
        send_rest(server, create(server, 10), b"0123456789")
        before = server.peak_memory()
        where = create(server, 200 * MEBIBYTE)
        response = server.client.patch(where, content=blocks(), headers={**STREAM, "Upload-Offset": "0"})
        assert response.headers["Upload-Offset"] == str(200 * MEBIBYTE)
        grown = server.peak_memory() - before
        print(f"peak memory grew by {grown / MEBIBYTE:.1f} MiB")
        assert grown < 60 * MEBIBYTE
