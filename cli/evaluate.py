"""`retint evaluate`: how well a model colors clips whose colors are known."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from jobs.errors import InvalidRequest
from jobs.options import TUNING_PRESETS, ModelName, TuningOptions, TuningPreset
from jobs.settings import Settings

if TYPE_CHECKING:
    from worker.evaluation import ClipResult, Scores
    from worker.evaluation_clips import InputChoice

SCORES = (
    ("rgb_psnr_db", "PSNR", "{:.2f}"),
    ("ssim", "SSIM", "{:.4f}"),
    ("ab_psnr_db", "ab", "{:.2f}"),
    ("ciede2000", "ΔE00", "{:.2f}"),
    ("cdc", "CDC", "{:.6f}"),
    ("seconds_per_frame", "s/frame", "{:.3f}"),
)
"""Field of `Scores`, heading, format; narrow, so that the table fits 80 columns."""


def evaluate(
    clips: Annotated[
        list[Path],
        typer.Argument(
            help="Folders of color frames, color videos, folders with truth, gray.* or mono.* and reference.png, "
            "or folders of these.",
            exists=True,
        ),
    ],
    model: Annotated[str, typer.Option(help="Model to measure.")] = "retint",
    tuning: Annotated[str, typer.Option(help="off, fast, quality, or a number of iterations.")] = "quality",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    frames: Annotated[int | None, typer.Option(min=2, help="Take the first N frames of each clip only.")] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", dir_okay=False, help="Write figures and settings here too.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of tuning; the same seed gives the same figures.")] = 0,
    source: Annotated[
        str | None,
        typer.Option(
            "--input", help="luma: the true colors' luma; gray: gray.* or mono.*. Absent: gray.* where it exists."
        ),
    ] = None,
) -> None:
    """Measure a model against clips whose colors are known, untuned beside tuned.

    The first frame is the reference and is left out of all means.
    """
    import torch

    from models.base import select_device
    from models.registry import load
    from worker.evaluation import EvaluationSettings, evaluate_clip
    from worker.evaluation_clips import count_frames, find_clips

    options = parse_tuning(tuning)
    settings = EvaluationSettings(tuning=options, frames=frames, seed=seed)
    service = Settings()
    if service.threads is not None:
        torch.set_num_threads(service.threads)
    found = find_clips(clips, source=parse_input(source))
    colorizer = load(
        one_of(model, get_args(ModelName), "model"),
        device=select_device(device),
        weights_folder=service.weights_folder,
    )
    passes = 2 if options.iterations else 1
    results: list[ClipResult] = []
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        for clip in found:
            total = min(count_frames(clip), frames or 10**9) * passes
            task = progress.add_task(clip.name, total=total)
            results.append(
                evaluate_clip(clip, colorizer, settings=settings, on_frame=lambda task=task: progress.advance(task))  # type: ignore[misc]
            )
            progress.remove_task(task)
    # Not a terminal: wide enough for the table, so that no figure is cut off in a log.
    Console(width=None if sys.stdout.isatty() else 110).print(table_of(results))
    if json_file is not None:
        asked = {"model": model, "device": device, "frames": frames, "seed": seed, "input": source}
        json_file.write_text(json.dumps(report_of(results, asked | {"tuning": options.model_dump()}), indent=2) + "\n")


def parse_tuning(text: str) -> TuningOptions:
    """A preset's name or a number of iterations, as options.

    Raises:
        InvalidRequest: it is neither.
    """
    if text in get_args(TuningPreset):
        return TUNING_PRESETS[cast(TuningPreset, text)]
    if text.isascii() and text.isdigit() and int(text) <= 200:
        return TuningOptions(iterations=int(text))
    raise InvalidRequest(f"{text!r} is no tuning; give {', '.join(get_args(TuningPreset))}, or 0 to 200 iterations.")


def parse_input(text: str | None) -> "InputChoice | None":
    """What to colorize, where a clip has both.

    Raises:
        InvalidRequest: neither luma nor gray.
    """
    return None if text is None else cast("InputChoice", one_of(text, ("luma", "gray"), "input"))


def one_of(text: str, allowed: tuple[str, ...], what: str) -> str:
    """`text` where it is allowed.

    Raises:
        InvalidRequest: it is not.
    """
    if text not in allowed:
        raise InvalidRequest(f"{text!r} is no {what}; give {' or '.join(allowed)}.")
    return text


def table_of(results: "list[ClipResult]") -> Table:
    """A row per clip, or two where it was tuned, and the means."""
    tuned = any(result.tuned for result in results)
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        caption="PSNR of RGB and of ab in dB, mean CIEDE2000; the first frame is the reference and not counted",
        caption_justify="left",
    )
    table.add_column("clip", no_wrap=True)
    if tuned:
        table.add_column("", no_wrap=True)
    for _, heading, _ in SCORES:
        table.add_column(heading, justify="right", no_wrap=True)
    if tuned:
        table.add_column("tuning s", justify="right", no_wrap=True)
    table.add_column("peak MB", justify="right", no_wrap=True)
    for result in results:
        peak = f"{result.peak_memory_megabytes:.0f}"
        row = [result.clip, *(["untuned"] if tuned else []), *cells(result.untuned)]
        table.add_row(*row, *([""] if tuned else []), "" if result.tuned else peak)
        if result.tuned and result.tuning:
            table.add_row("", "tuned", *cells(result.tuned), f"{result.tuning.seconds:.1f}", peak)
    table.add_section()
    for name, scores in means_of(results).items():
        seconds = [r.tuning.seconds for r in results if r.tuning and name == "tuned"]
        spent = f"{sum(seconds) / len(seconds):.1f}" if seconds else ""
        table.add_row("mean", *([name] if tuned else []), *cells(scores), *([spent] if tuned else []), "")
    return table


def cells(scores: "Scores") -> list[str]:
    """The scores as they are printed."""
    return [form.format(getattr(scores, field)) for field, _, form in SCORES]


def means_of(results: "list[ClipResult]") -> "dict[str, Scores]":
    """Means over clips, untuned and, where clips were tuned, tuned."""
    from worker.evaluation import mean_scores

    means = {"untuned": mean_scores([result.untuned for result in results])}
    tuned = [result.tuned for result in results if result.tuned is not None]
    return means | ({"tuned": mean_scores(tuned)} if tuned else {})


def report_of(results: "list[ClipResult]", settings: dict[str, Any]) -> dict[str, Any]:
    """Everything measured and asked for, as JSON."""
    return {
        "settings": settings,
        "clips": [asdict(result) for result in results],
        "mean": {name: asdict(scores) for name, scores in means_of(results).items()},
    }
