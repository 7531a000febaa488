"""The official JavaScript client of tus against a real server, through a proxy that cuts its connections."""

import json
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from npm_packages import installed

from tests.service.cutting_proxy import cutting_proxy
from tests.service.live_server import MEBIBYTE, Server, running

PROJECT = Path(__file__).parent / "tus_js"
CUTS = [2 * MEBIBYTE, 1000, 70_000, MEBIBYTE // 2, MEBIBYTE + 1] * 2

Upload = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="session")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The uploading script, its packages installed beside it."""
    return installed(PROJECT, into=tmp_path_factory.mktemp("tus")) / "upload.mjs"


@pytest.fixture
def server(redis_url: str, tmp_path: Path) -> Iterator[Server]:
    with running(redis_url, tmp_path) as server:
        yield server


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return write_film(tmp_path / "film.mkv", seed=1)


@pytest.fixture
def upload(script: Path, server: Server) -> Upload:
    def run(*files: Path, port: int = server.port, **given: object) -> list[dict[str, Any]]:
        request = {"endpoint": f"http://127.0.0.1:{port}/v1/uploads", "files": [str(file) for file in files], **given}
        done = subprocess.run(
            ["node", str(script), json.dumps(request)], capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stderr
        found: list[dict[str, Any]] = json.loads(done.stdout) if done.stdout else []
        return found

    return run


def write_film(path: Path, *, seed: int) -> Path:
    path.write_bytes(random.Random(seed).randbytes(12 * MEBIBYTE + 77))
    return path


def uploads(server: Server) -> list[Path]:
    return sorted((server.folder / "store" / "uploads").iterdir())


def stored(server: Server, result: dict[str, Any]) -> bytes:
    return (server.folder / "store" / "uploads" / result["url"].rsplit("/", 1)[-1] / "data").read_bytes()


@pytest.mark.parametrize("options", [{}, {"chunkSize": 4 * MEBIBYTE}, {"uploadDataDuringCreation": True}])
def test_it_goes_on_after_every_cut(server: Server, upload: Upload, film: Path, options: dict[str, object]) -> None:
    with cutting_proxy(server.port, cuts=CUTS) as proxy:
        (result,) = upload(film, port=proxy.port, options=options)
        assert proxy.cut == len(CUTS)
    assert result["retries"] >= len(CUTS)
    assert stored(server, result) == film.read_bytes()
    status = server.client.get(result["url"].replace(str(proxy.port), str(server.port))).json()
    assert (status["finished"], status["filename"]) == (True, "film.mkv")


def test_it_goes_on_in_another_process_from_what_it_remembers(
    server: Server, upload: Upload, film: Path, tmp_path: Path
) -> None:
    storage = str(tmp_path / "remembered.json")
    assert upload(film, storage=storage, leaveAt=4 * MEBIBYTE, options={"chunkSize": 2 * MEBIBYTE}) == []
    (begun,) = uploads(server)
    kept = (begun / "data").stat().st_size
    assert 0 < kept < film.stat().st_size
    (result,) = upload(film, storage=storage)
    assert result["resumed"]
    assert uploads(server) == [begun]
    assert stored(server, result) == film.read_bytes()


def test_it_uploads_several_files_at_once_in_chunks(server: Server, upload: Upload, tmp_path: Path) -> None:
    films = [write_film(tmp_path / f"{seed}.mkv", seed=seed) for seed in range(4)]
    results = upload(*films, options={"chunkSize": MEBIBYTE})
    assert [stored(server, result) for result in results] == [film.read_bytes() for film in films]


def test_it_works_where_patch_must_be_hidden(server: Server, upload: Upload, film: Path) -> None:
    (result,) = upload(film, options={"overridePatchMethod": True})
    assert stored(server, result) == film.read_bytes()


def test_it_deletes_what_it_no_longer_wants(server: Server, upload: Upload, film: Path) -> None:
    (result,) = upload(film, terminate=2 * MEBIBYTE, options={"chunkSize": 2 * MEBIBYTE})
    assert result["terminated"]
    assert uploads(server) == []
