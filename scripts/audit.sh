#!/bin/sh
# What takes longer than lint, or needs more than this checkout: secrets, licences, advisories, the schema of Compose.
set -u

cd "$(dirname "$0")/.." || exit
failed=0

for script in scan_secrets licences advisories; do
    .venv/bin/python "scripts/$script.py" || { echo "FAILED: scripts/$script.py"; failed=1; }
done
# The linter of Compose's schema is a package of npm; no package of Python has one that is kept up to date.
DCLINT=dclint@3.1.0
if ! command -v npx >/dev/null; then
    echo "Compose schema: SKIPPED, there is no npx on this machine"
elif ! npx --yes $DCLINT --version >/dev/null 2>&1; then
    echo "Compose schema: SKIPPED, $DCLINT cannot be installed here"
elif npx --yes $DCLINT -c .dclintrc.yaml docker/compose.yaml; then
    echo "Compose schema: ok"
else
    echo "FAILED: $DCLINT docker/compose.yaml"
    failed=1
fi
exit "$failed"
