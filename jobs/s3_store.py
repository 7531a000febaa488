"""The store in a bucket of object storage, which the API and the workers reach over HTTP and share nothing else than.

A file appears when its object is complete, which S3 does in one step. Workers work in a scratch folder of their own,
and have their job's input copied there once for all the executions that need it.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

from jobs.bucket import MOST_PARTS, Bucket
from jobs.errors import VariantNotFound
from jobs.identifiers import checked_job_id
from jobs.object_writer import ObjectWriter, part_bytes_for
from jobs.scratch import WHOLE, Scratch
from jobs.settings import Settings
from jobs.store import InputFiles, InputKind, Presentation, RemoteFile, checked_kept_name, ignore, still_not_found

PIECE_BYTES = 1024**2
INPUT_KEPT_SECONDS = 600.0
"""How long a copy of an input stays on a worker's disk after its last use: the next execution may need it."""
PARTS_KEPT = timedelta(hours=2)
"""Parts of an upload that grew no more for so long were left by a process that died."""


class S3Store:
    """See `jobs.store.Store`."""

    # Each sweep asks the storage for lists, which costs time and, at Amazon, money.
    sweep_seconds = 600.0

    def __init__(self, settings: Settings, *, attempts: int) -> None:
        """`attempts`: how often each call is made before the storage is held for away.

        Raises:
            StartupError: the settings are wrong, or boto3 is not installed.
        """
        self.bucket = Bucket(settings, attempts=attempts)
        self._part_bytes = part_bytes_for(settings.max_upload_bytes, most_parts=MOST_PARTS)
        self._scratch = Scratch(settings.scratch_folder or settings.data_folder / "scratch")

    def create(self, job_id: str) -> None:
        checked_job_id(job_id)

    def open_input_writer(self, job_id: str, kind: InputKind, index: int = 0) -> ObjectWriter:
        key = input_video_key(job_id) if kind == "video" else _reference_key(job_id, index)
        return ObjectWriter(self.bucket, key, part_bytes=self._part_bytes)

    @contextmanager
    def fetch_input(self, job_id: str) -> Iterator[InputFiles]:
        with self._scratch.shared(f"input-{checked_job_id(job_id)}", partial(self._fetch_input, job_id)) as place:
            references = sorted(path for path in place.iterdir() if path.name not in ("video", WHOLE))
            yield InputFiles(place / "video", tuple(references))

    def share_input_video(self, job_id: str, *, with_job: str) -> None:
        self.bucket.copy(input_video_key(job_id), input_video_key(with_job))

    def share_input_reference(self, job_id: str, index: int, *, with_job: str, as_index: int) -> None:
        self.bucket.copy(_reference_key(job_id, index), _reference_key(with_job, as_index))

    def drop_input(self, job_id: str) -> None:
        self._delete(f"{_job(job_id)}input/")

    def open_execution(self, job_id: str, execution_id: str) -> Path:
        return self._scratch.take(_work(job_id, execution_id))

    def discard_execution(self, job_id: str, execution_id: str) -> None:
        self._scratch.give_back(_work(job_id, execution_id))

    def publish(
        self, job_id: str, execution_id: str, files: Iterable[Path], *, check: Callable[[], None] = ignore
    ) -> None:
        for path in files:
            self._upload(path, f"{_results(job_id, execution_id)}{path.name}", check=check)

    def find_result(self, job_id: str, execution_id: str, stem: str) -> RemoteFile:
        for found in self.bucket.list(f"{_results(job_id, execution_id)}{stem}.", most=1):
            return RemoteFile(
                found.key.rpartition("/")[2],
                address=partial(self.bucket.address, found.key),
                read=partial(self.bucket.get, found.key),
            )
        raise VariantNotFound(f"{job_id} has no file {stem!r}; its `variants` list those that it has.")

    def download_origin(self) -> str:
        address = urlsplit(self.bucket.address("any", Presentation("GET", "any", "inline")))
        return f"{address.scheme}://{address.netloc}"

    def unpublish(self, job_id: str, execution_id: str) -> None:
        self._delete(_results(job_id, execution_id))

    def drop_results(self, job_id: str, *, but: str = "") -> None:
        self.bucket.delete(self._unnamed(job_id, named=but))

    def keep(self, job_id: str, name: str, path: Path) -> None:
        self._upload(path, f"{_kept(job_id)}{checked_kept_name(name)}", check=ignore)

    def kept(self, job_id: str) -> Sequence[str]:
        folder = _kept(job_id)
        return [found.key.removeprefix(folder) for found in self.bucket.list(folder)]

    @contextmanager
    def fetch(
        self, job_id: str, names: Sequence[str], *, check: Callable[[], None] = ignore
    ) -> Iterator[Sequence[Path]]:
        # One place for all of them: each holds a descriptor, and a long film has more pieces than a process has those.
        name_of_place = f"kept-{uuid4().hex}"
        place = self._scratch.take(name_of_place)
        try:
            for name in names:
                check()
                self.bucket.download(f"{_kept(job_id)}{checked_kept_name(name)}", place / name)
            yield [place / name for name in names]
        finally:
            self._scratch.give_back(name_of_place)

    def drop_kept(self, job_id: str, names: Sequence[str] | None = None) -> None:
        if names is None:
            self._delete(_kept(job_id))
        else:
            self.bucket.delete([f"{_kept(job_id)}{checked_kept_name(name)}" for name in names])

    def write_still(self, job_id: str, frame: int, picture: bytes) -> None:
        # Asked once: it is only to be looked at while the job runs, and whoever tells of the job must not be held up.
        self.bucket.put(_still(job_id, frame), picture, patient=False)

    def read_still(self, job_id: str, frame: int) -> bytes:
        try:
            return self.bucket.get(_still(job_id, frame))
        except FileNotFoundError as error:
            raise still_not_found(job_id, frame) from error

    def delete(self, job_id: str) -> None:
        self._delete(_job(job_id))

    def has_leftovers(self, job_id: str, *, published: str) -> bool:
        return bool(self._unnamed(job_id, named=published))

    def drop_leftovers(self, job_id: str, *, published: str) -> None:
        self.drop_results(job_id, but=published)

    def job_ids(self) -> Iterator[str]:
        yield from self.bucket.folders("jobs/")

    def last_touched(self, job_id: str) -> float:
        changes = [found.changed_at for found in self.bucket.list(_job(job_id))]
        changes += [self.bucket.last_part_at(parts) for parts in self.bucket.list_parts(_job(job_id))]
        return max((change.timestamp() for change in changes), default=0.0)

    def size(self, job_id: str) -> int:
        return sum(found.bytes for found in self.bucket.list(_job(job_id)))

    def free_bytes(self) -> None:
        return None

    def check_writable(self) -> None:
        # Asked once: who looks wants to hear at once.
        self.bucket.put("probe", b"Written by retint, to see whether it can.", patient=False)

    def sweep(self) -> None:
        for parts in self.bucket.list_parts("jobs/"):
            if datetime.now(UTC) - self.bucket.last_part_at(parts) > PARTS_KEPT:
                self.bucket.abort_parts(parts.key, parts.id)

    def tidy(self) -> None:
        self._scratch.tidy(unused_seconds=INPUT_KEPT_SECONDS)

    def _fetch_input(self, job_id: str, place: Path) -> None:
        files = list(self.bucket.list(f"{_job(job_id)}input/"))
        if sum(file.bytes for file in files) > shutil.disk_usage(place).free:
            # The inputs of other jobs are kept as long as there is room for them.
            self._scratch.tidy(unused_seconds=0.0)
        self.bucket.download(input_video_key(job_id), place / "video")
        for file in files:
            if file.key != input_video_key(job_id):
                self.bucket.download(file.key, place / file.key.rpartition("/")[2])

    def _upload(self, path: Path, key: str, *, check: Callable[[], None]) -> None:
        part_bytes = part_bytes_for(path.stat().st_size, most_parts=MOST_PARTS)
        with path.open("rb") as content, ObjectWriter(self.bucket, key, part_bytes=part_bytes) as writer:
            check()
            while piece := content.read(PIECE_BYTES):
                writer.write(piece)
                check()
        path.unlink()

    def _unnamed(self, job_id: str, *, named: str) -> list[str]:
        """Keys of the results of all executions but one; of all where it is empty."""
        kept = _results(job_id, named) if named else None
        found = [one.key for one in self.bucket.list(f"{_job(job_id)}results/")]
        return [key for key in found if kept is None or not key.startswith(kept)]

    def _delete(self, prefix: str) -> None:
        self.bucket.delete([found.key for found in self.bucket.list(prefix)])


def _reference_key(job_id: str, index: int) -> str:
    return f"{_job(job_id)}input/references/{index:04d}"


def input_video_key(job_id: str) -> str:
    return f"{_job(job_id)}input/video"


def _job(job_id: str) -> str:
    return f"jobs/{checked_job_id(job_id)}/"


def _results(job_id: str, execution_id: str) -> str:
    return f"{_job(job_id)}results/{checked_job_id(execution_id)}/"


def _still(job_id: str, frame: int) -> str:
    return f"{_job(job_id)}stills/{frame}.jpg"


def _kept(job_id: str) -> str:
    return f"{_job(job_id)}kept/"


def _work(job_id: str, execution_id: str) -> str:
    return f"work-{checked_job_id(job_id)}-{checked_job_id(execution_id)}"
