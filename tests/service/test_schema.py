"""The description of the API is true: schemathesis asks the running service for all that it promises."""

import os
import subprocess
import sys
from pathlib import Path

from redis import Redis

from jobs.keys import KeyRing
from tests.service.live_server import eventually, running

FOLDER = Path(__file__).parent / "schema"


def test_the_service_does_what_its_description_says(redis_url: str, redis: Redis, tmp_path: Path) -> None:
    _, token = KeyRing(redis, f"live-{tmp_path.name}").create("schemathesis")
    environment = {
        **os.environ,
        "RETINT_REDIS_URL": redis_url,
        "RETINT_DATA_FOLDER": str(tmp_path),
        "RETINT_QUEUE_NAME": f"live-{tmp_path.name}",
    }
    worker = subprocess.Popen([sys.executable, str(FOLDER / "quick_worker.py")], env=environment)
    try:
        with running(redis_url, tmp_path, auth="on", max_upload_bytes=1_000_000) as server:
            assert eventually(lambda: server.client.get("/readyz").is_success, seconds=60)
            command = ["--config-file", str(FOLDER / "schemathesis.toml"), "run", "--wait-for-schema=10"]
            ran = subprocess.run(
                [
                    str(Path(sys.executable).with_name("schemathesis")),
                    *command,
                    f"http://127.0.0.1:{server.port}/openapi.json",
                ],
                env={**os.environ, "RETINT_TEST_KEY": token, "PYTHONPATH": str(FOLDER)},
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=240,
            )
    finally:
        worker.terminate()
        worker.wait(10)
    assert ran.returncode == 0, ran.stdout[-20_000:] + ran.stderr
