"""From drops to their parts in the lake, many drops in one scan, every line accounted for.

Belongs here: the order of the steps, and what one drop's failure means for the others. Does not belong here: the steps.
"""

import datetime as dt
import os
import shutil
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from reco.errors import DropError, LedgerBroken
from reco.orders import judge, scan, sql
from reco.orders.dialect import Probe, probe
from reco.orders.drops import DropFile, DropResult, LineCounts
from reco.orders.opened import OpenedDrop, open_drop
from reco.orders.parts import OtherLine, PartWriter, write_parts
from reco.orders.privacy import hide_customers
from reco.orders.schema import MAX_CHECKED_ROWS
from reco.orders.styles import find_styles
from reco.progress import report
from reco.storage.engine import Limits, open_engine
from reco.storage.lake import Lake

__all__ = ["DropFile", "DropResult", "LineCounts", "Probe", "probe", "read_batch"]

SCAN_BYTES = 512 * 2**20
"""Text that is read in one scan; a larger file is a scan of its own."""
SCAN_MEMORY = 1536 * 2**20
"""Bytes of a scan's records that stay in memory; the others are spilled to the scratch folder."""
SCAN_MEMORY_OF_A_THREAD = 128 * 2**20


def read_batch(
    drops: Sequence[DropFile], lake: Lake, *, now: dt.datetime, scratch: Path, record_by_record: bool = False
) -> Iterator[DropResult]:
    """Reads drops and writes the parts `order_lines` and `quarantined_lines` of each; yields each drop's result.

    Both parts of a drop are in the lake before its result is given, so a kill leaves whole drops. Neither the order of
    the drops nor what else is in the batch changes a part.

    Args:
        drops: the drops; their keys differ.
        lake: where the parts go.
        now: the time of the run, for what lies in the future.
        scratch: an existing folder for what has to be unpacked; what is written there is removed again.
        record_by_record: read every line by itself; slow, equal in its result, and meant for comparison.

    Raises:
        LedgerBroken: lines do not add up, which is a defect of ours; parts of drops already given stay.
        LakeError: the lake cannot be written, or memory does not do.
    """
    for number, portion in enumerate(_portions(drops)):
        folder = scratch / f"scan-{number}"
        try:
            yield from _read_portion(portion, lake, now, folder, record_by_record=record_by_record)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _limits() -> Limits:
    """What the scan may take: bounded whatever the size of a file, and room for the buffers of every thread."""
    threads = os.cpu_count() or 1
    return Limits(min(Limits().memory(), max(SCAN_MEMORY, threads * SCAN_MEMORY_OF_A_THREAD)))


def _portions(drops: Sequence[DropFile]) -> Iterator[list[DropFile]]:
    portion: list[DropFile] = []
    size = 0
    for drop in drops:
        own = drop.path.stat().st_size if drop.path.is_file() else 0
        if portion and size + own > SCAN_BYTES:
            yield portion
            portion, size = [], 0
        portion.append(drop)
        size += own
    if portion:
        yield portion


def _read_portion(
    portion: Sequence[DropFile], lake: Lake, now: dt.datetime, folder: Path, *, record_by_record: bool
) -> Iterator[DropResult]:
    groups: dict[tuple[Any, ...], list[OpenedDrop]] = {}
    folder.mkdir(parents=True)
    for i, drop in enumerate(portion):
        try:
            opened = open_drop(drop, folder / f"drop-{i}", record_by_record=record_by_record)
        except DropError as error:
            yield DropResult(drop.key, "failed", error)
            continue
        dialect = opened.layout.dialect
        group = (drop.profile.digest, dialect.delimiter, dialect.quote, dialect.header, opened.layout.header)
        groups.setdefault(group, []).append(opened)
    for i, group_drops in enumerate(groups.values()):
        with open_engine("order_lines", folder / f"group-{i}", _limits()) as con:
            doubted = yield from _read_group(con, group_drops, lake, now, folder / f"links-{i}")
            if doubted:
                again = [open_drop(drop.drop, drop.folder / "again", record_by_record=True) for drop in doubted]
                doubted = yield from _read_group(con, again, lake, now, folder / f"links-{i}-again")
            if doubted:
                raise LedgerBroken(
                    f"The lines of {doubted[0].drop.name} do not add up in either way of reading.",
                    hint="This is a defect of ours: please report it with the file.",
                    drop=doubted[0].drop.key,
                )


def _read_group(
    con: duckdb.DuckDBPyConnection, drops: Sequence[OpenedDrop], lake: Lake, now: dt.datetime, links: Path
) -> Generator[DropResult, None, list[OpenedDrop]]:
    """Reads drops of one profile, dialect and header; returns those whose scan is not to be believed."""
    doubted = scan.load(con, drops, links)
    believed = [i for i, drop in enumerate(drops) if not any(drop is one for one in doubted)]
    if not believed:
        return doubted
    reading = sql.Reading(drops[0].drop.profile, drops[0].layout.mapping, now)
    styles: dict[int, sql.Style] = {}
    for i, style in find_styles(con, reading, drops).items():
        if isinstance(style, DropError) and i in believed:
            yield DropResult(drops[i].drop.key, "failed", style)
        elif isinstance(style, sql.Style) and i in believed:
            styles[i] = style
    whole = judge.whole_drop(con, reading, [drops[i] for i in styles])
    left_out = judge.left_out(reading, whole)
    repeats = {drops[i].drop.key: len(one.duplicates) for i, one in zip(styles, whole, strict=True)}
    with ExitStack() as stack:
        writer: PartWriter | None = None
        for chunk in judge.runs(drops, styles):
            for judged in judge.judge(con, reading, chunk, left_out):
                opened = judged.run.drop
                if writer is None:
                    writer = stack.enter_context(write_parts(lake, opened.drop.key))
                writer.write(*_kept(judged, opened))
                if opened.scan.lines > MAX_CHECKED_ROWS:
                    report("lines judged", judged.run.stop - 1, opened.scan.lines)
                if judged.run.last:
                    result = _result(judged.run, writer, repeats[opened.drop.key])
                    stack.close()
                    writer = None
                    yield result
    return doubted


def _kept(judged: judge.Judged, opened: OpenedDrop) -> tuple[pl.DataFrame, Sequence[OtherLine]]:
    """What goes into the lake: where the profile asks for it, without the customers' ids."""
    if opened.drop.pseudonyms is None:
        return judged.accepted, judged.others
    return hide_customers(judged.accepted, judged.others, opened.layout.mapping.columns, opened.drop.pseudonyms)


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
            lines_header=layout.dialect.header_lines,
            lines_blank=opened.lines_blank,
            lines_duplicate=duplicates,
        ),
        reasons=dict(sorted(writer.reasons.items())),
        confidence=opened.confidence,
    )
