"""Drives a service that docker/check.sh has started.

`check_job.py ADDRESS color FOLDER | begin FOLDER | ended JOB | restored JOB FOLDER`
"""

import os
import sys
import time
from pathlib import Path

import av
import httpx
import numpy as np
from retint import Client, RetintError

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.synthetic_film import write_film

OPTIONS = {"tuning": "fast", "output": {"container": "mkv", "codec": "ffv1"}}


def main() -> None:
    address, what, *arguments = sys.argv[1:]
    if what == "color":
        assert httpx.get(f"{address}/v1/jobs", trust_env=False).status_code == 401, "served without a key"
    with Client(address, api_key=os.environ["RETINT_API_KEY"]) as client:
        {"color": color, "begin": begin, "ended": ended, "restored": restored}[what](client, *arguments)


def color(client: Client, folder: str) -> None:
    """One job from upload to result: calls need a key, the result's luma is the film's, and it has colors."""
    film, reference = _film(Path(folder), frames=24)
    job = client.wait(client.submit(film, [reference], options=OPTIONS).id)
    assert job.status == "succeeded", job.error
    _check_result(client, job.id, film, Path(folder) / "color.mkv")


def begin(client: Client, folder: str) -> None:
    """Print the id of a job that a worker has begun."""
    film, reference = _film(Path(folder), frames=120)
    job = client.submit(film, [reference], options=OPTIONS)
    while client.get(job.id).status == "queued":
        time.sleep(0.1)
    assert client.get(job.id).status == "processing"
    print(job.id)


def ended(client: Client, job_id: str) -> None:
    """The job succeeds, and nothing of it was lost on the way. Redis may be on its way back."""
    deadline = time.monotonic() + 300
    while True:
        try:
            job = client.get(job_id)
            if job.finished_at is not None:
                break
        except RetintError:
            pass
        assert time.monotonic() < deadline, "the job does not end"
        time.sleep(0.5)
    assert job.status == "succeeded", job
    address, key = sys.argv[1], os.environ["RETINT_API_KEY"]
    numbers = httpx.get(f"{address}/metrics", headers={"Authorization": f"Bearer {key}"}, trust_env=False)
    lost = [line for line in numbers.text.splitlines() if line.startswith("retint_executions_lost_total{")]
    assert lost
    assert all(line.endswith(" 0.0") for line in lost), lost
    print(f"{job.id}: {job.status}, nothing lost")


def restored(client: Client, job_id: str, folder: str) -> None:
    """A job that `begin` began is there, with its result."""
    assert client.get(job_id).status == "succeeded"
    film, _ = _film(Path(folder), frames=120)
    _check_result(client, job_id, film, Path(folder) / "restored.mkv")


def _check_result(client: Client, job_id: str, film: Path, result: Path) -> None:
    client.download(job_id, "video", result)
    source, colored = _planes(film), _planes(result)
    assert len(source) == len(colored) > 0
    for (before, _), (after, chroma) in zip(source, colored, strict=True):
        assert np.array_equal(before, after), "the luma is not the film's"
        assert chroma.std() > 1, "there is no color"
    print(f"{job_id}: {len(source)} frames, luma equal, in color")


def _film(folder: Path, *, frames: int) -> tuple[Path, Path]:
    film = folder / f"film-{frames}.mkv"
    return film, write_film(film, width=320, height=240, frames=frames, rate=25, sound=True)


def _planes(path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return [(_plane(frame, 0), _plane(frame, 1) if len(frame.planes) > 1 else np.zeros(1)) for frame in frames]


def _plane(frame: av.VideoFrame, number: int) -> np.ndarray:
    plane = frame.planes[number]
    return np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width].copy()


if __name__ == "__main__":
    main()
