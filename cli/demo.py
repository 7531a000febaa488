"""`make demo`: the whole service on a real film, from an upload over HTTP to the figures of the result."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from retint import Client, Job

from cli.console import say
from cli.errors import CommandError
from cli.jobs import show_progress
from cli.main import run_command
from cli.progress_bar import ProgressBar
from jobs.process import die_with_parent
from jobs.tuning_gain import gain_in_words

FOLDER = Path("demo")
MEASURED = 3
"""Every so many frames; Lab of every frame would take as long as a third of the coloring."""
STOP_SECONDS = 30.0
"""Longer than `retint serve` may take to stop its processes one by one."""


def demo() -> None:
    """Color the film twice, without and with tuning, and compare both with the truth."""
    die_with_parent(signal.SIGTERM)
    from cli.demo_clip import find_footage, make_monochrome, make_reference
    from cli.demo_figures import measure, write_before_after

    footage = find_footage()
    FOLDER.mkdir(exist_ok=True)
    mono, reference = FOLDER / "mono.mp4", FOLDER / "reference.png"
    files = {
        "video": FOLDER / "result.mp4",
        "comparison": FOLDER / "comparison.mp4",
        "report": FOLDER / "report.html",
        "report_json": FOLDER / "report.json",
    }
    say("Making the film black and white, and keeping one frame of it in color.")
    make_monochrome(footage, mono)
    make_reference(footage, reference)
    say("Starting the API, a worker and a Redis server.")
    with running_service(FOLDER / "service") as address, Client(address) as client:
        say(f"The service is at {address}; its log is {FOLDER / 'service.log'}.")
        untuned = color(client, mono, reference, tuning="off", variants=["video"])
        tuned = color(client, mono, reference, tuning="quality", variants=list(files))
        for variant, path in files.items():
            client.download(tuned.id, variant, path)
        without = client.download(untuned.id, "video", FOLDER / "untuned.mp4")
    picture = FOLDER / "before-after.png"
    write_before_after(mono, files["video"], picture)
    say(f"Comparing one frame in {MEASURED} with its true colors.")
    _report(
        tuned, before=measure(without, footage, every=MEASURED), after=measure(files["video"], footage, every=MEASURED)
    )
    say("Look at:")
    for path in (*files.values(), picture):
        say(f"  {path}")


@contextmanager
def running_service(data: Path) -> Iterator[str]:
    """`retint serve` on a free port with its data in a folder of its own, emptied before and after.

    Yields its address. It dies with this process, however that ends.

    Raises:
        CommandError: it does not start.
    """
    shutil.rmtree(data, ignore_errors=True)
    log_file = data.parent / "service.log"
    # The demo is the same whatever is configured on this machine.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RETINT_")}
    with log_file.open("wb") as log:
        service = subprocess.Popen(
            [sys.executable, "-m", "cli", "serve", "--port", "0", "--json", "--parent", str(os.getpid())],
            env={**environment, "RETINT_DATA_FOLDER": str(data.absolute())},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
        try:
            assert service.stdout is not None
            line = service.stdout.readline()
            if not line:
                last = log_file.read_text(errors="replace").strip().rpartition("\n")[2]
                raise CommandError(f"The service did not start: {last} The whole log is in {log_file}.")
            yield json.loads(line)["address"]
        finally:
            _stop(service)
            shutil.rmtree(data, ignore_errors=True)


def color(client: Client, video: Path, reference: Path, *, tuning: str, variants: list[str]) -> Job:
    """One job from upload to end, with a bar."""
    options: dict[str, Any] = {"tuning": tuning, "variants": variants}
    with ProgressBar(title="tuned  " if tuning != "off" else "untuned") as bar:
        job = client.submit(
            video,
            [reference],
            options=options,
            on_upload=lambda done, total: bar.transferred("uploading", done=done, total=total),
        )
        job = client.wait(job.id, on_progress=lambda state: show_progress(bar, state))
        bar.update("done", fraction=1.0, frames=(job.progress.frames_done, job.progress.frames_total))
    return job


def _report(job: Job, *, before: Any, after: Any) -> None:
    for placed in job.references:
        say(f"The reference was placed at frame {placed.frame} by {placed.placed_by}.")
    for shot in job.shots:
        if shot.tuning is not None:
            say(
                f"Tuning took {shot.tuning.iterations} steps in {shot.tuning.seconds:.1f} s"
                f" and {gain_in_words(shot.tuning.gain_db)}."
            )
    for warning in job.warnings:
        say(f"Note: {warning}")
    say(f"PSNR against the truth  untuned  RGB {before.rgb_psnr:.2f} dB  ab {before.ab_psnr:.2f} dB")
    say(f"                        tuned    RGB {after.rgb_psnr:.2f} dB  ab {after.ab_psnr:.2f} dB")


def _stop(service: "subprocess.Popen[bytes]") -> None:
    service.terminate()
    try:
        service.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        service.kill()
        service.wait()
    if service.stdout is not None:
        service.stdout.close()


if __name__ == "__main__":
    run_command(demo)
