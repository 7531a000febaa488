"""Packages of npm that tests use, installed from their lock file."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def installed(project: Path, *, into: Path) -> Path:
    """A copy of the folder `project` with its packages beside it; skips where Node.js or npm is not here."""
    missing = [program for program in ("node", "npm") if shutil.which(program) is None]
    if missing:
        give_up(f"{' and '.join(missing)} not found; Node.js 18 or later brings both", needed="TESTS_NEED_NODE")
    folder = into / project.name
    shutil.copytree(project, folder, ignore=shutil.ignore_patterns("node_modules"))
    done = subprocess.run(["npm", "ci"], cwd=folder, capture_output=True, text=True, check=False, timeout=200)
    if done.returncode != 0:
        give_up(f"npm ci failed: {done.stderr[-500:]}", needed="TESTS_NEED_NODE")
    return folder


def give_up(reason: str, *, needed: str) -> None:
    """Skip, but not where the machine is meant to have all that the tests want, which the variable `needed` says."""
    if os.environ.get(needed):
        pytest.fail(reason)
    pytest.skip(reason)
