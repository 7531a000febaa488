#!/usr/bin/env bash
# Builds both images of docker/Dockerfile in clean roots, runs docker-compose.yml with them, and drives the service
# through jobs: all without a Docker engine and without a registry of images.
#
#   make .venv/installed-dev && docker/check.sh
#
# Needs root on Debian or Ubuntu, and their packages podman, runc, catatonit, debootstrap, iptables and dnsmasq-base.
# The base image is made by debootstrap and Redis's from Debian's package, under the names that the files use. `docker
# compose` itself reads the compose file and starts the containers, by podman's socket. The GPU's profile cannot be
# run so: the worker is the one of the profile `cpu`, with the torch that TORCH_INDEX_URL says.
#
#   TORCH_INDEX_URL   where torch is from; default: PyTorch's own index for CPUs; empty: CUDA, as in the GPU's image
#   SUITE             release of Debian that the images are made of; default: trixie
#   BUILD_FLAGS       what else `podman build` is told, such as --volume of a folder with wheels and a pip.conf
set -euo pipefail
cd "$(dirname "$0")/.."

suite=${SUITE:-trixie}
base=localhost/retint-check/debian:$suite
redis=localhost/retint-check/redis:$suite
read -ra build_flags <<<"${BUILD_FLAGS:-}"
work=$(mktemp -d)
export CONTAINERS_CONF=$work/containers.conf DOCKER_HOST=unix://$work/podman.sock
export COMPOSE_PROJECT_NAME=retint-check COMPOSE_PROFILES=cpu COMPOSE_PROGRESS=plain
export RETINT_TAG=check REDIS_IMAGE=$redis BASE_IMAGE=$base RETINT_PUBLISH=127.0.0.1:
processes=()

compose() { .venv/bin/docker-compose "$@"; }

