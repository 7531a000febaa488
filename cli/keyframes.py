"""`retint keyframes`: which frames of a video to color, as pictures, here and now, without a server."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import interruptible, say, tell, write_json
from cli.errors import CommandError
from cli.placing import place, work_folder

if TYPE_CHECKING:
    from jobs.options import KeyframeOptions
    from worker.keyframes import FoundKeyframes

SHOWN_PICTURES = 3
"""References spelled out in the command to go on with."""


def keyframes(
    video: Annotated[Path, typer.Argument(help="The black-and-white video.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write to; made where there is none.")],
    shots: Annotated[str, typer.Option(help="`auto` finds the cuts; `single` takes the video for one shot.")] = "auto",
    force: Annotated[bool, typer.Option("--force", "-f", help="Write into a folder that is not empty.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON, no progress bar.")] = False,
) -> None:
    """Write the frame worth coloring of every shot of VIDEO, as PNG files to color in another program.

    Their names say shot and frame; keyframes.json says more. No server is needed.
    """
    _check(video, out, force=force)
    options = _options(shots)
    with interruptible("Nothing was written."), work_folder(beside=out) as folder:
        pictures = folder / "pictures"
        pictures.mkdir()
        found = _find(video, options=options, scratch=folder, into=pictures, quiet=as_json)
        names = [path.name for path in sorted(pictures.iterdir())]
        if not out.exists():
            place(pictures, out)
        else:
            for name in names:
                place(pictures / name, out / name)
    if as_json:
        write_json({"folder": str(out), **found.model_dump(mode="json")})
    else:
        _tell(found, video=video, folder=out)


def _check(video: Path, out: Path, *, force: bool) -> None:
    if video.is_dir():
        raise CommandError(f"{video} is a folder; expected a video.")
    if not video.is_file():
        raise CommandError(f"There is no file {video}.")
    if not out.absolute().parent.is_dir():
        raise CommandError(f"There is no folder {out.absolute().parent}; make it first.")
    if out.exists() and not out.is_dir():
        raise CommandError(f"{out} is a file; give the name of a folder.")
    if out.exists() and not force and any(out.iterdir()):
        raise CommandError(
            f"The folder {out} is not empty; choose another one, or write into it with --force. Pictures of the same "
            "name, colored ones too, are overwritten then."
        )


def _options(shots: str) -> "KeyframeOptions":
    from jobs.options import KeyframeOptions

    if shots == "auto":
        return KeyframeOptions(shots="auto")
    if shots == "single":
        return KeyframeOptions(shots="single")
    raise CommandError(f"--shots: there is no choice `{shots}`; give auto or single.")


def _find(video: Path, *, options: "KeyframeOptions", scratch: Path, into: Path, quiet: bool) -> "FoundKeyframes":
    from cli.progress_bar import ProgressBar
    from cli.terminal_observer import TerminalObserver
    from jobs.settings import Settings
    from worker.keyframes import KeyframesTask, find_keyframes
    from worker.task import Limits
    from worker.threads import limit_threads

    settings = Settings()
    limit_threads(settings.threads)

    def keep(name: str, content: bytes) -> None:
        (into / name).write_bytes(content)

    with ProgressBar(enabled=not quiet) as bar:
        task = KeyframesTask(video=video, options=options, folder=scratch, limits=Limits.of(settings))
        return find_keyframes(task, keep=keep, observer=TerminalObserver(bar))


def _tell(found: "FoundKeyframes", *, video: Path, folder: Path) -> None:
    for warning in found.warnings:
        tell(f"Note: {warning}")
    for keyframe in found.keyframes:
        say(str(folder / keyframe.name))
    shown = found.keyframes[:SHOWN_PICTURES]
    references = " ".join(f"-r {shlex.quote(str(folder / one.name))}@{one.frame}" for one in shown)
    target = video.with_name(f"{video.stem}-color.mp4")
    rest = "" if len(shown) == len(found.keyframes) else " (and one -r for every further picture that you color)"
    tell(f"Color them, keep their names, then{rest}:")
    tell(f"  retint colorize {shlex.quote(str(video))} {references} -o {shlex.quote(str(target))}")
