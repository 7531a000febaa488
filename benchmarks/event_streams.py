"""What one API process holds while hundreds of clients watch jobs, and how soon they hear of a change.

    python benchmarks/event_streams.py --streams 500 --jobs 10 --seconds 20

Prints one JSON object; `api_peak_megabytes` is the target: under 200 with 500 streams. The API has a core of its own;
on the others are Redis, the watching clients, jobs whose progress is written twice a second, and a process that
computes without a pause. In the end every job succeeds, and `ended` counts the streams that heard it.
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

OPENED_AT_ONCE = 50


class Stream:
    """One client that watches one job; far cheaper than an HTTP library, which would be measured with."""

    def __init__(self) -> None:
        self.changes = 0
        self.ended = False
        self.delays: list[float] = []
        """Seconds from each change of progress to the event that tells it."""

    async def watch(self, port: int, job_id: str, *, opened: asyncio.Semaphore) -> None:
        async with opened:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET /v1/jobs/{job_id}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            status = await reader.readuntil(b"\r\n\r\n")
            if not status.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(status.decode())
            await reader.readuntil(b"event: snapshot")
        while not self.ended:
            line = await reader.readline()
            if line.strip() == b"event: end":
                self.ended = True
            elif line.startswith(b"data: ") and b'"frames_done"' in line and b'"id"' not in line:
                self.changes += 1
                # Progress carries the time of its writing as microseconds of this machine's clock.
                written = json.loads(line[6:])["progress"]["frames_done"]
                self.delays.append(time.monotonic() - written / 1e6)
        writer.close()


async def work(api: Api, job_id: str, *, until: asyncio.Event) -> None:
    """Progress as a worker tells it, then the end."""
    while not until.is_set():
        await asyncio.to_thread(api.repository.update, job_id, "benchmark", progress=_now())
        await asyncio.sleep(0.5)
    await asyncio.to_thread(api.repository.finish, job_id, "benchmark", variants=[], progress=_now())


def _now() -> Progress:
    return Progress(fraction=0.5, frames_done=round(time.monotonic() * 1e6))


async def measure(api: Api, *, streams: int, jobs: int, seconds: float) -> dict[str, object]:
    idle = api.megabytes()
    ids = [api.start_job(shots=20) for _ in range(jobs)]
    over = asyncio.Event()
    opened = asyncio.Semaphore(OPENED_AT_ONCE)
    watchers = [Stream() for _ in range(streams)]
    async with asyncio.TaskGroup() as tasks:
        for number, watcher in enumerate(watchers):
            tasks.create_task(watcher.watch(api.port, ids[number % jobs], opened=opened))
        # A client that has just come is sent what it missed at once, which is no delay.
        await asyncio.sleep(5)
        for job_id in ids:
            tasks.create_task(work(api, job_id, until=over))
        await asyncio.sleep(seconds)
        holding = api.megabytes()
        over.set()
    return {
        "streams": streams,
        "jobs": jobs,
        "changes_heard": sum(watcher.changes for watcher in watchers),
        "ended": sum(watcher.ended for watcher in watchers),
        "milliseconds_to_hear": percentiles([delay for watcher in watchers for delay in watcher.delays]),
        "api_idle_megabytes": idle,
        "api_megabytes": holding,
        "api_peak_megabytes": api.megabytes("VmHWM"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--jobs", type=int, default=10, help="jobs that they watch")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--core", type=int, default=0, help="the API's core")
    given = parser.parse_args()
    with TemporaryDirectory() as folder, running_api(Path(folder), core=given.core) as api:
        figures = asyncio.run(measure(api, streams=given.streams, jobs=given.jobs, seconds=given.seconds))
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
