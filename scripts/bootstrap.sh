#!/bin/sh
# Makes .venv what the locks say, or does nothing where it already is (a few milliseconds).
#
#   scripts/bootstrap.sh            what running needs
#   scripts/bootstrap.sh dev        that, and what tests and lint need
#
# PYTHON=/path/to/python chooses the interpreter; else the first suitable one found. uv is used where there is one, else
# pip, with whatever package index they are configured for. Every package is checked against the hash in its lock.
# Nothing here needs root, and nothing outside this folder is written to.
set -eu

CDPATH='' cd -- "$(dirname -- "$0")/.."
KIND=${1:-runtime}
VENV=.venv
IN_RANGE='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))'

say() { printf '%s\n' "bootstrap: $*" >&2; }
die() { say "$*"; exit 1; }

case $KIND in
    runtime) LOCKS='requirements.lock requirements-build.lock' ;;
    dev) LOCKS='requirements-dev.lock' ;;
    *) die "'$KIND' is neither 'runtime' nor 'dev'." ;;
esac

# ------------------------------------------------------------------------------------------- is there anything to do?
# A stamp holds what it was made from: the folder (scripts in a venv name it), the Python, and the content of the files.
stamp_of() { printf '%s\n' "$PWD"; "$VENV/bin/python" -V 2>&1; cat "$@" | cksum; }
stamped() {
    name=$1; shift
    [ -f "$VENV/.$name-ready" ] && [ "$(cat "$VENV/.$name-ready")" = "$(stamp_of "$@")" ]
}
packages_ready() {
    stamped dev requirements-dev.lock ||
        { [ "$KIND" = runtime ] && stamped runtime requirements.lock requirements-build.lock; }
}
ready() {
    [ -x "$VENV/bin/python" ] && [ -x "$VENV/bin/reco" ] && [ ! -e "$VENV/.incomplete" ] && [ -f .reco/dagster/dagster.yaml ] &&
        packages_ready && stamped project pyproject.toml
}
if ready; then exit 0; fi

# --------------------------------------------------------------------------------------------------------- the Python
suitable() { command -v "$1" >/dev/null 2>&1 && "$1" -c "$IN_RANGE" >/dev/null 2>&1; }

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        suitable "$PYTHON" || die "PYTHON=$PYTHON is not a Python >= 3.11, < 3.14. Name another one, or unset PYTHON."
        return
    fi
    for PYTHON in python3 python3.13 python3.12 python3.11 python; do
        if suitable "$PYTHON"; then return; fi
    done
    if command -v uv >/dev/null 2>&1; then
        PYTHON=$(uv python find '>=3.11,<3.14' 2>/dev/null) && return
        say "no Python >= 3.11, < 3.14 is installed; asking uv for one"
        if uv python install 3.12 && PYTHON=$(uv python find 3.12); then return; fi
    fi
    die "no Python >= 3.11, < 3.14 found (looked for python3, python3.13, python3.12, python3.11, python$(
        command -v python3 >/dev/null 2>&1 && printf '; python3 is %s' "$(python3 -V 2>&1)")).
  Debian, Ubuntu: apt-get install python3 python3-venv    macOS: brew install python@3.12
  or install uv; or set PYTHON to the path of one and call this again."
}
find_python

# One at a time: the kernel gives the lock back when this script and all it started have ended, however they ended.
if [ -z "${RECO_BOOTSTRAP_LOCKED:-}" ]; then
    mkdir -p .reco
    # shellcheck disable=SC2097,SC2098 # what is executed is found before, with the same value
    RECO_BOOTSTRAP_LOCKED=1 PYTHON=$PYTHON exec "$PYTHON" -c '
import fcntl, os, sys
lock = os.open(".reco/bootstrap.lock", os.O_RDWR | os.O_CREAT, 0o644)
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("bootstrap: another set-up of this folder is at work; waiting for it", file=sys.stderr, flush=True)
    fcntl.flock(lock, fcntl.LOCK_EX)
os.set_inheritable(lock, True)
os.execvp("sh", ["sh", "scripts/bootstrap.sh", sys.argv[1]])
' "$KIND"
fi
if ready; then exit 0; fi

# ----------------------------------------------------------------------------------------------- the environment's folder
has_pip() { "$VENV/bin/python" -m pip --version >/dev/null 2>&1; }

