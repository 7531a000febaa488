"""`retint evaluate`: how well a model colors clips whose colors are known."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from cli.arguments import build_options, check_files
from cli.errors import CommandError
from cli.evaluate_paper import evaluate_paper

if TYPE_CHECKING:
    from models.base import Colorizer
    from worker.clip_search import InputChoice
    from worker.evaluation_results import ClipResult


def evaluate(
    context: typer.Context,
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
    device: Annotated[
        str | None, typer.Option(help="`auto`, `cpu`, `cuda` or `cuda:N`; default: RETINT_DEVICE.")
    ] = None,
    frames: Annotated[int | None, typer.Option(min=2, help="Take the first N frames of each clip only.")] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", dir_okay=False, help="Write figures and settings here too.")
    ] = None,
    references: Annotated[
        int,
        typer.Option(
            min=1,
            help="Frames whose true colors are given, spread evenly: 1 is the first frame, 2 are the first and the "
            "last, 3 also the middle one. None of them counts.",
        ),
    ] = 1,
    keyframes: Annotated[
        bool,
        typer.Option(
            "--keyframes",
            help="Give the colors of the frames that `retint keyframes` chooses, as many as --references says.",
        ),
    ] = False,
    seeds: Annotated[
        int,
        typer.Option(
            min=1,
            help="Repeat tuning with seeds 0 to N-1: tuned figures are means, lowest and highest gain stand beside.",
        ),
    ] = 1,
    network: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Measure this training run's weights of the default model."),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--input", help="luma: the true colors' luma; gray: gray.* or mono.*. Absent: gray.* where it exists."
        ),
    ] = None,
    table: Annotated[
        str | None,
        typer.Option(
            help="paper: the paper's Tables 1, 2 and 4 instead, for all models whose weights are here, from one folder "
            "with vid4/NAME and set8/NAME.",
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option(file_okay=False, help="Folder for the tables as Markdown, JSON and a plot, with --table.")
    ] = Path("paper-tables"),
) -> None:
    """Measure a model against clips whose colors are known, untuned beside tuned.

    Every clip is one shot, colored as a job does it: outward from every reference, blended between two.

    The frames of the references are left out of all means but CDC. Gain is the PSNR of RGB, tuned minus untuned.
    """
    if json_file is not None:
        check_files([], targets=[json_file], force=True)
    if table is not None:
        _check_table(table, clips, context)
        evaluate_paper(clips[0], out=out, device=device, frames=frames, json_file=json_file)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from cli.evaluation_figures import report_of, table_of
    from jobs.settings import Settings
    from models.base import select_device
    from models.registry import load
    from models.retint.colorizer import RetintColorizer
    from worker.clip_search import find_clips
    from worker.evaluation import EvaluationSettings, evaluate_clip, frames_fed
    from worker.threads import limit_threads

    if network is not None and model != "retint":
        raise CommandError(f"--network: weights of a training run are of the model retint, not of {model}.")
    options = build_options(model=model, tuning=tuning)
    settings = EvaluationSettings(
        tuning=options.resolved_tuning, frames=frames, references=references, keyframes=keyframes, seeds=seeds
    )
    service = Settings()
    device = device or service.device
    limit_threads(service.threads)
    found = find_clips(clips, source=parse_input(source))
    colorizer: Colorizer = (
        load(options.model, device=select_device(device), weights_folder=service.weights_folder)
        if network is None
        else RetintColorizer.load(select_device(device), trained=network)
    )
    # All clips are looked at first, so that what is wrong with the last one shows before the work on the others.
    totals = [frames_fed(clip, colorizer.description, settings=settings) for clip in found]
    results: list[ClipResult] = []
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        for clip, total in zip(found, totals, strict=True):
            task = progress.add_task(clip.name, total=total)
            results.append(
                evaluate_clip(clip, colorizer, settings=settings, on_frame=lambda task=task: progress.advance(task))  # type: ignore[misc]
            )
            progress.remove_task(task)
    # Not a terminal: wide enough for the table, so that no figure is cut off in a log.
    Console(width=None if sys.stdout.isatty() else 110).print(table_of(results))
    if json_file is not None:
        asked = {
            "model": model,
            "device": device,
            "frames": frames,
            "references": references,
            "keyframes": keyframes,
            "seeds": seeds,
            "input": source,
            "network": None if network is None else str(network),
            "tuning": settings.tuning.model_dump(),
        }
        json_file.write_text(json.dumps(report_of(results, asked), indent=2) + "\n")


_TAKEN_BY_TABLES = {"clips", "table", "out", "device", "frames", "json_file"}


def _check_table(table: str, clips: list[Path], context: typer.Context) -> None:
    """
    Raises:
        CommandError: there is no such table, or something was asked for that it would not heed.
    """
    if table != "paper":
        raise CommandError(f"--table: there is no table `{table}`; give paper.")
    if len(clips) != 1:
        raise CommandError("--table paper is of one folder, which holds vid4 and set8.")
    for parameter in context.command.params:
        # Compared by name: the class of the source is no public part of typer.
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name not in _TAKEN_BY_TABLES and source is not None and source.name == "COMMANDLINE":
            raise CommandError(
                f"{parameter.opts[0]} does not go with --table paper, which says itself what is measured."
            )


def parse_input(text: str | None) -> "InputChoice | None":
    """What to colorize, where a clip has both.

    Raises:
        CommandError: neither luma nor gray.
    """
    if text not in (None, "luma", "gray"):
        raise CommandError(f"--input: there is no input `{text}`; give luma or gray.")
    return cast("InputChoice | None", text)
