"""Under which keys Redis holds records, and what belongs to them; all begin with the prefix, the queue's name."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rq import Queue

from jobs.identifiers import checked_job_id

Kind = Literal["jobs", "keyframes", "colorings"]
KINDS: tuple[Kind, ...] = ("jobs", "keyframes", "colorings")


@dataclass(frozen=True, slots=True)
class RecordKeys:
    prefix: str

    def record(self, record_id: str) -> str:
        """Hash: what `jobs.record_codec` makes of a record. Raises `JobNotFound` where no record has such an id."""
        return f"{self.prefix}:job:{checked_job_id(record_id)}"

    @property
    def every_record(self) -> str:
        """Pattern of those hashes, for Redis's SORT."""
        return f"{self.prefix}:job:*"

    def indices(self, kind: Kind, owner: str) -> Sequence[str]:
        """Sorted sets, by time of creation: all of the kind, and behind it those of its owner, where it has one."""
        return (f"{self.prefix}:{kind}", *([f"{self.prefix}:{kind}:{owner}"] if owner else ()))

    @property
    def open(self) -> str:
        """Set: ids of what is queued or processing."""
        return f"{self.prefix}:open"

    def open_of(self, owner: str) -> str:
        """The same, of one owner (transition.lua makes this name too)."""
        return f"{self.open}:{owner}"

    @property
    def queued(self) -> str:
        """Set: ids of what is queued."""
        return f"{self.prefix}:queued"

    @property
    def expiries(self) -> str:
        """Sorted set: ids of what has ended, by the time it expires."""
        return f"{self.prefix}:expiries"

    def expired(self, record_id: str) -> str:
        """The owner of what was there, for a while."""
        return f"{self.prefix}:expired:{record_id}"

    def events(self, record_id: str) -> str:
        """Stream: what changed, for those who watch, each entry with the id `{version}-0`; see transition.lua."""
        return f"{self.prefix}:events:{record_id}"

    @property
    def webhooks(self) -> str:
        """Sorted set: `{id}:{status}:{version}` of events that a webhook asks for, by the millisecond they are due."""
        return f"{self.prefix}:webhooks"

    @property
    def metrics(self) -> str:
        """Hash: counts of all processes; `jobs.metrics` says how."""
        return f"{self.prefix}:metrics"

    def counted(self, token: str) -> str:
        """That the counts of one call are in that hash."""
        return f"{self.prefix}:metrics:counted:{token}"

    @property
    def api_processes(self) -> str:
        """Hash: when each API process spoke last, and how many watch jobs there."""
        return f"{self.prefix}:metrics:api"

    def pieces(self, record_id: str) -> str:
        """Hash: how the pieces of a job stand; see `jobs.pieces`."""
        return f"{self.prefix}:pieces:{record_id}"

    def piece_marks(self, record_id: str) -> str:
        """List: when a job was how far, of the last half minute."""
        return f"{self.prefix}:pieces:{record_id}:marks"

    def piece_stills(self, record_id: str) -> str:
        """Set: frames that can be seen already."""
        return f"{self.prefix}:pieces:{record_id}:stills"

    def pieces_in_queue(self, record_id: str) -> str:
        """Set: numbers of the pieces that wait or are worked on."""
        return f"{self.prefix}:pieces:{record_id}:queued"

    @property
    def queue(self) -> str:
        """RQ's list of what waits."""
        return f"{Queue.redis_queue_namespace_prefix}{self.prefix}"
