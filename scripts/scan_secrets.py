"""Looks for secrets in everything that git knows.

    python scripts/scan_secrets.py [FILE...]   tells what is not in the list of what was looked at
    python scripts/scan_secrets.py --accept    writes that list anew, after somebody has looked

The list is .secrets.json: file, kind, and a hash of the text, so that a line may move. Exit code 1 where something is
new.
"""

import json
import subprocess
import sys
from pathlib import Path

from detect_secrets.core.secrets_collection import SecretsCollection
from detect_secrets.settings import default_settings

KNOWN = Path(".secrets.json")
# Hashes of packages; a backup made for a test, with its key; pictures.
LEFT_OUT = (".lock", ".png", ".svg", ".tar", ".identity")
FOLDERS_LEFT_OUT = ("reco_pipeline_tests/golden/",)
# Tests are full of digests and of passwords made up for them; keys and tokens of real services are none of these kinds.
TESTS = "reco_pipeline_tests/"
MADE_UP = {"Basic Auth Credentials", "Base64 High Entropy String", "Hex High Entropy String", "Secret Keyword"}


def scan(names: list[str]) -> dict[str, list[list[str]]]:
    """Kind and hash of everything that looks like a secret, by file."""
    found = SecretsCollection()
    with default_settings():
        for name in names:
            if name == KNOWN.name or name.endswith(LEFT_OUT) or name.startswith(FOLDERS_LEFT_OUT):
                continue
            if Path(name).is_file():
                found.scan_file(name)
    kept = {
        name: sorted(
            [one.type, one.secret_hash]
            for one in found.data[name]
            if not (name.startswith(TESTS) and one.type in MADE_UP)
        )
        for name in sorted(found.files)
    }
    return {name: each for name, each in kept.items() if each}


def main() -> int:
    """Tells what is new, or accepts it; returns the exit code."""
    listed = subprocess.run(["git", "ls-files"], check=True, capture_output=True, text=True)  # noqa: S607 - of the system
    accept = sys.argv[1:] == ["--accept"]
    found = scan(sys.argv[1:] if sys.argv[1:] and not accept else listed.stdout.splitlines())
    if accept:
        KNOWN.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        return 0
    known = json.loads(KNOWN.read_text(encoding="utf-8"))
    new = [
        f"{name}: {kind}"
        for name, each in found.items()
        for kind, digest in each
        if [kind, digest] not in known.get(name, [])
    ]
    for one in new:
        print(f"{one}. Take it out and change it; if it is none, `python scripts/scan_secrets.py --accept`.")
    print(f"{sum(map(len, found.values()))} texts look like secrets, {len(new)} of them are new")
    return int(bool(new))


if __name__ == "__main__":
    sys.exit(main())
