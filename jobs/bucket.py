"""Object storage that speaks S3: the calls that the store makes, and what their failures mean.

boto3 and not obstore: a resumable upload goes on in another process, which takes the calls for single parts, and parts
that nobody will complete must be found; obstore, smaller and faster, offers neither.
"""

import errno
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jobs.errors import StoreAway
from jobs.s3_connection import PartsGone, S3Connection
from jobs.settings import Settings
from jobs.store import Presentation

if TYPE_CHECKING:
    from boto3.s3.transfer import TransferConfig

PART_BYTES = 8 * 1024**2
"""S3 wants 5 MiB at least in all parts but the last; R2, that all of them are equal."""
MOST_PARTS = 10_000
COPIED_BYTES = 256 * 1024**2
"""Of a part that the storage copies by itself."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    key: str
    bytes: int
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Parts:
    """An object that is still to be put together of its parts."""

    key: str
    id: str
    begun_at: datetime


class Bucket:
    """A bucket, below a prefix, which no key shows. Its clients are made per process, so that it may be forked.

    Raises, in all that it does:
        StoreAway: it cannot serve.
        FileNotFoundError: there is no such object.
        OSError: with `errno.ENOSPC` where it, or the disk, is full.
    """

    def __init__(self, settings: Settings, *, attempts: int) -> None:
        """Raises:
        StartupError: the settings name no bucket, or boto3 is not installed.
        """
        self._settings = settings
        self._connection = S3Connection(settings, attempts=attempts)
        self.name, self._prefix = self._connection.bucket, self._connection.prefix

    def __str__(self) -> str:
        return str(self._connection)

    # Objects

    def put(self, key: str, content: bytes, *, patient: bool = True) -> None:
        """`patient`: whether it is tried again, and a slow answer waited for."""
        with self._connection.client(key, patient=patient) as client:
            client.put_object(Bucket=self.name, Key=self._at(key), Body=content)

    def get(self, key: str) -> bytes:
        """The whole of a small object."""
        with self._connection.client(key) as client:
            content: bytes = client.get_object(Bucket=self.name, Key=self._at(key))["Body"].read()
            return content

    def size(self, key: str) -> int:
        with self._connection.client(key) as client:
            return client.head_object(Bucket=self.name, Key=self._at(key))["ContentLength"]

    def download(self, key: str, path: Path) -> None:
        """The object appears at `path` whole."""
        size = self.size(key)
        free = shutil.disk_usage(path.parent).free
        if size > free:
            raise OSError(errno.ENOSPC, f"{key} has {size:,} bytes and the disk has room for {free:,}.", str(path))
        with self._connection.client(key) as client:
            client.download_file(self.name, self._at(key), str(path), Config=_transfer(PART_BYTES))

    def copy(self, key: str, target: str) -> None:
        """Within the storage; of any size."""
        with self._connection.client(key) as client:
            source: Any = {"Bucket": self.name, "Key": self._at(key)}
            client.copy(source, self.name, self._at(target), Config=_transfer(COPIED_BYTES))

    def list(self, prefix: str, *, most: int | None = None) -> Iterator[StoredObject]:
        """What begins with `prefix`, in the order of its keys."""
        with self._connection.client(prefix) as client:
            pages = client.get_paginator("list_objects_v2")
            for page in pages.paginate(
                Bucket=self.name, Prefix=self._at(prefix), PaginationConfig={"MaxItems": most} if most else {}
            ):
                for found in page.get("Contents", []):
                    yield StoredObject(self._below(found["Key"]), found["Size"], found["LastModified"])

    def folders(self, prefix: str) -> Iterator[str]:
        """Names between `prefix` and the next slash."""
        with self._connection.client(prefix) as client:
            pages = client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.name, Prefix=self._at(prefix), Delimiter="/"):
                for found in page.get("CommonPrefixes", []):
                    yield self._below(found["Prefix"]).removeprefix(prefix).rstrip("/")

    def delete(self, keys: Sequence[str]) -> None:
        """Nothing happens where there is nothing."""
        for start in range(0, len(keys), 1000):
            some: Any = [{"Key": self._at(key)} for key in keys[start : start + 1000]]
            with self._connection.client(keys[start]) as client:
                answer = client.delete_objects(Bucket=self.name, Delete={"Objects": some, "Quiet": True})
            for error in answer.get("Errors", []):
                raise StoreAway(f"The {self} does not delete {error.get('Key')}: {error.get('Message')}.")

    # Objects in parts

    def begin_parts(self, key: str) -> str:
        """The id of what is to be put together."""
        with self._connection.client(key) as client:
            return client.create_multipart_upload(Bucket=self.name, Key=self._at(key))["UploadId"]

    def put_part(self, key: str, parts_id: str, number: int, content: bytes) -> str:
        """Part `number`, from 1; the answer is what completing asks for. Raises `PartsGone`."""
        with self._connection.client(key) as client:
            return client.upload_part(
                Bucket=self.name, Key=self._at(key), UploadId=parts_id, PartNumber=number, Body=content
            )["ETag"]

    def complete_parts(self, key: str, parts_id: str, tags: Sequence[str], *, size: int) -> None:
        """Make the object, of `size` bytes, of its parts. Done again, since the answer to the first time was lost, it
        changes nothing."""
        try:
            with self._connection.client(key) as client:
                client.complete_multipart_upload(
                    Bucket=self.name,
                    Key=self._at(key),
                    UploadId=parts_id,
                    MultipartUpload={"Parts": [{"PartNumber": n, "ETag": tag} for n, tag in enumerate(tags, start=1)]},
                )
        except PartsGone as error:
            try:
                done = self.size(key) == size
            except FileNotFoundError:
                done = False
            if not done:
                raise StoreAway(
                    f"The parts of {key} were removed from the {self} before they made an object."
                ) from error

    def abort_parts(self, key: str, parts_id: str) -> None:
        """Nothing happens where they are gone."""
        try:
            with self._connection.client(key) as client:
                client.abort_multipart_upload(Bucket=self.name, Key=self._at(key), UploadId=parts_id)
        except PartsGone:
            return

    def list_parts(self, prefix: str) -> Iterator[Parts]:
        """What was begun below `prefix` and neither completed nor aborted. MinIO lists none, and removes them itself
        after a day."""
        with self._connection.client(prefix) as client:
            pages = client.get_paginator("list_multipart_uploads")
            for page in pages.paginate(Bucket=self.name, Prefix=self._at(prefix)):
                for found in page.get("Uploads", []):
                    yield Parts(self._below(found["Key"]), found["UploadId"], found["Initiated"])

    def last_part_at(self, parts: Parts) -> datetime:
        """When a part came last."""
        newest = parts.begun_at
        try:
            with self._connection.client(parts.key) as client:
                pages = client.get_paginator("list_parts")
                for page in pages.paginate(Bucket=self.name, Key=self._at(parts.key), UploadId=parts.id):
                    newest = max([newest, *(part["LastModified"] for part in page.get("Parts", []))])
        except PartsGone:
            pass
        return newest

    # Addresses

    def address(self, key: str, presentation: Presentation) -> str:
        """Of an object, good without any key for `s3_link_seconds`."""
        method: Literal["head_object", "get_object"] = "head_object" if presentation.method == "HEAD" else "get_object"
        with self._connection.client(key, endpoint=self._settings.s3_public_endpoint) as client:
            return client.generate_presigned_url(
                method,
                Params={
                    "Bucket": self.name,
                    "Key": self._at(key),
                    "ResponseContentType": presentation.media_type,
                    "ResponseContentDisposition": presentation.disposition,
                },
                ExpiresIn=self._settings.s3_link_seconds,
            )

    # The rest is how

    def _at(self, key: str) -> str:
        return self._prefix + key

    def _below(self, key: str) -> str:
        return key.removeprefix(self._prefix)


def _transfer(part_bytes: int) -> "TransferConfig":
    from boto3.s3.transfer import TransferConfig

    return TransferConfig(
        max_concurrency=4, multipart_threshold=part_bytes, multipart_chunksize=part_bytes, num_download_attempts=10
    )
