"""How the pieces of jobs stand, in Redis: who does which, which are through, and how far the job is with that."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import cast

from pydantic import TypeAdapter
from redis import Redis

from jobs.options import StrictModel
from jobs.pace import (
    FIRST_FRACTION,
    LEAST_GAIN,
    LONG_ENOUGH_SECONDS,
    MARK_SECONDS,
    SHORTEST_SECONDS,
    WINDOW_SECONDS,
)
from jobs.record import Phase, Shot
from jobs.record_keys import RecordKeys

TOLD_SECONDS = 0.25
"""Four changes of a record a second at most, however many workers work for it."""
FORGOTTEN_SECONDS = 40 * 24 * 3600
"""Longer than any job lasts; those that end are forgotten at once."""


class StretchSum(StrictModel):
    """A part of one point of the curve of confidence."""

    point: int
    """Which one, from 0."""
    frames: int
    total: float
    """Of their confidences."""
    lowest: float


_SUMS = TypeAdapter(list[StretchSum])


@dataclass(frozen=True, slots=True)
class PlannedWork:
    """A planned film, as far as the queue must know it."""

    after: Sequence[Sequence[int]]
    """Of each piece, the numbers of those that it needs."""
    through: Sequence[int]
    """Pieces that are through already."""
    work_total: float
    """Of the whole job, in units of `worker.progress`."""
    work_done: float
    frames_total: int
    frames_done: int
    shots: Sequence[Shot]
    confidence: Mapping[int, Sequence[StretchSum]]
    """Of the pieces that are through."""


@dataclass(frozen=True, slots=True)
class PieceOwner:
    """An execution, and the piece that it says it has."""

    number: int
    execution_id: str


@dataclass(frozen=True, slots=True)
class PiecesState:
    """How the pieces of one job stand."""

    run: str
    """The execution that planned; while it owns the record, the pieces are to be done."""
    after: tuple[tuple[int, ...], ...]
    through: frozenset[int]

    @property
    def are_through(self) -> bool:
        return len(self.through) == len(self.after)

    def ready(self) -> list[int]:
        """Pieces that can be done now, in order."""
        return [
            number
            for number, needed in enumerate(self.after)
            if number not in self.through and self.through.issuperset(needed)
        ]


class Pieces:
    """Raises one of `jobs.connection.REDIS_AWAY` where Redis cannot serve."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._redis = redis
        self._keys = RecordKeys(prefix)
        scripts = files("jobs")
        self._add_confidence = redis.register_script(scripts.joinpath("piece_confidence.lua").read_text())
        self._begin = redis.register_script(scripts.joinpath("pieces_begin.lua").read_text())
        self._claim = redis.register_script(scripts.joinpath("piece_claim.lua").read_text())
        self._count = redis.register_script(scripts.joinpath("count.lua").read_text())
        self._tell = redis.register_script(scripts.joinpath("piece_tell.lua").read_text())

    def begin(self, job_id: str, execution_id: str, work: PlannedWork) -> bool:
        """The job is planned by the execution, which hands it over; False where it is not its own any more."""
        fields: dict[str, str | int | float] = {
            "after": json.dumps([list(needed) for needed in work.after]),
            "work_total": work.work_total,
            "work": work.work_done,
            "frames_total": work.frames_total,
            "frames": work.frames_done,
            "shots": len(work.shots),
            **{f"{number}:through": 1 for number in work.through},
            **{
                f"{number}:confidence": _SUMS.dump_json(list(sums)).decode() for number, sums in work.confidence.items()
            },
            **{f"shot:{shot.index}": shot.model_dump_json() for shot in work.shots},
        }
        arguments = [execution_id, FORGOTTEN_SECONDS, *(part for field in fields.items() for part in field)]
        keys = [self._keys.record(job_id), self._keys.pieces(job_id), self._keys.piece_marks(job_id)]
        return cast("int", self._begin(keys=keys, args=arguments)) == 1

    def look(self, job_id: str) -> PiecesState | None:
        """None where the job has no pieces."""
        stored = cast("dict[bytes, bytes]", self._redis.hgetall(self._keys.pieces(job_id)))
        if b"run" not in stored:
            return None
        through = (name.split(b":")[0] for name in stored if name.endswith(b":through"))
        return PiecesState(
            run=stored[b"run"].decode(),
            after=tuple(tuple(needed) for needed in json.loads(stored[b"after"])),
            through=frozenset(int(number) for number in through),
        )

    def run_of(self, job_id: str) -> str:
        """The execution that planned the job; empty where it has no pieces."""
        run = cast("bytes | None", self._redis.hget(self._keys.pieces(job_id), "run"))
        return (run or b"").decode()

    def claim(self, job_id: str, number: int, execution_id: str) -> bool:
        """Make a piece the execution's own; False where it is through, or not to be done any more."""
        return self._take(job_id, number, execution_id, "")

    def release(self, job_id: str, number: int, execution_id: str) -> bool:
        """Let others take a piece whose execution died."""
        return self._take(job_id, number, execution_id, "release")

    def is_owned(self, job_id: str, number: int, execution_id: str) -> bool:
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.hmget(self._keys.record(job_id), ["status", "execution"])
            pipeline.hmget(self._keys.pieces(job_id), ["run", f"{number}:owner"])
            (status, owner), (run, holder) = pipeline.execute()
        return bool(status == b"processing" and owner == run and holder == execution_id.encode())

    def tell(
        self,
        job_id: str,
        number: int,
        execution_id: str,
        *,
        work: float,
        frames: int,
        phase: Phase | None = None,
        shot: Shot | None = None,
        through: bool = False,
    ) -> bool:
        """Say how far a piece is, and how its shot looks now; False where it is not the execution's any more."""
        keys = self._keys
        used = [keys.record(job_id), keys.pieces(job_id), keys.piece_marks(job_id), keys.events(job_id)]
        arguments = [
            *(number, execution_id, work, frames, phase or ""),
            *(("", "") if shot is None else (shot.index, shot.model_dump_json())),
            "through" if through else "",
            TOLD_SECONDS,
            *(MARK_SECONDS, WINDOW_SECONDS, LEAST_GAIN, SHORTEST_SECONDS, FIRST_FRACTION, LONG_ENOUGH_SECONDS),
        ]
        return cast("int", self._tell(keys=used, args=arguments)) == 1

    def add_stills(self, job_id: str, frames: Collection[int]) -> list[int]:
        """Frames that can be seen, those that other pieces made included."""
        key = self._keys.piece_stills(job_id)
        with self._redis.pipeline() as pipeline:
            if frames:
                pipeline.sadd(key, *frames)
                pipeline.expire(key, FORGOTTEN_SECONDS)
            pipeline.smembers(key)
            members = pipeline.execute()[-1]
        return sorted(int(member) for member in members)

    def add_confidence(
        self, job_id: str, number: int, execution_id: str, sums: Sequence[StretchSum]
    ) -> list[StretchSum]:
        """Note what a piece adds to the curve of the film; returns what all of them have added, nothing where the piece
        is not the execution's any more."""
        told = _SUMS.dump_json(list(sums)).decode()
        used = [self._keys.record(job_id), self._keys.pieces(job_id)]
        texts = cast("list[bytes]", self._add_confidence(keys=used, args=[number, execution_id, told]))
        return [one for text in texts for one in _SUMS.validate_json(text)]

    def count(self, counts: Mapping[str, float], *, token: str) -> None:
        """Add to the metrics what was counted on the way; nothing happens where those of this token are added."""
        arguments = [text for field, amount in counts.items() for text in (field, repr(float(amount)))]
        self._count(keys=[self._keys.metrics, self._keys.counted(token)], args=arguments)

    def forget(self, job_id: str) -> None:
        keys = self._keys
        self._redis.delete(keys.pieces(job_id), keys.piece_marks(job_id), keys.piece_stills(job_id))

    def _take(self, job_id: str, number: int, execution_id: str, ending: str) -> bool:
        used = [self._keys.record(job_id), self._keys.pieces(job_id), self._keys.metrics]
        return cast("int", self._claim(keys=used, args=[number, execution_id, ending])) == 1
