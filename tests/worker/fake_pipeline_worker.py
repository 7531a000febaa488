"""Runs a real worker with a pipeline that does what the job's metadata says: `python fake_pipeline_worker.py`.

Started by test_worker_process.py; the settings come from the environment, as everywhere.
"""

import os
import time
from pathlib import Path

from jobs.errors import VideoUndecodable
from jobs.record import Shot, ShotTuning, VideoFacts
from jobs.settings import Settings
from worker.main import run_worker
from worker.observer import Observer
from worker.task import ColorizationTask, VariantFile

FACTS = VideoFacts(
    width=64, height=48, frames=100, duration_seconds=4.0, frame_rate=25.0, codec="h264", has_audio=False
)

TUNING = ShotTuning(iterations=3, gain_db=1.25, seconds=0.2, stopped_early=False)
SHOT = Shot(index=0, first_frame=0, last_frame=49, reference="a.png", tuning=TUNING)


def colorize(
    task: ColorizationTask, *, observer: Observer, device: str, weights_folder: Path
) -> tuple[VariantFile, ...]:
    """Leave word of this process beside the input, then behave."""
    behavior = task.options.metadata["behavior"]
    note = Path(task.options.metadata["note"])
    with note.open("a") as notes:
        notes.write(f"{os.getpid()} {os.getppid()}\n")
    observer.entered("probing")
    observer.learned(video=FACTS)
    if behavior == "undecodable":
        raise VideoUndecodable("The file is no video.")
    if behavior == "bug":
        raise RuntimeError("a secret of the implementation")
    if behavior == "die once" and len(note.read_text().splitlines()) == 1:
        observer.check()
        os.abort()
    if behavior == "die always":
        os.abort()
    if behavior == "slow":
        (task.folder / "scratch.bin").write_bytes(b"0" * 1000)
        for frame in range(1000):
            observer.check()
            observer.advanced(fraction=frame / 1000, frames_done=frame, frames_total=1000)
            time.sleep(0.05)
    if behavior == "deaf":
        (task.folder / "scratch.bin").write_bytes(b"0" * 1000)
        time.sleep(100)
    if behavior == "tunes":
        observer.entered("tuning")
        time.sleep(0.2)
        observer.learned(shots=[SHOT, SHOT])
    observer.entered("colorizing")
    if behavior == "tunes":
        observer.advanced(fraction=1.0, frames_done=100, frames_total=100)
    path = task.folder / "video.mp4"
    path.write_bytes(task.video.read_bytes()[::-1])
    return (VariantFile("video", path, "video/mp4"),)


if __name__ == "__main__":
    run_worker(Settings(), colorize=colorize)
