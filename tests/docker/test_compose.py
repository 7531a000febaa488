"""docker-compose.yml, as `docker compose` itself reads it: by the schema of the Compose specification, interpolated."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = Path(sys.executable).with_name("docker-compose")
EVERYTHING = "gpu,cpu,s3,monitoring,weights"
Services = Mapping[str, Mapping[str, Any]]


def rendered(profiles: str | None, **environment: str) -> Mapping[str, Any]:
    """The file as it would be run; fails where it does not fit the specification. None: as .env says."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("COMPOSE_", "RETINT_"))}
    chosen = {} if profiles is None else {"COMPOSE_PROFILES": profiles}
    done = subprocess.run(
        [COMPOSE, "config", "--format", "json"],
        cwd=ROOT,
        env={**clean, **chosen, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "level=warning" not in done.stderr, done.stderr
    config: Mapping[str, Any] = json.loads(done.stdout)
    return config


@pytest.fixture(scope="module")
def services() -> Services:
    found: Services = rendered(EVERYTHING)["services"]
    assert set(found) == set(yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"])
    return found


@pytest.mark.parametrize(
    ("profiles", "workers"),
    [(None, {"worker"}), ("gpu", {"worker"}), ("cpu", {"worker-cpu"}), ("cpu,s3", {"worker-cpu"})],
)
def test_api_redis_courier_and_the_right_worker_come_up(profiles: str | None, workers: set[str]) -> None:
    found = set(rendered(profiles)["services"])
    assert found >= {"api", "redis", "courier"}
    assert {name for name in found if name.startswith("worker")} == workers


def test_every_container_is_confined(services: Services) -> None:
    for name, service in services.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert "cap_add" not in service, name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.get("privileged"), name
        assert service.get("user", "not root") not in ("0", "root", "0:0"), name
        assert int(service["deploy"]["resources"]["limits"]["memory"]) > 0, name
        assert service["deploy"]["resources"]["limits"]["pids"] > 0, name
        assert set(service["logging"]["options"]) == {"max-size", "max-file"}, name


def test_nothing_is_published_to_other_machines(services: Services) -> None:
    published = {name: port["host_ip"] for name, service in services.items() for port in service.get("ports", ())}
    assert "api" in published
    assert set(published.values()) == {"127.0.0.1"}


def test_keys_are_asked_for_whatever_address_is_published(services: Services) -> None:
    assert services["api"]["environment"]["RETINT_AUTH"] == "on"


def test_redis_keeps_what_it_was_told_and_refuses_rather_than_forgets(services: Services) -> None:
    command = " ".join(services["redis"]["command"])
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command
    assert services["redis"]["volumes"][0]["type"] == "volume"


@pytest.mark.parametrize("worker", ["worker", "worker-cpu"])
def test_a_worker_reaches_nothing_outside(worker: str) -> None:
    config = rendered(EVERYTHING)
    assert all(config["networks"][network].get("internal") for network in config["services"][worker]["networks"])
    assert "ports" not in config["services"][worker]


def test_the_overrides_for_several_machines_let_all_reach_one_redis(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    found = []
    for number, text in enumerate(re.findall(r"^```yaml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)):
        override = tmp_path / f"{number}.yml"
        override.write_text(text)
        files = f"{ROOT / 'docker-compose.yml'}:{override}"
        found.append(rendered(EVERYTHING, COMPOSE_FILE=files, REDIS_HOST="10.0.0.1", REDIS_PASSWORD="word")["services"])
    first, other = found
    assert set(first["redis"]["networks"]) == {"inside", "outside"}
    (port,) = first["redis"]["ports"]
    assert (port["host_ip"], port["published"], port["target"]) == ("10.0.0.1", "6379", 6379)
    # What the base file tells Redis, but with a password.
    told = " ".join(rendered(EVERYTHING)["services"]["redis"]["command"])
    assert " ".join(first["redis"]["command"]) == told.replace("--protected-mode no", "--requirepass word")
    assert first["redis"]["environment"]["REDISCLI_AUTH"] == "word"
    for name in ("api", "courier", "worker", "worker-cpu"):
        assert first[name]["environment"]["RETINT_REDIS_URL"] == "redis://:word@redis:6379/0"
        assert set(first[name]["networks"]) == {"inside", "outside"}
    for name in ("worker", "worker-cpu"):
        assert other[name]["environment"]["RETINT_REDIS_URL"] == "redis://:word@10.0.0.1:6379/0"
        assert set(other[name]["networks"]) == {"inside", "outside"}


def test_all_that_wait_for_redis_wait_until_it_is_healthy(services: Services) -> None:
    for name in ("api", "courier", "worker", "worker-cpu"):
        assert services[name]["depends_on"]["redis"]["condition"] == "service_healthy"
    for name in ("redis", "api", "worker", "worker-cpu"):
        assert services[name]["healthcheck"]["test"][0] == "CMD", name


def test_the_gpu_worker_reserves_gpus_and_takes_one_of_its_own(services: Services) -> None:
    (device,) = services["worker"]["deploy"]["resources"]["reservations"]["devices"]
    # With `count: 1` every replica would be given the first GPU.
    assert (device["driver"], device["count"], device["capabilities"]) == ("nvidia", -1, ["gpu"])
    assert services["worker"]["environment"]["RETINT_GPU_LOCKS"] == "/run/retint"
    assert "/run/retint" in {volume["target"] for volume in services["worker"]["volumes"]}


@pytest.mark.parametrize("worker", ["worker", "worker-cpu"])
def test_as_many_workers_run_as_env_says_and_one_where_it_does_not(worker: str) -> None:
    for said, replicas in (("", 1), ("3", 3)):
        config = rendered(EVERYTHING, WORKERS=said)
        assert config["services"][worker]["deploy"]["replicas"] == replicas


def test_object_storage_has_room_on_a_small_disk_and_opens_one_port(services: Services) -> None:
    command = services["s3"]["entrypoint"][-1].split()
    # Of volumes of 30 GB, its default, a disk with 60 GB to spare has two: one bucket's files find no place.
    assert "-master.volumeSizeLimitMB=1024" in command
    assert {part for part in command if part.startswith("-s3.port.")} == {"-s3.port.iceberg=0", "-s3.port.lance=0"}


def test_files_that_are_mounted_are_in_the_repository(services: Services) -> None:
    bound = [v["source"] for s in services.values() for v in s.get("volumes", ()) if v["type"] == "bind"]
    assert bound
    for source in bound:
        assert Path(source).exists(), source


def test_env_lists_all_that_the_file_takes_from_it() -> None:
    taken = set(re.findall(r"(?<!\$)\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))
    listed = set(re.findall(r"^(?:# )?([A-Z0-9_]+)=", (ROOT / ".env").read_text(), re.MULTILINE))
    assert listed == taken | {"COMPOSE_PROFILES"}


def test_grafana_does_not_start_with_a_password_that_everybody_knows(services: Services) -> None:
    grafana = services["grafana"]
    assert grafana["environment"]["GF_SECURITY_ADMIN_PASSWORD"] == ""
    # Rendered, it is written as it would be read again.
    command = [part.replace("$$", "$") for part in grafana["entrypoint"]]
    done = subprocess.run(command, env={"GF_SECURITY_ADMIN_PASSWORD": ""}, capture_output=True, text=True)
    assert done.returncode != 0
    assert "Set GRAFANA_PASSWORD in .env" in done.stderr
    assert rendered("monitoring", GRAFANA_PASSWORD="word")["services"]["grafana"]["environment"] == {
        **grafana["environment"],
        "GF_SECURITY_ADMIN_PASSWORD": "word",
    }


def test_settings_of_retint_env_reach_the_service() -> None:
    service = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["api"]
    assert service["env_file"] == [{"path": "retint.env", "required": False}]
