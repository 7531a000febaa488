"""Records as Redis holds them: a hash with one JSON text per field, the status bare so that Lua compares it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any, cast

from pydantic import TypeAdapter

from jobs.record import Job, Keyframes, Status, TaskRecord
from jobs.record_keys import Kind
from jobs.submission import Submission

_CLASSES: dict[Kind, type[Job] | type[Keyframes]] = {"jobs": Job, "keyframes": Keyframes}
_BARE = {"id", "status", "queue_position"}
"""Fields of a record that are kept otherwise than as JSON under their name."""
_ANY: TypeAdapter[Any] = TypeAdapter(Any)


def kind_of(record: TaskRecord) -> Kind:
    return "keyframes" if isinstance(record, Keyframes) else "jobs"


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


def decode_record(record_id: str, stored: Mapping[bytes, bytes], *, position: int | None) -> Job | Keyframes:
    """`position`: in the queue; None where it is not in it."""
    values: dict[str, object] = {"id": record_id, "status": stored[b"status"].decode()}
    if values["status"] == "queued":
        # In the queue no more, and not claimed yet: a worker is just taking it, so nobody is before it.
        values["queue_position"] = position or 0
    record_class = _CLASSES[cast("Kind", stored[b"kind"].decode())]
    for name in record_class.model_fields.keys() - _BARE:
        value = stored.get(name.encode())
        if value is not None:
            values[name] = json.loads(value)
    return record_class.model_validate(values)


def decode_submission(stored: Mapping[bytes, bytes]) -> Submission:
    known = {field.name: json.loads(stored[field.name.encode()]) for field in fields(Submission)}
    return Submission(**known | {"reference_names": tuple(known["reference_names"])})


def decode_owner(stored: Mapping[bytes, bytes]) -> str:
    return cast("str", json.loads(stored[b"owner"]))


def decode_status(status: bytes | None, execution: bytes | None) -> tuple[Status | None, str]:
    return cast("Status | None", status.decode() if status else None), (execution or b"").decode()


def index_member(record_id: str, created_at: datetime) -> str:
    """Its place in an index: those that were created later sort later."""
    return f"{int(created_at.timestamp() * 1_000_000):017d}:{record_id}"


def id_of_member(member: bytes) -> str:
    return member.decode().split(":", 1)[1]
