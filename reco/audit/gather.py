"""Reading a report's values out of SQL.

Belongs here: which rows are in the scope of a report. Does not belong here: sums over them (`reco.audit.report`).
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from reco import __version__
from reco.audit.proof import Proof
from reco.audit.report import (
    DayEntry,
    DropEntry,
    Lines,
    Mark,
    ReplayEntry,
    Report,
    RunEntry,
    Scope,
    SnapshotEntry,
    add_lines,
)
from reco.audit.trail import Event
from reco.audit.words import event_words
from reco.errors import UsageError
from reco.storage.sql import audit_events, catalogue_drops, drop_sets, drops, replays, snapshots

_LEAST_PREFIX = 8
_OUTCOMES = {
    Event.SNAPSHOT_PUBLISHED: "published",
    Event.SNAPSHOT_UNCHANGED: "nothing new to publish",
    Event.GATE_REFUSED: "refused by the gate",
    Event.RUN_FAILED: "failed",
}
_MARKED = (
    Event.DROP_REFUSED,
    Event.DROP_FAILED,
    Event.DROP_RETRACTED,
    Event.DROP_REOPENED,
    Event.LINES_EXPORTED,
    Event.LINES_REPLAYED,
    Event.REPLAY_VOIDED,
    Event.QUARANTINE_EXPIRED,
    Event.ORDERS_REPLACED,
    Event.SCORE_CHOSEN,
    Event.GATE_REFUSED,
    Event.RUN_FAILED,
    Event.ROLLED_BACK,
    Event.DROP_REDACTED,
    Event.REPLACED_REDACTED,
    Event.RAW_REMOVED,
    Event.CUSTOMER_FORGOTTEN,
)


def make_report(
    engine: sa.Engine,
    scope: Scope,
    *,
    namespace: str,
    now: dt.datetime,
    dispositions: Mapping[str, str],
    proof: Proof,
    lake_problems: Mapping[str, str] | None = None,
) -> Report:
    """The report on one drop, one run, a period, or everything.

    Args:
        engine: the database.
        scope: `drop` may be a key, a file name, or the start (8 characters or more) of a key or sha256, of a catalogue
            too; `run` the start of a run id.
        namespace: the shop's.
        now: when the report is made.
        dispositions: excluded or quarantined, by reason.
        proof: of the trail this report is read from.
        lake_problems: by drop key, why its rows in the lake are not the lines of the ledger.

    Raises:
        UsageError: no drop or run is named so, or several are.
    """
    with engine.connect() as connection:
        drop_rows = list(connection.execute(sa.select(drops).order_by(drops.c.batch, drops.c.key)))
        event_rows = list(connection.execute(sa.select(audit_events).order_by(audit_events.c.id)))
        first = {row.snapshot_id: row.id for row in reversed(event_rows)}
        # In the order of their events: a clock may have been wrong.
        snapshot_rows = sorted(connection.execute(sa.select(snapshots)), key=lambda row: first.get(row.snapshot_id, 0))
        catalogue_rows = list(
            connection.execute(sa.select(catalogue_drops).order_by(catalogue_drops.c.batch, catalogue_drops.c.key))
        )
        replay_rows = list(connection.execute(sa.select(replays).order_by(replays.c.at, replays.c.key)))
        sets: dict[str, set[str]] = {}
        for row in connection.execute(sa.select(drop_sets.c.set_digest, drop_sets.c.drop_key)):
            sets.setdefault(row.set_digest, set()).add(row.drop_key)
    scope = _resolved(scope, [*drop_rows, *catalogue_rows], event_rows)
    held = _held(event_rows, sets)
    chosen = [row for row in event_rows if _in_scope(scope, row, held)]
    keys = _keys(scope, drop_rows, chosen)
    published = [row for row in snapshot_rows if _snapshot_in_scope(scope, row, held)]
    settled = _settled(replay_rows)
    entries = [
        _drop_entry(row, published, held, (lake_problems or {}).get(row.key, ""), settled.get(row.key, 0))
        for row in drop_rows
        if row.key in keys
    ]
    names = {one.key: one.name for one in (*drop_rows, *catalogue_rows)}
    return Report(
        generated_at=now,
        version=__version__,
        namespace=namespace,
        scope=scope,
        drops=entries,
        runs=_runs(chosen),
        days=_days(entries),
        snapshots=[_snapshot_entry(row, held) for row in published],
        marks=[_mark(row, names) for row in chosen if row.event in _MARKED],
        proof=proof,
        dispositions=dispositions,
        replays=[_replay_entry(row, names) for row in replay_rows if _replay_in_scope(scope, row, keys)],
        catalogues=[
            _drop_entry(row, (), held, "", 0)
            for row in catalogue_rows
            if row.key in keys or (scope.drop is None and scope.run is None and _within(scope, row.received_at))
        ],
    )


def one_drop(rows: Sequence[Any], wanted: str) -> Any:
    """The row of the drop with this key, file name, or start of its key or sha256.

    The same bytes have one key, also where they came as orders and as a catalogue: the first of these rows is given.

    Raises:
        UsageError: there is none, or several.
    """
    found = [row for row in rows if wanted in (row.key, row.name)] or [
        row
        for row in rows
        if len(wanted) >= _LEAST_PREFIX and (row.key.startswith(wanted) or row.sha256.startswith(wanted))
    ]
    found = list({row.key: row for row in reversed(found)}.values())[::-1]
    return _only(found, wanted, "drop", [row.key for row in found], "See `reco drops list` for the keys.")


def _only(found: Sequence[Any], wanted: str, what: str, names: Sequence[str], hint: str) -> Any:
    if len(found) == 1:
        return found[0]
    problem = f"{wanted!r} names {len(found)} {what}s: {', '.join(names[:5])}." if found else ""
    raise UsageError(problem or f"No {what} is named {wanted!r}.", hint=hint)


def _resolved(scope: Scope, drop_rows: Sequence[Any], event_rows: Sequence[Any]) -> Scope:
    if scope.drop is not None:
        return Scope(drop=one_drop(drop_rows, scope.drop).key)
    if scope.run is not None:
        ids = sorted({row.run_id for row in event_rows if row.run_id and row.run_id.startswith(scope.run)})
        return Scope(run=_only(ids, scope.run, "run", ids, "See `reco audit report` for the runs."))
    return scope


def _held(event_rows: Sequence[Any], sets: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """The drops behind each snapshot, by its id. Later drops that changed nothing of it are behind it too."""
    held: dict[str, set[str]] = {}
    for row in event_rows:
        if row.event in (Event.SNAPSHOT_PUBLISHED, Event.SNAPSHOT_UNCHANGED) and row.details.get("drops") in sets:
            held.setdefault(row.snapshot_id, set()).update(sets[row.details["drops"]])
    return held


def _within(scope: Scope, at: dt.datetime) -> bool:
    return (scope.since is None or at >= scope.since) and (scope.until is None or at < scope.until)


def _in_scope(scope: Scope, row: Any, held: Mapping[str, set[str]]) -> bool:
    if scope.drop is not None:
        return row.drop_key == scope.drop or scope.drop in held.get(row.snapshot_id or "", ())
    if scope.run is not None:
        return bool(row.run_id == scope.run)
    return _within(scope, row.at)


def _snapshot_in_scope(scope: Scope, row: Any, held: Mapping[str, set[str]]) -> bool:
    if scope.drop is not None:
        return scope.drop in held.get(row.snapshot_id, ())
    if scope.run is not None:
        return bool(row.run_id == scope.run)
    return _within(scope, row.published_at)


def _keys(scope: Scope, drop_rows: Sequence[Any], chosen: Sequence[Any]) -> set[str]:
    if scope.drop is not None:
        return {scope.drop}
    if scope.run is not None:
        return {row.drop_key for row in chosen if row.drop_key}
    return {row.key for row in drop_rows if _within(scope, row.received_at)}


def _settled(replay_rows: Sequence[Any]) -> dict[str, int]:
    """How many quarantined lines of each drop left the quarantine, by replays that count."""
    found: dict[str, int] = {}
    for row in replay_rows:
        if row.voided_at is None:
            found[row.drop_key] = found.get(row.drop_key, 0) + row.lines_accepted + row.lines_excluded
    return found


def _replay_in_scope(scope: Scope, row: Any, keys: set[str]) -> bool:
    """Those of the drop, or at a time within the period; a replay is no part of a run."""
    if scope.drop is not None:
        return row.drop_key in keys
    return scope.run is None and _within(scope, row.at)


def _replay_entry(row: Any, names: Mapping[str, str]) -> ReplayEntry:
    same = ("key", "drop_key", "at", "actor", "kind", "name", "digest", "voided_at", "voided_why")
    counts = {name: getattr(row, f"lines_{name}") for name in ("given", "accepted", "excluded", "quarantined")}
    name = names.get(row.drop_key, row.drop_key)
    return ReplayEntry(**{name: getattr(row, name) for name in same}, **counts, drop_name=name)


def _lines(values: Mapping[str, Any]) -> Lines | None:
    if values.get("lines_read") is None:
        return None
    counts = [values[f"lines_{name}"] or 0 for name in ("read", "accepted", "excluded", "quarantined")]
    return Lines(counts[0], counts[1], counts[2], counts[3], values.get("reasons") or {})


def _drop_entry(
    row: Any, published: Sequence[Any], held: Mapping[str, set[str]], problem: str, replayed: int
) -> DropEntry:
    ids = tuple(one.snapshot_id for one in published if row.key in held.get(one.snapshot_id, ()))
    names = ("key", "name", "sha256", "size_bytes", "source", "status", "error", "received_at", "ingested_at")
    values = {name: getattr(row, name) for name in (*names, "run_id", "batch")}
    lines = None if row.status == "failed" else _lines(row._asdict())
    return DropEntry(**values, lines=lines, lake_problem=problem, snapshots=ids, replayed=replayed)


def _snapshot_entry(row: Any, held: Mapping[str, set[str]]) -> SnapshotEntry:
    names = ("snapshot_id", "digest", "published_at", "run_id", "orders", "items", "pairs", "forced")
    known = held.get(row.snapshot_id)
    return SnapshotEntry(**{name: getattr(row, name) for name in names}, drops=tuple(sorted(known)) if known else None)


def _runs(chosen: Sequence[Any]) -> list[RunEntry]:
    by_run: dict[str, list[Any]] = {}
    for row in chosen:
        if row.run_id:
            by_run.setdefault(row.run_id, []).append(row)
    return [_run(run_id, rows) for run_id, rows in by_run.items()]


def _run(run_id: str, rows: Sequence[Any]) -> RunEntry:
    # A catalogue has a ledger of its own: its lines are no order lines.
    ingested = [row for row in rows if row.event == Event.DROP_INGESTED and "kind" not in row.details]
    # A refusal says more of a run than that it failed because of it.
    endings = [row for row in rows if row.event in _OUTCOMES and row.event != Event.RUN_FAILED]
    endings = endings or [row for row in rows if row.event in _OUTCOMES]
    return RunEntry(
        run_id=run_id,
        first_at=rows[0].at,
        last_at=rows[-1].at,
        drops=len(ingested),
        drops_failed=sum(row.event == Event.DROP_FAILED for row in rows),
        lines=add_lines(lines for row in ingested if (lines := _lines(row.details)) is not None),
        outcome=_OUTCOMES[Event(endings[-1].event)] if endings else _without_publish(rows),
        snapshot_id=endings[-1].snapshot_id if endings else None,
    )


def _without_publish(rows: Sequence[Any]) -> str:
    """How a run ended that published nothing: reading catalogues is a job of its own."""
    read = [row for row in rows if row.event == Event.DROP_INGESTED]
    catalogues = bool(read) and all("kind" in row.details for row in read)
    return "read catalogues only" if catalogues else "ended before publishing"


def _days(entries: Sequence[DropEntry]) -> list[DayEntry]:
    by_day: dict[dt.date, list[DropEntry]] = {}
    for entry in entries:
        by_day.setdefault(entry.received_at.date(), []).append(entry)
    return [
        DayEntry(day, len(some), add_lines(one.lines for one in some if one.lines is not None))
        for day, some in sorted(by_day.items())
    ]


def _mark(row: Any, names: Mapping[str, str]) -> Mark:
    what = names.get(row.drop_key or "") or row.snapshot_id or row.details.get("name") or ""
    return Mark(row.at, row.event, what, row.run_id, event_words(row.event, row.details))
