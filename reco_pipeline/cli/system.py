"""The commands on the system itself: status, config, doctor.

Does not belong here: reading settings (`reco.settings`) or talking to servers (`reco.storage`).
"""

import datetime as dt
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reco_pipeline.cli.options import JsonFlag, default_of_group
from reco_pipeline.cli.output import facts, print_json, say, size, table, warn

if TYPE_CHECKING:
    from reco.health import Health

config_app = typer.Typer(help="Effective settings, secrets masked.", invoke_without_command=True)
UNREACHABLE = 4
NOT_READY = 2


def status(as_json: JsonFlag = False) -> None:
    """Drops, lines, the served snapshot, failing checks, last backup and drill on one screen.

    Example: reco status
    """
    from reco.audit.trail import events
    from reco.health import examine
    from reco.orders.home import open_home
    from reco.storage.redis import open_redis
    from reco_pipeline.cli.start import settings_of_command
    from reco_pipeline.failing import failing_checks

    settings = settings_of_command()
    home, now = open_home(settings), dt.datetime.now(dt.UTC)
    failing = failing_checks(settings.home)
    with open_redis(settings, "reader") as client:
        found = examine(home, client, failing, now=now)
    recent = events(home.ledger.engine, limit=5)
    result = {name: value for name, value in vars(found).items() if name != "failing"}
    if as_json:
        shown = [{"asset": f.asset, "check": f.check, "weight": f.weight, "message": f.message} for f in failing]
        last = [{"at": e.at, "event": e.event.value} for e in recent]
        print_json(result | {"failing_checks": shown, "events": last})
        return
    told = {name: result[name] for name in _SHOWN} | _room(found) | {"failing_checks": len(failing)}
    told |= _in_words(found.backups)
    told["drops"] = ", ".join(f"{n} {state}" for state, n in sorted(found.drops.items())) or "none"
    facts([(name.replace("_", " "), value) for name, value in told.items()])
    for sentence in found.problems:
        warn(sentence)
    if failing:
        table(
            "Failing checks",
            ("check", "of", "weight", "found"),
            [(f.check, f.asset, f.weight, f.message) for f in failing],
        )
    if recent:
        rows = [(f"{e.at:%Y-%m-%d %H:%M:%S}Z", e.event.value, e.drop_key or e.snapshot_id or "") for e in recent]
        table("Last events", ("at", "event", "what"), rows)


_SHOWN = (
    "home",
    "drops",
    "drops_today",
    "lines_read",
    "lines_quarantined",
    "quality_score",
    "snapshot_id",
    "snapshot_age_seconds",
    "snapshots_kept",
    "snapshots_stale",
    "items",
    "orders",
    "alerts_waiting",
)


def _room(found: "Health") -> dict[str, str]:
    """How much room is left on the disk and in Redis, for people."""
    disk = f"{size(found.disk_free_bytes or 0)} free ({found.disk_free_rate or 0:.0%})"
    used, limit = found.redis_memory_bytes, found.redis_memory_limit_bytes
    redis = "not known" if used is None else size(used) + (f" of {size(limit)}" if limit else ", without a limit")
    return {"disk": disk, "redis_memory": redis}


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


def cleanup(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Remove everything whose time is over, and say what went: rows, files, bytes.

    Backups go by the same plan as with `reco backup prune`. Example: reco cleanup --dry-run
    """
    from functools import partial

    from reco.orders.home import open_home
    from reco.storage.redis import open_redis
    from reco_pipeline.cleanup import clean, old_backups
    from reco_pipeline.cli.start import settings_of_command
    from reco_pipeline.instance import open_instance

    settings, now = settings_of_command(), dt.datetime.now(dt.UTC)
    with open_instance(settings.home) as instance:
        home = open_home(settings)
        done = clean(home, instance, partial(open_redis, settings, "loader"), now=now, dry_run=dry_run)
    done += old_backups(settings, now=now, dry_run=dry_run)
    failed = any(one.problem for one in done)
    if as_json:
        print_json({"dry_run": dry_run, "removed": [vars(one) for one in done]})
    else:
        rows = [
            (one.kind, f"{one.rows:,}", f"{one.files:,}", size(one.size_bytes), one.problem or one.rule) for one in done
        ]
        table("Would be removed" if dry_run else "Removed", ("what", "rows", "files", "size", "what is kept"), rows)
    raise typer.Exit(1 if failed else 0)


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


@config_app.command("dagster")
def dagster_config(as_json: JsonFlag = False) -> None:
    """Writes `dagster.yaml` for these settings into the home, where nobody changed it; prints its folder.

    Example: export DAGSTER_HOME="$(reco config dagster)"
    """
    from reco_pipeline.cli.start import settings_of_command
    from reco_pipeline.instance import dagster_home, dagster_yaml

    settings = settings_of_command()
    folder = dagster_home(settings.home)
    found = (folder / "dagster.yaml").read_text(encoding="utf-8")
    if found != dagster_yaml(settings):
        warn(f"{folder / 'dagster.yaml'} was changed by hand and is left alone: remove it to have it written anew.")
    if as_json:
        print_json({"folder": str(folder), "dagster_yaml": found, "ours": found == dagster_yaml(settings)})
    else:
        say(str(folder))


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
