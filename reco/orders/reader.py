"""From drops to their parts in the lake, many drops in one scan, every line accounted for.

Belongs here: the order of the steps, and what one drop's failure means for the others. Does not belong here: the steps.
"""

import datetime as dt
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import duckdb

from reco.errors import DropError, LedgerBroken
from reco.orders import judge, scan, sql
from reco.orders.dialect import Probe, probe
from reco.orders.drops import DropFile, DropResult, LineCounts
from reco.orders.opened import OpenedDrop, open_drop
from reco.orders.packed import text_bytes
from reco.orders.parts import PartWriter, write_parts
from reco.orders.privacy import Hiding
from reco.orders.scan import Scanned
from reco.orders.schema import MAX_CHECKED_ROWS
from reco.orders.styles import find_styles
from reco.orders.whole import LeftOut, Scan, WholeBatches
from reco.progress import report
from reco.storage.columns import lake_errors
from reco.storage.engine import Limits, open_engine
from reco.storage.lake import Lake

__all__ = ["DropFile", "DropResult", "LineCounts", "Probe", "probe", "read_batch"]

SCAN_BYTES = 2**28
SCAN_DROPS = 200
"""Files that are open at once; each takes one or two of the descriptors of the process."""
"""Text that is read in one scan; a larger file is a scan of its own."""
_LIMITS = Limits(memory_bytes=2**29, threads=1)
"""What asking about distinct texts takes: they come some at once."""


def read_batch(
    drops: Sequence[DropFile],
    lake: Lake,
    *,
    now: dt.datetime,
    scratch: Path,
    beside: Sequence[DropFile] = (),
    record_by_record: bool = False,
) -> Iterator[DropResult]:
    """Reads drops and writes the parts `order_lines` and `quarantined_lines` of each; yields each drop's result.

    Both parts of a drop are in the lake before its result is given, so a kill leaves whole drops. The order of the
    drops changes no part. What else is in the batch changes only what a rule or a count says of the whole batch:
    exact repeats, too large orders, orders left out for a status.

    Args:
        drops: the drops; their keys differ.
        lake: where the parts go.
        now: the time of the run, for what lies in the future.
        scratch: an existing folder for what has to be unpacked; what is written there is removed again.
        beside: the other drops of the same batches that count; they are looked at and not read.
        record_by_record: read every line by itself; slow, equal in its result, and meant for comparison.

    Raises:
        LedgerBroken: lines do not add up, which is a defect of ours; parts of drops already given stay.
        LakeError: the lake cannot be written, or memory does not do.
    """
    wanted = {drop.key for drop in drops}
    portions = list(_portions(sorted([*drops, *beside], key=lambda drop: drop.place)))
    known = scratch / "batches"
    batches = WholeBatches(portions, known)
    try:
        for portion in portions:
            if batches.needs_first_look(portion):
                with _scanned(portion, now, scratch / "first-look", record_by_record=record_by_record) as (
                    con,
                    scans,
                    _,
                ):
                    batches.note(con, scans)
        while portions and wanted.isdisjoint(drop.key for drop in portions[-1]):
            portions.pop()  # nothing comes after it that it could tell of
        for number, portion in enumerate(portions):
            folder = scratch / f"scan-{number}"
            with _scanned(portion, now, folder, record_by_record=record_by_record) as (con, scans, failed):
                yield from (result for result in failed if result.key in wanted)
                left_out = batches.left_out(con, scans)
                for one in scans:
                    yield from _judge(con, one, left_out, lake, wanted)
    finally:
        shutil.rmtree(known, ignore_errors=True)


def _portions(drops: Sequence[DropFile]) -> Iterator[list[DropFile]]:
    portion: list[DropFile] = []
    size = 0
    for drop in drops:
        own = text_bytes(drop.path) if drop.path.is_file() else 0
        if portion and (size + own > SCAN_BYTES or len(portion) == SCAN_DROPS):
            yield portion
            portion, size = [], 0
        portion.append(drop)
        size += own
    if portion:
        yield portion


