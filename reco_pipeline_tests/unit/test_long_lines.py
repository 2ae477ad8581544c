"""Lines of any length: one fault each, in memory that stays near their own size."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from reco.orders.drops import DropFile
from reco.orders.opened import open_drop
from reco.orders.profiles import load_profile
from reco_pipeline_tests.reading import read_bytes
from reco_pipeline_tests.shop import ROOT

MEGABYTES = 64
MOST = 8
"""Times its own size: mapped once, kept as raw bytes once, and what writing Parquet and the engine take."""
SCRIPT = """
import json, sys
from pathlib import Path
from reco.orders.drops import DropFile
from reco.orders.profiles import load_profile
from reco.orders.reader import read_batch
from reco.storage.lake import Lake
from reco_pipeline_tests.reading import NOW

peaks, told = [], []
for name in ("short", "long"):
    folder = Path(sys.argv[1])
    (folder / f"scratch-{name}").mkdir()
    drop = DropFile(name, folder / f"{name}.csv", name, load_profile("auto"))
    (result,) = read_batch([drop], Lake(folder / "lake"), now=NOW, scratch=folder / f"scratch-{name}")
    told.append([result.counts.lines_read, result.reasons])
    status = Path("/proc/self/status").read_text()  # the peak of this process alone, unlike that of getrusage
    peaks.append(int(status.split("VmHWM:")[1].split()[0]) * 1024)
print(json.dumps({"peaks": peaks, "told": told}))
"""


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_a_line_of_any_length_takes_little_more_than_itself(encoding: str, tmp_path: Path) -> None:
    """A line of many megabytes, full of quotes and delimiters, is found without copies of it for each thing asked."""
    for name, megabytes in (("short", 1), ("long", MEGABYTES)):
        with (tmp_path / f"{name}.csv").open("wb") as file:
            file.write("order_id,item_id\n1,é\n2,".encode(encoding))
            for _ in range(megabytes):
                file.write(('é,"y" '.encode(encoding) * 200_000)[: 2**20])
            file.write(b"\n3,z\n")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, tmp_path], cwd=ROOT, capture_output=True, text=True, check=True
    )
    seen = json.loads(done.stdout)
    assert seen["told"] == [[3, {"oversized_line": 1}]] * 2
    extra = (seen["peaks"][1] - seen["peaks"][0]) / 2**20
    assert extra < MOST * MEGABYTES, extra


def test_a_file_of_one_long_line_alone_is_read(tmp_path: Path) -> None:
    """Nothing but a long line below the header, also as the last bytes of the file, and not UTF-8."""
    for tail in (b"", b"\n"):
        read = read_bytes(b"order_id,item_id\n" + b"x\xff\xff" * 8_000_000 + tail, tmp_path)
        assert read.faults == {2: "oversized_line"}
        assert read.others["raw"][0].startswith(b"x\xff\xff")
        assert (read.others["byte_offset"][0], len(read.others["raw"][0])) == (17, 24_000_000)


def test_long_lines_are_judged_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is judged at once is bounded by bytes, also where each block is a line longer than a block."""
    monkeypatch.setattr("reco.orders.lines.BLOCK", 1000)
    monkeypatch.setattr("reco.orders.lines.RUN_BYTES", 8000)
    path = tmp_path / "orders.csv"
    path.write_bytes(b"order_id,item_id\n" + (b"x" * 5000 + b"\n") * 20)
    scan = open_drop(DropFile("k", path, "orders.csv", load_profile("auto")), tmp_path / "open").scan
    line, runs = 1, []
    while line <= scan.lines:
        stop = scan.run_from(line, 500_000)
        runs.append(stop - line)
        line = stop
    assert sum(runs) == 21
    assert max(runs) <= 3
