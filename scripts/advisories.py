"""Known vulnerabilities of what the image installs, as far as the advisories can be reached.

    python scripts/advisories.py

Exit code 1 where one is known. Where the index tells nothing of advisories (no network, a mirror) it says so, and ends
with 0: a check that did not happen is not a failure, and not a pass either.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

LOCK = Path("requirements-image.lock")
SECONDS = 600


def audit(lines: list[str]) -> list[dict[str, Any]]:
    """What pip-audit says of each package; empty where it could not ask at all."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as listed:
        listed.write("\n".join(lines))
        listed.flush()
        options = ["--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json", "--timeout", "10"]
        done = subprocess.run(
            [sys.executable, "-m", "pip_audit", "-r", listed.name, *options],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    try:
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except ValueError:
        return []
    return [one for one in found if "skip_reason" not in one]


def main() -> int:
    """Tells what is known; returns the exit code."""
    text = LOCK.read_text(encoding="utf-8")
    lines = [
        f"{name}=={version}" for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", text, re.MULTILINE)
    ]
    if not audit(lines[:1]):  # one is asked about before all are
        print("advisories: SKIPPED, this machine's package index tells nothing of them")
        return 0
    found = audit(lines)
    wrong = [(one["name"], one["version"], bad) for one in found for bad in one["vulns"]]
    for name, version, bad in wrong:
        print(f"{name} {version}: {bad['id']}, mended in {', '.join(bad['fix_versions']) or 'no version yet'}")
    print(f"advisories: {len(found)} of {len(lines)} packages asked about, {len(wrong)} vulnerabilities")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
