"""A real API process on one core, with a Redis of its own; what loads it is on the other cores."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.request import urlopen

from redis import Redis

from jobs.embedded_redis import embedded_redis
from jobs.identifiers import new_job_id
from jobs.options import JobOptions
from jobs.record import Job, PlacedReference, Shot, ShotTuning, TuningStepRecord
from jobs.repository import JobRepository

MEGABYTE = 1_000_000
BUSY = "x = 1\nwhile True: x = x * 3 % 1000003"


class Api:
    """A running API process."""

    def __init__(self, *, pid: int, port: int, redis: Redis) -> None:
        self.pid = pid
        self.port = port
        self.repository = JobRepository(redis, "retint")

    def megabytes(self, field: str = "VmRSS") -> float:
        """`VmRSS` is what it holds now, `VmHWM` the most that it ever held."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return round(int(line.split()[1]) * 1024 / MEGABYTE, 1)
        raise RuntimeError(f"The kernel tells no {field}.")

    def cpu_seconds(self) -> float:
        """Time that it has computed so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def start_job(self, *, shots: int) -> str:
        """A job that is being worked on, as large as one of so many shots, one in ten of them tuned."""
        job = Job(id=new_job_id(), status="queued", options=JobOptions(), created_at=datetime.now(UTC))
        self.repository.create(job)
        self.repository.claim(job.id, "benchmark")
        steps = [TuningStepRecord(step=step, loss=1 / (step + 1), held_out_psnr_db=30.125) for step in range(100)]
        tuning = ShotTuning(iterations=100, gain_db=1.5, seconds=9.25, stopped_early=False, curve=steps)
        found = [
            Shot(
                index=index,
                first_frame=100 * index,
                last_frame=100 * index + 99,
                reference=f"frame-{index // 10}.png",
                tuning=tuning if index % 10 == 0 else None,
            )
            for index in range(shots)
        ]
        placed = [
            PlacedReference(name=f"frame-{index}.png", frame=1000 * index, shot=10 * index, placed_by="matching")
            for index in range((shots + 9) // 10)
        ]
        self.repository.update(job.id, "benchmark", phase="colorizing", shots=found, references=placed)
        return job.id


@contextmanager
def running_api(folder: Path, *, core: int) -> Iterator[Api]:
    """The API alone on `core`; Redis, this process and a stand-in for a worker that computes, on the others."""
    os.sched_setaffinity(0, os.sched_getaffinity(0) - {core})
    with (
        embedded_redis(folder / "redis") as redis_url,
        Redis.from_url(redis_url) as redis,
        socket.socket() as listening,
    ):
        listening.bind(("127.0.0.1", 0))
        listening.listen(1024)
        environment = {**os.environ, "RETINT_REDIS_URL": redis_url, "RETINT_DATA_FOLDER": str(folder)}
        command = ["taskset", "-c", str(core), sys.executable, "-m", "cli", "api", "--fd", str(listening.fileno())]
        with (folder / "api.log").open("wb") as log:
            api = subprocess.Popen(command, env=environment, pass_fds=[listening.fileno()], stdout=log, stderr=log)
        # A worker computes at low priority on the cores that it shares with the load; so does what stands for it.
        busy = subprocess.Popen(["nice", "-n", "10", sys.executable, "-c", BUSY])
        try:
            yield _answering(Api(pid=api.pid, port=listening.getsockname()[1], redis=redis))
        finally:
            for process in (busy, api):
                process.terminate()
                process.wait()


def _answering(api: Api) -> Api:
    """Once it does. The socket takes calls before, so a call waits for as long as the API takes to start."""
    started = time.monotonic()
    with urlopen(f"http://127.0.0.1:{api.port}/healthz", timeout=60) as answer:
        if answer.status != 200:
            raise RuntimeError(f"The API answers {answer.status} after {time.monotonic() - started:.1f} s.")
    return api


def percentiles(seconds: list[float]) -> dict[str, float]:
    """In milliseconds."""
    ordered = sorted(seconds)
    return {
        f"p{part}": round(ordered[min(len(ordered) - 1, len(ordered) * part // 100)] * 1000, 1) for part in (50, 90, 99)
    } | {"max": round(ordered[-1] * 1000, 1)}
