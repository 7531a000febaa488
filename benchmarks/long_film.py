"""A long film on several workers: shots, placed references, throughput, overhead, memory.

    python benchmarks/long_film.py CLIPS                    # 30 minutes, 200 cuts, 60 references; hours
    python benchmarks/long_film.py CLIPS --minutes 3        # the same, shorter
    python benchmarks/long_film.py CLIPS --plan-only        # cuts and places alone; minutes

CLIPS is a folder of real clips: videos, and folders of numbered pictures. The film is assembled of them, 640x360 at 25
frames per second: every shot is a clip from a place, seen through a window that wanders over it, so that no two shots
and no two frames are the same. Its cuts and the frames of its references are known. It is colored with one worker and
with `--workers`, each of one thread. Prints one JSON object.
"""

import argparse
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from jobs.connection import connect
from jobs.embedded_redis import embedded_redis
from jobs.identifiers import new_job_id
from jobs.options import JobOptions
from jobs.queue import JobQueue
from jobs.record import Job
from jobs.repository import JobRepository
from jobs.settings import Settings
from jobs.stores import open_store
from jobs.submission import Submission
from models.registry import load
from worker.checkpoints import FolderCheckpoints
from worker.planning import plan_film
from worker.progress import Progress
from worker.task import ColorizationTask, Limits, ReferenceFile
from worker.threads import limit_threads

ROOT = Path(__file__).resolve().parents[1]
WIDTH, HEIGHT, RATE = 640, 360, 25
FULL_MINUTES, FULL_CUTS, FULL_REFERENCES = 30, 200, 60
PICTURES = {".jpg", ".jpeg", ".png"}
NEAR = 1
"""Frames that a found cut may be away from a true one."""

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Film:
    path: Path
    frames: int
    cuts: list[int]
    """First frame of every shot but the first."""
    references: list[tuple[Path, int]]
    """Picture, and the frame that it is."""


class Silent:
    """An observer that listens to nothing."""

    def entered(self, phase: str) -> None: ...

    def advanced(self, **_: Any) -> None: ...

    def learned(self, **_: Any) -> None: ...

    def showed(self, frame: int, picture: bytes) -> None: ...

    def check(self) -> None: ...


