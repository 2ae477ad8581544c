"""The commands on the system itself: status, config, doctor.

Does not belong here: reading settings (`reco.settings`) or talking to servers (`reco.storage`).
"""

import datetime as dt
from collections import Counter
from typing import TYPE_CHECKING, Any

import typer

from reco_pipeline.cli.options import JsonFlag, default_of_group
from reco_pipeline.cli.output import facts, print_json, say, size, table, warn

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from reco.settings import Settings

config_app = typer.Typer(help="Effective settings, secrets masked.", invoke_without_command=True)
UNREACHABLE = 4
NOT_READY = 2


def status(as_json: JsonFlag = False) -> None:
    """Drops, lines, the served snapshot, failing checks, last backup and drill on one screen.

    Example: reco status
    """
    from reco.audit.quality import quarantine_rates
    from reco.audit.trail import events
    from reco.orders.home import open_home
    from reco.orders.ledger import DropStatus
    from reco.snapshot.store import SnapshotStore
    from reco.storage.redis import open_redis
    from reco_pipeline.cli.start import settings_of_command
    from reco_pipeline.failing import failing_checks

    settings = settings_of_command()
    ledger = open_home(settings).ledger
    drops = ledger.drops()
    states = Counter(drop.status.value for drop in drops)
    rates = quarantine_rates([drop for drop in drops if drop.status is DropStatus.INGESTED])
    with open_redis(settings, "reader") as client:
        store = SnapshotStore(client, settings.namespace)
        kept = store.list()
    served = next((one for one in kept if one.current), None)
    now = dt.datetime.now(dt.UTC)
    made = dt.datetime.fromisoformat(served.published_at) if served else None
    today = sum(drop.received_at.date() == now.date() for drop in drops)
    result: dict[str, Any] = {
        "home": str(settings.home),
        "drops": dict(states),
        "drops_today": today,
        "lines_read": rates.read,
        "lines_quarantined": rates.quarantined,
        "quality_score": rates.quality_score,
        "snapshot_id": served.snapshot_id if served else None,
        "snapshot_age_seconds": int((now - made).total_seconds()) if made else None,
        "snapshots_kept": len(kept),
        "items": served.items if served else 0,
        "orders": served.orders if served else 0,
    }
    protected = _protected(settings, ledger.engine, now)
    recent = events(ledger.engine, limit=5)
    failing = failing_checks(settings.home)
    if as_json:
        shown = [{"asset": f.asset, "check": f.check, "weight": f.weight, "message": f.message} for f in failing]
        print_json(
            result
            | {"backups": protected, "failing_checks": shown}
            | {"events": [{"at": e.at, "event": e.event.value} for e in recent]}
        )
        return
    result["failing_checks"] = len(failing)
    result |= _in_words(protected)
    named = dict(result) | {"drops": ", ".join(f"{n} {state}" for state, n in sorted(states.items())) or "none"}
    facts([(name.replace("_", " "), value) for name, value in named.items()])
    for one in protected["overdue"]:
        warn(f"{one['reason']} {one['next_step']}")
    if failing:
        table(
            "Failing checks",
            ("check", "of", "weight", "found"),
            [(f.check, f.asset, f.weight, f.message) for f in failing],
        )
    if recent:
        rows = [(f"{e.at:%Y-%m-%d %H:%M:%S}Z", e.event.value, e.drop_key or e.snapshot_id or "") for e in recent]
        table("Last events", ("at", "event", "what"), rows)


def _protected(settings: "Settings", engine: "Engine", now: dt.datetime) -> dict[str, Any]:
    """What there is to say of backups; where their store cannot be asked, why."""
    from reco.backup.status import absences, look
    from reco.errors import RecoError

    try:
        found = look(settings, engine, now=now)
    except RecoError as error:
        return {"problem": error.message, "overdue": []}
    return found.as_dict() | {"problem": None, "overdue": [vars(one) for one in absences(found)]}


