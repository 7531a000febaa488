"""From a video and its references to a job: once, whatever comes between."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar
from uuid import uuid4

from retint import calls
from retint.calls import JOBS, KEYFRAMES, Kind
from retint.conversation import Steps, ask, persist
from retint.errors import RetintError
from retint.form import Form
from retint.models import Job, Keyframes, Task, Upload
from retint.outage import Outage
from retint.resumable import MOST_BYTES, send_file
from retint.source import Source
from retint.upload_meter import UploadMeter, UploadProgress

R = TypeVar("R", bound=Task)

PASSING = frozenset({"idempotency_key_in_use", "upload_incomplete"})
"""Codes of problems after which the form is sent again."""


def submit_job(
    video: str | Path | Upload,
    references: Sequence[str | Path],
    *,
    options: Mapping[str, Any] | None,
    on_upload: UploadProgress | None,
    patience: float,
) -> Steps[Job]:
    """Raises as `_submit` does."""
    return _submit(JOBS, video, references, options=options, on_upload=on_upload, patience=patience)


def resubmit_job(
    job_id: str,
    references: Sequence[str | Path],
    *,
    omit: Sequence[str],
    options: Mapping[str, Any] | None,
    on_upload: UploadProgress | None,
    patience: float,
) -> Steps[Job]:
    """Raises:
    APIError, ConnectionFailed: the server refuses it, has no such job, or could not take it within the patience.
    FileUnreadable: a file cannot be read, or has another length now.
    """
    outage = Outage(patience=patience)
    earlier = yield from persist(lambda: JOBS.get(job_id), outage=outage)
    outage.over()
    wanted = _options_again(earlier, given=options or {}, omit=omit)
    with closing(Form([Path(path) for path in references], options=wanted)) as form:
        meter = UploadMeter(form.reference_bytes, on_upload)
        body = form.body(on_sent=meter.reached)
        create = partial(JOBS.create, body, idempotency_key=str(uuid4()))
        return (yield from persist(create, outage=outage, passing=PASSING))


def _options_again(job: Job, *, given: Mapping[str, Any], omit: Sequence[str]) -> dict[str, Any]:
    """The job's options and those that are given in their place."""
    # A webhook's secret is not shown, so that it cannot be asked for again; where references stand, the server knows.
    options = {name: value for name, value in job.options.items() if name not in ("webhook", "references")}
    return options | dict(given) | {"reuse": job.id, "omit_references": [*omit]}


def search_keyframes(
    video: str | Path | Upload,
    *,
    shots: Literal["auto", "single"] | Sequence[int],
    every_seconds: float | None,
    metadata: Mapping[str, str] | None,
    on_upload: UploadProgress | None,
    patience: float,
) -> Steps[Keyframes]:
    """Raises as `_submit` does."""
    options: dict[str, Any] = {
        "shots": shots if isinstance(shots, str) else [*shots],
        "metadata": dict(metadata or {}),
    }
    # An older server refuses the field.
    if every_seconds is not None:
        options["every_seconds"] = every_seconds
    return _submit(KEYFRAMES, video, [], options=options, on_upload=on_upload, patience=patience)


def _submit(
    kind: Kind[R],
    video: str | Path | Upload,
    references: Sequence[str | Path],
    *,
    options: Mapping[str, Any] | None,
    on_upload: UploadProgress | None,
    patience: float,
) -> Steps[R]:
    """Raises:
    APIError, ConnectionFailed: the server refuses it, or could not take it within the patience.
    FileUnreadable: a file cannot be read, or has another length now.
    """
    outage = Outage(patience=patience)
    with closing(Form([Path(path) for path in references], options=options)) as form:
        if isinstance(video, Upload):
            meter = UploadMeter(form.reference_bytes, on_upload)
            return (yield from _create(kind, form, video, on_sent=meter.reached, outage=outage))
        with closing(Source(Path(video))) as source:
            meter = UploadMeter(source.length + form.reference_bytes, on_upload)
            if source.length > max(MOST_BYTES, form.reference_bytes):
                # So that a refusal does not wait for a long video.
                yield from persist(lambda: kind.check(form.body()), outage=outage, passing=PASSING)
                outage.over()
            upload = yield from send_file(source, meter=meter, outage=outage)
        record = yield from _create(
            kind, form, upload, on_sent=lambda sent: meter.reached(upload.length + sent), outage=outage
        )
        # What was made of it keeps it. If this fails, the server deletes it in time.
        with suppress(RetintError):
            yield from ask(calls.delete_upload(upload.id))
        return record


def _create(kind: Kind[R], form: Form, upload: Upload, *, on_sent: Callable[[int], None], outage: Outage) -> Steps[R]:
    """The key lets the form be sent again where nobody knows whether it arrived."""
    body = form.body(upload_id=upload.id, on_sent=on_sent)
    create = partial(kind.create, body, idempotency_key=str(uuid4()))
    return (yield from persist(create, outage=outage, passing=PASSING))
