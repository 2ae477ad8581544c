"""`python -m benchmarks`: measures, prints, compares with the kept ratios; exit code 1 when one got worse.

Belongs here: options, tables and the exit code. Does not belong here: what is measured.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.parts import PARTS, SAMPLE_ORDERS, Data, Part
from benchmarks.ratios import Ratio, load, save

ROUNDS = 5
WORSE = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the chosen parts; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["matrix"]:
        from benchmarks.matrix.__main__ import main as matrix  # noqa: PLC0415 - a benchmark with options of its own

        return matrix(given[1:])
    if given[:1] == ["newcomer"]:
        from benchmarks.newcomer import main as newcomer  # noqa: PLC0415 - see above

        return newcomer(given[1:])
    parser = argparse.ArgumentParser(
        prog="make bench ARGS=...",
        description="Measurements as ratios; `matrix` is the one beside peers, `newcomer` times the tutorial.",
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help=f"turns of each contender ({ROUNDS})")
    parser.add_argument("--part", action="append", choices=sorted(PARTS), help="only this part; may be repeated")
    parser.add_argument("--update", action="store_true", help="keep the measured ratios in benchmarks/ratios.json")
    parser.add_argument(
        "--lines", type=int, action="append", metavar="N", help="lines of the part reading (500000); may be repeated"
    )
    parser.add_argument("--soak", type=float, default=0, metavar="S", help="seconds of the soak of the part api (none)")
    chosen = parser.parse_args(given)
    if chosen.rounds < 1:
        parser.error("--rounds must be at least 1")
    for name in [name for name in os.environ if name.startswith("RECO_")]:
        del os.environ[name]  # settings of a shop must not reach a measurement
    kept = load()
    print(f"load of this machine before the start: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", file=sys.stderr)
    with _data(chosen.lines or (500_000,), chosen.soak) as data:
        parts = [PARTS[name](data, chosen.rounds, _tell) for name in chosen.part or PARTS]
    for part in parts:
        _show(part)
    ratios = [ratio for part in parts for ratio in part.ratios]
    worse = _judge(ratios, kept)
    if chosen.update:
        save(ratios)
        print("\nThese ratios are kept in benchmarks/ratios.json.")
        return 0
    if worse:
        print(f"\n{len(worse)} of {len(ratios)} ratios got worse: {', '.join(one.name for one in worse)}.")
        print("If that is wanted, keep the new ones: make bench ARGS=--update")
    return WORSE if worse else 0


@contextmanager
def _data(lines: Sequence[int], soak_seconds: float) -> Iterator[Data]:
    """The order files, and a server of this benchmark alone."""
    from reco.local.valkey import EmbeddedValkey  # noqa: PLC0415 - see above
    from reco.logs import configure_logs  # noqa: PLC0415 - `--help` needs none of this
    from reco.orders.sample import write_sample  # noqa: PLC0415 - see above
    from reco.settings import load_settings  # noqa: PLC0415 - see above
    from reco.storage.redis import open_redis  # noqa: PLC0415 - see above

    configure_logs("warning")
    with tempfile.TemporaryDirectory(prefix="reco-bench-") as folder:
        root = Path(folder)
        write_sample(root / "prototype.csv", prototype=True)
        write_sample(root / "sample.csv", orders=SAMPLE_ORDERS)
        settings = load_settings(home=root / "server")
        with (
            EmbeddedValkey(settings.home, settings.redis_max_memory).lease() as endpoint,
            open_redis(settings) as client,
        ):
            yield Data(root / "prototype.csv", root / "sample.csv", endpoint.url, client.flushall, lines, soak_seconds)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _show(part: Part) -> None:
    print(f"\n{part.title}")
    _table([part.head, *part.rows])


def _judge(ratios: Sequence[Ratio], kept: dict[str, float]) -> list[Ratio]:
    """Prints each ratio beside the kept one; returns those that got worse."""
    rows = [("ratio", "now", "kept", "allowed", "target", "verdict")]
    for one in ratios:
        target = "" if one.target is None else f"<= {one.target:g} {'met' if one.value <= one.target else 'MISSED'}"
        before = kept.get(one.name)
        rows.append(
            (
                one.name,
                f"{one.value:.3f}",
                "-" if before is None else f"{before:.3f}",
                f"+{one.allowed:.0%}",
                target,
                one.verdict(kept),
            )
        )
    print("\nRatios, lower is better")
    _table(rows)
    return [one for one in ratios if one.verdict(kept) == "WORSE"]


def _table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  " + "  ".join(cells).rstrip())


if __name__ == "__main__":
    sys.exit(main())
