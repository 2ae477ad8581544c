"""The licences of what is installed with the product, held to a list.

    python scripts/licences.py

Looks at every package of requirements-image.lock that is installed here, as its metadata says. Exit code 1 where one
has a licence that is not in `ALLOWED`, or tells none. Tools of development are not looked at: nobody gets them from us.
"""

import re
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

LOCK = Path("requirements-image.lock")
# Written as they are found: an SPDX expression, a classifier's last part, or the name a package gives.
ALLOWED = re.compile(
    r"(?i)\b(apache([ -]software)?( license)?[ -]*(version )?2(\.0)?|apache software license|mit|mit-0|bsd|"
    r"bsd[ -]\d[ -]clause|bsd license|isc|0bsd|psf(-2\.0)?|python software foundation( license)?|mpl[ -]2\.0|"
    r"mozilla public license 2\.0|zlib|unlicense|cc0-1\.0|boost)\b"
)
# Looked at by a person: copyleft that we use as it is, as a library of its own, and what the metadata do not tell.
NAMED = {
    "psycopg": "LGPL-3.0: used unchanged, and only with the extra `postgres`",
    "psycopg-binary": "LGPL-3.0: see psycopg",
    "psycopg2-binary": "LGPL with exceptions: Dagster's driver, see psycopg",
    "pyrage": "MIT, by the LICENSE file that comes with it",
}


def licence_of(package: Distribution) -> str:
    """What its metadata says: the expression, else the classifiers, else the first line of the free text."""
    about = package.metadata
    classifiers = [one for one in about.get_all("Classifier") or [] if one.startswith("License ::")]
    words = [one.rpartition(" :: ")[2] for one in classifiers if not one.endswith("OSI Approved")]
    text = "".join(about.get_all("License") or []).strip().splitlines()
    return "".join(about.get_all("License-Expression") or []) or " AND ".join(words) or (text[0] if text else "")


def main() -> int:
    """Tells what is not allowed; returns the exit code."""
    names = re.findall(r"^([A-Za-z0-9._-]+)==", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    wrong, looked = [], 0
    for name in names:
        try:
            licence = licence_of(distribution(name))
        except PackageNotFoundError:  # for another platform
            continue
        looked += 1
        parts = [part for part in re.split(r"\s+AND\s+|;", licence) if part]
        if name not in NAMED and not (parts and all(ALLOWED.search(part) for part in parts)):
            wrong.append(f"{name}: {licence or 'tells no licence'}")
    for one in wrong:
        print(f"{one}. Use another package, or name in scripts/licences.py why it may be used.")
    print(f"licences of {looked} packages looked at, {len(wrong)} not allowed")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