@contextmanager
def _scanned(
    portion: Sequence[DropFile], now: dt.datetime, folder: Path, *, record_by_record: bool
) -> Iterator[tuple[duckdb.DuckDBPyConnection, list[Scan], list[DropResult]]]:
    """The scans of a portion, a connection to ask about them, and the results of drops that cannot be used."""
    groups: dict[tuple[Any, ...], list[OpenedDrop]] = {}
    failed: list[DropResult] = []
    folder.mkdir(parents=True)
    try:
        for i, drop in enumerate(portion):
            try:
                opened = open_drop(drop, folder / f"drop-{i}", record_by_record=record_by_record)
            except DropError as error:
                failed.append(DropResult(drop.key, "failed", error))
                continue
            dialect = opened.layout.dialect
            group = (drop.profile.digest, dialect.delimiter, dialect.quote, dialect.header, opened.layout.header)
            groups.setdefault(group, []).append(opened)
        with open_engine("order_lines", folder / "asked", _LIMITS) as con, lake_errors("order_lines"):
            scans = [_scan(con, drops, now, folder / f"scanned-{i}") for i, drops in enumerate(groups.values())]
            failed += [result for _, refused in scans for result in refused]
            yield con, [one for one, _ in scans], failed
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _scan(
    con: duckdb.DuckDBPyConnection, drops: Sequence[OpenedDrop], now: dt.datetime, folder: Path
) -> tuple[Scan, list[DropResult]]:
    """Scans drops of one profile, dialect and header; one that is not to be believed is read record by record.

    Raises:
        LedgerBroken: the lines of a drop add up in neither way.
    """
    scanned: list[Scanned] = []
    for i, (drop, found) in enumerate(zip(drops, scan.load(drops, folder), strict=True)):
        if found is None:
            again = open_drop(drop.drop, drop.folder / "again", record_by_record=True)
            (found,) = scan.load([again], folder / f"again-{i}")  # noqa: PLW2901 - the one to be believed
        if found is None:
            raise LedgerBroken(
                f"The lines of {drop.drop.name} do not add up in either way of reading.",
                hint="This is a defect of ours: please report it with the file.",
                drop=drop.drop.key,
            )
        scanned.append(found)
    reading = sql.Reading(drops[0].drop.profile, drops[0].layout.mapping, now)
    styles: dict[str, sql.Style] = {}
    failed: list[DropResult] = []
    for key, style in find_styles(con, reading, scanned).items():
        if isinstance(style, DropError):
            failed.append(DropResult(key, "failed", style))
        else:
            styles[key] = style
    return Scan(reading, scanned, styles), failed


def _judge(
    con: duckdb.DuckDBPyConnection,
    scanned: Scan,
    left_out: Mapping[str, LeftOut],
    lake: Lake,
    wanted: Collection[str],
) -> Iterator[DropResult]:
    """Reads the wanted drops of a scan into the lake."""
    mine = [one for one in scanned.usable() if one.opened.drop.key in wanted]
    with ExitStack() as stack:
        writer: PartWriter | None = None
        for chunk in judge.runs(mine, scanned.styles):
            for judged in judge.judge(con, scanned.reading, chunk, left_out):
                opened = judged.run.drop
                if writer is None:
                    writer = stack.enter_context(write_parts(lake, opened.drop.key))
                hiding = Hiding(opened)
                writer.write(hiding.accepted(judged.accepted), hiding.others(judged.others))
                if opened.scan.lines > MAX_CHECKED_ROWS:
                    report("lines judged", judged.run.stop - 1, opened.scan.lines)
                if judged.last:
                    result = _result(judged.run, writer, left_out[opened.drop.key].duplicates)
                    stack.close()
                    writer = None
                    yield result


def _result(run: judge.Run, writer: PartWriter, duplicates: int) -> DropResult:
    """What reading a drop gave, after its last run.

    Raises:
        LedgerBroken: the lines counted from the bytes are not those accepted and refused.
    """
    opened = run.drop
    excluded, quarantined = writer.dispositions["excluded"], writer.dispositions["quarantined"]
    if writer.accepted + excluded + quarantined != opened.lines_read:
        raise LedgerBroken(
            f"{opened.drop.name} has {opened.lines_read} lines, and {writer.accepted} were accepted, {excluded} "
            f"excluded and {quarantined} quarantined.",
            hint="This is a defect of ours: please report it with the file.",
            drop=opened.drop.key,
        )
    layout = opened.layout
    return DropResult(
        opened.drop.key,
        "ingested",
        encoding=opened.text.encoding,
        dialect=layout.dialect.to_json()
        | {"decimal": run.style.decimal}
        | ({"times": run.style.time} if "ordered_at" in layout.mapping.columns else {}),
        header=list(layout.header),
        mapping=layout.mapping.named(layout.header),
        counts=LineCounts(
            lines_read=opened.lines_read,
            lines_accepted=writer.accepted,
            lines_excluded=excluded,
            lines_quarantined=quarantined,
            lines_header=opened.lines_header,
            lines_blank=opened.lines_blank,
            lines_duplicate=duplicates,
        ),
        reasons=dict(sorted(writer.reasons.items())),
        confidence=opened.confidence,
    )
