"""`retint jobs`: a server's client."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from cli.arguments import (
    QUALITY_HELP,
    REFERENCE_FORM,
    REFERENCE_HELP,
    REPLACEMENT_HELP,
    SHOTS_FORM,
    SHOTS_HELP,
    WORKING_SIZE_HELP,
)
from cli.console import format_bytes, format_seconds, interruptible, say, tell, write_json, write_table
from cli.errors import CommandError

if TYPE_CHECKING:
    from retint import Client, Job, Status

    from cli.progress_bar import ProgressBar

app = typer.Typer(help="Submit jobs to a server and follow them.", no_args_is_help=True)

Server = Annotated[str, typer.Option(envvar="RETINT_SERVER", help="Address of the server.", show_envvar=True)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, no progress bar.")]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="Id of a job.")]

STATUSES = ("queued", "processing", "succeeded", "failed", "canceled")
StatusFilter = Annotated[str | None, typer.Option(help=f"Only those that are: {', '.join(STATUSES)}.")]

DEFAULT_SERVER = "http://127.0.0.1:8000"
ENDINGS = {
    "video/mp4": ".mp4",
    "video/x-matroska": ".mkv",
    "video/quicktime": ".mov",
    "text/html": ".html",
    "application/json": ".json",
    "application/zip": ".zip",
}
"""Of files, by the media type of what is in them."""
UNSENT = "No job was made unless all was sent; `retint jobs list` shows it."


@app.command()
def submit(
    video: Annotated[Path, typer.Argument(help="The black-and-white video.")],
    reference: Annotated[
        list[str],
        typer.Option("--reference", "-r", metavar=REFERENCE_FORM, help=REFERENCE_HELP),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Wait, and download the result here: .mp4, .mkv or .mov.")
    ] = None,
    model: Annotated[str, typer.Option(help="`retint`, `deepremaster` or `exemplar`.")] = "retint",
    tuning: Annotated[str, typer.Option(help="`off`, `fast`, `quality`, or a number of iterations.")] = "quality",
    quality: Annotated[int | None, typer.Option(help=QUALITY_HELP)] = None,
    codec: Annotated[str | None, typer.Option(help="`h264`, `ffv1` or `prores`; default: by container.")] = None,
    working_size: Annotated[int | None, typer.Option(help=WORKING_SIZE_HELP)] = None,
    shots: Annotated[str, typer.Option(metavar=SHOTS_FORM, help=SHOTS_HELP)] = "auto",
    force: Annotated[bool, typer.Option("--force", "-f", help="Overwrite OUT.")] = False,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Upload a video and its colored frames as a new job."""
    from cli.arguments import build_options, check_files, parse_reference
    from cli.progress_bar import ProgressBar

    references = [parse_reference(text) for text in reference]
    paths = [one.path for one in references]
    check_files([video], references=paths, targets=[out] if out else [], force=force)
    options = build_options(
        model=model,
        tuning=tuning,
        out=out,
        quality=quality,
        codec=codec,
        working_size=working_size,
        references=references,
        shots=shots,
    )
    with _client(server) as client:
        with interruptible(UNSENT), ProgressBar(enabled=not as_json) as bar:
            job = client.submit(
                video,
                paths,
                options=options.model_dump(mode="json", exclude_unset=True, exclude_none=True),
                on_upload=lambda done, total: bar.transferred("uploading", done=done, total=total),
            )
        _await_result(client, job, out=out, as_json=as_json)


