"""From the rows of a mended file to lines that can be read again.

Belongs here: which rows are taken, and the record each makes. Does not belong here: the file as such
(`reco.orders.mending`), and reading the records (`reco.orders.again`).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from reco.errors import DropError
from reco.orders.again import Again, Refused, ReplayReport, beside_replay, next_key, record_bounds
from reco.orders.balance import QUARANTINED
from reco.orders.home import Home
from reco.orders.ledger import Drop, DropStatus
from reco.orders.masking import unmask
from reco.orders.mending import Cells, MendedRow, cells_of, labels, parse_identity
from reco.orders.opened import OpenedDrop, open_drop
from reco.orders.parts import OtherLine
from reco.orders.privacy import Hiding
from reco.orders.quarantine import QuarantinedLine, left_escape, lines
from reco.orders.records import MESSAGES
from reco.orders.splice import Place, encode, fault_of, places, splice

LOST = "\ufffd"
"""Stands in a text for what its encoding could not say."""
Row = tuple[int, int, MendedRow]
"""The batch and the line that a row's identity names, and the row."""


def by_drop(rows: Iterable[MendedRow], report: ReplayReport) -> dict[str, list[Row]]:
    """The rows whose identity is whole and their own, by drop key; the others are refused."""
    rows = list(rows)
    times = Counter(row.identity.strip() for row in rows)
    found: dict[str, list[Row]] = {}
    for row in rows:
        parsed = parse_identity(row.identity)
        if parsed is None:
            why = "its reco_line is not as it was exported: copy it from the export again"
            report.refused.append(Refused(row.number, row.identity, why))
        elif times[row.identity.strip()] > 1:
            why = "its reco_line stands in several rows: leave one of them"
            report.refused.append(Refused(row.number, row.identity, why))
        else:
            key, batch, line = parsed
            found.setdefault(key, []).append((batch, line, row))
    return found


def mended_lines(
    home: Home, key: str, rows: Sequence[Row], *, digest: str, report: ReplayReport, folder: Path
) -> Again | None:
    """The rows of one drop that were mended, as lines to be read; None where there are none.

    Args:
        home: the home whose drop it is.
        key: the drop's key, as the rows have it.
        rows: the rows of this drop.
        digest: sha256 of the file they stand in.
        report: takes the rows that are refused, known or unchanged.
        folder: an empty folder for what is written on the way.
    """
    drop = next((one for one in home.ledger.drops(keys=[key]) if one.status is DropStatus.INGESTED), None)
    if drop is None:
        known = home.ledger.drops(keys=[key])
        why = f"its drop {key} is {known[0].status}" if known else f"this home knows no drop {key}"
        report.refused += [Refused(row.number, row.identity, why) for _, _, row in rows]
        return None
    due = _due(home, drop, rows, digest, report)
    if not due:
        return None
    try:
        return _put_in_place(home, drop, due, report, folder)
    except DropError as error:
        report.refused.append(Refused(None, key, str(error)))
        return None


def _due(
    home: Home, drop: Drop, rows: Sequence[Row], digest: str, report: ReplayReport
) -> dict[int, tuple[MendedRow, QuarantinedLine]]:
    """The rows of open lines that were not read before in this very file."""
    numbers = {line for _, line, _ in rows}
    quarantined = {
        one.line: one
        for one in lines(home.ledger, home.lake, [drop])
        if one.line in numbers and one.disposition == QUARANTINED
    }
    tried = any((replay.kind, replay.digest) == ("file", digest) for replay in drop.replays)
    due: dict[int, tuple[MendedRow, QuarantinedLine]] = {}
    for batch, line, row in rows:
        why = _why_not(drop, batch, quarantined.get(line), row)
        if why:
            report.refused.append(Refused(row.number, row.identity, why))
        elif tried or quarantined[line].replay_key is not None:
            report.known += 1
        else:
            due[line] = (row, quarantined[line])
    return due


