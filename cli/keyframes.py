"""`retint keyframes`: which frames of a video to color, as pictures, here and now, without a server."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.arguments import SHOTS_FORM, SHOTS_HELP, parse_shots
from cli.console import interruptible, say, tell, write_json
from cli.errors import CommandError
from cli.placing import place, work_folder
from jobs.errors import OF_PICTURES

if TYPE_CHECKING:
    from jobs.options import KeyframeOptions
    from worker.keyframes import FoundKeyframes

SHOWN_PICTURES = 20
"""References spelled out in the command to go on with."""


def keyframes(
    video: Annotated[Path, typer.Argument(help="The black-and-white video.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The folder to write to, made where there is none; or a .zip file.")
    ],
    shots: Annotated[str, typer.Option(metavar=SHOTS_FORM, help=SHOTS_HELP)] = "auto",
    every: Annotated[
        float | None,
        typer.Option(
            min=1, metavar="SECONDS", help="A frame for about every so many seconds of a shot, in place of one a shot."
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Write into a folder that is not empty, or overwrite a .zip file.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON, no progress bar.")] = False,
) -> None:
    """Write the frame worth coloring of every shot of VIDEO, as PNG files to color in another program.

    Their names say shot and frame; keyframes.json says more. No server is needed.
    """
    _check(video, out, force=force)
    options = _options(shots, every)
    with work_folder(beside=out) as folder:
        pictures = folder / "pictures"
        archive = folder / "archive.zip"
        with interruptible("Nothing was written."):
            pictures.mkdir()
            found = _find(video, options=options, scratch=folder, archive=archive, pictures=pictures, quiet=as_json)
        with interruptible("Not every picture was written; those that were are whole."):
            if _is_archive(out):
                place(archive, out)
            elif not out.exists():
                place(pictures, out)
            else:
                for path in sorted(pictures.iterdir()):
                    place(path, out / path.name)
    if as_json:
        write_json({"archive" if _is_archive(out) else "folder": str(out), **found.model_dump(mode="json")})
    else:
        _tell(found, video=video, out=out, shots=shots)


def _check(video: Path, out: Path, *, force: bool) -> None:
    if video.is_dir():
        raise CommandError(f"{video} is a folder; expected a video. {OF_PICTURES}")
    if not video.is_file():
        raise CommandError(f"There is no file {video}.")
    if not out.absolute().parent.is_dir():
        raise CommandError(f"There is no folder {out.absolute().parent}; make it first.")
    if _is_archive(out):
        if out.exists() and not force:
            raise CommandError(f"{out} exists; choose another name, or overwrite it with --force.")
        return
    if out.exists() and not out.is_dir():
        raise CommandError(f"{out} is a file; give the name of a folder, or one that ends in .zip.")
    if out.exists() and not force and any(out.iterdir()):
        raise CommandError(
            f"The folder {out} is not empty; choose another one, or write into it with --force. Pictures of the same "
            "name, colored ones too, are overwritten then."
        )


def _is_archive(out: Path) -> bool:
    return out.suffix.lower() == ".zip" and not out.is_dir()


def _options(shots: str, every: float | None) -> "KeyframeOptions":
    from pydantic import ValidationError

    from jobs.options import KeyframeOptions
    from jobs.wording import in_words

    given = parse_shots(shots)
    try:
        return KeyframeOptions(shots=given, every_seconds=every)
    except ValidationError as error:
        # Of the two, only a number of seconds can still be wrong: typer lets infinity pass.
        raise CommandError(f"--every: {in_words(error.errors()[0])}, got {every}.") from error


def _find(
    video: Path, *, options: "KeyframeOptions", scratch: Path, archive: Path, pictures: Path, quiet: bool
) -> "FoundKeyframes":
    from cli.progress_bar import ProgressBar
    from cli.terminal_observer import TerminalObserver
    from jobs.settings import Settings
    from worker.keyframe_archive import archive_keyframes
    from worker.keyframes import KeyframesTask
    from worker.task import Limits
    from worker.threads import limit_threads

    settings = Settings()
    limit_threads(settings.threads)
    with ProgressBar(enabled=not quiet) as bar:
        task = KeyframesTask(video=video, options=options, folder=scratch, limits=Limits.of(settings))
        return archive_keyframes(task, into=archive, pictures=pictures, observer=TerminalObserver(bar))


def _tell(found: "FoundKeyframes", *, video: Path, out: Path, shots: str) -> None:
    for warning in found.warnings:
        tell(f"Note: {warning}")
    folder = out.with_suffix("") if _is_archive(out) else out
    for path in [out] if _is_archive(out) else [folder / one.name for one in found.keyframes]:
        say(str(path))
    shown = found.keyframes[:SHOWN_PICTURES]
    references = " ".join(f"-r {shlex.quote(str(folder / one.name))}@{one.frame}" for one in shown)
    target = video.with_name(f"{video.stem}-color.mp4")
    rest = "" if len(shown) == len(found.keyframes) else " (and one -r for every further picture that you color)"
    unpack = f"Unpack it into {folder}; then color" if _is_archive(out) else "Color"
    tell(f"{unpack} them, keep their names, then{rest}:")
    cuts = "" if shots == "auto" else f" --shots {shots}"
    tell(f"  retint colorize {shlex.quote(str(video))} {references}{cuts} -o {shlex.quote(str(target))}")
