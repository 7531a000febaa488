"""Object storage that speaks S3: the calls that the store makes, and what their failures mean.

boto3 and not obstore: a resumable upload goes on in another process, which takes the calls for single parts, and parts
that nobody will complete must be found; obstore, smaller and faster, offers neither.
"""

import errno
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jobs.errors import StartupError, StoreAway
from jobs.settings import Settings
from jobs.store import Presentation

if TYPE_CHECKING:
    from boto3.s3.transfer import TransferConfig
    from types_boto3_s3 import S3Client

PART_BYTES = 8 * 1024**2
"""S3 wants 5 MiB at least in all parts but the last; R2, that all of them are equal."""
MOST_PARTS = 10_000
COPIED_BYTES = 256 * 1024**2
"""Of a part that the storage copies by itself."""
CONNECT_SECONDS = 5
READ_SECONDS = 30
IMPATIENT_SECONDS = 3
API_ATTEMPTS = 8
"""Somebody waits: botocore's pauses double, at random, so that a storage that does not answer is given up after some
three seconds, one that answers that it is too busy after half a minute."""
WORKER_ATTEMPTS = 20
"""Two to three minutes: hours of work are not lost to a restart of the storage."""
_FULL = frozenset({"XMinioStorageFull", "QuotaExceeded", "InsufficientStorage", "EntityTooLarge"})
_GONE = frozenset({"NoSuchKey", "404", "NotFound"})


