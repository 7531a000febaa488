"""Peak memory of coloring a film's first minute, and of all of it, each in a fresh process.

    python benchmarks/memory.py --minutes 10

Prints one JSON object; `growth` is the target: within 0.1 of the first minute's.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

RATE = 25


def peak_megabytes(video: Path, reference: Path, *, fast: bool) -> float:
    """Color `video` in a process of its own and read the peak from its report."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--color", str(video), str(reference), folder]
        subprocess.run(command + ["--fast"] * fast, check=True)
        report = json.loads((Path(folder) / "report.json").read_text())
    return float(report["speed"]["peak_memory_megabytes"])


def color(video: Path, reference: Path, folder: Path, *, fast: bool) -> None:
    """What the process of its own does."""
    from benchmarks.pipeline_speed import LIMITS, Silent
    from jobs.options import JobOptions
    from worker.pipeline import colorize_video
    from worker.task import ColorizationTask, ReferenceFile

    options = JobOptions(tuning="off", working_size=96 if fast else None)
    task = ColorizationTask(video, (ReferenceFile(reference.name, reference),), options, folder, LIMITS)
    colorize_video(task, observer=Silent(), device="cpu", weights_folder=folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--first", type=float, default=1, help="minutes of the short one")
    parser.add_argument("--fast", action="store_true", help="predict color at 96 lines: the same path in less time")
    parser.add_argument("--color", nargs=3, type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.color:
        color(*given.color, fast=given.fast)
        return
    from benchmarks.synthetic_film import write_film

    with TemporaryDirectory() as name:
        peaks = {}
        for minutes in (given.first, given.minutes):
            video = Path(name) / f"{minutes:g}.mkv"
            reference = write_film(
                video, width=640, height=360, frames=round(minutes * 60 * RATE), rate=RATE, sound=True
            )
            peaks[minutes] = peak_megabytes(video, reference, fast=given.fast)
    growth = peaks[given.minutes] / peaks[given.first] - 1
    print(json.dumps({"peak_megabytes_by_minutes": peaks, "growth": round(growth, 4)}, indent=2))


if __name__ == "__main__":
    main()
