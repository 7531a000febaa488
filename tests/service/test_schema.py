"""The description of the API is true: schemathesis asks the running service for all that it promises."""

import json
import os
import subprocess
import sys
from pathlib import Path

from redis import Redis

from jobs.keys import KeyRing
from tests.service.live_server import eventually, running

FOLDER = Path(__file__).parent / "schema"


def test_the_service_does_what_its_description_says(redis_url: str, redis: Redis, tmp_path: Path) -> None:
    ring = KeyRing(redis, f"live-{tmp_path.name}")
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"auth": [_user(name, ring.create(name)[1]) for name in ("ann", "bob")]}))
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
            command = ["--config-file", str(FOLDER / "schemathesis.toml"), "run", "--checks=all"]
            ran = subprocess.run(
                [
                    str(Path(sys.executable).with_name("schemathesis")),
                    *command,
                    f"http://127.0.0.1:{server.port}/openapi.json",
                ],
                env={**os.environ, "RETINT_TEST_KEYS": str(keys), "PYTHONPATH": str(FOLDER)},
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=240,
            )
    finally:
        worker.terminate()
        worker.wait(60)
    assert ran.returncode == 0, ran.stdout[-20_000:] + ran.stderr


def _user(name: str, token: str) -> dict[str, object]:
    return {"name": name, "fixedHeaders": [{"name": "Authorization", "value": f"Bearer {token}"}]}
