"""An API process and a worker process that share nothing but Redis and a bucket, with a real film."""

import hashlib
import io
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import httpx
import numpy as np
import pytest
from failing_proxy import FailingProxy, failing_proxy
from object_storage import ObjectStorage
from redis import Redis
from retint import Client

from jobs.bucket import PART_BYTES
from jobs.keys import KeyRing
from tests.service.http_checks import assert_problem
from tests.service.live_server import Server, eventually, running

QUIET = {"tuning": "off", "output": {"container": "mkv", "codec": "ffv1"}, "variants": ["video", "report"]}


@dataclass
class Hall:
    server: Server
    storage: ObjectStorage
    proxy: FailingProxy
    settings: dict[str, Any]
    """Of the storage."""
    redis_url: str
    token: str
    worker_folder: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def start_worker(self) -> "subprocess.Popen[bytes]":
        environment = {
            **os.environ,
            "RETINT_REDIS_URL": self.redis_url,
            "RETINT_DATA_FOLDER": str(self.worker_folder),
            "RETINT_QUEUE_NAME": f"live-{self.server.folder.name}",
            "RETINT_THREADS": "1",
            "RETINT_DEVICE": "cpu",
            **{f"RETINT_{name.upper()}": str(value) for name, value in self.settings.items()},
        }
        return subprocess.Popen([sys.executable, "-m", "cli", "worker"], env=environment)


@pytest.fixture(scope="module")
def hall(redis_url: str, object_storage: ObjectStorage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hall]:
    folder = tmp_path_factory.mktemp("api")
    port = int(object_storage.endpoint.rpartition(":")[2])
    with failing_proxy(port) as proxy:
        settings = object_storage.settings(s3_endpoint=proxy.address)
        with Redis.from_url(redis_url) as redis:
            _, token = KeyRing(redis, f"live-{folder.name}").create("ann")
        with running(redis_url, folder, auth="on", **settings) as server:
            worker_folder = tmp_path_factory.mktemp("worker")
            yield Hall(server, object_storage, proxy, settings, redis_url, token, worker_folder)


