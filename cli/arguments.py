"""What the commands that work on a film are given, checked before the work rather than after it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from cli.errors import CommandError
from jobs.errors import OF_PICTURES

if TYPE_CHECKING:
    from jobs.options import Container, JobOptions, TuningOptions


@dataclass(frozen=True, slots=True)
class GivenReference:
    """A picture, and what was said of its place."""

    path: Path
    place: dict[str, Any] | None
    """Fields of `jobs.options.ReferenceOptions`: none of them where it is to be looked for. None where nothing was
    said."""


def parse_reference(text: str) -> GivenReference:
    """`FILE`, `FILE@FRAME`, `FILE@FIRST-LAST`, `FILE@any` or `FILE@none`; a file whose own name ends so is just a file.

    Raises:
        CommandError: what follows its last @ is no place, or there is no such file.
    """
    file, at, place = text.rpartition("@")
    if not at or Path(text).exists():
        return GivenReference(Path(text), None)
    if file and place == "any":
        return GivenReference(Path(file), {})
    if file and place == "none":
        return GivenReference(Path(file), {"is_frame": False})
    numbers = re.fullmatch(r"([0-9]+)(?:-([0-9]+))?", place)
    if file and numbers is not None:
        first, last = numbers.groups()
        if last is None:
            return GivenReference(Path(file), {"frame": int(first)})
        if int(first) <= int(last):
            return GivenReference(Path(file), {"within": [int(first), int(last)]})
        raise CommandError(f"{text}: the frames after @ run backward; write {file}@{last}-{first}.")
    if not Path(file).is_file():
        raise CommandError(f"There is no file {text}. A frame number, counted from 0, may follow @, as in ref.png@240.")
    raise CommandError(
        f"{text}: what follows @ must be a frame number, counted from 0, as in {file}@240, the first and the last "
        f"frame to look for it among, as in {file}@240-300, any, to look among all, or none, for a picture that is no "
        "frame of the film."
    )


def places_of(references: Sequence[GivenReference]) -> list[dict[str, Any]]:
    """What was said of places, as the options of the HTTP API have it."""
    return [{"name": one.path.name, **one.place} for one in references if one.place is not None]


REFERENCE_FORM = "FILE[@PLACE]"
PLACE_HELP = (
    "@240 says that it is frame 240, counted from 0; @240-300, that it is one of these; @none, that it is no frame of "
    "the film, such as a postcard; @any, that it is to be found by its looks in the whole film."
)
REFERENCE_HELP = f"A colored frame; may be given again. {PLACE_HELP} So it is without a place, too."
REPLACEMENT_HELP = (
    f"A colored frame more, or in place of one of the same file name; may be given again. {PLACE_HELP} "
    "Without a place, one in place of another stands where JOB was told that the other does; any other is found by its "
    "looks."
)
QUALITY_HELP = "Of H.264 alone, as CRF: 0 (lossless) to 51; default: 18, visually lossless."
WORKING_SIZE_HELP = "Short side at which color is predicted, 64 to 2160; default: the model's own, 576 of retint."


SHOTS_FORM = "SHOTS"
SHOTS_HELP = (
    "`auto` finds the cuts, between shots of 8 frames or more; `single` takes the video for one shot; 90,270 says that "
    "shots begin at these frames, counted from 0, and at frame 0."
)


def parse_shots(text: str) -> "Literal['auto', 'single'] | list[int]":
    """As the HTTP API has it: `auto`, `single`, or the first frames of all shots but the first.

    Raises:
        CommandError: it is neither.
    """
    if text in ("auto", "single"):
        return cast("Literal['auto', 'single']", text)
    if re.fullmatch(r"[0-9]{1,9}(,[0-9]{1,9})*", text) is None:
        raise CommandError(
            f"--shots: there is no choice `{text}`; give auto, single, or the first frames of the shots but the first, "
            "as in 90,270."
        )
    frames = [int(number) for number in text.split(",")]
    if 0 in frames:
        raise CommandError(f"--shots: the first shot begins at frame 0 in any case, got {text}; leave the 0 out.")
    return frames


def check_files(
    videos: Sequence[Path], *, references: Sequence[Path] = (), targets: Sequence[Path] = (), force: bool = False
) -> None:
    """`targets` is what will be written.

    Raises:
        CommandError: a source cannot be read so, or a target cannot be written without harm.
    """
    sources = [*videos, *references]
    for source in sources:
        if source.is_dir():
            hint = f" {OF_PICTURES}" if source in videos else ""
            raise CommandError(f"{source} is a folder; expected a file.{hint}")
        if not source.is_file():
            raise CommandError(f"There is no file {source}.")
        if source.stat().st_size == 0:
            raise CommandError(f"{source} is empty; export or copy it again and use that.")
    names = [path.name for path in references]
    for name in names:
        if names.count(name) > 1:
            raise CommandError(f"Two references are named {name}; give them different file names.")
    for target in targets:
        if not target.absolute().parent.is_dir():
            raise CommandError(f"There is no folder {target.absolute().parent}; make it first.")
        if target.is_dir():
            raise CommandError(f"{target} is a folder; give the name of a file.")
        if [other.absolute() for other in targets].count(target.absolute()) > 1:
            raise CommandError(f"Two outputs are named {target}; give them different names.")
        if target.exists() and any(target.samefile(source) for source in sources):
            raise CommandError(f"{target} is one of the inputs; choose another output.")
        if target.exists() and not force:
            raise CommandError(f"{target} exists; choose another name, or overwrite it with --force.")


def require_ending(path: Path | None, *, endings: Sequence[str], option: str) -> None:
    """Raises:
    CommandError: `path` is given and promises another format than those that its option writes.
    """
    if path is not None and path.suffix.lower() not in endings:
        raise CommandError(f"{option}: {path} must end in {' or '.join(endings)}: that is what is written.")


def build_options(
    *,
    model: str,
    tuning: str,
    out: Path | None = None,
    quality: int | None = None,
    codec: str | None = None,
    working_size: int | None = None,
    references: Sequence[GivenReference] = (),
    shots: str = "auto",
    variants: Sequence[str] | None = None,
) -> "JobOptions":
    """The options of the HTTP API from those of the command line, checked by the same model.

    Raises:
        CommandError: one of them does not fit; the message names it.
    """
    from pydantic import ValidationError

    from jobs.options import JobOptions
    from jobs.wording import in_words

    output: dict[str, Any] = {"codec": codec}
    if quality is not None:
        output["quality"] = quality
    if (container := _container(out, codec=codec)) is not None:
        output["container"] = container
    data: dict[str, Any] = {
        "model": model,
        "tuning": _tuning(tuning),
        "working_size": working_size,
        "references": places_of(references),
        "shots": parse_shots(shots),
        "output": output,
    }
    if variants is not None:
        data["variants"] = list(variants)
    try:
        options = JobOptions.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        names = [_OPTION_NAMES[part] for part in first["loc"] if isinstance(part, str) and part in _OPTION_NAMES]
        option = names[-1] if names else "The options"
        raise CommandError(f"{option}: {in_words(first)}, got {first['input']}.") from error
    if quality is not None and options.output.resolved_codec != "h264":
        raise CommandError("--quality is for H.264: ffv1 is lossless, and prores has one quality. Leave it out.")
    return options


_OPTION_NAMES = {
    "model": "--model",
    "working_size": "--working-size",
    "references": "--reference",
    "quality": "--quality",
}
"""Where on the command line a field of the options comes from; the others are checked before."""


def _tuning(text: str) -> "str | TuningOptions":
    from pydantic import ValidationError

    from jobs.options import TuningOptions, TuningPreset
    from jobs.wording import in_words

    presets = get_args(TuningPreset)
    if text in presets:
        return text
    expected = f"give {', '.join(presets)} or a number of iterations"
    if not text.isdecimal():
        raise CommandError(f"--tuning: there is no tuning `{text}`; {expected}.")
    try:
        return TuningOptions(iterations=int(text))
    except ValidationError as error:
        raise CommandError(f"--tuning: {in_words(error.errors()[0])}, got {text}; {expected}.") from error


def _container(out: Path | None, *, codec: str | None) -> "Container | None":
    """The container that `out` names, or else one for `codec`; None leaves it to the server."""
    from jobs.options import CODECS_BY_CONTAINER, Codec

    codecs: tuple[Codec, ...] = get_args(Codec)
    if codec is not None and codec not in codecs:
        raise CommandError(f"--codec: there is no codec `{codec}` here; give {_either(codecs)}.")
    if out is None:
        return next((name for name, held in CODECS_BY_CONTAINER.items() if codec in held), None)
    formats = _either([f".{name} ({' or '.join(held)})" for name, held in CODECS_BY_CONTAINER.items()])
    container = next((name for name in CODECS_BY_CONTAINER if out.suffix.lower() == f".{name}"), None)
    if container is None:
        raise CommandError(f"--out: {out.name} names no format that is written here; let it end in {formats}.")
    if codec is not None and codec not in CODECS_BY_CONTAINER[container]:
        raise CommandError(f"--codec: {codec} does not go into .{container}; let --out end in {formats}.")
    return container


def _either(choices: Sequence[str]) -> str:
    return f"{', '.join(choices[:-1])} or {choices[-1]}"
