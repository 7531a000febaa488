"""docker/Dockerfile and the script that runs it, by the linters of their trades; docker/check.sh builds and runs it."""

import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(sys.executable).parent


@pytest.fixture(scope="module")
def lines() -> list[str]:
    text = (ROOT / "docker" / "Dockerfile").read_text()
    return [line for line in text.splitlines() if not line.startswith("#")]


def test_hadolint_finds_nothing() -> None:
    command = [FOLDER / "hadolint", "--config", "docker/hadolint.yaml", "docker/Dockerfile"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_shellcheck_finds_nothing() -> None:
    done = subprocess.run([FOLDER / "shellcheck", "docker/check.sh"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_no_stage_after_the_builders_installs_with_pip_or_runs_as_root(lines: list[str]) -> None:
    stages = "\n".join(lines).split("\nFROM ")
    final = {stage.split()[2]: stage for stage in stages[1:]}
    for name in ("python", "runtime", "api", "worker"):
        assert "pip" not in final[name], name
    assert "\nUSER 10001:10001\n" in final["runtime"]
    for name in ("api", "worker"):
        assert final[name].startswith("runtime AS"), name
        assert "USER" not in final[name]


def test_all_that_the_packages_are_made_of_is_sent_to_the_build_and_nothing_secret() -> None:
    patterns = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert patterns[0] == "*"
    let_in = [pattern.removeprefix("!") for pattern in patterns[1:] if pattern.startswith("!")]
    for path in let_in:
        assert (ROOT / path).exists(), path
    for secret in (".env", "retint.env", ".git", "docker/monitoring/metrics.key"):
        assert not any(fnmatch(secret, pattern) for pattern in let_in)
