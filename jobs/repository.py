"""The records of all jobs and searches for keyframes, in Redis and nowhere else."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from typing import cast

from pydantic import TypeAdapter
from redis import Redis

from jobs.admission import Limits, Quota, refusal
from jobs.catalog import CatalogModel, publish_catalog, read_catalog
from jobs.errors import IdempotencyKeyInUse, JobFailure
from jobs.idempotency import KEPT_SECONDS, Lease, Made
from jobs.metrics import JOB_WAIT
from jobs.pieces import PieceOwner, Pieces
from jobs.record import (
    ConfidencePoint,
    JobError,
    Keyframe,
    Phase,
    PlacedReference,
    Progress,
    Record,
    Shot,
    Status,
    TuningUnderWay,
    Variant,
    VideoFacts,
)
from jobs.record_codec import decode_owner, encode_fields, encode_record, index_member, kind_of
from jobs.record_keys import Kind
from jobs.record_reader import UNKNOWN, RecordReader
from jobs.submission import Submission

NOTHING: Mapping[str, float] = {}
OPEN: tuple[Status, ...] = ("queued", "processing")
_DELETED_EVENTS_SECONDS = 60
"""How long those who watch a record that was deleted may take to notice."""


class JobRepository(RecordReader):
    """Reads and changes records. Raises one of `jobs.connection.REDIS_AWAY` where Redis cannot serve."""

    def __init__(self, redis: Redis, prefix: str, *, retention_seconds: float = 7 * 24 * 3600) -> None:
        super().__init__(redis, prefix, retention_seconds=retention_seconds)
        self._prefix = prefix
        self.pieces = Pieces(redis, prefix)
        self._create = redis.register_script(files("jobs").joinpath("create.lua").read_text())
        self._transition = redis.register_script(files("jobs").joinpath("transition.lua").read_text())

    def create(
        self,
        record: Record,
        submission: Submission = UNKNOWN,
        *,
        limits: Limits | None = None,
        lease: Lease | None = None,
        fingerprint: str = "",
    ) -> None:
        """Record a new job, or a search for keyframes, and make the idempotency key of `lease` stand for it.

        Raises:
            TooManyJobs, QueueFull: it would be one more than `limits` allow.
            IdempotencyKeyInUse: the lease was lost to another call.
        """
        keys, owner = self._keys, submission.owner
        used = [keys.record(record.id), keys.open, keys.open_of(owner), keys.queued, lease.key if lease else ""]
        used += [keys.metrics, *keys.indices(kind_of(record), owner)]
        arguments: list[str | int] = [record.id, index_member(record.id, record.created_at)]
        arguments += [limits.per_key if limits else "", limits.queued if limits else ""]
        made = Made(record_id=record.id, fingerprint=fingerprint).model_dump_json()
        arguments += [lease.token if lease else "", made, KEPT_SECONDS]
        for name, value in encode_record(record, submission).items():
            arguments += [name, value]
        answer = cast("bytes", self._create(keys=used, args=arguments)).decode()
        if answer == "lost":
            raise IdempotencyKeyInUse("Another call with this `Idempotency-Key` came in between.", retry_after=2)
        if limits and answer != "created":
            quota = Quota("jobs", limits.per_key, 0) if answer == "too_many" else Quota("queue", limits.queued, 0)
            raise refusal(quota)

    def claim(self, job_id: str, execution_id: str) -> bool:
        """Make the job this execution's own; False where it has ended or is gone.

        RQ hands a job out again only when it holds the former execution for dead, so the newer one takes over and the
        older, should it still live, finds that it may change nothing.
        """
        fields = {"status": "processing", "started_at": datetime.now(UTC), "phase": None, "progress": Progress()}
        return self._change(job_id, OPEN, fields, new_owner=execution_id)

    def go_on(self, job_id: str, run: str, execution_id: str) -> bool:
        """Make a job, which the execution `run` has planned, this execution's own, to put it together; False where it
        has ended, is gone, or is another's.

        Said again, since the answer to the first time was lost, it is true still.
        """
        done = self._change(job_id, ("processing",), {}, owner=run, new_owner=execution_id)
        return done or self.status(job_id) == ("processing", execution_id)

    def reopen(self, job_id: str) -> bool:
        """Put a job that has failed back to `queued`, and forget its pieces; False where it has not failed, or is
        gone."""
        fields = {
            "status": "queued",
            "phase": None,
            "progress": Progress(),
            "error": None,
            "started_at": None,
            "finished_at": None,
            "expires_at": None,
        }
        return self._change(job_id, ("failed",), fields)

    def release(self, job_id: str, execution_id: str, *, piece: PieceOwner | None = None) -> bool:
        """Put a job whose execution died, or whose plan is of no use, back to `queued`; with `piece`, only while that
        execution has that piece of it."""
        fields = {"status": "queued", "started_at": None, "phase": None, "progress": Progress()}
        return self._change(job_id, ("processing",), fields, owner=execution_id, piece=piece)

    def update(
        self,
        job_id: str,
        execution_id: str,
        *,
        phase: Phase | None = None,
        progress: Progress | None = None,
        video: VideoFacts | None = None,
        references: Sequence[PlacedReference] | None = None,
        shots: Sequence[Shot] | None = None,
        keyframes: Sequence[Keyframe] | None = None,
        warnings: Sequence[str] | None = None,
        tuning: TuningUnderWay | None = None,
        confidence: Sequence[ConfidencePoint] | None = None,
        stills: Sequence[int] | None = None,
    ) -> bool:
        """Write what became known; False where the job is no longer this execution's."""
        fields = {
            "phase": phase,
            "progress": progress,
            "video": video,
            "references": references,
            "shots": shots,
            "keyframes": keyframes,
            "warnings": warnings,
            "tuning": tuning,
            "confidence": confidence,
            "stills": stills,
        }
        known = {name: value for name, value in fields.items() if value is not None}
        return self._change(job_id, ("processing",), known, owner=execution_id)

    def finish(
        self,
        job_id: str,
        execution_id: str,
        *,
        variants: Sequence[Variant],
        progress: Progress,
        counts: Mapping[str, float] = NOTHING,
    ) -> bool:
        """The job has succeeded; False where it is no longer this execution's. `counts` are added to the metrics.

        Said again, since the answer to the first time was lost, it is true still.
        """
        fields = self._ending("succeeded") | {"variants": variants, "progress": progress, "phase": None}
        done = self._change(job_id, ("processing",), fields, owner=execution_id, counts=counts)
        return done or self.status(job_id) == ("succeeded", execution_id)

    def fail(
        self,
        job_id: str,
        execution_id: str | None,
        error: JobFailure,
        *,
        piece: PieceOwner | None = None,
        counts: Mapping[str, float] = NOTHING,
    ) -> bool:
        """The job has failed, as its execution says or, with None, whoever owns it; False where it had ended before.

        With `piece` only while that execution has that piece of it: another that has it now may do better. The job
        keeps its phase, which says where it failed. `counts` are added to the metrics.

        Said again of an execution, since the answer to the first time was lost, it is true still.
        """
        failure = JobError(code=error.code, title=error.title, detail=error.detail)
        fields = self._ending("failed") | {"error": failure}
        allowed: tuple[Status, ...] = OPEN if execution_id is None else ("processing",)
        done = self._change(job_id, allowed, fields, owner=execution_id, piece=piece, counts=counts)
        return done or bool(execution_id and self._has_failed(job_id, execution_id, failure))

    def cancel(self, job_id: str) -> bool:
        """The job is canceled; False where it had ended before, or is gone."""
        return self._change(job_id, OPEN, self._ending("canceled") | {"phase": None})

    def delete(self, record_id: str, *, expired: bool = False) -> None:
        """Forget the record; `expired` leaves word of it for as long as its files were kept."""
        key, events = self._keys.record(record_id), self._keys.events(record_id)
        kind, owner, created = cast("list[bytes | None]", self._redis.hmget(key, ["kind", "owner", "created_at"]))
        with self._redis.pipeline() as pipeline:
            if kind is not None and owner is not None and created is not None:
                whose = decode_owner({b"owner": owner})
                member = index_member(record_id, TypeAdapter(datetime).validate_json(created))
                for index in self._keys.indices(cast("Kind", kind.decode()), whose):
                    pipeline.zrem(index, member)
                pipeline.srem(self._keys.open_of(whose), record_id)
                if expired:
                    kept = max(60, int(self._retention.total_seconds()))
                    pipeline.set(self._keys.expired(record_id), whose, ex=kept)
                pipeline.xadd(events, {"deleted": 1})
                pipeline.expire(events, _DELETED_EVENTS_SECONDS)
            pipeline.delete(key)
            pipeline.srem(self._keys.open, record_id)
            pipeline.srem(self._keys.queued, record_id)
            pipeline.zrem(self._keys.expiries, record_id)
            pipeline.delete(self._keys.pieces(record_id), self._keys.piece_marks(record_id))
            pipeline.delete(self._keys.piece_stills(record_id), self._keys.pieces_in_queue(record_id))
            pipeline.execute()

    # What the workers have

    def publish_catalog(self, models: Sequence[CatalogModel]) -> None:
        publish_catalog(self._redis, self._prefix, models)

    def read_catalog(self) -> Sequence[CatalogModel]:
        """Models of the workers; empty where no worker was heard for a while."""
        return read_catalog(self._redis, self._prefix)

    # The rest is how

    def _change(
        self,
        job_id: str,
        allowed: Sequence[Status],
        fields: Mapping[str, object],
        *,
        owner: str | None = None,
        new_owner: str = "",
        piece: PieceOwner | None = None,
        counts: Mapping[str, float] = NOTHING,
    ) -> bool:
        if owner == "":
            # Nobody's execution. To the script it would be everybody's.
            return False
        expires_at = fields.get("expires_at")
        expiry = str(expires_at.timestamp()) if isinstance(expires_at, datetime) else ""
        arguments: list[str] = [job_id, json.dumps(allowed), owner or "", new_owner, expiry]
        arguments += [json.dumps(dict(counts)), json.dumps(JOB_WAIT.bound_names)]
        arguments += ["", ""] if piece is None else [str(piece.number), piece.execution_id]
        for name, value in encode_fields(fields).items():
            arguments += [name, value]
        keys = self._keys
        used = [keys.record(job_id), keys.open, keys.expiries, keys.events(job_id), keys.webhooks, keys.queued]
        used += [keys.metrics, keys.pieces(job_id), keys.piece_marks(job_id), keys.piece_stills(job_id)]
        return cast("int", self._transition(keys=used, args=arguments)) == 1

    def _has_failed(self, job_id: str, execution_id: str, failure: JobError) -> bool:
        """Whether the job has failed while it was that execution's, and with that failure."""
        fields = {"status": "failed", "execution": execution_id, **encode_fields({"error": failure})}
        stored = cast("list[bytes | None]", self._redis.hmget(self._keys.record(job_id), list(fields)))
        return stored == [text.encode() for text in fields.values()]

    def _ending(self, status: Status) -> dict[str, object]:
        now = datetime.now(UTC)
        return {"status": status, "finished_at": now, "expires_at": now + self._retention}