def _why_not(drop: Drop, batch: int, line: QuarantinedLine | None, row: MendedRow) -> str | None:
    if drop.batch != batch:
        return f"its drop {drop.key} was given again since the export: export its lines anew"
    if line is None:
        return f"this line of {drop.key} is not quarantined"
    missing = [label for label in labels(drop.header or ()) if label not in row.cells]
    if missing:
        return f"the file has no column {missing[0]!r} any more, which lines of {drop.key} need"
    return "it has text beyond the last column" if row.beyond else None


def _put_in_place(
    home: Home,
    drop: Drop,
    due: Mapping[int, tuple[MendedRow, QuarantinedLine]],
    report: ReplayReport,
    folder: Path,
) -> Again | None:
    file = home.ledger.file(drop)
    spec = file.profile.dialect.model_copy(update=record_bounds(drop) | {"encoding": drop.encoding})
    as_read = file.profile.model_copy(update={"dialect": spec})
    opened = open_drop(replace(file, profile=as_read), folder / "first")
    hiding, mended = Hiding(opened), Hiding(opened, encoding="utf-8")
    known = {line: replace(place, raw=hiding.raw(place.raw)) for line, place in places(opened, list(due)).items()}
    records: dict[int, bytes] = {}
    faulty: list[OtherLine] = []
    for line, (row, was) in sorted(due.items()):
        shown = cells_of(drop, known[line].raw, was.reason)
        cells = unmask([row.cells[label] for label in labels(drop.header or ())], shown.fields, drop)
        if _same(shown, cells, row.raw):
            report.unchanged += 1
            continue
        if why := _not_the_text(drop, known[line], shown, cells, row):
            report.refused.append(Refused(row.number, row.identity, why))
            continue
        record = _record(opened, shown, cells, row.raw)
        if not record.strip():
            report.refused.append(Refused(row.number, row.identity, "it is empty: to leave a line out, delete its row"))
        elif fault := fault_of(opened, record, folder):
            offset = known[line].offset
            faulty.append(
                OtherLine(line, offset, mended.raw(record), QUARANTINED, fault, None, None, MESSAGES[fault], [])
            )
        else:
            records[line] = record
    if not records and not faulty:
        return None
    spliced = splice(opened, known, records, folder / "mended.csv")
    profile = as_read.model_copy(update={"dialect": spec.model_copy(update={"encoding": "utf-8"})})
    key, path = next_key(home, drop), folder / "mended.csv"
    again = replace(file, key=key, path=path, profile=profile, late=True)
    offsets = {line: known[line].offset for line in records}
    lines_read = (drop.lines_read or 0) - spliced.fewer
    others = beside_replay(home, drop, profile)
    return Again(drop, again, file.profile, lines_read, spliced.at, offsets, faulty, others)


def _not_the_text(drop: Drop, place: Place, shown: Cells, cells: tuple[str, ...], row: MendedRow) -> str | None:
    """Why the text of a mended row cannot be what the line ought to hold: something still stands for something else."""
    if shown.shortened and not any(cells):
        return "its text was shown shortened: fill in its columns instead"
    mended = "\n".join(cells) if shown.fields is not None or any(cells) else row.raw
    if shown.fields is None and (escape := left_escape(place.raw, drop.encoding or "utf-8", mended)):
        return f"it still has {escape}, which only shows a byte that cannot stand there: write what it ought to be"
    before = "\n".join(shown.fields) if shown.fields is not None else shown.raw
    if mended.count(LOST) > before.count(LOST):
        return f"it has {LOST}, which stands for a letter that was lost: save the file as CSV (UTF-8)"
    return None


def _record(opened: OpenedDrop, shown: Cells, cells: tuple[str, ...], raw: str) -> bytes:
    """The record that a row makes, in UTF-8."""
    if shown.fields is None and not any(cells):
        return raw.encode("utf-8", "replace")
    dialect = opened.layout.dialect
    return encode(cells, dialect.delimiter, dialect.quote)


def _same(shown: Cells, cells: tuple[str, ...], raw: str) -> bool:
    """Whether a row is as it was exported; a spreadsheet may write line ends inside a cell in its own way."""
    if shown.fields is None:
        return not any(cells) and _plain(raw) == _plain(shown.raw)
    return [_plain(cell) for cell in cells] == [_plain(value) for value in shown.fields]


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