why_remake() { # prints the reason, or nothing where the folder can be built upon
    if [ ! -e "$VENV" ]; then return; fi
    if [ -e "$VENV/.incomplete" ]; then echo "an earlier set-up was interrupted"; return; fi
    if ! "$VENV/bin/python" -c "$IN_RANGE" 2>/dev/null; then echo "its Python is gone or out of range"; return; fi
    if [ -f "$VENV/.made-for" ]; then
        if [ "$(cat "$VENV/.made-for")" != "$(stamp_of /dev/null)" ]; then echo "the folder or its Python has moved"; return; fi
        for old in dev runtime; do
            if [ ! -f "$VENV/.$old-ready" ]; then continue; fi
            # Made anew rather than brought up to date, so that no package stays that the lock no longer has.
            case $old in
                dev) stamped dev requirements-dev.lock || { echo "its lock has changed"; return; } ;;
                runtime) stamped runtime requirements.lock requirements-build.lock || { echo "its lock has changed"; return; } ;;
            esac
        done
    elif ! has_pip && ! command -v uv >/dev/null 2>&1; then
        echo "it has no pip"
    fi
}

make_venv() {
    if command -v uv >/dev/null 2>&1; then
        set -- --without-pip
    else
        "$PYTHON" -c 'import venv, ensurepip' 2>/dev/null ||
            die "$PYTHON ($("$PYTHON" -V)) has no venv module. Debian, Ubuntu: apt-get install python3-venv; or install uv."
        set --
    fi
    mkdir "$VENV"
    : >"$VENV/.incomplete" # from here until the end, so that whatever is interrupted is known as half made
    say "making $VENV with $("$PYTHON" -V)"
    "$PYTHON" -m venv "$@" "$VENV"
    stamp_of /dev/null >"$VENV/.made-for"
}

rm -rf .reco/old-venv
reason=$(why_remake)
if [ -n "$reason" ]; then
    say "making $VENV anew: $reason"
    mv "$VENV" .reco/old-venv # renamed first: a folder half removed must not look like one that can be built upon
    rm -rf .reco/old-venv
fi
if [ ! -e "$VENV" ]; then make_venv; fi
: >"$VENV/.incomplete"

# --------------------------------------------------------------------------------------------------------- the packages
with_pip() {
    has_pip || "$VENV/bin/python" -m ensurepip >/dev/null || die "neither uv nor pip can install into $VENV."
    "$VENV/bin/python" -m pip install -qq --disable-pip-version-check --no-deps "$@"
}
install() {
    if command -v uv >/dev/null 2>&1; then
        if uv pip install --quiet --python "$VENV/bin/python" --no-deps "$@"; then return; fi
        say "uv could not install that; trying pip"
    fi
    with_pip "$@" || die "the packages could not be installed. Is the package index reachable? Then call this again."
}

if ! packages_ready; then
    for lock in $LOCKS; do
        say "installing $(grep -c '^[A-Za-z0-9].*==' "$lock") packages of $lock (the first time takes minutes)"
        install --require-hashes -r "$lock"
    done
    # Dagster starts in half the time when its ~800 modules need no compiling, and neither uv nor an environment with
    # PYTHONDONTWRITEBYTECODE leaves compiled ones behind. Some packages carry files for other Pythons: not our concern.
    say "compiling bytecode"
    "$VENV/bin/python" -m compileall -q -j 0 "$VENV"/lib/python3*/site-packages >/dev/null 2>&1 || :
fi

# The project itself: one path entry and the `reco` command. hatchling comes from the locks, so nothing is fetched.
install --no-build-isolation --editable .
"$VENV/bin/python" -m compileall -q reco resources assets reco_pipeline >/dev/null 2>&1 || :

# What large tables are counted with is compiled now (a few seconds), so that no run waits for it.
"$VENV/bin/python" -m reco.model.compiled ||
    say "the kernel for large tables could not be compiled here; a run that needs it tries again, and sorts where that fails"

# .env names this folder as DAGSTER_HOME; Dagster alone would neither make it nor queue one run at a time.
"$VENV/bin/python" -c '
from pathlib import Path
from reco_pipeline.instance import dagster_home
dagster_home(Path(".reco").absolute())
'

# shellcheck disable=SC2086 # LOCKS is a list
if ! packages_ready; then stamp_of $LOCKS >"$VENV/.$KIND-ready"; fi
stamp_of pyproject.toml >"$VENV/.project-ready"
rm -f "$VENV/.incomplete"
say "$VENV is ready"
