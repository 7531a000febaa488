"""Filter for docker/check.sh: of rendered manifests those of Kubernetes's own kinds."""

import sys

import yaml

yaml.safe_dump_all(
    (entry for entry in yaml.safe_load_all(sys.stdin) if "keda.sh/" not in entry["apiVersion"]), sys.stdout
)
