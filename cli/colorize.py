"""`retint colorize`: one video, here and now, without a server."""

import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.console import say, tell, write_json
from cli.errors import CommandError

if TYPE_CHECKING:
    from cli.terminal_observer import TerminalObserver
    from jobs.options import JobOptions
    from jobs.settings import Settings
    from worker.task import ColorizationTask, VariantFile


def colorize(
    video: Annotated[Path, typer.Argument(help="The black-and-white video.")],
    reference: Annotated[
        list[str],
        typer.Option("--reference", "-r", metavar="FILE[@FRAME]", help="A colored frame; may be given again."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The colored video: .mp4, .mkv or .mov.")],
    model: Annotated[str, typer.Option(help="`retint` or `deepremaster`.")] = "retint",
    tuning: Annotated[str, typer.Option(help="`off`, `fast`, `quality`, or a number of iterations.")] = "quality",
    device: Annotated[str | None, typer.Option(help="`auto`, `cpu`, `cuda` or `cuda:N`.")] = None,
    quality: Annotated[int, typer.Option(help="H.264 CRF, 0 (lossless) to 51.")] = 18,
    codec: Annotated[str | None, typer.Option(help="`h264`, `ffv1` or `prores`; default: by container.")] = None,
    working_size: Annotated[int | None, typer.Option(help="Short side at which color is predicted.")] = None,
    comparison: Annotated[Path | None, typer.Option(help="Also write a side-by-side video here.")] = None,
    report: Annotated[Path | None, typer.Option(help="Also write the report here: .html or .json.")] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Overwrite files that exist.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON, no progress bar.")] = False,
) -> None:
    """Colorize VIDEO by one or more colored frames of it; no server needed."""
    from jobs.settings import Settings

    references = [parse_reference(text) for text in reference]
    targets = {"video": out, "comparison": comparison, _report_variant(report): report}
    wanted = {name: path for name, path in targets.items() if path is not None}
    check_files([video, *(path for path, _ in references)], targets=list(wanted.values()), force=force)
    options = build_options(
        model=model,
        tuning=tuning,
        out=out,
        quality=quality,
        codec=codec,
        working_size=working_size,
        references=references,
        variants=list(wanted),
    )
    settings = Settings()
    if device is not None:
        settings = settings.model_copy(update={"device": device})
    # Beside the target: a rename within one file system is atomic.
    folder = Path(tempfile.mkdtemp(prefix=".retint-", dir=out.absolute().parent))
    try:
        task = _task(video, [path for path, _ in references], options=options, settings=settings, folder=folder)
        observer, variants = _run(task, settings=settings, quiet=as_json)
        for variant in variants:
            if variant.name in wanted:
                shutil.move(variant.path, wanted[variant.name])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if as_json:
        write_json(_outcome(observer, wanted))
    else:
        for warning in observer.warnings:
            tell(f"Note: {warning}")
        for path in wanted.values():
            say(str(path))


def parse_reference(text: str) -> tuple[Path, int | None]:
    """`FILE` or `FILE@FRAME`; a file whose own name ends in `@digits` is taken as it is."""
    match = re.fullmatch(r"(.+)@(\d+)", text)
    if match is None or Path(text).exists():
        return Path(text), None
    return Path(match[1]), int(match[2])


def build_options(
    *,
    model: str,
    tuning: str,
    out: Path | None,
    quality: int,
    codec: str | None,
    working_size: int | None,
    references: Sequence[tuple[Path, int | None]],
    variants: Sequence[str] | None = None,
) -> "JobOptions":
    """The options of the HTTP API from those of the command line, checked by the same model.

    Raises:
        CommandError: one of them does not fit; the message names it.
    """
    from pydantic import ValidationError

    from jobs.options import JobOptions

    data: dict[str, Any] = {
        "model": model,
        "tuning": {"iterations": int(tuning)} if tuning.isdecimal() else tuning,
        "working_size": working_size,
        "references": [{"name": path.name, "frame": frame} for path, frame in references if frame is not None],
        "output": {"quality": quality, "codec": codec},
    }
    if variants is not None:
        data["variants"] = list(variants)
    if out is not None:
        data["output"]["container"] = out.suffix.lower().removeprefix(".")
    try:
        return JobOptions.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        options = [_OPTION_NAMES[part] for part in first["loc"] if isinstance(part, str) and part in _OPTION_NAMES]
        message = first["msg"].removeprefix("Value error, ")
        raise CommandError(f"{options[-1] if options else 'The options'}: {message}.") from error


_OPTION_NAMES = {
    "model": "--model",
    "tuning": "--tuning",
    "working_size": "--working-size",
    "references": "--reference",
    "output": "--codec",
    "quality": "--quality",
    "codec": "--codec",
    "container": "--out",
}
"""Where on the command line a field of the options comes from."""


def _report_variant(report: Path | None) -> str:
    return "report_json" if report is not None and report.suffix.lower() == ".json" else "report"


def check_files(sources: Sequence[Path], *, targets: Sequence[Path], force: bool) -> None:
    """Fail before the work rather than after it."""
    for source in sources:
        if not source.is_file():
            raise CommandError(f"There is no file {source}.")
    names = [path.name for path in sources[1:]]
    for name in names:
        if names.count(name) > 1:
            raise CommandError(f"Two references are named {name}; give them different file names.")
    for target in targets:
        if not target.absolute().parent.is_dir():
            raise CommandError(f"There is no folder {target.absolute().parent}; make it first.")
        if target.exists() and any(target.samefile(source) for source in sources):
            raise CommandError(f"{target} is one of the inputs; choose another output.")
        if target.exists() and not force:
            raise CommandError(f"{target} exists; choose another name, or overwrite it with --force.")


def _task(
    video: Path, references: Sequence[Path], *, options: "JobOptions", settings: "Settings", folder: Path
) -> "ColorizationTask":
    from worker.task import ColorizationTask, Limits, ReferenceFile

    return ColorizationTask(
        video=video,
        references=tuple(ReferenceFile(name=path.name, path=path) for path in references),
        options=options,
        folder=folder,
        limits=Limits(
            max_pixels=settings.max_pixels,
            max_duration_seconds=settings.max_duration_seconds,
            max_frames=settings.max_frames,
        ),
    )


def _run(
    task: "ColorizationTask", *, settings: "Settings", quiet: bool
) -> "tuple[TerminalObserver, Sequence[VariantFile]]":
    import torch

    from cli.progress_bar import ProgressBar
    from cli.terminal_observer import TerminalObserver
    from worker.pipeline import colorize_video

    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    with ProgressBar(enabled=not quiet) as bar:
        observer = TerminalObserver(bar)
        variants = colorize_video(
            task, observer=observer, device=settings.device, weights_folder=settings.weights_folder
        )
    return observer, variants


def _outcome(observer: "TerminalObserver", files: dict[str, Path]) -> dict[str, Any]:
    return {
        "files": {name: str(path) for name, path in files.items()},
        "video": observer.video.model_dump(mode="json") if observer.video else None,
        "references": [reference.model_dump(mode="json") for reference in observer.references],
        "shots": [shot.model_dump(mode="json") for shot in observer.shots],
        "warnings": list(observer.warnings),
    }
