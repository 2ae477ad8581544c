"""The dry run of one file: what reading it as a drop would give, without a home, a database or Redis.

Belongs here: putting together what the reader finds, with examples and a profile to start from. Does not belong here:
any reading of its own: what would be accepted is found by the reader itself, into a folder that is thrown away.
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from reco.errors import DropAmbiguous, DropError
from reco.orders.dialect import HEAD_BYTES, find_layout
from reco.orders.drops import QUARANTINED_LINES, DropFile, DropResult
from reco.orders.inspection import Example, Inspection, without_customers
from reco.orders.lines import next_line
from reco.orders.profiles import SourceProfile
from reco.orders.reader import read_batch
from reco.orders.records import MESSAGES, RecordReader
from reco.orders.rules import MAX_VALUE_CHARS
from reco.orders.source import UTF8, as_text, decode_head, peek
from reco.orders.starter import Detected, starter_profile
from reco.orders.table import Table, open_table
from reco.storage.lake import Lake

FIRST_LINES = 5
EXAMPLES_OF_A_REASON = 3
_KEY = "inspected"
_RAW_BYTES = 4 * MAX_VALUE_CHARS


def inspect_file(path: Path, profile: SourceProfile, *, now: dt.datetime, scratch: Path) -> Inspection:
    """Looks at a whole file as a drop would be read; any content gives an answer.

    Args:
        path: the file.
        profile: how to read it.
        now: for what lies in the future.
        scratch: an existing folder of its own; what is written there is for the caller to remove.

    Raises:
        LakeError: the scratch folder cannot be written, or memory does not do.
        LedgerBroken: lines do not add up, which is a defect of ours.
    """
    drop = DropFile(_KEY, path, path.name, profile)
    seen = _looked_at(drop, now=now, scratch=scratch)
    return without_customers(seen, profile) if profile.privacy.pseudonymise else seen


def _looked_at(drop: DropFile, *, now: dt.datetime, scratch: Path) -> Inspection:
    (scratch / "reading").mkdir()
    lake = Lake(scratch / "lake")
    (result,) = read_batch([drop], lake, now=now, scratch=scratch / "reading")
    try:
        if result.error is None:
            return _judged(drop, result, lake, scratch)
        with open_table(drop, scratch / "table", all_columns=False) as table:
            return _structural(table, result.error, scratch)
    except DropError as error:
        return Inspection(str(drop.path), error)


def _judged(drop: DropFile, result: DropResult, lake: Lake, scratch: Path) -> Inspection:
    """The inspection of a file that a run would take."""
    encoding, mapping = result.encoding or UTF8, result.mapping or {}
    found = Detected(encoding, result.dialect or {}, result.confidence, result.header or [], mapping)
    return Inspection(
        str(drop.path),
        found=found,
        mapped=True,
        counts=asdict(result.counts),
        reasons=result.reasons,
        first_lines=_first_lines(drop, encoding, scratch),
        examples=_examples(lake.existing(QUARANTINED_LINES, drop.key), result.reasons, encoding),
        profile=starter_profile(drop.name, drop.profile, found),
    )


def _structural(table: Table, refusal: DropError, scratch: Path) -> Inspection:
    """The inspection of a file that can be read and that a run would refuse."""
    opened = table.opened
    drop, layout, encoding = opened.drop, opened.layout, opened.text.encoding
    mapped = layout.unmapped is None
    mapping = layout.mapping.named(table.header) if mapped else {}
    questions = refusal.details["questions"] if isinstance(refusal, DropAmbiguous) else []
    found = Detected(encoding, layout.dialect.to_json(), opened.confidence, table.header, mapping, questions)
    return Inspection(
        str(drop.path),
        refusal=refusal,
        found=found,
        mapped=mapped,
        counts={
            "lines_read": opened.lines_read,
            "lines_quarantined": len(table.faults),
            "lines_header": opened.lines_header,
            "lines_blank": opened.lines_blank,
        },
        reasons=table.faults.reasons(),
        first_lines=_first_lines(drop, encoding, scratch),
        examples=_faults(table),
        profile=starter_profile(drop.name, drop.profile, found),
    )


def _first_lines(drop: DropFile, encoding: str, scratch: Path) -> list[tuple[int, list[str]]]:
    """The first whole records with their lines, as far as the file's first bytes go."""
    text = decode_head(peek(drop.path, drop.name, HEAD_BYTES), encoding)
    layout = find_layout(text, drop.profile, drop.name)
    head = scratch / "head"
    head.write_bytes(text.encode(UTF8, "replace"))
    whole = as_text(head, UTF8, scratch, drop.name)
    reader = RecordReader(whole, layout.dialect, len(layout.header), drop.profile.rules.max_line_bytes)
    ahead = layout.dialect.header_lines + layout.dialect.blank_lines
    found: list[tuple[int, list[str]]] = []
    line, at = 1, whole.start
    while at < whole.size and len(found) < FIRST_LINES:
        end, after = next_line(whole, at)
        cut_off = after == whole.size and whole.size >= HEAD_BYTES
        if line > ahead and end > at and not cut_off:
            *_, record = reader.records(line, at)
            if record.fields is not None:
                found.append((line, record.fields))
            after = next_line(whole, record.end)[1]
            line = record.line + record.lines - 1
        line, at = line + 1, after
    return found


def _examples(part: Path, reasons: Mapping[str, int], encoding: str) -> list[Example]:
    """The first lines of each reason, in the order of the file, from the drop's part of quarantined lines."""
    missing = {reason: min(count, EXAMPLES_OF_A_REASON) for reason, count in reasons.items()}
    found = []
    with pq.ParquetFile(part) as file:
        for row in _rows(file):
            if not any(missing.values()):
                break
            if missing[row["reason"]]:
                missing[row["reason"]] -= 1
                raw = _shown(row["raw"], encoding)
                found.append(Example(row["line"], row["reason"], row["column"], row["value"], row["message"], raw))
    return found


def _rows(file: pq.ParquetFile) -> Iterator[dict[str, Any]]:
    for batch in file.iter_batches(batch_size=1000):
        yield from batch.to_pylist()


def _faults(table: Table) -> list[Example]:
    """The first lines of each structural reason."""
    text, found = table.opened.text, []
    missing = {reason: min(count, EXAMPLES_OF_A_REASON) for reason, count in table.faults.reasons().items()}
    for fault in table.faults:
        if not any(missing.values()):
            break
        if missing[fault.reason]:
            missing[fault.reason] -= 1
            start, end = text.original_offsets(np.array([fault.start, fault.end], np.int64)).tolist()
            raw = _shown(text.original[start : min(end, start + _RAW_BYTES)], text.encoding)
            found.append(Example(fault.line, fault.reason, None, None, MESSAGES[fault.reason], raw))
    return found


def _shown(raw: bytes, encoding: str) -> str:
    return raw[:_RAW_BYTES].decode(encoding, "replace")[:MAX_VALUE_CHARS]
