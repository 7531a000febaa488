"""Keyframes over HTTP, with a real server, a real worker process and real films."""

import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from tests.service.http_checks import assert_problem
from tests.service.live_server import Server, eventually, running

WORKER = Path(__file__).parent / "schema" / "quick_worker.py"


@pytest.fixture(scope="module")
def server(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("keyframes")
    environment = {
        **os.environ,
        "RETINT_REDIS_URL": redis_url,
        "RETINT_DATA_FOLDER": str(folder),
        "RETINT_QUEUE_NAME": f"live-{folder.name}",
    }
    worker = subprocess.Popen([sys.executable, str(WORKER)], env=environment)
    try:
        with running(redis_url, folder) as found:
            assert eventually(lambda: found.client.get("/readyz").is_success, seconds=60)
            yield found
    finally:
        worker.terminate()
        worker.wait(20)


def film_of(scenes: int, *, frames: int) -> bytes:
    """A gray film with cuts, 128x96."""
    written = io.BytesIO()
    with av.open(written, "w", format="matroska") as container:
        stream: Any = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for scene in range(scenes):
            rng = np.random.default_rng(scene)
            small = rng.integers(16, 236, (7, 9)).astype(np.uint8)
            picture = cv2.resize(small, (128, 96), interpolation=cv2.INTER_NEAREST)
            for index in range(frames):
                frame = av.VideoFrame.from_ndarray(np.roll(picture, index, axis=1), format="gray")
                container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    return written.getvalue()


def submit(server: Server, film: bytes) -> str:
    response = server.client.post("/v1/keyframes", files={"video": ("film.mkv", film, "video/x-matroska")})
    assert response.status_code == 202, response.text
    return str(response.headers["location"])


def ended(server: Server, address: str) -> dict[str, Any]:
    record: dict[str, Any] = {}

    def look() -> bool:
        record.update(server.client.get(address, params={"wait": 5}).json())
        return record["status"] in ("succeeded", "failed", "canceled")

    assert eventually(look, seconds=120)
    return record


def test_a_film_becomes_pictures(server: Server) -> None:
    record = ended(server, submit(server, film_of(3, frames=20)))
    assert (record["status"], record["error"]) == ("succeeded", None)
    assert record["progress"] == {**record["progress"], "fraction": 1.0, "frames_done": 60, "frames_total": 60}
    assert [(one["first_frame"], one["last_frame"]) for one in record["keyframes"]] == [(0, 19), (20, 39), (40, 59)]
    archive = server.client.get(record["variants"][0]["href"]).content
    with zipfile.ZipFile(io.BytesIO(archive)) as packed:
        assert packed.namelist() == [*(one["name"] for one in record["keyframes"]), "keyframes.json"]
        for one in record["keyframes"]:
            picture = server.client.get(one["href"]).content
            assert packed.read(one["name"]) == picture
            assert cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR).shape == (96, 128, 3)


def test_what_is_no_video_fails_with_a_sentence(server: Server) -> None:
    address = submit(server, b"no film at all")
    record = ended(server, address)
    assert (record["status"], record["error"]["code"]) == ("failed", "video_undecodable")
    assert_problem(server.client.get(f"{address}/content"), 404, "variant_not_found")


def test_a_search_is_canceled_in_the_middle(server: Server) -> None:
    address = submit(server, film_of(100, frames=100))
    begun = lambda: server.client.get(address).json()["progress"]["frames_done"] > 0  # noqa: E731
    assert eventually(begun, seconds=60)
    assert server.client.post(f"{address}/cancel").json()["status"] == "canceled"
    folder = server.folder / "store" / "jobs" / address.rsplit("/", 1)[1]
    left = lambda: [path for path in folder.rglob("*") if path.is_file()]  # noqa: E731
    # The film stays, so that it need not be sent again.
    assert eventually(lambda: [path.parent.name for path in left()] == ["input"], seconds=30)
    assert ended(server, submit(server, film_of(1, frames=12)))["status"] == "succeeded"
    assert server.client.get(address).json()["status"] == "canceled"