@pytest.fixture(scope="module")
def worker(hall: Hall) -> Iterator["subprocess.Popen[bytes]"]:
    process = hall.start_worker()
    try:
        assert eventually(lambda: hall.server.client.get("/readyz").is_success, seconds=120)
        yield process
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A film of 12 frames in gray, and its first frame in color."""
    folder = tmp_path_factory.mktemp("film")
    rng = np.random.default_rng(1)
    picture = cv2.resize(rng.integers(0, 256, (5, 7, 3)).astype(np.uint8), (96, 64), interpolation=cv2.INTER_CUBIC)
    with av.open(str(folder / "film.mkv"), "w") as out:
        stream: Any = out.add_stream("libx264", rate=25, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "gray"
        for index in range(12):
            gray = cv2.cvtColor(np.roll(picture, index, axis=1), cv2.COLOR_BGR2GRAY)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(gray, format="gray")))
        out.mux(stream.encode(None))
    cv2.imwrite(str(folder / "first.png"), picture)
    return folder / "film.mkv", folder / "first.png"


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_film_goes_in_and_comes_out_in_color(
    hall: Hall, worker: "subprocess.Popen[bytes]", film: tuple[Path, Path], tmp_path: Path
) -> None:
    video, still = film
    with Client(hall.url, api_key=hall.token) as client:
        job = client.wait(client.submit(video, [still], options=QUIET).id, timeout=200)
        assert (job.status, job.error) == ("succeeded", None)
        for variant in job.variants:
            path = client.download(job.id, variant.name, tmp_path / variant.name)
            assert hashlib.sha256(path.read_bytes()).hexdigest() == variant.sha256
    with av.open(str(tmp_path / "video")) as colored:
        frames = [frame.to_ndarray(format="yuv444p") for frame in colored.decode(video=0)]
    assert len(frames) == 12
    assert min(float(frame[1:].std()) for frame in frames) > 5
    assert files_in(hall.server.folder) == []
    assert not list((hall.worker_folder / "scratch").glob("work-*"))


def test_downloads_are_sent_to_the_storage_with_no_key_but_the_address(
    hall: Hall, worker: "subprocess.Popen[bytes]", film: tuple[Path, Path]
) -> None:
    video, still = film
    with Client(hall.url, api_key=hall.token) as client:
        job = client.wait(client.submit(video, [still], options=QUIET).id, timeout=200)
        (variant,) = [one for one in job.variants if one.name == "video"]
        there = {"Authorization": f"Bearer {hall.token}"}
        hall.proxy.heads.clear()
        with httpx.Client(base_url=hall.url, trust_env=False, headers=there) as http:
            for method in ("GET", "HEAD"):
                answer = http.request(method, variant.href)
                assert answer.status_code == 307
                assert answer.headers["Cache-Control"] == "no-store"
                assert answer.headers["Location"].startswith(hall.proxy.address)
                file = http.request(method, variant.href, follow_redirects=True, headers={"Range": "bytes=10-19"})
                assert file.status_code in ((206,) if method == "GET" else (200, 206))
                assert file.headers["Content-Type"] == variant.media_type
                assert file.headers["Content-Disposition"] == 'attachment; filename="film-color.mkv"'
            whole = http.get(variant.href, follow_redirects=True).content
            assert hashlib.sha256(whole).hexdigest() == variant.sha256
            assert (
                http.get(variant.href, follow_redirects=True, headers={"Range": "bytes=10-19"}).content == whole[10:20]
            )
            assert http.get(variant.href, headers={"If-None-Match": f'"{variant.sha256}"'}).status_code == 304
            assert_problem(http.get(variant.href.replace("=video", "=preview")), 404, "variant_not_found")
            spoilt = http.get(variant.href).headers["Location"].replace("Signature=", "Signature=0")
            assert httpx.get(spoilt, trust_env=False).status_code == 403
            report = http.get(variant.href.replace("=video", "=report"))
            assert report.status_code == 200
            assert "sandbox" in report.headers["Content-Security-Policy"]
            assert report.text.startswith("<!doctype html>")
            assert f"media-src 'self' {hall.proxy.address};" in http.get("/").headers["Content-Security-Policy"]
        asked = [head for head in hall.proxy.heads if b"X-Amz-Signature" in head.partition(b"\r\n")[0]]
        assert asked
        assert not [head for head in asked if hall.token.encode() in head]
        client.delete(job.id)
    assert not [key for key in hall.storage.keys(hall.settings["store"]) if job.id in key]


def test_keyframes_are_sent_to_the_storage_too(
    hall: Hall, worker: "subprocess.Popen[bytes]", film: tuple[Path, Path], tmp_path: Path
) -> None:
    with Client(hall.url, api_key=hall.token) as client:
        found = client.wait_keyframes(client.find_keyframes(film[0]).id, timeout=200)
        assert found.status == "succeeded"
        packed = zipfile.ZipFile(io.BytesIO(client.download_keyframes(found.id, tmp_path / "all.zip").read_bytes()))
    with httpx.Client(base_url=hall.url, trust_env=False, headers=hall.headers) as http:
        for one in found.keyframes:
            answer = http.get(one.href)
            assert answer.status_code == 200
            assert answer.headers["Content-Type"] == "image/png"
            assert answer.content == packed.read(one.name)


def test_a_form_is_taken_without_touching_the_disk(hall: Hall, film: tuple[Path, Path]) -> None:
    video, still = film
    with httpx.Client(base_url=hall.url, trust_env=False, headers=hall.headers) as http:
        files = [("video", ("film.mkv", video.read_bytes())), ("references", ("first.png", still.read_bytes()))]
        job = http.post("/v1/jobs", files=files)
        assert job.status_code == 202
        assert http.delete(job.headers["Location"]).status_code == 204
    assert files_in(hall.server.folder) == []


def test_an_upload_goes_on_at_another_api_process_when_one_is_killed(
    hall: Hall, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = os.urandom(PART_BYTES + 5_000_000)
    tus = {"Tus-Resumable": "1.0.0", **hall.headers}
    stream = {**tus, "Content-Type": "application/offset+octet-stream"}

    def stands_at() -> int:
        return int(hall.server.client.get(where, headers=hall.headers).json()["offset"])

    def first_part_then_death() -> Iterator[bytes]:
        for start in range(0, len(content), 100_000):
            if start > PART_BYTES + 4_000_000:
                assert eventually(lambda: stands_at() == PART_BYTES, seconds=60)
                os.kill(doomed.pid, signal.SIGKILL)
            yield content[start : start + 100_000]

    folder = tmp_path_factory.mktemp("other")
    queue = {"queue_name": f"live-{hall.server.folder.name}"}
    with running(hall.redis_url, folder, auth="on", **hall.settings, **queue) as doomed:
        answer = doomed.client.post("/v1/uploads", headers={**tus, "Upload-Length": str(len(content))})
        where = answer.headers["Location"]
        with pytest.raises(httpx.TransportError):
            doomed.client.patch(where, content=first_part_then_death(), headers={**stream, "Upload-Offset": "0"})
    # The dead process holds the upload until its lease runs out.
    assert eventually(lambda: hall.server.client.head(where, headers=tus).status_code == 200, seconds=60)
    rest = {**stream, "Upload-Offset": str(stands_at())}
    assert hall.server.client.patch(where, content=content[stands_at() :], headers=rest).status_code == 204
    upload_id = where.rpartition("/")[2]
    (key,) = [key for key in hall.storage.keys(hall.settings["store"]) if upload_id in key]
    prefix = hall.settings["store"].removeprefix(f"s3://{hall.storage.bucket}/")
    stored = hall.storage.client().get_object(Bucket=hall.storage.bucket, Key=f"{prefix}/{key}")["Body"].read()
    assert stored == content


def test_a_job_outlasts_a_storage_that_is_away_broken_and_slow_for_a_while(
    hall: Hall, worker: "subprocess.Popen[bytes]", film: tuple[Path, Path], tmp_path: Path
) -> None:
    video, still = film
    with Client(hall.url, api_key=hall.token) as client:
        job = client.submit(video, [still], options=QUIET)
        # The worker learns of the job from Redis, and may find nothing of it.
        hall.proxy.be("away")
        for mood in ("away", "errors", "slow"):
            hall.proxy.be(mood)
            time.sleep(3)
        failed = hall.proxy.refused
        assert eventually(lambda: client.get(job.id).finished, seconds=200)
        hall.proxy.be("well")
        job = client.get(job.id)
        assert (job.status, job.error) == ("succeeded", None)
        assert failed > 0
        client.download(job.id, "video", tmp_path / "out.mkv")


def test_who_asks_for_files_of_a_storage_that_is_away_is_told(
    hall: Hall, worker: "subprocess.Popen[bytes]", film: tuple[Path, Path]
) -> None:
    hall.proxy.be("away")
    try:
        answer = hall.server.client.get("/readyz")
        assert_problem(answer, 503, "not_ready")
        assert "#/store" in [error["pointer"] for error in answer.json()["errors"]]
        files = [("video", ("film.mkv", film[0].read_bytes())), ("references", ("first.png", film[1].read_bytes()))]
        answer = hall.server.client.post("/v1/jobs", files=files, headers=hall.headers, timeout=120)
        assert_problem(answer, 503, "storage_unavailable")
        assert int(answer.headers["Retry-After"]) > 0
    finally:
        hall.proxy.be("well")
    assert eventually(lambda: hall.server.client.get("/readyz").is_success, seconds=60)
