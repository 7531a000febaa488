"""Memory of one API process while a large upload comes in, by the form of `POST /v1/jobs` and by tus.

    python benchmarks/upload_memory.py --bytes 4294967296

Prints one JSON object; `peak_megabytes` is the target: all that the API process ever held, under 150 MB. The bytes are
made as they are sent; what the server stores of them is in `--folder` (default: the folder of temporary files) until
the end.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import httpx

from jobs.embedded_redis import embedded_redis

BLOCK = bytes(1024 * 1024)
BOUNDARY = "frontier"
TUS = {"Tus-Resumable": "1.0.0"}
MEGABYTE = 1_000_000


class Api:
    """A running API process."""

    def __init__(self, *, pid: int, port: int) -> None:
        self._pid = pid
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=600)

    def megabytes(self, field: str) -> float:
        """`VmRSS` is what it holds now, `VmHWM` the most that it ever held."""
        for line in Path(f"/proc/{self._pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024 / MEGABYTE
        raise RuntimeError(f"The kernel tells no {field}.")

    def wait(self) -> None:
        """Until it answers."""
        for _ in range(600):
            try:
                self.client.get("/healthz")
            except httpx.ConnectError:
                time.sleep(0.1)
            else:
                return
        raise RuntimeError("The API did not start within a minute.")


@contextmanager
def running_api(folder: Path, *, size: int) -> Iterator[Api]:
    with embedded_redis(folder / "redis") as redis_url, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        environment = {
            **os.environ,
            "RETINT_REDIS_URL": redis_url,
            "RETINT_DATA_FOLDER": str(folder),
            "RETINT_MAX_UPLOAD_BYTES": str(size + MEGABYTE),
        }
        command = [sys.executable, "-m", "cli", "api", "--host", "127.0.0.1", "--port", str(port)]
        process = subprocess.Popen(command, env=environment)
        try:
            api = Api(pid=process.pid, port=port)
            with api.client:
                api.wait()
                yield api
        finally:
            process.terminate()
            process.wait()


def blocks(size: int) -> Iterator[bytes]:
    for start in range(0, size, len(BLOCK)):
        yield BLOCK[: size - start]


def send_form(api: Api, size: int) -> None:
    def part(name: str, filename: str, kind: str) -> bytes:
        return (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n'
            f"Content-Type: {kind}\r\n\r\n"
        ).encode()

    def form() -> Iterator[bytes]:
        yield part("video", "film.mkv", "video/x-matroska")
        yield from blocks(size)
        yield b"\r\n" + part("references", "frame.png", "image/png") + f"picture\r\n--{BOUNDARY}--\r\n".encode()

    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    api.client.post("/v1/jobs", content=form(), headers=headers).raise_for_status()


def send_tus(api: Api, size: int) -> None:
    made = api.client.post("/v1/uploads", headers={**TUS, "Upload-Length": str(size)}).raise_for_status()
    headers = {**TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    sent = api.client.patch(made.headers["Location"], content=blocks(size), headers=headers).raise_for_status()
    if sent.headers["Upload-Offset"] != str(size):
        raise RuntimeError(f"Only {sent.headers['Upload-Offset']} of {size} bytes arrived.")


def measure(folder: Path, *, size: int, send: Callable[[Api, int], None]) -> dict[str, float]:
    """Send so many bytes to a fresh API process."""
    with TemporaryDirectory(dir=folder) as name, running_api(Path(name), size=size) as api:
        send(api, 1000)  # what the first call of all loads is not the upload's
        before = api.megabytes("VmHWM")
        started = time.perf_counter()
        send(api, size)
        seconds = time.perf_counter() - started
        peak = api.megabytes("VmHWM")
    return {
        "bytes": size,
        "seconds": round(seconds, 1),
        "mebibytes_per_second": round(size / seconds / 1024**2, 1),
        "growth_megabytes": round(peak - before, 1),
        "peak_megabytes": round(peak, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bytes", type=int, default=4 * 1024**3)
    parser.add_argument("--folder", type=Path, default=None, help="where there is room for that much")
    given = parser.parse_args()
    figures = {
        "form": measure(given.folder, size=given.bytes, send=send_form),
        "tus": measure(given.folder, size=given.bytes, send=send_tus),
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
