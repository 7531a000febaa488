"""`retint serve` as a real process: API, worker and Redis."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import retint

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts `retint serve` in a folder of its own; whatever is left of it is ended, and fails the test."""
    started: list[subprocess.Popen[str]] = []
    family: list[psutil.Process] = []

    def begin(*arguments: str, **environment: str) -> "subprocess.Popen[str]":
        clean = {name: value for name, value in os.environ.items() if not name.startswith("RETINT_")}
        process = subprocess.Popen(
            [sys.executable, "-m", "cli", "serve", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**clean, "RETINT_DATA_FOLDER": str(tmp_path / "data"), "OMP_NUM_THREADS": "1", **environment},
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            family += psutil.Process(process.pid).children(recursive=True)
            process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
    for child in family:
        child.wait(10)


def ready(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """Its first line; fails where it says nothing."""
    assert process.stdout is not None
    assert process.stderr is not None
    line = process.stdout.readline()
    assert line, process.stderr.read()
    announced: dict[str, Any] = json.loads(line)
    return announced


def await_end(processes: list[psutil.Process], *, seconds: float) -> list[psutil.Process]:
    """Those that still live after so many seconds."""
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def test_serve_comes_up_restarts_a_dead_worker_and_leaves_nothing_on_sigterm(start: Start) -> None:
    process = start("--port", "0", "--json")
    announced = ready(process)
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) == 4  # API, worker, courier, Redis
    with retint.Client(announced["address"]) as client:
        assert client.ready()
        assert client.version()["service"]
        assert "retint" in {model.name for model in client.models()}
        assert list(client.list()) == []
        with pytest.raises(retint.NotFound) as caught:
            client.get("job_0")
        assert (caught.value.status, caught.value.code) == (404, "job_not_found")

    (worker,) = (entry["pid"] for entry in announced["processes"] if entry["name"] == "worker")
    os.kill(worker, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while not any("worker" in child.cmdline() and child.pid != worker for child in living_children(process)):
        assert time.monotonic() < deadline
        time.sleep(0.1)

    family = living_children(process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert await_end(family, seconds=2) == []


def living_children(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if child.status() != psutil.STATUS_ZOMBIE]


def test_a_killed_serve_takes_all_its_processes_with_it(start: Start) -> None:
    process = start("--port", "0", "--json", "--workers", "0")
    ready(process)
    family = living_children(process)
    assert len(family) == 3
    process.kill()
    process.wait(10)
    assert await_end(family, seconds=10) == []


def test_a_taken_default_port_is_replaced_and_said(start: Start) -> None:
    with socket.socket() as taken:
        try:
            taken.bind(("127.0.0.1", 8000))
            taken.listen()
        except OSError:
            pass  # something else has it: as well
        process = start("--json", "--workers", "0")
        announced = ready(process)
        assert not announced["address"].endswith(":8000")
        assert httpx.get(f"{announced['address']}/healthz", trust_env=False).is_success
        process.terminate()
        assert process.stderr is not None
        said = process.stderr.read()
        assert "Port 8000 is taken; listening on port" in said
        assert f"--server {announced['address']}, or set RETINT_SERVER" in said
        assert process.wait(30) == 0


@pytest.mark.parametrize("by", ["option", "environment"])
def test_a_taken_port_that_was_asked_for_is_an_error(start: Start, by: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        process = start("--port", port) if by == "option" else start(RETINT_PORT=port)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said == f"retint: Cannot listen on 127.0.0.1 port {port}: Address already in use. Choose another port.\n"


@pytest.mark.parametrize(
    ("arguments", "environment", "line"),
    [
        (("--port", "99999"), {}, "There is no port 99999; give one from 0 (any free one) to 65535."),
        (
            ("--port", "0"),
            {"RETINT_DATA_FOLDER": __file__},
            f"The data folder {__file__} cannot be made: File exists. Point RETINT_DATA_FOLDER at a writable one.",
        ),
    ],
)
def test_a_port_or_folder_that_cannot_be_used_is_one_line(
    start: Start, arguments: tuple[str, ...], environment: dict[str, str], line: str
) -> None:
    process = start(*arguments, **environment)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said == f"retint: {line}\n"


def test_an_open_address_without_a_key_is_refused(start: Start) -> None:
    process = start("--host", "0.0.0.0", "--port", "0")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "retint keys create" in said
    assert said.count("\n") == 1


def test_health_checks_of_containers_see_whether_api_and_worker_live(start: Start, tmp_path: Path) -> None:
    process = start("--port", "0", "--json")
    announced = ready(process)
    place = {
        "RETINT_REDIS_URL": (tmp_path / "data" / "redis" / "address").read_text(),
        "RETINT_PORT": announced["address"].rpartition(":")[2],
    }
    assert checked("api", place) == (0, "")
    assert checked("worker", place) == (0, "")
    assert checked("worker", {**place, "RETINT_QUEUE_NAME": "another"})[1].endswith("is alive.\n")
    process.terminate()
    assert process.wait(30) == 0
    status, said = checked("api", place)
    assert status == 1
    assert said.startswith(f"retint: {announced['address']}/readyz does not answer")
    status, said = checked("worker", place)
    assert status == 1
    assert said.startswith("retint: Redis does not answer")
    status, said = checked("worker", {"RETINT_PORT": place["RETINT_PORT"]})
    assert (status, said) == (1, "retint: RETINT_REDIS_URL is not set, so that no worker can be seen.\n")


def checked(what: str, place: Mapping[str, str]) -> tuple[int, str]:
    """Exit status and standard error of a check, which says nothing else."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RETINT_")}
    command = [sys.executable, "-m", "cli", what, "--check"]
    done = subprocess.run(command, env={**clean, **place}, capture_output=True, text=True, timeout=60)
    assert done.stdout == ""
    return done.returncode, done.stderr
