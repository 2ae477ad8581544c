"""Whole backups at the prototype's size and at ten times it, beside zstd -3 alone on the same bytes; RPO and RTO.

Belongs here: that one measurement, run by hand (`python -m benchmarks.backup`). Does not belong here: ratios that are
kept (`benchmarks/ratios.json`).

Each size has a home of its own with an embedded bucket. CPU seconds and memory are those of the command's process, as
the kernel counts them; the wall seconds of RPO and RTO depend on what else the machine does.
"""

import argparse
import datetime as dt
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyrage
import zstandard

from reco.backup.envelope import LEVEL, seal

# The command as it is, which at its end writes what its own process took: what it started (servers) is not in it.
TOLD = """
import json, resource, sys
from pathlib import Path
told = Path(sys.argv.pop(1))
def tell():
    used = resource.getrusage(resource.RUSAGE_SELF)
    told.write_text(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss]))
from reco_pipeline.cli import command
try:
    code = command()
except SystemExit as ended:
    code = ended.code
tell()
sys.exit(code)
"""
ORDERS = 155_000
"""Orders of the shop that make about as many lines as the prototype's file."""
TARGET_SECONDS, TARGET_MB, TARGET_THROUGHPUT = 60, 300, 0.5


@dataclass(frozen=True)
class Done:
    """What a command printed, and took: CPU seconds, and the most memory of its process in megabytes."""

    printed: Any
    cpu_seconds: float
    peak_mb: float


def main() -> None:
    """Prints a JSON object for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=[1, 10], help="times the prototype's size")
    for size in parser.parse_args().sizes:
        with tempfile.TemporaryDirectory(prefix="reco-backup-") as folder:
            print(json.dumps(measure(Path(folder), size)), flush=True)


def measure(folder: Path, size: int) -> dict[str, Any]:
    """The figures of one size."""
    home, orders = folder / "home", folder / "orders.csv"
    what = ["--prototype"] if size == 1 else ["--orders", str(ORDERS * size), "--seed", "1"]
    reco(home, "sample", *what, "--out", str(orders))
    lines = reco(home, "run", "--orders", str(orders)).printed["lines_accepted"]
    first = reco(home, "backup", "create")
    # A day later: one more file, published; what stands in no backup is lost until the next one ends.
    (folder / "more.csv").write_text("order_id,item_name\nanother,PID\nanother,Cal Kit\n", encoding="utf-8")
    reco(home, "run", "--orders", str(folder / "more.csv"))
    second = reco(home, "backup", "create")
    ended = dt.datetime.now(dt.UTC)
    published = reco(home, "audit", "trail", "--event", "snapshot_published", "--limit", "1").printed["events"][0]
    drill = reco(home, "backup", "drill")
    alone, sealing, plain = beside_zstd(home / "lake", folder)
    made = first.printed
    return {
        "lines": lines,
        "plain_mb": megabytes(made["size_bytes"]),
        "sent_mb": megabytes(made["bytes_sent"]),
        "backup_seconds": made["seconds"],
        "backup_cpu_seconds": round(first.cpu_seconds, 1),
        "backup_peak_mb": round(first.peak_mb),
        "next_sent_mb": megabytes(second.printed["bytes_sent"]),
        "next_cpu_seconds": round(second.cpu_seconds, 1),
        "next_peak_mb": round(second.peak_mb),
        "lake_mb": megabytes(plain),
        "zstd_cpu_seconds": round(alone, 2),
        "seal_cpu_seconds": round(sealing, 2),
        "throughput_of_zstd_alone": round(alone / sealing, 2),
        "rpo_seconds": round((ended - dt.datetime.fromisoformat(published["at"])).total_seconds(), 1),
        "rto_seconds": round(drill.printed["rto_seconds"], 1),
        "drill_passed": drill.printed["passed"],
        "drill_peak_mb": round(drill.peak_mb),
        "targets": {
            "rpo_seconds": TARGET_SECONDS,
            "rto_seconds": TARGET_SECONDS,
            "backup_peak_mb": TARGET_MB,
            "throughput_of_zstd_alone": TARGET_THROUGHPUT,
        },
    }


def beside_zstd(lake: Path, folder: Path) -> tuple[float, float, int]:
    """CPU seconds of zstd -3 alone and of sealing, file by file in turn, over a lake; and its bytes."""
    recipient = pyrage.x25519.Identity.generate().to_public()
    alone = sealing = 0.0
    size = 0
    for path in sorted(path for path in lake.rglob("*") if path.is_file()):
        started = time.process_time()
        with path.open("rb") as source, (folder / "zstd").open("wb") as target:
            zstandard.ZstdCompressor(level=LEVEL).copy_stream(source, target)
        between = time.process_time()
        seal(path, folder / "sealed", [recipient])
        alone, sealing = alone + between - started, sealing + time.process_time() - between
        size += path.stat().st_size
    return alone, sealing, size


def reco(home: Path, *words: str) -> Done:
    """A command on a home; its errors are shown."""
    environment = os.environ | {"RECO_HOME": str(home), "DAGSTER_DISABLE_TELEMETRY": "1"}
    with tempfile.NamedTemporaryFile() as told:
        command = [sys.executable, "-W", "ignore", "-c", TOLD, told.name, *words, "--json"]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"reco {' '.join(words)} ended with {done.returncode}: {done.stdout}")
        cpu_seconds, peak = json.loads(told.read() or b"[0, 0]")  # a run ends without a last word, and is not measured
    return Done(json.loads(done.stdout), cpu_seconds, peak / _PER_MB)


def megabytes(size_bytes: int) -> float:
    """Bytes in millions."""
    return round(size_bytes / 1e6, 1)


# Linux counts resident memory in kibibytes, macOS in bytes.
_PER_MB = 1e6 if sys.platform == "darwin" else 1e6 / 1024

if __name__ == "__main__":
    main()