class PartsGone(Exception):
    """The parts were completed, or removed."""


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
        self.name, self._prefix = _parse(settings.store or "")
        self._settings = settings
        self._attempts = attempts
        self._session = _session(settings)
        self._clients: dict[tuple[int, str | None, bool], S3Client] = {}
        self._making = threading.Lock()

    def __str__(self) -> str:
        return f"bucket {self.name} at {self._settings.s3_endpoint or 'Amazon S3'}"

    # Objects

    def put(self, key: str, content: bytes, *, patient: bool = True) -> None:
        """`patient`: whether it is tried again, and a slow answer waited for."""
        with self._told(key):
            self._client(patient=patient).put_object(Bucket=self.name, Key=self._at(key), Body=content)

    def get(self, key: str) -> bytes:
        """The whole of a small object."""
        with self._told(key):
            content: bytes = self._client().get_object(Bucket=self.name, Key=self._at(key))["Body"].read()
            return content

    def size(self, key: str) -> int:
        with self._told(key):
            return self._client().head_object(Bucket=self.name, Key=self._at(key))["ContentLength"]

    def download(self, key: str, path: Path) -> None:
        """The object appears at `path` whole."""
        size = self.size(key)
        free = shutil.disk_usage(path.parent).free
        if size > free:
            raise OSError(errno.ENOSPC, f"{key} has {size:,} bytes and the disk has room for {free:,}.", str(path))
        with self._told(key):
            self._client().download_file(self.name, self._at(key), str(path), Config=_transfer(PART_BYTES))

    def copy(self, key: str, target: str) -> None:
        """Within the storage; of any size."""
        with self._told(key):
            source: Any = {"Bucket": self.name, "Key": self._at(key)}
            self._client().copy(source, self.name, self._at(target), Config=_transfer(COPIED_BYTES))

    def list(self, prefix: str, *, most: int | None = None) -> Iterator[StoredObject]:
        """What begins with `prefix`, in the order of its keys."""
        with self._told(prefix):
            pages = self._client().get_paginator("list_objects_v2")
            for page in pages.paginate(
                Bucket=self.name, Prefix=self._at(prefix), PaginationConfig={"MaxItems": most} if most else {}
            ):
                for found in page.get("Contents", []):
                    yield StoredObject(self._below(found["Key"]), found["Size"], found["LastModified"])

    def folders(self, prefix: str) -> Iterator[str]:
        """Names between `prefix` and the next slash."""
        with self._told(prefix):
            pages = self._client().get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.name, Prefix=self._at(prefix), Delimiter="/"):
                for found in page.get("CommonPrefixes", []):
                    yield self._below(found["Prefix"]).removeprefix(prefix).rstrip("/")

    def delete(self, keys: Sequence[str]) -> None:
        """Nothing happens where there is nothing."""
        for start in range(0, len(keys), 1000):
            some: Any = [{"Key": self._at(key)} for key in keys[start : start + 1000]]
            with self._told(keys[start]):
                answer = self._client().delete_objects(Bucket=self.name, Delete={"Objects": some, "Quiet": True})
            for error in answer.get("Errors", []):
                raise StoreAway(f"The {self} does not delete {error.get('Key')}: {error.get('Message')}.")

    # Objects in parts

    def begin_parts(self, key: str) -> str:
        """The id of what is to be put together."""
        with self._told(key):
            return self._client().create_multipart_upload(Bucket=self.name, Key=self._at(key))["UploadId"]

    def put_part(self, key: str, parts_id: str, number: int, content: bytes) -> str:
        """Part `number`, from 1; the answer is what completing asks for. Raises `PartsGone`."""
        with self._told(key):
            return self._client().upload_part(
                Bucket=self.name, Key=self._at(key), UploadId=parts_id, PartNumber=number, Body=content
            )["ETag"]

    def complete_parts(self, key: str, parts_id: str, tags: Sequence[str], *, size: int) -> None:
        """Make the object, of `size` bytes, of its parts. Done again, since the answer to the first time was lost, it
        changes nothing."""
        try:
            with self._told(key):
                self._client().complete_multipart_upload(
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
            with self._told(key):
                self._client().abort_multipart_upload(Bucket=self.name, Key=self._at(key), UploadId=parts_id)
        except PartsGone:
            return

    def list_parts(self, prefix: str) -> Iterator[Parts]:
        """What was begun below `prefix` and neither completed nor aborted. MinIO lists none, and removes them itself
        after a day."""
        with self._told(prefix):
            pages = self._client().get_paginator("list_multipart_uploads")
            for page in pages.paginate(Bucket=self.name, Prefix=self._at(prefix)):
                for found in page.get("Uploads", []):
                    yield Parts(self._below(found["Key"]), found["UploadId"], found["Initiated"])

    def last_part_at(self, parts: Parts) -> datetime:
        """When a part came last."""
        newest = parts.begun_at
        try:
            with self._told(parts.key):
                pages = self._client().get_paginator("list_parts")
                for page in pages.paginate(Bucket=self.name, Key=self._at(parts.key), UploadId=parts.id):
                    newest = max([newest, *(part["LastModified"] for part in page.get("Parts", []))])
        except PartsGone:
            pass
        return newest

    # Addresses

    def address(self, key: str, presentation: Presentation) -> str:
        """Of an object, good without any key for `s3_link_seconds`."""
        method: Literal["head_object", "get_object"] = "head_object" if presentation.method == "HEAD" else "get_object"
        endpoint = self._settings.s3_public_endpoint or self._settings.s3_endpoint
        with self._told(key):
            return self._client(endpoint=endpoint).generate_presigned_url(
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

    def _client(self, *, patient: bool = True, endpoint: str | None = None) -> "S3Client":
        endpoint = endpoint or self._settings.s3_endpoint
        known = (os.getpid(), endpoint, patient)
        with self._making:
            if known not in self._clients:
                self._clients[known] = self._connect(endpoint, patient=patient)
            return self._clients[known]

    def _connect(self, endpoint: str | None, *, patient: bool) -> "S3Client":
        from botocore.config import Config

        config = Config(
            signature_version="s3v4",
            connect_timeout=CONNECT_SECONDS if patient else IMPATIENT_SECONDS,
            read_timeout=READ_SECONDS if patient else IMPATIENT_SECONDS,
            retries={"mode": "standard", "total_max_attempts": self._attempts if patient else 1},
            # Servers other than Amazon's seldom have a name per bucket, and some refuse its newer checksums.
            s3={"addressing_style": "path" if endpoint else "auto"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            max_pool_connections=40,
        )
        region = self._settings.s3_region or self._session.region_name or "us-east-1"
        client: S3Client = self._session.client("s3", endpoint_url=endpoint, region_name=region, config=config)
        return client

    @contextmanager
    def _told(self, key: str) -> Iterator[None]:
        """What boto3 raises, as what this class raises."""
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            raise self._meaning(error, key=key) from error
        except (BotoCoreError, Boto3Error) as error:
            raise StoreAway(f"The {self} cannot be used: {str(error).rstrip('.')}.") from error

    def _meaning(self, error: Any, *, key: str) -> Exception:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if code == "NoSuchUpload":
            return PartsGone(key)
        if code in _FULL or status == 507:
            return OSError(errno.ENOSPC, f"The {self} is full ({code}).", key)
        if code == "NoSuchBucket":
            return StoreAway(f"There is no {self}. Make it, or correct RETINT_STORE.")
        if code in _GONE:
            return FileNotFoundError(errno.ENOENT, f"The {self} holds no such object.", key)
        if status in (401, 403):
            return StoreAway(
                f"The {self} refuses the service ({code}). Check the credentials, and that they may list, read, write "
                "and delete there."
            )
        return StoreAway(f"The {self} answers {status} ({code}), also when it is asked again.")


def _parse(store: str) -> tuple[str, str]:
    """Name of the bucket, and prefix of its keys, empty or with a slash at its end."""
    name, _, prefix = store.removeprefix("s3://").partition("/")
    if not store.startswith("s3://") or not name:
        raise StartupError(
            f"RETINT_STORE is {store!r}; expected a folder, or s3://bucket or s3://bucket/prefix in object storage."
        )
    prefix = prefix.strip("/")
    return name, f"{prefix}/" if prefix else ""


def _session(settings: Settings) -> Any:
    try:
        import boto3
    except ImportError as error:
        raise StartupError(
            f"RETINT_STORE is {settings.store}, and boto3, which reaches object storage, is not installed. Install the "
            "extra `s3`: pip install '.[s3]'."
        ) from error
    key, secret = settings.s3_access_key_id, settings.s3_secret_access_key
    if (key is None) != (secret is None):
        raise StartupError("Set both RETINT_S3_ACCESS_KEY_ID and RETINT_S3_SECRET_ACCESS_KEY, or neither.")
    return boto3.session.Session(
        aws_access_key_id=key,
        aws_secret_access_key=secret.get_secret_value() if secret else None,
        region_name=settings.s3_region,
    )


def _transfer(part_bytes: int) -> "TransferConfig":
    from boto3.s3.transfer import TransferConfig

    return TransferConfig(
        max_concurrency=4, multipart_threshold=part_bytes, multipart_chunksize=part_bytes, num_download_attempts=10
    )
