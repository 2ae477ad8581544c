"""`make bench ARGS="matrix"`: our matrix beside implicit, sparse_dot_topn and SAR, each in an environment of its own.

Belongs here: options, the order of the turns, what is kept. Does not belong here: shapes, environments, comparing.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.matrix.compare import agreement, hit_rate, prepare
from benchmarks.matrix.peers import PEERS, find_peer
from benchmarks.matrix.results import Result, draw, keep, markdown
from benchmarks.matrix.shapes import SHAPES, Facts
from benchmarks.measure import ROOT, Cost, run
from reco.errors import RecoError

KERNEL, STAGE, WHOLE = "reco", "reco: stage with tables", "reco: CSV to similar items"
DENSE_BYTES = 20
"""Of SAR for each pair of items there could be: its dense matrices."""
DENSE_LIMIT = 8e9
PLOT = ROOT / "docs" / "matrix.svg"

Command = Callable[[Path, Path], Sequence[str]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures the chosen shapes; prints and keeps the results."""
    parser = argparse.ArgumentParser(
        prog="make bench ARGS=matrix", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--shape", action="append", choices=list(SHAPES), help="default: x1; may be repeated")
    parser.add_argument("--rounds", type=int, default=1, help="turns of each contender (1)")
    parser.add_argument("--make-peers", action="store_true", help="install peers that are not there (needs a network)")
    parser.add_argument("--only", action="append", metavar="NAME", help="only this contender; may be repeated")
    parser.add_argument("--whole", action="store_true", help="also from a CSV file of these orders to similar items")
    parser.add_argument("--update", action="store_true", help="keep the results, and draw docs/matrix.svg")
    parser.add_argument("--show", action="store_true", help="measure nothing: print what is kept, and draw it again")
    chosen = parser.parse_args(arguments)
    if chosen.show:
        draw(keep([]), PLOT)
        print("\n".join(markdown(keep([]))))
        return 0
    print(f"load before the start: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", file=sys.stderr)
    commands, missing = _contenders(make=chosen.make_peers, whole=chosen.whole)
    if chosen.only:
        commands = {name: commands[name] for name in chosen.only if name in commands}
        missing = {}
    results: list[Result] = []
    for name in chosen.shape or ["x1"]:
        results += _measure(name, commands, missing, chosen.rounds)
    print("\n".join(markdown(results)))
    if chosen.update:
        draw(keep(results), PLOT)
    return 0


def _contenders(*, make: bool, whole: bool) -> tuple[dict[str, Command], dict[str, str]]:
    """The commands of all contenders, and of those that cannot run, why."""

    def ours(way: str) -> Command:
        return lambda folder, out: (sys.executable, "-m", "benchmarks.contenders.matrix", way, str(folder), str(out))

    def theirs(python: Path, name: str) -> Command:
        script = str(ROOT / "benchmarks" / "contenders" / "peers.py")
        return lambda folder, out: (str(python), script, name, str(folder), str(out))

    commands = {KERNEL: ours("neighbours"), STAGE: ours("stage")}
    if whole:
        commands[WHOLE] = lambda folder, _: (
            sys.executable,
            "-m",
            "benchmarks.contenders.ours",
            str(folder / "orders.csv"),
        )
    missing: dict[str, str] = {}
    for name in PEERS:
        peer = find_peer(name, make=make)
        if peer.python is None:
            missing[name] = peer.why_not
        else:
            commands[name] = theirs(peer.python, name)
    return commands, missing


def _measure(name: str, commands: dict[str, Command], missing: dict[str, str], rounds: int) -> Iterator[Result]:
    shop = SHAPES[name].shop
    with tempfile.TemporaryDirectory(prefix="reco-matrix-") as temporary:
        folder = Path(temporary)
        facts: Facts = _apart(prepare, name, folder, WHOLE in commands)
        for contender, command in commands.items():
            if contender == "sar" and facts[3] ** 2 * DENSE_BYTES > DENSE_LIMIT:
                need = facts[3] ** 2 * DENSE_BYTES / 1e9
                yield Result(*facts, contender, why_not=f"not run: keeps every pair of items, some {need:,.0f} GB")
                continue
            out = folder / f"{list(commands).index(contender)}.npy"
            try:
                costs = [_turn(contender, command(folder, out), folder / "home") for _ in range(rounds)]
            except RecoError as error:
                yield Result(*facts, contender, why_not=f"failed: {error.message.strip().splitlines()[-1][:120]}")
                continue
            hits = ""
            if shop and ":" not in contender:
                run(command(folder / "learnt", folder / "learnt.npy"), {})
                hits = "{:.3f} ± {:.3f}".format(*_apart(hit_rate, folder / "learnt.npy", shop))
            agrees = _apart(agreement, folder / "0.npy", out) if contender in PEERS and KERNEL in commands else ""
            yield _result(facts, contender, costs, agrees, hits)
        for contender, why_not in missing.items():
            yield Result(*facts, contender, why_not=why_not)


def _apart(work: Callable[..., Any], *arguments: Any) -> Any:
    """The result of work in a process of its own: a large process counts as memory of those that it starts."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def _turn(contender: str, command: Sequence[str], home: Path) -> Cost:
    cost = run(command, {"RECO_HOME": str(home)})
    shutil.rmtree(home, ignore_errors=True)
    print(f"  {contender:<28} {cost.cpu_seconds:8.2f} CPU s {cost.wall_seconds:8.2f} s", file=sys.stderr, flush=True)
    return cost


def _result(facts: Facts, contender: str, costs: list[Cost], agrees: str, hits: str) -> Result:
    middle = sorted(costs, key=lambda one: one.cpu_seconds)[len(costs) // 2]
    return Result(
        *facts,
        contender,
        cpu_seconds=round(middle.cpu_seconds, 3),
        wall_seconds=round(middle.wall_seconds, 3),
        peak_mb=round(middle.peak_bytes / 1e6, 1),
        pairs=middle.found.get("pairs"),
        agrees=agrees,
        hit_rate=hits,
    )


if __name__ == "__main__":
    sys.exit(main())
