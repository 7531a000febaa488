"""The command as a whole: what it says, what it imports, how it fails."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli.interruption import PATIENCE_SECONDS, Terminated, unwinding

PYTHON_CALLS_RUN = (
    "from cli.main import run_command\nimport jobs.connection, jobs.errors, models.errors, redis, retint\n"
)


def run_python(code: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60)


def retint(*arguments: str, folder: Path | None = None, **environment: str) -> "subprocess.CompletedProcess[str]":
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RETINT_")}
    return subprocess.run(
        [sys.executable, "-m", "cli", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        env={**clean, **environment},
    )


def test_version_for_people_and_programs() -> None:
    assert retint("version").stdout.startswith("retint 0.")
    assert set(json.loads(retint("version", "--json").stdout)) == {"service", "python"}
    assert retint("--version").stdout == retint("version").stdout


def test_the_command_starts_without_what_only_some_of_it_needs() -> None:
    needed_by_some = ("torch", "av", "cv2", "fastapi", "uvicorn", "redis", "rq", "httpx", "pydantic", "rich")
    done = run_python(f"import sys, cli.main\nprint([name for name in {needed_by_some} if name in sys.modules])")
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("raised", "line"),
    [
        ("jobs.errors.VideoUndecodable('The video is cut off.')", "The video is cut off."),
        ("models.errors.WeightsMissing('The weights are missing.')", "The weights are missing."),
        ("retint.ConnectionFailed('No server answers.')", "No server answers."),
        (
            "retint.Unauthorized(retint.Problem(401, 'unauthorized', 'T', 'The key is wrong.', None, ()))",
            "The key is wrong. The command sends the key that RETINT_API_KEY holds.",
        ),
        ("retint.FileUnreadable('There is no file a.mp4.', path=None)", "There is no file a.mp4."),
        (
            "redis.ConnectionError('Connection refused.')",
            "Redis cannot be used: Connection refused. Start it, or point RETINT_REDIS_URL at one that runs.",
        ),
        (
            "jobs.connection.WritesRefused('No space left on device')",
            "Redis refuses to write: No space left on device. Make room on the disk that it keeps its file on.",
        ),
        ("FileNotFoundError(2, 'No such file or directory', 'a.mp4')", "a.mp4: No such file or directory."),
    ],
)
def test_an_error_that_a_user_can_meet_is_one_line(raised: str, line: str) -> None:
    done = run_python(f"{PYTHON_CALLS_RUN}def fail(): raise {raised}\nrun_command(fail)")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"retint: {line}\n")


def test_a_fault_of_the_program_keeps_its_traceback() -> None:
    done = run_python(f"{PYTHON_CALLS_RUN}def fail(): raise KeyError('x')\nrun_command(fail)")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


@pytest.mark.parametrize(("sent", "status"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_unwinds_and_has_the_status_of_shells(sent: str, status: int) -> None:
    code = (
        f"{PYTHON_CALLS_RUN}import os, signal\n"
        "def work():\n"
        "    try: os.kill(os.getpid(), signal.%s); signal.pause()\n"
        "    finally: print('cleaned up')\n"
        "run_command(work)"
    )
    done = run_python(code % sent)
    assert (done.returncode, done.stdout, done.stderr) == (status, "cleaned up\n", "")


@pytest.mark.parametrize(("sent", "status"), [("SIGINT", 130), ("SIGTERM", 143)])
@pytest.mark.parametrize("again", ["SIGINT", "SIGTERM"])
def test_signals_that_follow_the_first_disturb_neither_the_unwinding_nor_the_end(
    sent: str, status: int, again: str
) -> None:
    code = (
        f"{PYTHON_CALLS_RUN}import atexit, os, signal\n"
        f"def come_again(): os.kill(os.getpid(), signal.{again}); print('nothing')\n"
        "atexit.register(come_again)\n"
        "def work():\n"
        f"    try: os.kill(os.getpid(), signal.{sent}); signal.pause()\n"
        "    finally: come_again()\n"
        "run_command(work)"
    )
    done = run_python(code)
    assert (done.returncode, done.stdout, done.stderr) == (status, "nothing\nnothing\n", "")


def test_a_signal_that_comes_much_later_than_the_first_interrupts_what_it_left_hanging() -> None:
    now = 0.0
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with unwinding(clock=lambda: now):
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            now = PATIENCE_SECONDS + 1
            with pytest.raises(Terminated):
                signal.raise_signal(signal.SIGTERM)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.parametrize(
    ("arguments", "mistake", "command"),
    [
        (["colour"], "No such command 'colour'. Did you mean 'colorize'?", ""),
        (["colorize"], "Missing argument 'video'.", " colorize"),
        (
            ["colorize", "a.mkv", "--qualtiy", "3"],
            "No such option: --qualtiy (Possible options: --quality).",
            " colorize",
        ),
        (["colorize", "a.mkv", "--quality"], "Option '--quality' requires an argument.", " colorize"),
        (["jobs", "list", "--limit"], "Option '--limit' requires an argument.", " jobs list"),
        (["jobs", "list", "--limit", "x"], "Invalid value for '--limit': expected a whole number.", " jobs list"),
        (["serve", "--workers", "-1"], "Invalid value for '--workers': expected 0 or more.", " serve"),
    ],
)
def test_a_wrong_command_line_is_one_line_too(arguments: list[str], mistake: str, command: str) -> None:
    done = retint(*arguments)
    told = f"retint: {mistake} `python -m cli{command} --help` says how it is used.\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", told)


def test_a_command_alone_shows_its_help() -> None:
    done = retint("jobs")
    assert done.returncode == 2
    assert "Upload a video" in done.stdout + done.stderr
    assert "retint: " not in done.stderr


@pytest.mark.parametrize(
    ("name", "value", "expected"), [("PORT", "many", "a whole number"), ("RETRIES", "-1", "0 or more")]
)
def test_a_setting_that_cannot_be_used_is_named(name: str, value: str, expected: str) -> None:
    done = retint("worker", **{f"RETINT_{name}": value})
    assert done.returncode == 1
    assert done.stderr == f"retint: RETINT_{name} cannot be used: expected {expected}, got '{value}'.\n"


@pytest.mark.parametrize("command", ["api", "worker", "deliver", "serve"])
def test_a_wrong_address_of_redis_is_told_in_one_line(command: str, tmp_path: Path) -> None:
    done = retint(command, folder=tmp_path, RETINT_REDIS_URL="nonsense", RETINT_PORT="0")
    assert done.returncode == 1
    assert done.stderr.startswith("retint: RETINT_REDIS_URL is not the address of a Redis server; expected ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["api", "worker", "deliver"])
def test_every_process_wants_to_know_where_redis_is(command: str, tmp_path: Path) -> None:
    done = retint(command, folder=tmp_path)
    assert done.returncode == 1
    assert "RETINT_REDIS_URL is not set" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("device", ["cuda:99", "toaster"])
def test_a_worker_without_its_device_does_not_start(device: str, tmp_path: Path) -> None:
    address = f"unix://{tmp_path}/nobody.sock"
    done = retint("worker", "--device", device, folder=tmp_path, RETINT_REDIS_URL=address)
    assert done.returncode == 1
    assert f"device `{device}`" in done.stderr
    assert done.stderr.count("\n") == 1


def test_weights_are_listed_and_not_fetched_before_their_licence_is_accepted(tmp_path: Path) -> None:
    listed = json.loads(retint("weights", "list", "--json", RETINT_WEIGHTS_FOLDER=str(tmp_path)).stdout)
    assert [(entry["name"], entry["path"]) for entry in listed] == [("deepremaster", None), ("exemplar", None)]
    refused = retint("weights", "fetch", "deepremaster", RETINT_WEIGHTS_FOLDER=str(tmp_path))
    assert refused.returncode == 1
    assert "--accept-license" in refused.stderr
    missing = retint("weights", "import", "deepremaster", "none.pth", RETINT_WEIGHTS_FOLDER=str(tmp_path))
    assert "none.pth" in missing.stderr
    assert "Traceback" not in missing.stderr
