"""A long film on several workers: throughput, overhead, memory, shots, placed references.

    python benchmarks/long_film.py CLIPS                 # 30 minutes of film, 200 cuts, 60 references
    python benchmarks/long_film.py CLIPS --minutes 1     # the same, shorter
    python benchmarks/long_film.py CLIPS --plan-only     # cuts and places alone
    python benchmarks/long_film.py CLIPS --throughput-only --working-size 180   # many workers against one alone
    python benchmarks/long_film.py CLIPS --seed 6        # another film, to try things out on

CLIPS is a folder of real clips: videos, and folders of numbered pictures. Films are assembled of them, 640x360 at 25
frames per second: every shot is a clip from a place, to and fro, seen through a window that wanders over it, so that no
two shots are the same. Cuts and the frames of the references are known; references are of frames that the film shows
once, since of two that are the same in every pixel nobody can tell which one is meant. Workers have one thread each,
and a core of their own where there are as many.

The long film (`--minutes`) is done by `--workers` workers; it tells of cuts, references, and memory. One of
`--throughput-minutes`, made in the same way, is done by one worker and by as many as the long one, which tells of
throughput and overhead; one of `--short-minutes` tells what memory a shorter film needs.

Color is predicted at `--working-size`, far smaller than the default, films are encoded at a lower quality, and no
comparison is made, for time: throughput of many workers against one is a ratio. What is not color costs the same at
every size, so that its share is told twice: as measured, and for the default size, with the seconds of tuning and
coloring multiplied by what they take there. That is measured too, on a film of `--sample-minutes` done at both sizes.

Prints what it does to standard error, and one JSON object.
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
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

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
from jobs.store import Store
from jobs.stores import open_store
from jobs.submission import Submission
from models.registry import describe, load
from worker.checkpoints import FolderCheckpoints
from worker.planning import plan_film
from worker.progress import Progress
from worker.task import ColorizationTask, Limits, ReferenceFile
from worker.threads import limit_threads

ROOT = Path(__file__).resolve().parents[1]
WIDTH, HEIGHT, RATE = 640, 360, 25
FULL_MINUTES, FULL_CUTS, FULL_REFERENCES = 30, 200, 60
QUALITY = 30
"""Of the films made, for time: 18 is the default."""
PICTURES = {".jpg", ".jpeg", ".png"}
NEAR = 1
"""Frames that a found cut may be away from a true one."""

Picture = NDArray[np.uint8]
LIMITED_RANGE = np.rint(16 + 219 * np.arange(256) / 255).astype(np.uint8)
NO_COLOR = np.full((HEIGHT // 2, WIDTH // 2), 128, np.uint8)


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


@cache
def read_clip(path: Path) -> list[Picture]:
    """The frames of a clip, at most a few seconds of them, scaled as `fitted` does."""
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in PICTURES)
        frames = [np.asarray(cv2.imread(str(file)))[..., ::-1] for file in files]
    else:
        with av.open(str(path)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return [fitted(np.asarray(frame, np.uint8)) for frame in frames[:250]]


def fitted(frame: Picture) -> Picture:
    """Scaled to cover a frame of the film and an eighth more, for the window to wander."""
    scale = 1.125 * max(WIDTH / frame.shape[1], HEIGHT / frame.shape[0])
    size = (round(frame.shape[1] * scale), round(frame.shape[0] * scale))
    return np.asarray(
        cv2.resize(frame, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR), np.uint8
    )


class View(NamedTuple):
    """What a frame of the film shows."""

    clip: Path
    frame: int
    mirrored: bool
    x: int
    y: int

    def picture(self) -> Picture:
        window = read_clip(self.clip)[self.frame][self.y : self.y + HEIGHT, self.x : self.x + WIDTH]
        return np.ascontiguousarray(window[:, ::-1] if self.mirrored else window)


def shot_views(path: Path, length: int, chance: random.Random) -> Iterator[View]:
    """The clip to and fro, mirrored or not, through a window that moves on a straight line."""
    clip = read_clip(path)
    start, mirrored = chance.randrange(len(clip)), chance.random() < 0.5
    height, width = clip[0].shape[:2]
    ends = [(chance.uniform(0, width - WIDTH), chance.uniform(0, height - HEIGHT)) for _ in range(2)]
    turn = 2 * max(1, len(clip) - 1)
    for index in range(length):
        place = (start + index) % turn
        share = index / max(1, length - 1)
        x, y = (round(a + (b - a) * share) for a, b in zip(*ends, strict=True))
        yield View(path, min(place, turn - place), mirrored, x, y)


def assemble(clips: Sequence[Path], folder: Path, *, minutes: float, seed: int) -> Film:
    """A film with cuts and references in proportion."""
    say(f"assembling {minutes:g} minutes")
    folder.mkdir()
    share = minutes / FULL_MINUTES
    cuts, references = max(1, round(FULL_CUTS * share)), max(1, round(FULL_REFERENCES * share))
    chance = random.Random(seed)
    total = round(minutes * 60 * RATE)
    bounds = [0, *sorted(chance.sample(range(1, total // 12), cuts)), total // 12]
    bounds = [12 * bound for bound in bounds]
    bounds[-1] = total
    colored = set(chance.sample(range(cuts + 1), references))
    order = list(clips)
    chance.shuffle(order)
    views: list[View] = []
    wanted: dict[int, int] = {}
    for shot in range(cuts + 1):
        length = bounds[shot + 1] - bounds[shot]
        if shot in colored:
            wanted[shot] = bounds[shot] + round(length * chance.uniform(0.1, 0.9))
        views += shot_views(order[shot % len(order)], length, chance)
    times = Counter(views)
    found = []
    for shot, place in wanted.items():
        once = [frame for frame in range(bounds[shot], bounds[shot + 1]) if times[views[frame]] == 1]
        frame = min(once, key=lambda frame: abs(frame - place), default=place)
        found.append((folder / f"reference-{shot:03d}.png", frame))
        cv2.imwrite(str(found[-1][0]), views[frame].picture()[..., ::-1])
    film = folder / "film.mkv"
    with av.open(str(film), "w") as out:
        stream: Any = out.add_stream("libx264", rate=RATE, options={"crf": "16", "preset": "superfast", "g": "50"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.color_range, stream.codec_context.colorspace = 1, 6
        for index, view in enumerate(views):
            out.mux(stream.encode(gray_frame(view.picture(), index)))
        out.mux(stream.encode())
    return Film(film, len(views), bounds[1:-1], found)


def gray_frame(picture: Picture, index: int) -> Any:
    frame: Any = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
    luma = cv2.LUT(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), LIMITED_RANGE)
    for plane, codes in zip(frame.planes, (luma, NO_COLOR, NO_COLOR), strict=True):
        lines = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        lines[: codes.shape[0], : codes.shape[1]] = codes
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


@dataclass(frozen=True)
class Run:
    """One job, done."""

    job: Job
    seconds: float
    cpu_seconds: float
    report: dict[str, Any]

    @property
    def tuning(self) -> float:
        return float(self.report["speed"]["seconds_by_phase"].get("tuning", 0.0))

    @property
    def coloring(self) -> float:
        """With what encodes the pieces."""
        return float(self.report["speed"]["seconds_by_phase"]["colorizing"])

    @property
    def planning(self) -> float:
        phases = self.report["speed"]["seconds_by_phase"]
        return float(phases.get("probing", 0.0) + phases.get("detecting_shots", 0.0))

    @property
    def assembly(self) -> float:
        phases = self.report["speed"]["seconds_by_phase"]
        return float(phases.get("encoding", 0.0) + phases.get("publishing", 0.0))

    @property
    def peak_megabytes(self) -> float:
        """Of the largest process that any worker used."""
        return float(self.report["speed"]["peak_memory_megabytes"])


def colored(film: Film, folder: Path, *, workers: int, **options: object) -> Run:
    """Let so many workers do the film."""
    say(f"coloring {film.frames} frames with {workers} worker{'s' * (workers > 1)}, {options or 'as by default'}")
    folder.mkdir()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with embedded_redis(folder / "redis") as url:
        settings = Settings(redis_url=url, data_folder=folder / "data", threads=1)
        redis = connect(url)
        repository, queue = JobRepository(redis, settings.queue_name), JobQueue(redis, settings)
        store = open_store(settings)
        running = start_workers(workers, folder=folder, redis_url=url)
        try:
            while queue.worker_count() < workers:
                assert all(worker.poll() is None for worker in running), (folder / "workers.log").read_text()
                time.sleep(0.1)
            job_id = submit(film, store=store, repository=repository, queue=queue, **options)
            while (job := repository.get(job_id)).finished_at is None:
                time.sleep(0.1)
        finally:
            for worker in running:
                worker.send_signal(signal.SIGTERM)
            for worker in running:
                worker.wait(60)
        assert job.status == "succeeded", f"{job.error}\n{(folder / 'workers.log').read_text()}"
        found = store.find_result(job_id, repository.status(job_id)[1], "report_json")
        assert isinstance(found, Path)
        report = json.loads(found.read_text())
        redis.close()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert job.started_at is not None
    assert job.finished_at is not None
    seconds = (job.finished_at - job.started_at).total_seconds()
    say(f"took {seconds:.1f} s")
    return Run(
        job=job,
        seconds=seconds,
        cpu_seconds=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        report=report,
    )


def start_workers(count: int, *, folder: Path, redis_url: str) -> "list[subprocess.Popen[bytes]]":
    environment = {
        **os.environ,
        "RETINT_REDIS_URL": redis_url,
        "RETINT_DATA_FOLDER": str(folder / "data"),
        "RETINT_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "cli", "worker"]
    cores = sorted(os.sched_getaffinity(0))
    running = []
    with (folder / "workers.log").open("wb") as log:
        for number in range(count):
            running.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
            # Beside its one thread a worker has processes that decode: a core of its own holds all to that.
            if count <= len(cores):
                os.sched_setaffinity(running[-1].pid, {cores[number]})
    return running


def submit(film: Film, *, store: Store, repository: JobRepository, queue: JobQueue, **options: object) -> str:
    job_id = new_job_id()
    store.create(job_id)
    for index, path in enumerate([film.path, *(path for path, _ in film.references)]):
        with store.open_input_writer(job_id, "reference" if index else "video", max(0, index - 1)) as writer:
            writer.write(path.read_bytes())
    given = JobOptions.model_validate({"variants": ["video", "report_json"], "output": {"quality": QUALITY}, **options})
    names = tuple(path.name for path, _ in film.references)
    repository.create(
        Job(id=job_id, status="queued", options=given, created_at=datetime.now(UTC)), Submission(reference_names=names)
    )
    queue.enqueue(job_id)
    return job_id


def told(run: Run, film: Film, *, workers: int) -> dict[str, Any]:
    return {
        "workers": workers,
        "seconds": round(run.seconds, 1),
        "cpu_seconds": round(run.cpu_seconds, 1),
        "frames_per_second": round(film.frames / run.seconds, 2),
        "worker_seconds": {
            "planning": round(run.planning, 1),
            "tuning": round(run.tuning, 1),
            "coloring": round(run.coloring, 1),
            "assembly": round(run.assembly, 1),
        },
        "peak_memory_megabytes": round(run.peak_megabytes),
    }


def beside_color(alone: Run) -> dict[str, Any]:
    """What one worker does beside tuning and coloring: plan, begin pieces, keep them, and put the film together."""
    rest = alone.seconds - alone.tuning - alone.coloring
    return {
        "seconds": {
            "planning": round(alone.planning, 1),
            "assembly": round(alone.assembly, 1),
            "pieces_begun_and_kept": round(rest - alone.planning - alone.assembly, 1),
        },
        "share": round(rest / alone.seconds, 4),
    }


def by_default(alone: Run, *, sample: Run, default: Run) -> dict[str, Any]:
    """That share at the default working size; `sample` and `default` are of one film, at both working sizes."""
    tuning = default.tuning / sample.tuning if sample.tuning else 1.0
    coloring = default.coloring / sample.coloring
    rest = alone.seconds - alone.tuning - alone.coloring
    color = tuning * alone.tuning + coloring * alone.coloring
    return {
        "tuning_takes_times_as_long": round(tuning, 2),
        "coloring_takes_times_as_long": round(coloring, 2),
        "seconds_of_tuning_and_coloring": round(color),
        "share": round(rest / (rest + color), 4),
    }


@dataclass(frozen=True)
class Bench:
    """Does films, each in a folder of its own."""

    clips: Sequence[Path]
    folder: Path
    given: argparse.Namespace

    @property
    def small(self) -> dict[str, object]:
        return {"tuning": self.given.tuning, "working_size": self.given.working_size}

    def film(self, name: str, minutes: float) -> Film:
        return assemble(self.clips, self.folder / name, minutes=minutes, seed=self.given.seed)

    def run(self, name: str, film: Film, *, workers: int, **options: object) -> Run:
        return colored(film, self.folder / f"{name}-{workers}", workers=workers, **options)

    def throughput(self) -> dict[str, Any]:
        """Many workers and one, on one film, twice: many, one, one, many, so that a machine that becomes slower or
        faster on the way weighs on both alike."""
        many = self.given.workers
        film = self.film("middle", self.given.throughput_minutes)
        runs = [
            self.run(f"middle-{turn}", film, workers=count, **self.small)
            for turn, count in enumerate((many, 1, 1, many))
        ]
        together, alone = (runs[0], runs[3]), (runs[1], runs[2])
        return {
            "film": told_film(film, self.clips),
            "working_size": f"{self.given.working_size} lines",
            "throughput_against_one_worker": round(
                sum(run.seconds for run in alone) / sum(run.seconds for run in together), 3
            ),
            "overhead_of_one_worker": [beside_color(run) for run in alone],
            "runs": {
                "many workers": [told(run, film, workers=many) for run in together],
                "one worker": [told(run, film, workers=1) for run in alone],
            },
        }

    def everything(self, film: Film) -> dict[str, Any]:
        """Throughput, overhead, memory, shots and places."""
        given, small, many = self.given, self.small, self.given.workers
        long = self.run("long", film, workers=many, **small)
        if given.throughput_minutes < given.minutes:
            middle = self.film("middle", given.throughput_minutes)
            together = self.run("middle", middle, workers=many, **small)
        else:
            middle, together = film, long
        alone = self.run("middle", middle, workers=1, **small)
        short_film = self.film("short", given.short_minutes)
        short = self.run("short", short_film, workers=1, **small)
        sample_film = self.film("sample", given.sample_minutes)
        sample = self.run("sample", sample_film, workers=1, **small)
        default = self.run("default", sample_film, workers=1, tuning=given.tuning)
        return {
            "working_size": f"{given.working_size} lines, for time; by default it is {min(HEIGHT, default_size())}",
            "throughput_against_one_worker": round(alone.seconds / together.seconds, 3),
            "overhead_of_one_worker": {
                **beside_color(alone),
                "at_the_default_working_size": by_default(alone, sample=sample, default=default),
            },
            "peak_memory": {
                "megabytes": round(long.peak_megabytes),
                "megabytes_of_the_short_film": round(short.peak_megabytes),
                "ratio": round(long.peak_megabytes / short.peak_megabytes, 3),
                "megabytes_at_the_default_working_size": round(default.peak_megabytes),
            },
            **judged(
                film,
                [shot.first_frame for shot in long.job.shots[1:]],
                {reference.name: reference.frame for reference in long.job.references},
            ),
            "runs": {
                "long": told(long, film, workers=many),
                "throughput, many workers": told(together, middle, workers=many),
                "throughput, one worker": told(alone, middle, workers=1),
                "short": told(short, short_film, workers=1),
                "sample": told(sample, sample_film, workers=1),
                "sample, at the default working size": told(default, sample_film, workers=1),
            },
        }


def told_film(film: Film, clips: Sequence[Path]) -> str:
    return (
        f"{film.frames / RATE / 60:g} minutes, {film.frames} frames of {WIDTH}x{HEIGHT}, {len(film.cuts)} cuts, "
        f"{len(film.references)} references, assembled of {len(clips)} clips"
    )


def default_size() -> int:
    return next(model.working_size for model in describe() if model.name == JobOptions().model)


def say(text: str) -> None:
    print(f"{datetime.now():%H:%M:%S} {text}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path)
    parser.add_argument("--minutes", type=float, default=FULL_MINUTES)
    parser.add_argument("--throughput-minutes", type=float, default=4)
    parser.add_argument("--short-minutes", type=float, default=1)
    parser.add_argument("--sample-minutes", type=float, default=0.4)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--tuning", default="fast")
    parser.add_argument("--working-size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=5, help="another one makes another film, to try things out on")
    parser.add_argument("--plan-only", action="store_true")
    parser.add_argument("--throughput-only", action="store_true")
    given = parser.parse_args()
    clips = sorted(path for path in given.clips.iterdir() if path.is_dir() or path.suffix in (".mp4", ".mkv"))
    if not clips:
        parser.error(f"{given.clips} holds no clips")
    started = time.monotonic()
    with TemporaryDirectory() as name:
        result: dict[str, Any] = {"load_average_before": round(os.getloadavg()[0], 2)}
        bench = Bench(clips, Path(name), given)
        if given.throughput_only:
            result |= bench.throughput()
        else:
            film = bench.film("long", given.minutes)
            result["film"] = told_film(film, clips)
            result |= plan_alone(film, bench.folder) if given.plan_only else bench.everything(film)
    say(f"done after {(time.monotonic() - started) / 60:.1f} minutes")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
