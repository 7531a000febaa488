"""`retint colorize`: one video, here and now, without a server."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.arguments import (
    QUALITY_HELP,
    REFERENCE_FORM,
    REFERENCE_HELP,
    SHOTS_FORM,
    SHOTS_HELP,
    WORKING_SIZE_HELP,
    build_options,
    check_files,
    parse_reference,
    require_ending,
)
from cli.console import interruptible, say, tell, write_json
from cli.placing import place, work_folder

if TYPE_CHECKING:
    from cli.terminal_observer import TerminalObserver
    from jobs.options import JobOptions
    from jobs.settings import Settings
    from worker.task import ColorizationTask, VariantFile


def colorize(
    video: Annotated[Path, typer.Argument(help="The black-and-white video.")],
    reference: Annotated[
        list[str],
        typer.Option("--reference", "-r", metavar=REFERENCE_FORM, help=REFERENCE_HELP),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The colored video: .mp4, .mkv or .mov.")],
    model: Annotated[str, typer.Option(help="`retint`, `deepremaster` or `exemplar`.")] = "retint",
    tuning: Annotated[str, typer.Option(help="`off`, `fast`, `quality`, or a number of iterations.")] = "quality",
    device: Annotated[
        str | None, typer.Option(help="`auto`, `cpu`, `cuda` or `cuda:N`; default: RETINT_DEVICE.")
    ] = None,
    quality: Annotated[int | None, typer.Option(help=QUALITY_HELP)] = None,
    codec: Annotated[str | None, typer.Option(help="`h264`, `ffv1` or `prores`; default: by container.")] = None,
    working_size: Annotated[int | None, typer.Option(help=WORKING_SIZE_HELP)] = None,
    shots: Annotated[str, typer.Option(metavar=SHOTS_FORM, help=SHOTS_HELP)] = "auto",
    comparison: Annotated[Path | None, typer.Option(help="Also write a side-by-side video here: .mp4.")] = None,
    report: Annotated[Path | None, typer.Option(help="Also write the report here: .html or .json.")] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Overwrite files that exist.")] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print the outcome as JSON, no progress bar: `files` were written, `video` was read."
        ),
    ] = False,
) -> None:
    """Colorize VIDEO by one or more colored frames of it; no server needed."""
    from jobs.settings import Settings

    require_ending(comparison, endings=[".mp4"], option="--comparison")
    require_ending(report, endings=[".html", ".json"], option="--report")
    references = [parse_reference(text) for text in reference]
    targets = {"video": out, "comparison": comparison, _report_variant(report): report}
    wanted = {name: path for name, path in targets.items() if path is not None}
    check_files([video], references=[one.path for one in references], targets=list(wanted.values()), force=force)
    options = build_options(
        model=model,
        tuning=tuning,
        out=out,
        quality=quality,
        codec=codec,
        working_size=working_size,
        references=references,
        shots=shots,
        variants=list(wanted),
    )
    settings = Settings()
    if device is not None:
        settings = settings.model_copy(update={"device": device})
    with work_folder(beside=out) as folder:
        with interruptible("Nothing was written."):
            task = _task(video, [one.path for one in references], options=options, settings=settings, folder=folder)
            observer, variants = _run(task, settings=settings, quiet=as_json)
        with interruptible("Not every file was written; those that were are whole."):
            for variant in variants:
                if variant.name in wanted:
                    place(variant.path, wanted[variant.name])
    if as_json:
        write_json(_outcome(observer, wanted))
    else:
        for line in _notes(observer):
            tell(f"Note: {line}")
        for path in wanted.values():
            say(str(path))


def _notes(observer: "TerminalObserver") -> list[str]:
    """What is to be said of references and shots; of a reference that a warning is about, the warning alone."""
    warned = tuple(observer.warnings)
    notes = [
        f"{reference.name}: {reference.note}."
        for reference in observer.references
        if reference.note and not any(text.startswith(f"The reference {reference.name} ") for text in warned)
    ]
    return [*notes, *warned]


def _report_variant(report: Path | None) -> str:
    return "report_json" if report is not None and report.suffix.lower() == ".json" else "report"


def _task(
    video: Path, references: Sequence[Path], *, options: "JobOptions", settings: "Settings", folder: Path
) -> "ColorizationTask":
    from worker.task import ColorizationTask, Limits, ReferenceFile

    return ColorizationTask(
        video=video,
        references=tuple(ReferenceFile(name=path.name, path=path) for path in references),
        options=options,
        folder=folder,
        limits=Limits.of(settings),
    )


def _run(
    task: "ColorizationTask", *, settings: "Settings", quiet: bool
) -> "tuple[TerminalObserver, Sequence[VariantFile]]":
    from cli.progress_bar import ProgressBar
    from cli.terminal_observer import TerminalObserver
    from worker.pipeline import colorize_video
    from worker.threads import limit_threads

    limit_threads(settings.threads)
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
