"""Ctrl-C or SIGTERM in the middle: one line that says how to go on, nothing half done in its place, no traceback."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_server import Answer, FakeServer, Received, job_answer
from served_film import CONTENT, FilmServer
from upload_server import UploadServer


@pytest.fixture
def server() -> Iterator[FakeServer]:
    fake = FakeServer()
    yield fake
    fake.close()


def interrupted(
    server: FakeServer, *arguments: str, when: Callable[[], bool], by: signal.Signals = signal.SIGINT
) -> str:
    """What `retint jobs` says on standard error where a signal comes as soon as `when`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", "jobs", *arguments],
        env={**os.environ, "RETINT_SERVER": server.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not when() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(by)
    said, told = process.communicate(timeout=60)
    assert (process.returncode, said) == (128 + by, ""), told
    assert "Traceback" not in told
    return told.splitlines()[-1]


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_watch_says_that_the_job_goes_on(server: FakeServer, by: signal.Signals) -> None:
    server.answers = [job_answer(status="processing", phase="tuning")]
    said = interrupted(server, "watch", "job_1", when=lambda: len(server.received) > 2, by=by)
    assert said.startswith("retint: Stopped. The job is not: follow it again with `retint jobs watch job_1`")


def test_a_submit_that_waits_says_how_to_fetch_the_result_later(server: FakeServer, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(b"film")
    uploads = UploadServer()
    waits: list[Received] = []

    def respond(request: Received) -> Answer:
        if request.path.startswith("/v1/jobs/job_1"):
            waits.append(request)
            return job_answer(status="processing", phase="tuning")
        return uploads(request)

    server.respond = respond
    out = tmp_path / "color.mp4"
    said = interrupted(server, "submit", str(film), "-r", str(film), "-o", str(out), when=lambda: len(waits) > 1)
    assert f"`retint jobs watch job_1`, then `retint jobs download job_1 -o {out}`" in said
    assert list(tmp_path.iterdir()) == [film]


def test_an_upload_leaves_it_open_whether_a_job_was_made(server: FakeServer, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(b"film")
    asked, over = threading.Event(), threading.Event()

    def stall(_: Received) -> Answer:
        asked.set()
        over.wait(60)
        return job_answer()

    server.respond = stall
    try:
        said = interrupted(server, "submit", str(film), "-r", str(film), when=asked.is_set)
    finally:
        over.set()
    assert said == "retint: Stopped. No job was made unless all was sent; `retint jobs list` shows it."


def test_a_download_goes_on_with_the_same_command(server: FakeServer, tmp_path: Path) -> None:
    files = FilmServer(CONTENT, cuts=[100_000])
    over = threading.Event()

    def cut_then_stall(request: Received) -> Answer:
        answer = files(request)
        if len(files.asked) == 2:
            over.wait(60)
        return answer

    server.respond = cut_then_stall
    out = tmp_path / "color.mp4"
    try:
        said = interrupted(server, "download", "job_1", "-o", str(out), when=lambda: len(files.asked) == 2)
    finally:
        over.set()
    assert said == "retint: Stopped. The same command goes on where it ended."
    assert not out.exists()
    again = subprocess.run(
        [sys.executable, "-m", "cli", "jobs", "download", "job_1", "-o", str(out)],
        env={**os.environ, "RETINT_SERVER": server.url},
        timeout=60,
    )
    assert again.returncode == 0
    assert files.asked[-1] == "bytes=100000-"
    assert out.read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [out]
