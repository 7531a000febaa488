"""Frames per second of a whole job: analysis, coloring, encoding, report.

    python benchmarks/pipeline_speed.py                          # 100 frames of 854x480, made here
    python benchmarks/pipeline_speed.py film.mp4 reference.png

Prints one JSON object: seconds by phase, frames per second of the whole job and of coloring alone, CPU seconds per
frame, and where the time of coloring goes.
"""

import argparse
import json
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.synthetic_film import write_film
from jobs.options import JobOptions
from models.base import Colorizer, Matrix, Prediction, Reference, select_device
from models.registry import load
from worker.pipeline import colorize_video
from worker.task import ColorizationTask, Limits, ReferenceFile

LIMITS = Limits(max_pixels=10**9, max_duration_seconds=1e6, max_frames=10**9)


class Silent:
    """An observer that only remembers when each phase began."""

    def entered(self, phase: str) -> None: ...

    def advanced(self, **_: Any) -> None: ...

    def learned(self, **_: Any) -> None: ...

    def showed(self, frame: int, picture: bytes) -> None: ...

    def check(self) -> None: ...


class Timed:
    """A colorizer that measures how long its answers take."""

    def __init__(self, inner: Colorizer, seconds: defaultdict[str, float]) -> None:
        self._inner = inner
        self._seconds = seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def clone(self) -> "Timed":
        return Timed(self._inner.clone(), self._seconds)

    def colorize(
        self, lumas: Iterable[Tensor], references: Sequence[Reference], *, matrix: Matrix, restore: bool = False
    ) -> Iterator[Prediction]:
        waited = 0.0

        def fed() -> Iterator[Tensor]:
            nonlocal waited
            source = iter(lumas)
            while True:
                started = time.perf_counter()
                luma = next(source, None)
                waited += time.perf_counter() - started
                if luma is None:
                    return
                yield luma

        predictions = self._inner.colorize(fed(), references, matrix=matrix, restore=restore)
        while True:
            started, waited_before = time.perf_counter(), waited
            prediction = next(predictions, None)
            feeding = waited - waited_before
            self._seconds["model"] += time.perf_counter() - started - feeding
            self._seconds["decoding"] += feeding
            if prediction is None:
                return
            yield prediction


def measured(video: Path, reference: Path, *, options: JobOptions, device: str, folder: Path) -> dict[str, Any]:
    """Do one job and tell its figures."""
    work = folder / "work"
    work.mkdir()
    seconds: defaultdict[str, float] = defaultdict(float)
    model: Any = Timed(load(options.model, device=select_device(device), weights_folder=folder), seconds)
    task = ColorizationTask(video, (ReferenceFile(reference.name, reference),), options, work, LIMITS)
    started, cpu = time.perf_counter(), _cpu_seconds()
    colorize_video(task, observer=Silent(), device=device, weights_folder=folder, pretrained=model)
    wall, cpu = time.perf_counter() - started, _cpu_seconds() - cpu
    report = json.loads((work / "report.json").read_text())
    frames = report["video"]["frames"]
    coloring = report["speed"]["seconds_by_phase"]["colorizing"]
    seconds["finishing and encoding"] = coloring - seconds["model"] - seconds["decoding"]
    return {
        "video": f"{report['video']['width']}x{report['video']['height']}, {frames} frames",
        "threads": torch.get_num_threads(),
        "seconds": round(wall, 2),
        "frames_per_second": round(frames / wall, 2),
        "frames_per_second_of_coloring": round(report["speed"]["frames_per_second"], 2),
        "cpu_seconds_per_frame": round(cpu / frames, 3),
        "seconds_by_phase": {name: round(value, 2) for name, value in report["speed"]["seconds_by_phase"].items()},
        "milliseconds_per_frame": {name: round(1000 * value / frames, 1) for name, value in seconds.items()},
        "peak_memory_megabytes": round(report["speed"]["peak_memory_megabytes"]),
    }


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main(say: Callable[[str], None] = print) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path, nargs="?")
    parser.add_argument("reference", type=Path, nargs="?")
    parser.add_argument("--size", default="854x480", help="of the film made where none is given")
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--model", default="retint")
    parser.add_argument("--tuning", default="off")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, help="CPU threads of torch")
    given = parser.parse_args()
    if given.threads is not None:
        torch.set_num_threads(given.threads)
    if (given.video is None) != (given.reference is None):
        parser.error("give a video and its reference, or neither")
    options = JobOptions.model_validate({"model": given.model, "tuning": given.tuning})
    with TemporaryDirectory() as name:
        folder, video, reference = Path(name), given.video, given.reference
        if video is None:
            video = folder / "film.mkv"
            width, height = (int(side) for side in given.size.split("x"))
            reference = write_film(video, width=width, height=height, frames=given.frames)
        say(json.dumps(measured(video, reference, options=options, device=given.device, folder=folder), indent=2))


if __name__ == "__main__":
    main()
