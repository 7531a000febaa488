"""`retint bench`: what takes how long on this machine."""

import re
from typing import Annotated, Any

import typer

from cli.console import say, tell, write_json
from cli.errors import CommandError

app = typer.Typer(help="Measure how long things take on this machine.", no_args_is_help=True)


@app.callback()
def bench() -> None:
    """Measure how long things take on this machine."""


@app.command("tuning")
def tuning(
    model: Annotated[str, typer.Option(help="`deepremaster`, `exemplar` or `retint`.")] = "deepremaster",
    size: Annotated[
        list[str] | None, typer.Option(help="HEIGHTxWIDTH fed to the network; repeatable. Absent: the paper's three.")
    ] = None,
    iterations: Annotated[
        list[int] | None, typer.Option(min=1, max=200, help="Repeatable. Absent: the paper's 5 and 20.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="`auto`, `cpu`, `cuda` or `cuda:N`; default: RETINT_DEVICE.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """The paper's Table 3: time of test-time tuning by size and iterations, beside the published minutes.

    What is timed is tuning as jobs do it: every step also measures the part of the reference that is held out, and
    retint colors frames nearby to learn from and to judge by.
    """
    from cli.device_name import device_name
    from cli.progress_bar import ProgressBar
    from jobs.settings import Settings
    from models.base import select_device
    from models.registry import load
    from models.tuning import TuningStep
    from worker.threads import limit_threads
    from worker.tuning_time import ITERATIONS, PUBLISHED_MINUTES, SIZES, Size, tuning_times

    sizes = [_size(text) for text in size] if size else list(SIZES)
    asked = iterations or list(ITERATIONS)
    service = Settings()
    limit_threads(service.threads)
    selected = select_device(device or service.device)
    colorizer = load(model, device=selected, weights_folder=service.weights_folder)
    name = device_name(selected)
    rows: list[dict[str, Any]] = []
    with ProgressBar(enabled=not as_json) as bar:

        def show(at: Size, steps: int, step: TuningStep) -> None:
            bar.update(f"{steps} iterations at {at[0]}x{at[1]}", fraction=step.step / steps)

        for time in tuning_times(colorizer, sizes=sizes, iterations=asked, on_step=show):
            if time.steps == 0:
                raise CommandError(f"{model} could not be tuned at {time.size[0]}x{time.size[1]}: {time.note}")
            rows.append(
                {
                    "height": time.size[0],
                    "width": time.size[1],
                    "iterations": time.iterations,
                    "steps": time.steps,
                    "seconds": time.seconds,
                    "published_minutes": PUBLISHED_MINUTES.get(time.size, {}).get(time.iterations),
                }
            )
    if as_json:
        write_json({"model": model, "device": str(selected), "device_name": name, "tunings": rows})
        return
    say(_markdown(rows, title=f"Minutes of tuning, {model}, on {name}"))
    tell("Published: minutes per video by the paper's system; its hardware is not stated.")


def _size(text: str) -> tuple[int, int]:
    """
    Raises:
        CommandError: `text` is no size, or one at which no part of the reference can be held out.
    """
    found = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", text)
    if found is None or min(int(side) for side in found.groups()) < 64:
        raise CommandError(f"--size: {text} is no size; give HEIGHTxWIDTH, both 64 or more, as in 320x576.")
    return int(found[1]), int(found[2])


def _markdown(rows: list[dict[str, Any]], *, title: str) -> str:
    steps = list(dict.fromkeys(row["iterations"] for row in rows))
    sizes = list(dict.fromkeys((row["height"], row["width"]) for row in rows))
    head = [
        "size",
        *(f"{count} {'iteration' if count == 1 else 'iterations'}" for count in steps),
        *(f"*published, {count}*" for count in steps),
    ]
    lines = [title, "", f"| {' | '.join(head)} |", "|---|" + "---:|" * (len(head) - 1)]
    for height, width in sizes:
        found = {row["iterations"]: row for row in rows if (row["height"], row["width"]) == (height, width)}
        measured = [_minutes(found[count]) for count in steps]
        published = [found[count]["published_minutes"] for count in steps]
        cells = [*measured, *("–" if minutes is None else f"{minutes:.2f}" for minutes in published)]
        lines.append(f"| {height}x{width} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _minutes(row: dict[str, Any]) -> str:
    minutes = f"{row['seconds'] / 60:.2f}"
    return minutes if row["steps"] == row["iterations"] else f"{minutes} ({row['steps']} steps)"
