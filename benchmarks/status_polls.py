"""How fast one API process on one core answers looks at a job while another core is busy.

    python benchmarks/status_polls.py --rate 200 --seconds 30

Prints one JSON object; `milliseconds.p99` is the target: under 50 at 200 looks per second. Looks are sent evenly,
whether or not those before were answered, and a time counts from when the look was due. On the other core are Redis,
what sends the looks, a job whose progress is written once a second, and a process that computes without a pause.
"""

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.api_process import Api, percentiles, running_api
from jobs.record import Progress

CONNECTIONS = 50


class Connection:
    """One client's connection, one look at a time; far cheaper than an HTTP library, which would be measured with."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def look(self, path: str) -> int:
        """The status."""
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = await self._reader.readuntil(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
        await self._reader.readexactly(int(fields[b"content-length"]))
        return int(head.split()[1])


async def poll(api: Api, path: str, *, rate: float, seconds: float) -> tuple[list[float], int]:
    """How long each look took, in seconds, and how many failed."""
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        free.put_nowait(Connection(*await asyncio.open_connection("127.0.0.1", api.port)))
    took: list[float] = []
    errors = 0

    async def look(due: float) -> None:
        nonlocal errors
        connection = await free.get()
        errors += await connection.look(path) != 200
        free.put_nowait(connection)
        took.append(time.perf_counter() - due)

    started = time.perf_counter()
    async with asyncio.TaskGroup() as looks:
        for number in range(round(rate * seconds)):
            due = started + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            looks.create_task(look(due))
    return took, errors


async def work(api: Api, job_id: str) -> None:
    """Progress as a worker tells it."""
    for step in range(1_000_000):
        progress = Progress(fraction=step / 1_000_000, frames_done=step, frames_total=1_000_000)
        await asyncio.to_thread(api.repository.update, job_id, "benchmark", progress=progress)
        await asyncio.sleep(1)


async def measure(api: Api, *, rate: float, seconds: float, shots: int) -> dict[str, object]:
    job_id = api.start_job(shots=shots)
    worker = asyncio.create_task(work(api, job_id))
    await poll(api, f"/v1/jobs/{job_id}", rate=rate, seconds=2)  # what the first calls of all load is not the others'
    before = api.cpu_seconds()
    took, errors = await poll(api, f"/v1/jobs/{job_id}", rate=rate, seconds=seconds)
    computed = api.cpu_seconds() - before
    worker.cancel()
    return {
        "looks": len(took),
        "per_second": rate,
        "errors": errors,
        "shots": shots,
        "milliseconds": percentiles(took),
        "api_core_busy": round(computed / seconds, 2),
        "api_megabytes": api.megabytes(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=200, help="looks per second")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--shots", type=int, default=20, help="shots of the job: how large it is")
    parser.add_argument("--core", type=int, default=0, help="the API's core")
    given = parser.parse_args()
    with TemporaryDirectory() as folder, running_api(Path(folder), core=given.core) as api:
        figures = asyncio.run(measure(api, rate=given.rate, seconds=given.seconds, shots=given.shots))
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
