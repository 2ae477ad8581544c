"""Replaying quarantined lines: mended by a person, or as they came under another profile.

Belongs here: the two ways of asking for it. Does not belong here: the export that is mended (`reco.orders.mending`),
reading the lines (`reco.orders.again`), and what a replay means for the orders, whose view takes its part in like any
other (`reco.orders.orders`).

Nothing of the first reading changes, and a line that left the quarantine is never read again. The caller holds the lock
of the home.
"""

import datetime as dt
from dataclasses import replace
from pathlib import Path

from reco.errors import DropError
from reco.orders.again import (
    Again,
    ReadAgain,
    Refused,
    ReplayReport,
    Request,
    beside_replay,
    enter_all,
    next_key,
    read_again,
    record_bounds,
    still_wrong,
)
from reco.orders.home import Home
from reco.orders.ledger import Drop
from reco.orders.mended import by_drop, mended_lines
from reco.orders.mending import read_mended
from reco.orders.profiles import SourceProfile
from reco.orders.quarantine import Selection, lines
from reco.storage.lake import file_digest


def replay_file(home: Home, path: Path, *, now: dt.datetime, actor: str) -> ReplayReport:
    """Reads the mended rows of an exported file again; rows left as they were stay as they are.

    Each row is taken, told as known, or refused by itself; the replays of all drops count together or not at all.

    Raises:
        UsageError: the file is no export.
        LedgerBroken, LakeError: see `reco.orders.reader.read_batch`.
    """
    report = ReplayReport()
    given = by_drop(read_mended(path), report)
    request = Request(now, actor, "file", path.name, file_digest(path))
    read: list[ReadAgain] = []
    with home.lake.scratch() as scratch:
        for number, (key, rows) in enumerate(sorted(given.items())):
            folder = scratch / f"drop-{number}"
            folder.mkdir()
            again = mended_lines(home, key, rows, digest=request.digest, report=report, folder=folder)
            read += _read(again, report, now, folder)
        report.replays += enter_all(home, read, request)
    report.still += still_wrong(read)
    return report


def replay_lines(
    home: Home, selection: Selection, profile: SourceProfile, *, now: dt.datetime, actor: str
) -> ReplayReport:
    """Reads the open lines of a selection again, as they came, with another profile (or the same, after rules changed).

    The profile maps columns and sets rules; delimiter and quotes stay those of the first reading, which say where a
    record ends, and so does the source, by which a line finds its order. A drop of which no line leaves the quarantine
    gets no replay.

    Raises:
        UsageError: see `Selection.drops`.
        LedgerBroken, LakeError: see `reco.orders.reader.read_batch`.
    """
    report = ReplayReport()
    request = Request(now, actor, "profile", profile.name, profile.digest)
    read: list[ReadAgain] = []
    with home.lake.scratch() as scratch:
        for number, drop in enumerate(selection.drops(home.ledger)):
            folder = scratch / f"drop-{number}"
            folder.mkdir()
            again = _as_they_came(home, drop, selection.reason, profile, report)
            read += _read(again, report, now, folder)
        report.replays += enter_all(home, [one for one in read if one.settled], request)
    report.still += still_wrong(read)
    return report


def _read(again: Again | None, report: ReplayReport, now: dt.datetime, folder: Path) -> list[ReadAgain]:
    if again is None:
        return []
    read = read_again(again, now=now, folder=folder)
    if isinstance(read, str):
        report.refused.append(Refused(None, again.drop.key, read))
        return []
    return [read]


def _as_they_came(
    home: Home, drop: Drop, reason: str | None, profile: SourceProfile, report: ReplayReport
) -> Again | None:
    """The open lines of a drop, to be read where they stand."""
    offsets: dict[int, int] = {}
    expired = 0
    for line in lines(home.ledger, home.lake, [drop], reason=reason, only_open=True):
        if line.raw is None:
            expired += 1
        else:
            offsets[line.line] = line.byte_offset
    if expired:
        why = f"{expired} of its lines were kept long enough: their text was removed, and they are not read again"
        report.refused.append(Refused(None, drop.key, why))
    if not offsets:
        return None
    try:
        file = home.ledger.file(drop)
    except DropError as error:
        report.refused.append(Refused(None, drop.key, str(error)))
        return None
    first = file.profile.dialect
    spec = profile.dialect.model_copy(
        update=record_bounds(drop)
        | {"encoding": profile.dialect.encoding or drop.encoding, "header": first.header, "names": first.names}
    )
    named = profile.model_copy(update={"name": drop.source, "dialect": spec})
    # What was read without its customers is never read with them, whatever the other profile says.
    pseudonyms = file.pseudonyms or home.ledger.pseudonyms_for(named)
    again = replace(file, key=next_key(home, drop), profile=named, pseudonyms=pseudonyms, late=True)
    at = {line: line for line in offsets}
    return Again(drop, again, profile, drop.lines_read or 0, at, offsets, beside=beside_replay(home, drop, named))
