"""What only a real server process can show: memory, cut connections, a Redis that goes and comes back."""

import os
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from redis import Redis

from jobs.embedded_redis import embedded_redis
from tests.service.http_checks import assert_problem, job_files
from tests.service.live_server import MEBIBYTE, eventually, running

BOUNDARY = "frontier"
HEADERS = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def part(name: str, filename: str, kind: str) -> bytes:
    return (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n'
        f"Content-Type: {kind}\r\n\r\n"
    ).encode()


def long_form(megabytes: int) -> Iterator[bytes]:
    """A form with a video so long, made as it is sent."""
    block = os.urandom(MEBIBYTE)
    yield part("video", "film.mp4", "video/mp4")
    for _ in range(megabytes):
        yield block
    yield b"\r\n" + part("references", "a.png", "image/png") + b"picture\r\n" + f"--{BOUNDARY}--\r\n".encode()


@pytest.mark.skipif(sys.platform != "linux", reason="reads the process's memory from /proc")
def test_memory_does_not_grow_with_the_upload(redis_url: str, tmp_path: Path) -> None:
    with running(redis_url, tmp_path) as server:
        assert server.client.post("/v1/jobs", files=job_files()).status_code == 202
        before = server.peak_memory()
        response = server.client.post("/v1/jobs", content=long_form(200), headers=HEADERS)
        assert response.status_code == 202, response.text
        video = tmp_path / "store" / "jobs" / response.json()["id"] / "input" / "video"
        assert video.stat().st_size == 200 * MEBIBYTE
        grown = server.peak_memory() - before
        print(f"peak memory grew by {grown / MEBIBYTE:.1f} MiB")
        assert grown < 60 * MEBIBYTE


def test_a_client_that_goes_away_leaves_nothing(redis_url: str, tmp_path: Path) -> None:
    with running(redis_url, tmp_path) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(
                b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000\r\n"
                + f"Content-Type: {HEADERS['Content-Type']}\r\n\r\n".encode()
                + part("video", "film.mp4", "video/mp4")
            )
            for _ in range(8):
                connection.sendall(b"x" * MEBIBYTE)
            assert eventually(lambda: sum(path.stat().st_size for path in server.files()) > MEBIBYTE)
        assert eventually(lambda: server.files() == [])
        assert list((tmp_path / "store" / "jobs").iterdir()) == []
        assert server.client.get("/v1/jobs").json()["data"] == []


def test_a_server_that_is_stopped_in_the_middle_says_so_and_leaves_nothing(redis_url: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with socket.socket() as connection:
        with running(redis_url, tmp_path, log=log) as server:
            connection.connect(("127.0.0.1", server.port))
            connection.sendall(
                b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000\r\n"
                + f"Content-Type: {HEADERS['Content-Type']}\r\n\r\n".encode()
                + part("video", "film.mp4", "video/mp4")
                + b"x" * 2 * MEBIBYTE
            )
            assert eventually(lambda: len(server.files()) == 1)
        assert server.files() == []
        assert_told_that_the_server_stops(connection, log=log)


def test_an_upload_that_a_stop_cuts_is_told_and_keeps_what_came(redis_url: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with socket.socket() as connection:
        with running(redis_url, tmp_path, log=log) as server:
            tus = {"Tus-Resumable": "1.0.0", "Upload-Length": "100000000"}
            location = server.client.post("/v1/uploads", headers=tus).headers["location"]
            connection.connect(("127.0.0.1", server.port))
            connection.sendall(
                f"PATCH {location} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000\r\n".encode()
                + b"Content-Type: application/offset+octet-stream\r\nUpload-Offset: 0\r\nTus-Resumable: 1.0.0\r\n\r\n"
                + b"x" * MEBIBYTE
            )
            assert eventually(lambda: server.client.get(location).json()["offset"] == MEBIBYTE)
            connection.sendall(b"y" * 1000)
        assert_told_that_the_server_stops(connection, log=log)
    with running(redis_url, tmp_path) as server:
        assert server.client.get(location).json()["offset"] == MEBIBYTE + 1000


def assert_told_that_the_server_stops(connection: socket.socket, *, log: Path) -> None:
    answer = connection.recv(10_000)
    assert answer.startswith(b"HTTP/1.1 503 "), answer
    assert b"\r\nretry-after: 5\r\n" in answer
    assert b'"code":"not_ready"' in answer
    lines = log.read_text()
    assert "call_cut" in lines
    assert "Traceback" not in lines


def test_a_waiting_client_that_goes_away_is_waited_for_no_longer(redis_url: str, tmp_path: Path) -> None:
    def reads() -> int:
        """How often any job was read; while nobody asks, only the sweeper does, every 15 seconds."""
        with Redis.from_url(redis_url) as redis:
            return int(redis.info("commandstats")["cmdstat_hgetall"]["calls"])

    with running(redis_url, tmp_path) as server:
        job_id = server.client.post("/v1/jobs", files=job_files()).json()["id"]
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            before = reads()
            connection.sendall(f"GET /v1/jobs/{job_id}?wait=30 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert eventually(lambda: reads() >= before + 3)
        time.sleep(1.2)
        after = reads()
        time.sleep(1.8)
        assert reads() <= after + 1


def test_an_endless_upload_is_ended_at_the_limit_and_told(redis_url: str, tmp_path: Path) -> None:
    with running(redis_url, tmp_path, max_upload_bytes=5 * MEBIBYTE) as server:
        response = server.client.post("/v1/jobs", content=long_form(40), headers=HEADERS)
        assert_problem(response, 413, "payload_too_large")
        assert server.files() == []


def test_a_declared_length_over_the_limit_is_refused_before_the_body(redis_url: str, tmp_path: Path) -> None:
    with running(redis_url, tmp_path, max_upload_bytes=5 * MEBIBYTE) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            connection.sendall(
                b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000\r\nExpect: 100-continue\r\n"
                + f"Content-Type: {HEADERS['Content-Type']}\r\n\r\n".encode()
            )
            assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")
        assert server.files() == []


def test_the_api_waits_for_redis_and_goes_on_by_itself(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="retint-") as folder, ExitStack() as stack:
        redis = ExitStack()
        url = redis.enter_context(embedded_redis(Path(folder)))
        server = stack.enter_context(running(url, tmp_path))
        job_id = server.client.post("/v1/jobs", files=job_files()).json()["id"]
        redis.close()
        files = server.files()
        for response in (
            server.client.get(f"/v1/jobs/{job_id}"),
            server.client.post("/v1/jobs", files=job_files()),
            server.client.delete(f"/v1/jobs/{job_id}"),
        ):
            assert_problem(response, 503, "redis_unavailable")
            assert int(response.headers["retry-after"]) > 0
        assert server.files() == files
        with embedded_redis(Path(folder)):
            assert server.client.get(f"/v1/jobs/{job_id}").json()["status"] == "queued"
            assert server.client.post("/v1/jobs", files=job_files()).status_code == 202