def read_clip(path: Path) -> list[Picture]:
    """The frames of a clip, at most a few seconds of them."""
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in PICTURES)
        frames = [np.asarray(cv2.imread(str(file)))[..., ::-1] for file in files]
    else:
        with av.open(str(path)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return [np.asarray(frame, np.uint8) for frame in frames[:250]]


def fitted(frame: Picture) -> Picture:
    """Scaled to cover a frame of the film and an eighth more, for the window to wander."""
    scale = 1.125 * max(WIDTH / frame.shape[1], HEIGHT / frame.shape[0])
    size = (round(frame.shape[1] * scale), round(frame.shape[0] * scale))
    return np.asarray(
        cv2.resize(frame, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR), np.uint8
    )


def shot_frames(clip: Sequence[Picture], length: int, chance: random.Random) -> Iterator[Picture]:
    """The clip to and fro, mirrored or not, through a window that moves on a straight line."""
    start, mirrored = chance.randrange(len(clip)), chance.random() < 0.5
    height, width = fitted(clip[0]).shape[:2]
    ends = [(chance.uniform(0, width - WIDTH), chance.uniform(0, height - HEIGHT)) for _ in range(2)]
    turn = 2 * max(1, len(clip) - 1)
    for index in range(length):
        place = (start + index) % turn
        frame = fitted(clip[min(place, turn - place)])
        share = index / max(1, length - 1)
        x, y = (round(a + (b - a) * share) for a, b in zip(*ends, strict=True))
        window = frame[y : y + HEIGHT, x : x + WIDTH]
        yield np.ascontiguousarray(window[:, ::-1] if mirrored else window)


def assemble(clips: Sequence[Path], folder: Path, *, minutes: float, cuts: int, references: int) -> Film:
    chance = random.Random(5)
    total = round(minutes * 60 * RATE)
    bounds = [0, *sorted(chance.sample(range(1, total // 12), cuts)), total // 12]
    bounds = [12 * bound for bound in bounds]
    bounds[-1] = total
    colored = set(chance.sample(range(cuts + 1), references))
    order = list(clips)
    chance.shuffle(order)
    film, found = folder / "film.mkv", []
    with av.open(str(film), "w") as out:
        stream: Any = out.add_stream("libx264", rate=RATE, options={"crf": "16", "preset": "veryfast", "g": "50"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.color_range, stream.codec_context.colorspace = 1, 6
        index = 0
        for shot in range(cuts + 1):
            length = bounds[shot + 1] - bounds[shot]
            wanted = bounds[shot] + round(length * chance.uniform(0.1, 0.9)) if shot in colored else -1
            for picture in shot_frames(read_clip(order[shot % len(order)]), length, chance):
                if index == wanted:
                    found.append((folder / f"reference-{shot:03d}.png", index))
                    cv2.imwrite(str(found[-1][0]), picture[..., ::-1])
                out.mux(stream.encode(gray_frame(picture, index)))
                index += 1
        out.mux(stream.encode())
    return Film(film, index, bounds[1:-1], found)


def gray_frame(picture: Picture, index: int) -> Any:
    frame: Any = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
    luma = np.rint(16 + 219 * (picture.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)) / 255)
    for plane, codes in zip(
        frame.planes, (luma, *(np.full((HEIGHT // 2, WIDTH // 2), 128) for _ in range(2))), strict=True
    ):
        lines = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        lines[: codes.shape[0], : codes.shape[1]] = codes.astype(np.uint8)
    frame.pts, frame.time_base = index, Fraction(1, RATE)
    return frame


def judged(film: Film, cuts: Sequence[int], placed: dict[str, int | None]) -> dict[str, Any]:
    """How well cuts and references were found."""
    hits = sum(any(abs(cut - true) <= NEAR for cut in cuts) for true in film.cuts)
    precision = hits / len(cuts) if cuts else 1.0
    recall = hits / len(film.cuts) if film.cuts else 1.0
    exact = sum(placed.get(path.name) == frame for path, frame in film.references)
    return {
        "cuts": {
            "true": len(film.cuts),
            "found": len(cuts),
            "f1": round(2 * precision * recall / (precision + recall), 4) if hits else 0.0,
            "missed": [true for true in film.cuts if not any(abs(cut - true) <= NEAR for cut in cuts)],
            "invented": [cut for cut in cuts if not any(abs(cut - true) <= NEAR for true in film.cuts)],
        },
        "references": {
            "given": len(film.references),
            "placed_exactly": exact,
            "elsewhere": {
                path.name: [frame, placed.get(path.name)]
                for path, frame in film.references
                if placed.get(path.name) != frame
            },
        },
    }


def plan_alone(film: Film, folder: Path) -> dict[str, Any]:
    """Cuts and places, without coloring."""
    limit_threads(1)
    scratch, kept = folder / "scratch", folder / "kept"
    scratch.mkdir()
    kept.mkdir()
    files = tuple(ReferenceFile(path.name, path) for path, _ in film.references)
    limits = Limits(max_pixels=10**9, max_duration_seconds=1e6, max_frames=10**9)
    task = ColorizationTask(film.path, files, JobOptions(tuning="off"), scratch, limits)
    import torch

    model = load("retint", device=torch.device("cpu"), weights_folder=folder)
    started, cpu = time.perf_counter(), time.process_time()
    plan = plan_film(
        task, model=model, progress=Progress(Silent()), checkpoints=FolderCheckpoints(kept), scratch=scratch
    )
    return {
        **judged(
            film,
            [shot.shot.first for shot in plan.shots[1:]],
            {reference.record.name: reference.frame for reference in plan.references},
        ),
        "pieces": len(plan.pieces),
        "planning_seconds": round(time.perf_counter() - started, 1),
        "planning_cpu_seconds": round(time.process_time() - cpu, 1),
        "peak_memory_megabytes": round(plan.peak_memory_megabytes),
    }


def colored(film: Film, folder: Path, *, workers: int, tuning: str) -> dict[str, Any]:
    """Let so many workers do the film, and measure."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with embedded_redis(folder / "redis") as url:
        settings = Settings(redis_url=url, data_folder=folder / "data", threads=1)
        redis = connect(url)
        repository, queue = JobRepository(redis, settings.queue_name), JobQueue(redis, settings)
        store = open_store(settings)
        environment = {
            **os.environ,
            "RETINT_REDIS_URL": url,
            "RETINT_DATA_FOLDER": str(folder / "data"),
            "RETINT_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
        }
        with (folder / "workers.log").open("wb") as log:
            running = [
                subprocess.Popen([sys.executable, "-m", "cli", "worker"], env=environment, stdout=log, stderr=log)
                for _ in range(workers)
            ]
        while queue.worker_count() < workers:
            time.sleep(0.1)
        job_id = new_job_id()
        store.create(job_id)
        for index, path in enumerate([film.path, *(path for path, _ in film.references)]):
            with store.open_input_writer(job_id, "reference" if index else "video", max(0, index - 1)) as writer:
                writer.write(path.read_bytes())
        options = JobOptions.model_validate({"tuning": tuning, "variants": ["video", "comparison", "report_json"]})
        names = tuple(path.name for path, _ in film.references)
        repository.create(
            Job(id=job_id, status="queued", options=options, created_at=datetime.now(UTC)),
            Submission(reference_names=names),
        )
        queue.enqueue(job_id)
        while (job := repository.get(job_id)).finished_at is None:
            time.sleep(0.1)
        for worker in running:
            worker.send_signal(signal.SIGTERM)
        for worker in running:
            worker.wait(60)
        assert job.status == "succeeded", job.error
        found = store.find_result(job_id, repository.status(job_id)[1], "report_json")
        assert isinstance(found, Path)
        report = json.loads(found.read_text())
        redis.close()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert job.started_at is not None
    seconds = (job.finished_at - job.started_at).total_seconds()
    phases = report["speed"]["seconds_by_phase"]
    useful = phases.get("tuning", 0.0) + phases["colorizing"]
    result = {
        "workers": workers,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "frames_per_second": round(film.frames / seconds, 3),
        "seconds_by_phase_of_all_workers": {name: round(value, 1) for name, value in phases.items()},
        "peak_memory_megabytes": round(report["speed"]["peak_memory_megabytes"]),
        **judged(
            film,
            [shot.first_frame for shot in job.shots[1:]],
            {reference.name: reference.frame for reference in job.references},
        ),
    }
    if workers == 1:
        result["overhead"] = round(1 - useful / seconds, 4)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path)
    parser.add_argument("--minutes", type=float, default=FULL_MINUTES)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--tuning", default="fast")
    parser.add_argument("--plan-only", action="store_true")
    given = parser.parse_args()
    clips = sorted(path for path in given.clips.iterdir() if path.is_dir() or path.suffix in (".mp4", ".mkv"))
    if not clips:
        parser.error(f"{given.clips} holds no clips")
    share = given.minutes / FULL_MINUTES
    cuts, references = max(1, round(FULL_CUTS * share)), max(1, round(FULL_REFERENCES * share))
    with TemporaryDirectory() as name:
        folder = Path(name)
        film = assemble(clips, folder, minutes=given.minutes, cuts=cuts, references=references)
        result: dict[str, Any] = {
            "film": f"{given.minutes:g} minutes, {film.frames} frames of {WIDTH}x{HEIGHT}, {cuts} cuts",
            "clips": len(clips),
            "load_average": os.getloadavg()[0],
        }
        if given.plan_only:
            result["plan"] = plan_alone(film, folder)
        else:
            runs = []
            for workers in (1, given.workers):
                (folder / str(workers)).mkdir()
                runs.append(colored(film, folder / str(workers), workers=workers, tuning=given.tuning))
            result["runs"] = runs
            result["speedup"] = round(runs[0]["seconds"] / runs[1]["seconds"], 3)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
