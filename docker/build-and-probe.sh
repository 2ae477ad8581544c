#!/bin/sh
# Builds the image with buildah, without an engine, and starts its command in it: the Dockerfile builds, the command
# stands, nothing in it is root. For machines without Docker, and for a look before a release; it is no part of any test.
#
#   docker/build-and-probe.sh [BASE]
#
# BASE is the base image: by default that of the Dockerfile, which must be reachable then, or a folder with the root of a
# Debian system (debootstrap --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates bookworm BASE),
# of which a base is made. Needs buildah, and root or a user with subordinate ids. Takes minutes and 2 GB.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
image=${RECO_IMAGE:-localhost/reco-pipeline:probe}
base=${1:-}
say() { echo "build-and-probe: $*" >&2; }
command -v buildah >/dev/null || { say "buildah is missing (Debian: apt-get install buildah)"; exit 2; }
build() { command=$1; shift; buildah --storage-driver "${STORAGE_DRIVER:-vfs}" "$command" "$@"; }

set --
if [ -n "$base" ] && [ -d "$base" ]; then
    stand_in=$(build from scratch)
    build add --quiet "$stand_in" "$base" /
    # The way to the package index that this machine is set up with, and the authorities that it trusts.
    for file in /etc/pip.conf /etc/ssl/certs/ca-certificates.crt; do
        if [ -f "$file" ]; then build copy --quiet "$stand_in" "$file" "$file"; fi
    done
    build run --isolation chroot "$stand_in" -- ln -sf python3 /usr/bin/python
    build commit --quiet "$stand_in" localhost/reco-base:stand-in
    build rm "$stand_in" >/dev/null
    set -- --pull-never --build-arg PYTHON_IMAGE=localhost/reco-base:stand-in
elif [ -n "$base" ]; then
    set -- --build-arg "PYTHON_IMAGE=$base"
fi

say "building $image"
build build --format docker --isolation chroot --network host "$@" -f "$root/docker/Dockerfile" -t "$image" "$root"

say "probing it"
probe=$(build from --pull-never "$image")
trap 'build rm "$probe" >/dev/null' EXIT
inside() { build run --isolation chroot --user 10001:10001 "$probe" -- "$@"; }
inside python /opt/reco/docker/start.py reco --version
inside python -c 'import os; assert os.getuid() == 10001; assert not os.access("/opt/reco/venv", os.W_OK)'
inside python -c 'import reco, pathlib; assert list(pathlib.Path(reco.__file__).parent.glob("__pycache__/*.pyc"))'
inside python -c 'from reco.model import compiled; assert list(compiled.ENVIRONMENT.glob("*.o"))'
inside dagster-webserver --version
inside dagster-daemon --version
inside weed version
# Without its settings the API must refuse, and say what is missing.
if inside python /opt/reco/docker/start.py reco serve 2>/tmp/refused.$$; then
    say "the API started without anything that production needs"
    exit 1
fi
grep -q RECO_REDIS_URL /tmp/refused.$$ || { cat /tmp/refused.$$ >&2; exit 1; }
rm -f /tmp/refused.$$
# One role whole: started, probed by its own health check, ended.
# shellcheck disable=SC2016 # the shell inside expands it
inside sh -c '
cd /tmp && export RECO_PROFILE=local RECO_HOME=/tmp/home RECO_API_PORT=18999
reco sample --orders 200 --seed 1 --out /tmp/orders.csv >/dev/null && reco run --orders /tmp/orders.csv >/dev/null
reco serve >/tmp/log 2>&1 & api=$!
for _ in $(seq 60); do
    python /opt/reco/docker/healthy.py http://127.0.0.1:18999/readyz && { kill "$api"; wait "$api"; exit 0; }
    sleep 1
done
cat /tmp/log; exit 1'
say "$image builds, and its roles answer"
