"""The manifests: valid by Kubernetes's own schemas, confined, in step with the code. docker/check.sh renders them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from jobs.record_keys import RecordKeys
from jobs.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "kubernetes"
FILES = sorted(path for path in FOLDER.rglob("*.yaml") if path.name != "kustomization.yaml")
Manifest = dict[str, Any]


def manifests() -> Iterator[Manifest]:
    for path in FILES:
        yield from yaml.safe_load_all(path.read_text())


BUILT_IN = [entry for entry in manifests() if not entry["apiVersion"].startswith("keda.sh/")]
PODS = {
    entry["metadata"]["name"]: entry["spec"]["template"]["spec"]
    for entry in BUILT_IN
    if entry["kind"] in ("Deployment", "StatefulSet")
}


@pytest.mark.parametrize("version", ["1.28", "1.32", "1.35"])
def test_each_fits_the_schema_of_its_kind(version: str) -> None:
    for entry in BUILT_IN:
        kubernetes_validate.validate(entry, version, strict=True)


def test_a_field_that_is_not_there_would_be_found() -> None:
    entry = next(entry for entry in BUILT_IN if entry["kind"] == "Deployment")
    wrong = {**entry, "spec": {**entry["spec"], "replicaz": 1}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.35", strict=True)


def test_every_file_belongs_to_a_kustomization() -> None:
    named = set()
    for path in FOLDER.rglob("kustomization.yaml"):
        content = yaml.safe_load(path.read_text())
        named |= {
            (path.parent / entry).resolve() for entry in (*content.get("resources", ()), *content.get("components", ()))
        }
    assert {path.resolve() for path in FILES} <= named
    assert all(path.exists() for path in named)


@pytest.mark.parametrize("name", sorted(PODS))
def test_a_pod_is_confined(name: str) -> None:
    pod = PODS[name]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    # A service called `retint` would otherwise set RETINT_PORT.
    assert pod["enableServiceLinks"] is False
    for container in pod["containers"]:
        confined: Mapping[str, Any] = container["securityContext"]
        assert confined["readOnlyRootFilesystem"]
        assert not confined["allowPrivilegeEscalation"]
        assert confined["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in container["resources"]["limits"]


def test_a_worker_asks_for_one_gpu_and_may_end_its_job() -> None:
    (container,) = PODS["worker"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert PODS["worker"]["terminationGracePeriodSeconds"] >= 600
    # Redis being away for a while must not end a job.
    assert "livenessProbe" not in container


def test_a_worker_works_on_films_on_its_nodes_own_disk() -> None:
    (container,) = PODS["worker"]["containers"]
    folder = next(entry["value"] for entry in container["env"] if entry["name"] == "RETINT_SCRATCH_FOLDER")
    (mount,) = (mount for mount in container["volumeMounts"] if mount["mountPath"] == folder)
    (volume,) = (volume for volume in PODS["worker"]["volumes"] if volume["name"] == mount["name"])
    assert volume["emptyDir"] == {}


def test_workers_without_gpus_ask_for_none() -> None:
    component = yaml.safe_load((FOLDER / "cpu" / "kustomization.yaml").read_text())
    (patch,) = component["patches"]
    (operation,) = yaml.safe_load(patch["patch"])
    assert (patch["target"], operation["op"]) == ({"kind": "Deployment", "name": "worker"}, "remove")
    place: Any = next(entry for entry in BUILT_IN if entry["metadata"]["name"] == patch["target"]["name"])
    *way, last = operation["path"].removeprefix("/").split("/")
    for part in way:
        place = place[int(part)] if isinstance(place, list) else place[part]
    assert last.replace("~1", "/") in place


def test_a_stopping_api_takes_calls_until_the_nodes_have_heard_of_it() -> None:
    (container,) = PODS["api"]["containers"]
    _, seconds = container["lifecycle"]["preStop"]["exec"]["command"]
    # The API gives running calls five seconds more.
    assert 2 <= int(seconds) <= PODS["api"]["terminationGracePeriodSeconds"] - 10


def test_workers_are_scaled_by_the_keys_that_the_service_really_uses() -> None:
    (scaled,) = (entry for entry in manifests() if entry["kind"] == "ScaledObject")
    keys = RecordKeys(Settings().queue_name)
    assert [trigger["metadata"]["listName"] for trigger in scaled["spec"]["triggers"]] == [keys.open, keys.queue]
    assert scaled["spec"]["minReplicaCount"] >= 1


def test_settings_are_settings_of_the_service() -> None:
    base = yaml.safe_load((FOLDER / "base" / "kustomization.yaml").read_text())
    redis = yaml.safe_load((FOLDER / "redis" / "kustomization.yaml").read_text())
    literals = [*base["configMapGenerator"][0]["literals"], *redis["secretGenerator"][0]["literals"]]
    said = {literal.partition("=")[0] for literal in literals}
    said |= {entry["name"] for pod in PODS.values() for one in pod["containers"] for entry in one.get("env", ())}
    known = {f"RETINT_{name.upper()}" for name in Settings.model_fields}
    assert {name for name in said if name.startswith("RETINT_")} <= known
