"""Sealing a file for a backup beside zstd -3 alone: CPU seconds and the most memory it takes.

Belongs here: that one measurement, run by hand (`python -m benchmarks.backup`). Does not belong here: ratios that are
kept (`benchmarks/ratios.json`).
"""

import json
import random
import resource
import tempfile
import time
from pathlib import Path

import pyrage
import zstandard

from reco.backup.envelope import LEVEL, seal, unseal

MEGABYTES = 256


def main() -> None:
    """Prints the figures as one JSON object."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain = folder / "plain"
        _write(plain)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started = time.process_time()
        with plain.open("rb") as source, (folder / "zstd").open("wb") as target:
            zstandard.ZstdCompressor(level=LEVEL).copy_stream(source, target)
        alone = time.process_time() - started
        identity = pyrage.x25519.Identity.generate()
        started = time.process_time()
        sealed = seal(plain, folder / "sealed", [identity.to_public()])
        both = time.process_time() - started
        started = time.process_time()
        unseal(folder / "sealed", folder / "back", [identity], sealed, "plain")
        opened = time.process_time() - started
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    figures = {
        "plain_mb": MEGABYTES,
        "sealed_mb": round(sealed.object_bytes / 1e6, 1),
        "zstd_cpu_seconds": round(alone, 2),
        "seal_cpu_seconds": round(both, 2),
        "throughput_of_zstd_alone": round(alone / both, 2),
        "open_cpu_seconds": round(opened, 2),
        "memory_mb": round(after / 1024, 1),
        "memory_above_start_mb": round((after - before) / 1024, 1),
    }
    print(json.dumps(figures))


def _write(path: Path) -> None:
    """Order lines as text, seeded: they pack about as well as the dumps of a shop."""
    chance = random.Random(1)  # noqa: S311 - data to measure with
    items = [f"item {number:05d} of the shop" for number in range(5000)]
    with path.open("w", encoding="utf-8") as file:
        size = 0
        while size < MEGABYTES << 20:
            lines = "".join(
                f"{chance.randrange(10**7)},{chance.choice(items)},{chance.randrange(9)}\n" for _ in range(5000)
            )
            size += file.write(lines)


if __name__ == "__main__":
    main()