finish() {
    local status=$?
    if [ -S "$work/podman.sock" ]; then
        [ $status -eq 0 ] || compose logs --tail 40 || true
        compose down --volumes --timeout 5 >"$work/down.log" 2>&1 || cat "$work/down.log"
    fi
    [ ${#processes[@]} -eq 0 ] || kill "${processes[@]}" 2>/dev/null || true
    rm -rf "$work"
    [ $status -eq 0 ] && echo "PASSED" || echo "FAILED (status $status)"
    exit $status
}
trap finish EXIT

step() { echo "== $*"; }

step "tools"
[ "$(id -u)" -eq 0 ] || { echo "Run it as root." >&2; exit 1; }
for tool in podman runc catatonit debootstrap .venv/bin/docker-compose; do
    command -v "$tool" >/dev/null || { echo "$tool is missing; the head of $0 says what is needed." >&2; exit 1; }
done
# Containers get no more than this machine gives itself; podman would ask for more.
printf '[containers]\ndefault_ulimits = ["nofile=%s:%s", "nproc=32768:32768"]\n[engine]\nruntime = "runc"\n' \
    "$(ulimit -Hn)" "$(ulimit -Hn)" >"$CONTAINERS_CONF"

build() { podman build --network host --isolation chroot "${build_flags[@]}" "$@"; }

# As the official slim image: no manuals, and nothing that apt leaves behind.
clean_root() {
    local image=localhost/retint-check/debian:$1
    podman image exists "$image" && return
    debootstrap --variant=minbase "$1" "$work/root" >"$work/debootstrap.log" || { cat "$work/debootstrap.log"; exit 1; }
    rm -rf "$work"/root/usr/share/{doc,man,locale} "$work"/root/var/lib/apt/lists/* "$work"/root/var/cache/apt/*
    cat >"$work/root/etc/apt/apt.conf.d/docker-clean" <<-'EOF'
	DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };
	Dir::Cache::pkgcache "";
	Dir::Cache::srcpkgcache "";
	EOF
    tar -C "$work/root" -c . | podman import --quiet - "$image"
    rm -rf "$work/root"
}

step "a clean root of $suite"
clean_root "$suite"

step "Redis from Debian's package, as the official image has it: user 999, /data"
podman image exists "$redis" || build --quiet --tag "$redis" --file - "$work" <<EOF
FROM $base
RUN groupadd --system --gid 999 redis && useradd --system --uid 999 --gid redis redis \\
    && apt-get update && apt-get install -y --no-install-recommends redis-server && install -d -o redis -g redis /data
WORKDIR /data
EOF

step "the images"
build --quiet --build-arg BASE="$base" --file docker/Dockerfile --target api --tag retint-api:check .
build --quiet --build-arg BASE="$base" --file docker/Dockerfile --target worker --tag retint-worker-cpu:check \
    --build-arg TORCH_INDEX_URL="${TORCH_INDEX_URL-https://download.pytorch.org/whl/cpu}" .
podman images --format '{{.Repository}}:{{.Tag}} {{.Size}}' | grep retint
inside() { podman run --rm --network none --entrypoint python3 "retint-$1:check" -c "$2"; }
inside api 'import fastapi, importlib.util as u; assert not u.find_spec("torch") and not u.find_spec("cv2")'
inside worker-cpu 'import torch, av, cv2, importlib.util as u; assert not u.find_spec("fastapi"); print("torch", torch.__version__)'
for image in api worker-cpu; do
    inside "$image" 'import shutil as s; assert not any(map(s.which, ("gcc", "cc", "pip", "make"))); print("no pip, no compiler")'
done

step "manifests and alerts, by kubectl and promtool"
clean_root trixie # older releases have a kubectl that knows no components
tools=localhost/retint-check/tools
podman image exists $tools || build --quiet --tag $tools --file - "$work" <<EOF
FROM localhost/retint-check/debian:trixie
RUN apt-get update && apt-get install -y --no-install-recommends kubernetes-client prometheus
EOF
tool() { podman run --rm --network none --volume "$PWD:/src:ro" --workdir /src --entrypoint "$1" $tools "${@:2}"; }
tool kubectl kustomize kubernetes >"$work/rendered.yaml"
# KEDA's kind is not one of Kubernetes's own.
.venv/bin/python tests/docker/built_in.py <"$work/rendered.yaml" >"$work/built-in.yaml"
.venv/bin/kubernetes-validate --strict "$work/built-in.yaml"
tool promtool check rules docker/monitoring/alerts.yml

step "docker compose up"
podman system service --time=0 "$DOCKER_HOST" >"$work/podman.log" 2>&1 &
processes+=($!)
until [ -S "$work/podman.sock" ]; do sleep 0.2; done
# Docker runs health checks by itself; podman has systemd do it, which need not be here.
while sleep 2; do
    for container in $(podman ps --quiet --filter label=com.docker.compose.project=$COMPOSE_PROJECT_NAME); do
        podman healthcheck run "$container" >/dev/null 2>&1 || true
    done
done &
processes+=($!)
compose up --detach --no-build --wait --wait-timeout 300
compose ps

step "confined"
for service in api worker-cpu courier; do
    # shellcheck disable=SC2016  # for the shell inside
    compose exec -T "$service" sh -ec '
        [ "$(id -u)" = 10001 ]
        ! touch /usr/x 2>/dev/null && ! touch /opt/retint/x 2>/dev/null
        grep -q "^CapBnd:[[:space:]]*0000000000000000$" /proc/self/status
        grep -q "^NoNewPrivs:[[:space:]]*1$" /proc/self/status'
done
# The second column of a route is where to; zeros are everywhere else.
ways_out() { compose exec -T "$1" cat /proc/net/route | awk '$2 == "00000000"'; }
[ -n "$(ways_out api)" ]
[ -z "$(ways_out worker-cpu)" ]

# Films are decoded in processes that can do nothing else.
compose logs worker-cpu >"$work/worker.log"
grep -q worker_ready "$work/worker.log"
! grep decoder_not_confined "$work/worker.log" || exit 1

step "jobs"
address=http://$(compose port api 8000)
key=$(compose exec -T api retint keys create check 2>/dev/null)
drive() { RETINT_API_KEY=$key .venv/bin/python tests/docker/check_job.py "$address" "$@"; }
drive color "$work"

step "a worker that is stopped ends its piece, and another goes on with the job"
id=$(drive begin "$work")
compose stop worker-cpu
compose start worker-cpu
drive ended "$id"

step "Redis comes back with all it knew"
compose restart redis
drive ended "$id"

step "a backup, all volumes lost, and all of it restored, as docs/operations.md says"
# shellcheck disable=SC2016  # for the shell inside
compose exec -T redis sh -ec '
    set_rewrite() { redis-cli CONFIG SET auto-aof-rewrite-percentage "$1" >&2; }
    trap "set_rewrite 100" EXIT
    set_rewrite 0
    tar -C /data -c appendonlydir' >"$work/redis.tar"
[ "$(compose exec -T redis redis-cli CONFIG GET auto-aof-rewrite-percentage | tail -n 1)" = 100 ]
compose exec -T api tar -C /data -c store >"$work/store.tar"
compose down --volumes --timeout 5
compose run --rm --no-deps -T --entrypoint tar redis -C /data -x <"$work/redis.tar"
compose run --rm --no-deps -T --entrypoint tar api -C /data -x <"$work/store.tar"
compose up --detach --no-build --wait --wait-timeout 300
address=http://$(compose port api 8000)
drive restored "$id" "$work"
