"""The option `reuse`: what an earlier job has of the input, where it is not sent again."""

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.errors import FieldError, InvalidRequest, JobExpired, JobNotFound
from jobs.options import JobOptions, ReferenceOptions
from jobs.repository import JobRepository
from jobs.store import Store

POINTER = "#/options/reuse"
OMIT_POINTER = "#/options/omit_references"


@dataclass(frozen=True, slots=True)
class KeptReference:
    """A reference of an earlier job that is one of the new job too."""

    index: int
    """Its number in the earlier job."""
    name: str


@dataclass(frozen=True, slots=True)
class Kept:
    """What a new job has of the references of an earlier one."""

    references: list[KeptReference]
    places: list[ReferenceOptions]
    """What was said of places, for references of which the new job's options say nothing. What was found is no word of
    the user's, and holds for the one video: a worker that has that again takes it over."""


def require_reuse_for_omissions(options: JobOptions) -> None:
    """Check that `omit_references` names what an earlier job could have.

    Raises:
        InvalidRequest: there is no `reuse`.
    """
    if options.omit_references and options.reuse is None:
        detail = (
            "`omit_references` leaves out references of an earlier job, and none is named. Name it in `reuse`, or "
            "leave `omit_references` out."
        )
        raise InvalidRequest(detail, errors=[FieldError(OMIT_POINTER, detail)])


def kept_references(options: JobOptions, sent: Sequence[str], *, repository: JobRepository, viewer: str | None) -> Kept:
    """The references that the job in `reuse` has and that are not `sent` in its place, nor left out.

    Raises:
        InvalidRequest: the viewer has no such job, or it has no reference of a name that is to be left out.
    """
    assert options.reuse is not None
    try:
        earlier = repository.get(options.reuse, viewer=viewer)
        names = repository.submission(options.reuse).reference_names
    except (JobNotFound, JobExpired) as error:
        raise InvalidRequest(error.detail, errors=[FieldError(POINTER, error.detail)]) from error
    has = ", ".join(sorted(names))
    unknown = [
        FieldError(
            f"{OMIT_POINTER}/{index}",
            f"{options.reuse} has no reference named {name}, only: {has}. Name one of these, or leave it out of "
            "`omit_references`.",
        )
        for index, name in enumerate(options.omit_references)
        if name not in names
    ]
    if unknown:
        raise InvalidRequest("`options.omit_references` does not fit the references of the job.", errors=unknown)
    references = [
        KeptReference(index, name)
        for index, name in enumerate(names)
        if name not in sent and name not in options.omit_references
    ]
    unplaced = {*sent, *(reference.name for reference in references)} - {option.name for option in options.references}
    return Kept(references, [option for option in earlier.options.references if option.name in unplaced])


def share_references(kept: Sequence[KeptReference], *, of: str, store: Store, with_job: str, behind: int) -> None:
    """Make what the job `of` keeps references of `with_job` too, behind the first `behind` of it.

    Raises:
        InvalidRequest: they are not in the store any more.
    """
    for place, reference in enumerate(kept, start=behind):
        try:
            store.share_input_reference(of, reference.index, with_job=with_job, as_index=place)
        except FileNotFoundError as error:
            detail = f"The references of {of} are not kept any more. Send them, and the video."
            raise InvalidRequest(detail, errors=[FieldError(POINTER, detail)]) from error
