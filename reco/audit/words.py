"""Events of the trail in words, for people who read a report.

Belongs here: one sentence, or a few figures, a kind of event. Does not belong here: which events a report tells
(`reco.audit.gather`).
"""

from collections.abc import Callable, Mapping
from typing import Any

from reco.audit.trail import Event

Details = Mapping[str, Any]
_SHOWN_CHARS = 40


def event_words(event: str, details: Details) -> str:
    """What an event's details say, in a sentence or a few figures."""
    if event in _WORDS:
        return _WORDS[Event(event)](details)
    shown = {name: v for name, v in details.items() if isinstance(v, int | str) and len(str(v)) <= _SHOWN_CHARS}
    return ", ".join(f"{name} {_figure(value)}" for name, value in shown.items())


def _figure(value: int | str) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else value


def _start(details: Details, name: str) -> str:
    """The start of a digest, which is enough to find it."""
    return str(details.get(name))[:12]


def _replaced(details: Details) -> str:
    words = f"{details.get('orders', 0):,} orders replaced by later ones"
    if "part" not in details:
        return words
    return (
        f"{words}: {details['lines_before']:,} lines gave way to {details['lines_after']:,} "
        f"(all of them in {details['part']}.parquet, sha256 {_start(details, 'sha256')})"
    )


def _replayed(details: Details) -> str:
    counts = {name: details.get(f"lines_{name}", 0) for name in ("given", "accepted", "excluded", "quarantined")}
    return (
        f"{counts['given']:,} lines read again by {details.get('actor')}, {details.get('kind')} {details.get('name')}: "
        f"{counts['accepted']:,} accepted, {counts['excluded']:,} excluded, {counts['quarantined']:,} still quarantined"
    )


def _redacted(details: Details) -> str:
    lines, others = details.get("lines", 0), details.get("others", 0)
    return f"a customer's id replaced in {lines:,} accepted and {others:,} other lines; no count changed"


_WORDS: Mapping[Event, Callable[[Details], str]] = {
    Event.ORDERS_REPLACED: _replaced,
    Event.LINES_EXPORTED: lambda d: f"{d.get('lines', 0):,} quarantined lines written to {d.get('file')}, to be mended",
    Event.LINES_REPLAYED: _replayed,
    Event.REPLAY_VOIDED: lambda d: f"{len(d.get('keys', ()))} replays no longer count: {d.get('reason')}",
    Event.QUARANTINE_EXPIRED: lambda d: f"raw text of {d.get('lines', 0):,} lines removed, kept long enough",
    Event.DROP_REDACTED: _redacted,
    Event.REPLACED_REDACTED: lambda d: (
        f"a customer's orders renamed in {d.get('part')}.parquet, whose sha256 was {_start(d, 'sha256_before')}"
    ),
    Event.RAW_REMOVED: lambda _: "the file as it came removed from the lake, to forget a customer",
    Event.CUSTOMER_FORGOTTEN: lambda d: (
        f"a customer forgotten in {d.get('drops', 0):,} drops; proof {_start(d, 'subject')}"
    ),
    Event.SCORE_CHOSEN: lambda d: str(d.get("reason", "")),
    Event.GATE_REFUSED: lambda d: str(d.get("message", "")),
    Event.DROP_RETRACTED: lambda d: str(d.get("reason") or "no reason given"),
    Event.DROP_REOPENED: lambda d: f"to be read anew: {d.get('reason')}",
    Event.ROLLED_BACK: lambda d: f"before: {d.get('before')}",
    Event.RUN_FAILED: lambda d: str(d.get("reason", "")),
    Event.DROP_FAILED: lambda d: str(d.get("error_code") or d.get("error", "")),
    Event.DROP_REFUSED: lambda d: str(d.get("error", "")),
    Event.DROP_SEEN: lambda d: f"{d.get('name')}, sha256 {_start(d, 'sha256')}",
}
