"""The option `reuse`: what an earlier job has of the input, where it is not sent again."""

from collections.abc import Iterator, Sequence

from jobs.errors import FieldError, InvalidRequest, JobExpired, JobNotFound
from jobs.options import JobOptions
from jobs.repository import JobRepository
from jobs.store import Store

POINTER = "#/options/reuse"


def kept_references(
    options: JobOptions, sent: Sequence[str], *, repository: JobRepository, viewer: str | None
) -> tuple[str, ...]:
    """Names of the references that the job in `reuse` has and that are not `sent` in its place, nor left out.

    Raises:
        InvalidRequest: the viewer has no such job.
    """
    return tuple(name for _, name in _kept(options, sent, repository=repository, viewer=viewer))


def share_references(
    options: JobOptions,
    sent: Sequence[str],
    *,
    repository: JobRepository,
    viewer: str | None,
    store: Store,
    job_id: str,
) -> None:
    """Make them references of `job_id` too, behind those that were sent.

    Raises:
        InvalidRequest: the viewer has no such job, or its references are not kept.
    """
    assert options.reuse is not None
    kept = _kept(options, sent, repository=repository, viewer=viewer)
    for place, (index, _) in enumerate(kept, start=len(sent)):
        try:
            store.share_input_reference(options.reuse, index, with_job=job_id, as_index=place)
        except FileNotFoundError as error:
            detail = f"The references of {options.reuse} are not kept any more. Send them, and the video."
            raise InvalidRequest(detail, errors=[FieldError(POINTER, detail)]) from error


def _kept(
    options: JobOptions, sent: Sequence[str], *, repository: JobRepository, viewer: str | None
) -> Iterator[tuple[int, str]]:
    assert options.reuse is not None
    try:
        repository.get(options.reuse, viewer=viewer)
        names = repository.submission(options.reuse).reference_names
    except (JobNotFound, JobExpired) as error:
        raise InvalidRequest(error.detail, errors=[FieldError(POINTER, error.detail)]) from error
    for index, name in enumerate(names):
        if name not in sent and name not in options.omit_references:
            yield index, name
