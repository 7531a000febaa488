"""How object storage is reached: whose address and bucket, with which patience, and what its failures mean."""

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from jobs.errors import StartupError, StoreAway
from jobs.settings import Settings

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

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


class S3Connection:
    """Clients for the bucket that the settings name. They are made per process, so that it may be forked."""

    def __init__(self, settings: Settings, *, attempts: int) -> None:
        """Raises:
        StartupError: the settings name no bucket, or boto3 is not installed.
        """
        self.bucket, self.prefix = _parse(settings.store or "")
        self._settings = settings
        self._attempts = attempts
        self._session = _session(settings)
        self._clients: dict[tuple[int, str | None, bool], S3Client] = {}
        self._making = threading.Lock()

    def __str__(self) -> str:
        return f"bucket {self.bucket} at {self._settings.s3_endpoint or 'Amazon S3'}"

    @contextmanager
    def client(self, key: str, *, patient: bool = True, endpoint: str | None = None) -> "Iterator[S3Client]":
        """A client for calls about `key`; what they raise is told as `jobs.bucket.Bucket` tells it.

        `patient`: whether they are tried again, and slow answers waited for. `endpoint`: another than the service's.
        """
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield self._client(endpoint or self._settings.s3_endpoint, patient=patient)
        except ClientError as error:
            raise self._meaning(error, key=key) from error
        except (BotoCoreError, Boto3Error) as error:
            raise StoreAway(f"The {self} cannot be used: {str(error).rstrip('.')}.") from error

    def _client(self, endpoint: str | None, *, patient: bool) -> "S3Client":
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