@app.command()
def resubmit(
    job_id: JobId,
    reference: Annotated[
        list[str] | None,
        typer.Option("--reference", "-r", metavar=REFERENCE_FORM, help=REPLACEMENT_HELP),
    ] = None,
    omit: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="File name of a reference to leave out; may be given again."),
    ] = None,
    shots: Annotated[
        str | None, typer.Option(metavar=SHOTS_FORM, help=f"{SHOTS_HELP} Without it, what JOB was given holds.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Wait, and download the result here, in the format that JOB asked for."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Overwrite OUT.")] = False,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Color the video of a job again with other references or cuts: only the shots that they touch are made anew."""
    from retint import InvalidRequest

    from cli.arguments import check_files, parse_reference, parse_shots, places_of
    from cli.progress_bar import ProgressBar

    references = [parse_reference(text) for text in reference or ()]
    paths, omitted = [one.path for one in references], omit or []
    check_files([], references=paths, targets=[out] if out else [], force=force)
    options: dict[str, object] = {"references": places_of(references)}
    if shots is not None:
        options["shots"] = parse_shots(shots)
    if not paths and not omitted and shots is None:
        raise CommandError(
            "Nothing is to change: give a reference with -r, leave one out with --omit, or give shots with --shots."
        )
    with _client(server) as client:
        with interruptible(UNSENT), ProgressBar(enabled=not as_json) as bar:
            try:
                job = client.resubmit(
                    job_id,
                    paths,
                    omit=omitted,
                    options=options,
                    on_upload=lambda done, total: bar.transferred("uploading", done=done, total=total),
                )
            except InvalidRequest as error:
                if not paths and "#/references" in [place.pointer for place in error.errors]:
                    raise CommandError("No reference is left; give one with -r.") from error
                raise
        _await_result(client, job, out=out, as_json=as_json)


@app.command("list")
def list_jobs(
    status: StatusFilter = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 20,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """The newest jobs."""
    from itertools import islice

    wanted = checked_status(status)
    with _client(server) as client:
        jobs = list(islice(client.list(status=wanted, page_size=min(limit, 100)), limit))
    if as_json:
        write_json([job.raw for job in jobs])
        return
    write_table(
        [
            [
                *(job.id, job.status, f"{job.progress.fraction:.0%}", f"{job.created_at:%Y-%m-%d %H:%M:%S}"),
                *(_title(job), _note(job)),
            ]
            for job in jobs
        ],
        header=["JOB", "STATUS", "DONE", "CREATED", "FILM", ""],
    )


@app.command()
def show(job_id: JobId, server: Server = DEFAULT_SERVER, as_json: AsJson = False) -> None:
    """One job, as it is now."""
    from jobs.tuning_gain import gain_in_words

    with _client(server) as client:
        job = client.get(job_id)
    if as_json:
        write_json(job.raw)
        return
    say(f"{job.id}  {job.status}{f', {job.phase}' if job.phase else ''}, {job.progress.fraction:.0%}")
    if title := _title(job):
        say(f"  film: {title}")
    if job.video is not None:
        sound = "with sound" if job.video.has_audio else "silent"
        stored = f"{job.video.width}x{job.video.height}"
        displayed = f"{job.video.display_width or job.video.width}x{job.video.display_height or job.video.height}"
        shown = "" if displayed == stored else f", shown as {displayed}"
        say(f"  video: {stored}{shown}, {job.video.frames} frames, {sound}")
    for shot in job.shots:
        gain = f", tuning {gain_in_words(shot.tuning.gain_db)}" if shot.tuning else ""
        confidence = f", confidence {shot.confidence:.2f}" if shot.confidence is not None else ""
        frames = f"frames {shot.first_frame} to {shot.last_frame}"
        say(f"  shot {shot.index + 1}: {frames}, {shot.reference}{confidence}{gain}")
    for variant in job.variants:
        say(f"  {variant.name}: {variant.media_type}, {format_bytes(variant.bytes)}")
    for warning in job.warnings:
        say(f"  note: {warning}")
    if job.error is not None:
        say(f"  {job.error.code}: {job.error.detail}")


@app.command()
def watch(
    job_id: JobId,
    timeout: Annotated[float | None, typer.Option(help="Seconds to wait at most.")] = None,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Follow a job to its end; the exit status tells how it ended."""
    from cli.progress_bar import ProgressBar

    advice = f"The job is not: follow it again with `retint jobs watch {job_id}`, or cancel it."
    with interruptible(advice), _client(server) as client, ProgressBar(enabled=not as_json) as bar:
        client.get(job_id)  # a wait sits out outages: a server that is not there at all shall be told at once
        job = client.wait(job_id, on_progress=lambda state: show_progress(bar, state), timeout=timeout)
    if as_json:
        write_json(job.raw)
    else:
        took = (job.finished_at - job.started_at).total_seconds() if job.finished_at and job.started_at else 0.0
        say(f"{job.id} succeeded in {format_seconds(took)}")


@app.command()
def download(
    job_id: JobId,
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write.")],
    variant: Annotated[str, typer.Option(help="`video`, `comparison`, `preview`, `report`, ...")] = "video",
    force: Annotated[bool, typer.Option("--force", "-f", help="Overwrite OUT.")] = False,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Fetch a result; a download that broke off is continued."""
    from cli.arguments import check_files, require_ending
    from cli.progress_bar import ProgressBar

    check_files([], targets=[out], force=force)
    advice = "The same command goes on where it ended."
    with interruptible(advice), _client(server) as client, ProgressBar(enabled=not as_json) as bar:
        for one in client.get(job_id).variants:
            # Text has its charset beside it.
            kind = one.media_type.partition(";")[0]
            if one.name == variant and kind in ENDINGS:
                require_ending(out, endings=(ENDINGS[kind],), option="--out")
        client.download(
            job_id,
            variant,
            out,
            on_download=lambda done, total: bar.transferred("downloading", done=done, total=total),
        )
    if as_json:
        write_json({"variant": variant, "path": str(out), "bytes": out.stat().st_size})
    else:
        say(str(out))


@app.command()
def cancel(job_id: JobId, server: Server = DEFAULT_SERVER, as_json: AsJson = False) -> None:
    """Stop a job that is not finished."""
    with _client(server) as client:
        job = client.cancel(job_id)
    if as_json:
        write_json(job.raw)
    else:
        say(f"{job.id} {job.status}")


@app.command()
def retry(job_id: JobId, server: Server = DEFAULT_SERVER, as_json: AsJson = False) -> None:
    """Let a job that has failed go on where it stopped."""
    with _client(server) as client:
        job = client.retry(job_id)
    if as_json:
        write_json(job.raw)
    else:
        say(f"{job.id} {job.status}")


@app.command()
def delete(job_id: JobId, server: Server = DEFAULT_SERVER, as_json: AsJson = False) -> None:
    """Remove a job and its files."""
    with _client(server) as client:
        client.delete(job_id)
    if as_json:
        write_json({"id": job_id, "deleted": True})
    else:
        say(f"{job_id} deleted")


def _await_result(client: "Client", job: "Job", *, out: Path | None, as_json: bool) -> None:
    """Follow a new job to its end and fetch its film where `out` names a file; say what came of it."""
    from cli.progress_bar import ProgressBar

    if out is not None:
        if not as_json:
            tell(f"Job {job.id}")
        advice = f"The job is not: `retint jobs watch {job.id}`, then `retint jobs download {job.id} -o {out}`."
        with interruptible(advice), ProgressBar(enabled=not as_json) as bar:
            job = client.wait(job.id, on_progress=lambda state: show_progress(bar, state))
            client.download(
                job.id,
                "video",
                out,
                on_download=lambda done, total: bar.transferred("downloading", done=done, total=total),
            )
    if as_json:
        write_json(job.raw)
    else:
        for warning in job.warnings:
            tell(f"Note: {warning}")
        say(str(out) if out is not None else job.id)


def checked_status(status: str | None) -> "Status | None":
    """Raises `CommandError` where there is no such status."""
    if status is not None and status not in STATUSES:
        raise CommandError(f"There is no status {status}; there are {', '.join(STATUSES)}.")
    return cast("Status | None", status)


def show_progress(bar: "ProgressBar", job: "Job") -> None:
    """Draw a job's state."""
    if job.status == "queued":
        place = f", {job.queue_position} before it" if job.queue_position else ""
        bar.update(f"queued{place}", fraction=0.0)
        return
    progress = job.progress
    bar.update(
        job.phase or job.status,
        fraction=progress.fraction,
        frames=(progress.frames_done, progress.frames_total),
        fps=progress.fps,
        seconds_left=progress.eta_seconds,
    )


def _client(server: str) -> "Client":
    from retint import Client

    # The key is the client's own setting, not the server's: read where it is used.
    return Client(server, api_key=os.environ.get("RETINT_API_KEY"))


def _title(job: "Job") -> str:
    """What its sender calls the film, or else its file; empty where neither has a name."""
    return str(job.options.get("metadata", {}).get("title") or job.filename or "")


def _note(job: "Job") -> str:
    if job.error is not None:
        return job.error.code
    return job.phase or ""
