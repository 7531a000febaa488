"""JSON into frozen dataclasses, by their annotations; fields that this version does not know are ignored."""

from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def decode(kind: type[T], data: Any) -> T:
    """`data`, as `json.loads` gave it, as a `kind`: a dataclass whose fields are of plain JSON types, datetimes,
    dataclasses, or tuples of these.

    Raises:
        ValueError: a field without a default is missing, or an object was expected and something else came.
    """
    if not isinstance(data, dict):
        raise ValueError(f"expected an object for {kind.__name__}, got {type(data).__name__}")
    hints = get_type_hints(kind)
    values: dict[str, Any] = {}
    for field in fields(kind):  # type: ignore[arg-type]  # callers pass dataclasses only
        if field.name in data:
            values[field.name] = _value(hints[field.name], data[field.name])
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{kind.__name__} lacks the field {field.name}")
    return kind(**values)


def _value(hint: Any, data: Any) -> Any:
    if get_origin(hint) in (Union, UnionType):
        if data is None:
            return None
        (hint,) = (part for part in get_args(hint) if part is not NoneType)
    if get_origin(hint) is tuple:
        return tuple(_value(get_args(hint)[0], item) for item in data)
    if isinstance(hint, type) and is_dataclass(hint):
        return decode(hint, data)
    if hint is datetime:
        # "Z" is spelled out for the sake of one fixed form, whichever the server chose.
        return datetime.fromisoformat(str(data).replace("Z", "+00:00"))
    return data
