"""The dry run of one file: what reading it as a drop would give, without a home, a database or Redis.

Belongs here: putting together what the reader finds, with examples and a profile to start from. Does not belong here:
any reading of its own: what would be accepted is found by the reader itself, into a folder that is thrown away.
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from reco.errors import DropAmbiguous, DropError
from reco.orders.dialect import HEAD_BYTES, find_layout
from reco.orders.drops import QUARANTINED_LINES, DropFile, DropResult
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


@dataclass(frozen=True)
class Example:
    """A line that would not be accepted; `raw` is its text, cut to 200 characters."""

    line: int
    reason: str
    column: str | None
    value: str | None
    message: str
    raw: str


@dataclass(frozen=True)
class Inspection:
    """What a file is, and what reading it would give.

    `error` is set where the file cannot be read at all; there is nothing else then. `refusal` is set where it can be
    read and a run would still refuse it as a drop: no column for order or item, no line below the header, or values
    that can be read in two ways, about which `questions` asks. In that case `counts` has only what the
    structure of the lines tells: `lines_accepted` and `lines_excluded` are None, and only structural faults count as
    quarantined.
    """

    file: str
    error: DropError | None = None
    refusal: DropError | None = None
    found: Detected | None = None
    mapped: bool = False
    counts: Mapping[str, int | None] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)
    first_lines: list[tuple[int, list[str]]] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)
    profile: str | None = None

    @property
    def dialect(self) -> dict[str, Any] | None:
        """How the file is written: encoding, delimiter, quote, decimal, header, and the confidence in the first two."""
        if self.found is None:
            return None
        return {"encoding": self.found.encoding, **self.found.dialect, "confidence": dict(self.found.confidence)}

    def to_json(self) -> dict[str, Any]:
        """The inspection as plain JSON values."""
        return {
            "file": self.file,
            "error": str(self.error) if self.error else None,
            "error_code": self.error.code if self.error else None,
            "refusal": str(self.refusal) if self.refusal else None,
            "refusal_code": self.refusal.code if self.refusal else None,
            "dialect": self.dialect,
            "header": list(self.found.header) if self.found else [],
            "mapping": dict(self.found.mapping) if self.found else {},
            "mapped": self.mapped,
            **{name: self.counts.get(name) for name in COUNTS},
            "reasons": dict(self.reasons),
            "first_lines": [{"line": line, "fields": fields} for line, fields in self.first_lines],
            "examples": [asdict(one) for one in self.examples],
            "questions": list(self.found.questions) if self.found else [],
            "profile": self.profile,
        }


COUNTS = (
    "lines_read",
    "lines_accepted",
    "lines_excluded",
    "lines_quarantined",
    "lines_header",
    "lines_blank",
    "lines_duplicate",
)


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
    (scratch / "reading").mkdir()
    lake = Lake(scratch / "lake")
    (result,) = read_batch([drop], lake, now=now, scratch=scratch / "reading")
    try:
        if result.error is None:
            return _judged(drop, result, lake, scratch)
        with open_table(drop, scratch / "table", all_columns=False) as table:
            return _structural(table, result.error, scratch)
    except DropError as error:
        return Inspection(str(path), error)


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
            "lines_header": layout.dialect.header_lines,
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
            raw = _shown(text.original[start:end], text.encoding)
            found.append(Example(fault.line, fault.reason, None, None, MESSAGES[fault.reason], raw))
    return found


def _shown(raw: bytes, encoding: str) -> str:
    return raw[: 4 * MAX_VALUE_CHARS].decode(encoding, "replace")[:MAX_VALUE_CHARS]