def _in_words(protected: dict[str, Any]) -> dict[str, Any]:
    """The same in lines for people."""
    if protected["problem"]:
        return {"last_backup": f"not known: {protected['problem']}", "last_drill": "not known"}
    backup, drill = protected["last_good"], protected["last_drill"]
    made = f"{backup}, {_ago(protected['age_seconds'])}, {size(protected['size_bytes'])}" if backup else "none"
    if backup and protected["rpo_seconds"]:
        made += f"; without the changes of the last {_span(protected['rpo_seconds'])} (RPO)"
    proof = "none"
    if drill:
        ago = dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(drill["at"])
        seconds = drill["figures"].get("rto_seconds", 0.0)
        how = f"passed, restored in {seconds:.1f} s (RTO)" if drill["passed"] else f"FAILED: {drill['problem']}"
        proof = f"{_ago(ago.total_seconds())}: {how}"
    return {"last_backup": made, "last_drill": proof}


def _ago(seconds: float) -> str:
    return f"{_span(seconds)} ago"


def _span(seconds: float) -> str:
    for unit, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"


@config_app.callback()
def _default(context: typer.Context, as_json: JsonFlag = False) -> None:
    """Effective settings, secrets masked."""
    if default_of_group(context, as_json):
        show_config(as_json)


@config_app.command("show")
def show_config(as_json: JsonFlag = False) -> None:
    """Every setting with its value in effect and its meaning.

    Example: reco config
    """
    from reco.settings import PREFIX, Settings
    from reco_pipeline.cli.start import settings_of_command

    settings = settings_of_command(uses_home=False)
    values = {name: _masked(getattr(settings, name)) for name in Settings.model_fields}
    if as_json:
        print_json(values)
        return
    rows = [
        (PREFIX + name.upper(), str(values[name]) if values[name] is not None else "", field.description or "")
        for name, field in Settings.model_fields.items()
    ]
    table("Settings", ("setting", "value", "meaning"), rows)


@config_app.command("check")
def check_config(as_json: JsonFlag = False) -> None:
    """Whether everything that production needs is there: each lack, with its next step. Exit code 2 where one is.

    Example: reco config check
    """
    from reco.audit.catalogue import raised_checks
    from reco_pipeline.cli.start import settings_of_command
    from reco_pipeline.production import readiness

    settings = settings_of_command(uses_home=False, profile="production")
    raised_checks(settings.error_checks)
    findings = readiness(settings)
    lacks = [one for one in findings if not one.ok]
    if as_json:
        print_json({"ready": not lacks, "checks": [vars(one) for one in findings]})
    else:
        rows = [(("note" if one.next_step else "ok") if one.ok else "MISSING", one.what, one.found) for one in findings]
        table("Production", ("", "what", "found"), rows)
        for one in (one for one in findings if one.next_step):
            say(f"  {'note' if one.ok else 'next'}: {one.what}: {one.next_step}")
        say(f"{len(lacks)} missing." if lacks else "Everything that production needs is there.")
    raise typer.Exit(NOT_READY if lacks else 0)


def doctor(as_json: JsonFlag = False) -> None:
    """Whether everything the pipeline needs can be reached, with the next step where it cannot.

    Example: reco doctor
    """
    from reco_pipeline.cli.start import settings_of_command
    from reco_pipeline.doctor import examine

    findings = examine(settings_of_command(uses_home=False))
    failed = [one for one in findings if not one.ok]
    if as_json:
        print_json({"ok": not failed, "checks": [vars(one) for one in findings]})
    else:
        rows = [("ok" if one.ok else "FAILED", one.what, one.found) for one in findings]
        table("Doctor", ("", "what", "found"), rows)
        for one in findings:
            if one.next_step:
                say(f"  {'next' if not one.ok else 'note'}: {one.what}: {one.next_step}")
    raise typer.Exit(UNREACHABLE if failed else 0)


def _masked(value: Any) -> Any:
    from pathlib import Path

    from pydantic import SecretStr

    if isinstance(value, SecretStr):
        return "**********"
    return str(value) if isinstance(value, Path) else value
