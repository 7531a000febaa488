"""A real S3 server (SeaweedFS, which a package brings) on free ports of this machine, that checks signatures."""

import json
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

KEY, SECRET = "key-of-the-tests", "secret-of-the-tests"
START_SECONDS = 120


@dataclass(frozen=True)
class ObjectStorage:
    endpoint: str
    bucket: str = "films"

    def settings(self, **others: Any) -> dict[str, Any]:
        """For `Settings`: a part of the bucket that nobody else uses."""
        return {
            "store": f"s3://{self.bucket}/{uuid4().hex}",
            "s3_endpoint": self.endpoint,
            "s3_access_key_id": KEY,
            "s3_secret_access_key": SECRET,
            **others,
        }

    def client(self) -> Any:
        """Past retint."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )

    def keys(self, store: str) -> set[str]:
        """What is in the part of the bucket that `store` names, without that part's own name."""
        prefix = store.removeprefix(f"s3://{self.bucket}/") + "/"
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return {found["Key"].removeprefix(prefix) for page in pages for found in page.get("Contents", [])}

    def unfinished(self, store: str) -> set[str]:
        """The same of objects that are not put together yet."""
        prefix = store.removeprefix(f"s3://{self.bucket}/") + "/"
        answer = self.client().list_multipart_uploads(Bucket=self.bucket, Prefix=prefix)
        return {found["Key"].removeprefix(prefix) for found in answer.get("Uploads", [])}


@contextmanager
def running_object_storage(folder: Path) -> Iterator[ObjectStorage]:
    identity = {"credentials": [{"accessKey": KEY, "secretKey": SECRET}], "name": "tests"}
    config = folder / "identities.json"
    config.write_text(json.dumps({"identities": [identity | {"actions": ["Admin", "Read", "Write", "List"]}]}))
    with ExitStack() as stack:
        for attempt in range(3):
            storage, process = _start(folder, config, stack)
            if _is_up(storage, process):
                break
            assert attempt < 2, (folder / "log").read_text()[-2000:]
        yield storage


def _start(folder: Path, config: Path, stack: ExitStack) -> tuple[ObjectStorage, "subprocess.Popen[bytes]"]:
    master, volume, filer, s3 = _free_ports(4)
    command = [
        *(sys.executable, "-m", "jobs.run_with_parent", str(os.getpid())),
        *(str(Path(sys.executable).with_name("weed")), "server", f"-dir={folder}"),
        *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-volume.max=0", "-master.volumeSizeLimitMB=64"),
        *(f"-master.port={master}", f"-volume.port={volume}", "-filer", f"-filer.port={filer}"),
        *("-s3", f"-s3.port={s3}", f"-s3.config={config}", "-s3.autoCreateBucket=false", "-s3.iam=false"),
        *("-s3.port.iceberg=0", "-s3.port.lance=0", f"-filer.localSocket={folder}/f", f"-s3.localSocket={folder}/s"),
        "-master.telemetry=false",
    ]
    log = stack.enter_context((folder / "log").open("wb"))
    process = subprocess.Popen(command, stdout=log, stderr=log)
    stack.callback(process.wait)
    stack.callback(process.kill)
    return ObjectStorage(f"http://127.0.0.1:{s3}"), process


def _is_up(storage: ObjectStorage, process: "subprocess.Popen[bytes]") -> bool:
    """Wait until it takes an object; False where it ends, as when another one was faster to take a port."""
    client = storage.client()
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            client.create_bucket(Bucket=storage.bucket)
            client.put_object(Bucket=storage.bucket, Key="probe", Body=b"probe")
            return True
        except (BotoCoreError, ClientError):
            if process.poll() is not None:
                return False
            assert time.monotonic() < deadline, "the object storage does not start"
            time.sleep(0.2)


def _free_ports(count: int) -> list[int]:
    """Ports that are free together with those 10,000 above, where the server listens too: below those that the system
    gives away, so that nobody gets one of them before the server does."""
    with ExitStack() as stack:
        found: list[int] = []
        while len(found) < count:
            port = random.randrange(10_240, 22_000)
            try:
                for one in (port, port + 10_000):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", one))
            except OSError:
                continue
            found.append(port)
        return found
