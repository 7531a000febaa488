"""Places on a worker's own disk, whose users may die."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from jobs.scratch import Scratch


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    return Scratch(tmp_path / "scratch")


def grow_old(folder: Path) -> None:
    then = time.time() - 3600
    for path in folder.glob("*.lock"):
        os.utime(path, (then, then))


def test_a_place_that_is_used_stays_however_old(scratch: Scratch, tmp_path: Path) -> None:
    place = scratch.take("work-1")
    grow_old(tmp_path / "scratch")
    for other in (scratch, Scratch(tmp_path / "scratch")):
        other.tidy(unused_seconds=60)
        assert place.is_dir()
    Scratch(tmp_path / "scratch").give_back("work-1")
    assert place.is_dir()
    scratch.give_back("work-1")
    scratch.give_back("work-1")
    assert list((tmp_path / "scratch").iterdir()) == []


DIES = """
import os, sys
from pathlib import Path
from jobs.scratch import Scratch
scratch = Scratch(Path(sys.argv[1]))
(scratch.take("work-1") / "half.mkv").write_bytes(b"half")
with scratch.shared("input-1", lambda place: (place / "video").write_bytes(b"film")):
    os.kill(os.getpid(), 9)
"""


def test_what_the_dead_left_goes(scratch: Scratch, tmp_path: Path) -> None:
    folder = tmp_path / "scratch"
    assert subprocess.run([sys.executable, "-c", DIES, str(folder)], check=False).returncode == -9
    scratch.tidy(unused_seconds=60)
    assert (folder / "work-1" / "half.mkv").exists()
    grow_old(folder)
    scratch.tidy(unused_seconds=60)
    assert list(folder.iterdir()) == []


def test_a_supervisor_removes_the_place_of_one_that_died(scratch: Scratch, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", DIES, str(tmp_path / "scratch")], check=False)
    scratch.give_back("work-1")
    assert not (tmp_path / "scratch" / "work-1").exists()


def test_many_share_what_one_has_fetched(scratch: Scratch, tmp_path: Path) -> None:
    fetched: list[str] = []

    def fetch(place: Path) -> None:
        fetched.append(place.name)
        time.sleep(0.05)
        (place / "video").write_bytes(b"film")

    def use() -> None:
        with Scratch(tmp_path / "scratch").shared("input-1", fetch) as place:
            seen.append((place / "video").read_bytes())

    seen: list[bytes] = []
    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (fetched, seen) == (["input-1"], [b"film"] * 8)
    with scratch.shared("input-1", fetch):
        grow_old(tmp_path / "scratch")
        scratch.tidy(unused_seconds=0)
        assert (tmp_path / "scratch" / "input-1" / "video").exists()
    scratch.tidy(unused_seconds=60)
    assert (tmp_path / "scratch" / "input-1" / "video").exists()
    scratch.tidy(unused_seconds=0)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_what_was_fetched_by_half_is_fetched_again(scratch: Scratch) -> None:
    def fail(place: Path) -> None:
        (place / "video").write_bytes(b"fi")
        raise ConnectionError

    with pytest.raises(ConnectionError), scratch.shared("input-1", fail):
        pass
    with scratch.shared("input-1", lambda place: (place / "video").write_bytes(b"film")) as place:
        assert (place / "video").read_bytes() == b"film"
