"""The `options` part: JSON in, checked options out, every mistake with a pointer to its place."""

import json
from collections.abc import Collection
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from jobs.errors import FieldError, InvalidRequest
from jobs.options import JobOptions, StrictModel
from jobs.wording import in_words
from service.form import Options
from service.problems import json_pointer

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


def parse_options(data: bytes, *, of: type[Options]) -> Options:
    """The options that `data`, JSON in UTF-8, asks for; nothing at all is the defaults.

    Raises:
        InvalidRequest: it is not JSON, or not what `of` takes.
    """
    if not data.strip():
        return of()
    try:
        return of.model_validate_json(data, strict=True)
    except ValidationError as error:
        raise InvalidRequest(
            "The options do not fit; `errors` says where and why. /docs lists them.",
            errors=_field_errors(error, data, of=of),
        ) from error


def require_uploaded(options: JobOptions, *, names: Collection[str]) -> None:
    """Check that `options.references` places uploaded references, each once.

    Raises:
        InvalidRequest: a name was not uploaded, or comes twice.
    """
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, reference in enumerate(options.references):
        pointer = f"#/options/references/{index}/name"
        if reference.name not in names:
            uploaded = ", ".join(sorted(names))
            errors.append(FieldError(pointer, f"No reference named {reference.name} was uploaded, only: {uploaded}."))
        elif reference.name in seen:
            errors.append(FieldError(pointer, f"{reference.name} is placed twice; a reference has one place."))
        seen.add(reference.name)
    if errors:
        raise InvalidRequest("`options.references` does not fit the references uploaded.", errors=errors)


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith("?") else f"{sentence}."


def _sentence(item: "ErrorDetails", *, of: type[StrictModel]) -> str:
    """What is wrong with one value, without the full stop."""
    if item["type"] != "extra_forbidden":
        return in_words(item)
    name = str(item["loc"][-1])
    near = get_close_matches(name, of.model_fields, n=1) if len(item["loc"]) == 1 else []
    return f"There is no field `{name}`; did you mean `{near[0]}`?" if near else f"There is no field `{name}` here"


def _field_errors(error: ValidationError, data: bytes, *, of: type[StrictModel]) -> list[FieldError]:
    """One entry per place: what a union of types says about one value is joined."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        document = None
    details: dict[str, list[str]] = {}
    for item in error.errors(include_url=False, include_input=False):
        place = _place(item["loc"], document=document, missing=item["type"] in ("missing", "extra_forbidden"))
        details.setdefault(json_pointer(("options", *place)), []).append(_sentence(item, of=of))
    return [FieldError(pointer, _ended("; or: ".join(dict.fromkeys(texts)))) for pointer, texts in details.items()]


def _place(location: tuple[int | str, ...], *, document: Any, missing: bool) -> list[int | str]:
    """Pydantic's location without the names of union members, which are no keys of the user's document."""
    place: list[int | str] = []
    for position, step in enumerate(location):
        known, inside = _step_into(document, step)
        if known:
            document = inside
        elif not (missing and position == len(location) - 1):
            continue
        place.append(step)
    return place


def _step_into(document: Any, step: int | str) -> tuple[bool, Any]:
    """Whether `document` has that key or index, and what is there."""
    if isinstance(document, dict) and step in document:
        return True, document[step]
    if isinstance(document, list) and isinstance(step, int) and step < len(document):
        return True, document[step]
    return False, None
