"""Runs a real worker whose pipeline makes a result at once: `python quick_worker.py`."""

from pathlib import Path

from jobs.settings import Settings
from worker.main import run_worker
from worker.observer import Observer
from worker.task import ColorizationTask, VariantFile


def colorize(
    task: ColorizationTask, *, observer: Observer, device: str, weights_folder: Path
) -> tuple[VariantFile, ...]:
    observer.entered("colorizing")
    path = task.folder / "video.mp4"
    path.write_bytes(b"a film")
    return (VariantFile("video", path, "video/mp4"),)


if __name__ == "__main__":
    run_worker(Settings(), colorize=colorize)
