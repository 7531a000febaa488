"""Records as Redis holds them: a hash with one JSON text per field, the status bare so that Lua compares it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any, cast

from pydantic import BaseModel, TypeAdapter

from jobs.record import Coloring, Job, Keyframes, Record, Status, TaskRecord
from jobs.record_keys import Kind
from jobs.submission import Submission

_CLASSES: dict[Kind, type[Record]] = {"jobs": Job, "keyframes": Keyframes, "colorings": Coloring}
_BARE = {"id", "status", "queue_position"}
"""Fields of a record that are kept otherwise than as JSON under their name."""
_ANY: TypeAdapter[Any] = TypeAdapter(Any)


def kind_of(record: TaskRecord) -> Kind:
    return next(kind for kind, record_class in _CLASSES.items() if isinstance(record, record_class))


def encode_record(record: TaskRecord, submission: Submission) -> dict[str, str | int]:
    """The whole hash of a new record."""
    shown = record.model_dump(mode="json", exclude=_BARE, context={"for_redis": True})
    webhook = record.options.webhook if isinstance(record, Job) else None
    return {
        "kind": kind_of(record),
        "status": record.status,
        "execution": "",
        "version": 1,
        "webhook_events": " ".join(webhook.events) if webhook else "",
        **encode_fields(asdict(submission)),
        **encode_fields(shown),
    }


def encode_fields(values: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) if name == "status" else _ANY.dump_json(value).decode() for name, value in values.items()}


def decode_record(record_id: str, stored: Mapping[bytes, bytes], *, position: int | None) -> Record:
    """`position`: in the queue; None where it is not in it."""
    values: dict[str, object] = {
        "id": record_id,
        "status": stored[b"status"].decode(),
        "queue_position": decode_place(stored, position=position),
    }
    record_class = _CLASSES[decode_kind(stored)]
    for name in record_class.model_fields.keys() - _BARE:
        value = stored.get(name.encode())
        if value is not None:
            values[name] = json.loads(value)
    return record_class.model_validate(values)


def show_record(record_id: str, stored: Mapping[bytes, bytes], *, position: int | None) -> bytes:
    """The JSON of `decode_record`, put together of what is stored: what is large is copied, not read."""
    record_class = _CLASSES[decode_kind(stored)]
    place = decode_place(stored, position=position)
    texts = {
        "id": json.dumps(record_id).encode(),
        "status": b'"%b"' % stored[b"status"],
        "queue_position": b"null" if place is None else b"%d" % place,
    }
    for name, field in record_class.model_fields.items():
        if name == "options":
            # What is secret in them is stored, and never shown.
            options = cast("type[BaseModel]", field.annotation).model_validate_json(stored[b"options"])
            texts[name] = options.model_dump_json().encode()
        elif name not in _BARE:
            kept = stored.get(name.encode())
            texts[name] = _ANY.dump_json(field.get_default(call_default_factory=True)) if kept is None else kept
    return b"{%b}" % b",".join(b'"%b":%b' % (name.encode(), texts[name]) for name in record_class.model_fields)


def decode_submission(stored: Mapping[bytes, bytes]) -> Submission:
    known = {field.name: json.loads(stored[field.name.encode()]) for field in fields(Submission)}
    return Submission(**known | {"reference_names": tuple(known["reference_names"])})


def decode_kind(stored: Mapping[bytes, bytes]) -> Kind:
    return cast("Kind", stored[b"kind"].decode())


def decode_expiry(stored: Mapping[bytes, bytes]) -> datetime | None:
    text = json.loads(stored[b"expires_at"])
    return None if text is None else datetime.fromisoformat(text)


def decode_owner(stored: Mapping[bytes, bytes]) -> str:
    return cast("str", json.loads(stored[b"owner"]))


def decode_status(status: bytes | None, execution: bytes | None) -> tuple[Status | None, str]:
    return cast("Status | None", status.decode() if status else None), (execution or b"").decode()


def index_member(record_id: str, created_at: datetime) -> str:
    """Its place in an index: those that were created later sort later."""
    return f"{int(created_at.timestamp() * 1_000_000):017d}:{record_id}"


def id_of_member(member: bytes) -> str:
    return member.decode().split(":", 1)[1]


def decode_place(stored: Mapping[bytes, bytes], *, position: int | None) -> int | None:
    """How many are before it; None where it is queued no more."""
    # In the queue no more, and not claimed yet: a worker is just taking it, so nobody is before it.
    return (position or 0) if stored[b"status"] == b"queued" else None
