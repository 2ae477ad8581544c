#!/bin/sh
# Lints the files that are no Python: shell scripts, the Dockerfile, the Compose file, the workflow of CI.
# Each linter is a binary in a wheel of the development lock; where there is none for this machine, it is told.
set -u

cd "$(dirname "$0")/.." || exit
failed=0

lint() { # lint PROGRAM ARGUMENTS...
    program=.venv/bin/$1
    shift
    if [ ! -x "$program" ]; then
        echo "SKIPPED: there is no $program for this machine; CI runs it"
        return
    fi
    # What a linter says of what is in order is noise.
    said=$("$program" "$@" 2>&1) || { printf '%s\n' "$said" "FAILED: $program $*"; failed=1; }
}

# shellcheck disable=SC2046 # names of files of ours, without blanks
lint shellcheck $(git ls-files '*.sh' .ci/run)
lint hadolint docker/Dockerfile
lint compose-lint check docker/compose.yaml
lint actionlint .github/workflows/ci.yml
exit "$failed"
