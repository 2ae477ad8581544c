"""The command that brings a backup back: backup restore.

Does not belong here: restoring (`reco.backup.restore`).
"""

import datetime as dt
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reco_pipeline.cli.backup import BackupOption, ReplicaFlag, opened_backups
from reco_pipeline.cli.options import JsonFlag
from reco_pipeline.cli.output import facts, print_json, say, warn

if TYPE_CHECKING:
    from reco.backup.api_keys import KeysSettled
    from reco.backup.hides import HidesSettled
    from reco.backup.restore import Restored
    from reco.settings import Settings


def restore(
    backup: BackupOption = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="The state as of this moment (ISO 8601, UTC).")
    ] = None,
    into: Annotated[
        str | None, typer.Option("--into", metavar="URL", help="Another Redis, which gets the keys alone.")
    ] = None,
    into_file: Annotated[
        str | None,
        typer.Option("--into-file", metavar="FILE", help="A file with that URL, for one with a password; - is stdin."),
    ] = None,
    redis_only: Annotated[
        bool, typer.Option("--redis-only", help="Only the keys of Redis, into the one in use, not the home.")
    ] = False,
    here: Annotated[bool, typer.Option("--here", help="The home itself, also where RECO_RESTORE_INTO is set.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also where the target is not empty; what it holds is moved aside.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop.")] = False,
    replica: ReplicaFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Bring a backup back: everything is read and checked before anything is replaced.

    Example: reco backup restore --at 2026-03-04T12:00:00
    """
    from reco.backup.prepare import EVERYTHING
    from reco.backup.restore import make_plan
    from reco.backup.restore import restore as bring_back
    from reco.errors import UsageError
    from reco_pipeline.run_tables import DagsterTables

    if backup and at:
        raise UsageError("--id and --at name two different states.", hint="Give one of them.")
    now = dt.datetime.now(dt.UTC)
    with opened_backups(replica=replica, uses_home=False) as opened:
        parts = frozenset({"redis"}) if redis_only else EVERYTHING
        target = _target(opened.settings, into, into_file, here=here, redis_only=redis_only)
        plan = make_plan(
            opened.vault,
            opened.settings,
            backup_id=backup,
            at=_moment(at) if at else None,
            into=target,
            parts=parts,
            replica=replica,
            tables=DagsterTables(),
        )
        told = {
            "backup_id": plan.manifest.backup_id,
            "created_at": plan.manifest.created_at.isoformat(),
            "at": plan.moment.at.isoformat() if plan.moment else None,
            "parts": sorted(plan.replaced),
            "target": plan.target,
            "target_holds": list(plan.lives),
            "size_bytes": plan.size_bytes,
            "notes": list(plan.notes),
        }
        for note in plan.notes:
            warn(note)
        if not as_json:
            shown = {name: value for name, value in told.items() if name != "notes"}
            facts([(name.replace("_", " "), ", ".join(v) if isinstance(v, list) else v) for name, v in shown.items()])
        done = None if dry_run else bring_back(opened.vault, opened.settings, plan, now=now, force=force)
    result: dict[str, Any] = told | {"restored": done is not None}
    if done is not None:
        result |= {
            "snapshot_id": done.snapshot_id,
            "answers_equal": done.answers_equal,
            "redis_keys": done.switched.keys,
            "aside": str(done.switched.aside) if done.switched.aside else None,
            "api_keys": asdict(done.api_keys) if done.api_keys else None,
            "hides": asdict(done.hides) if done.hides else None,
            "rto_seconds": done.seconds,
            "notes": [*plan.notes, *_left_out(done)],
        }
    if as_json:
        print_json(result)
    elif done is None:
        say("Nothing was changed (--dry-run).")
    else:
        say(f"Restored in {done.seconds:.1f} s; {_served(done)}.")
        if done.switched.aside:
            say(f"What was there is in {done.switched.aside}; remove it when it is not needed any more.")
    if done is not None and done.api_keys is not None:
        _tell_keys(done.api_keys)
    if done is not None and done.hides is not None:
        _tell_hides(done.hides)


def _left_out(done: "Restored") -> list[str]:
    """What a person must know of Dagster's records, beside the notes of the plan."""
    if not done.switched.note:
        return []
    warn(done.switched.note)
    return [done.switched.note]


def _served(done: "Restored") -> str:
    """What is served now, and whether that was compared with then."""
    if done.snapshot_id is None:
        return "nothing is served, as then"
    equal = ", with the answers of then" if done.answers_equal else ""
    return f"snapshot {done.snapshot_id} is served{equal}"


def _target(
    settings: "Settings", into: str | None, into_file: str | None, *, here: bool, redis_only: bool
) -> str | None:
    """The URL of another Redis to restore into, from wherever it was given; None: the home, or its own Redis."""
    import sys
    from pathlib import Path

    from reco.errors import UsageError
    from reco.storage.redis import has_password

    if into is not None and into_file is not None:
        raise UsageError("--into and --into-file both name a Redis.", hint="Give one of them.")
    if here and (into is not None or into_file is not None or redis_only):
        raise UsageError("--here asks for the home, and another option for keys alone.", hint="Leave one of them out.")
    if into is not None:
        if has_password(into, "--into"):
            warn("The password in --into can be read by whoever lists processes: use --into-file or RECO_RESTORE_INTO.")
        return into
    if into_file is None:
        return None if here or redis_only else _of_setting(settings)
    try:
        text = sys.stdin.readline() if into_file == "-" else Path(into_file).read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise UsageError(
            f"--into-file {into_file} cannot be read: {error}.", hint="Name a file with one URL."
        ) from None
    if not text.strip():
        raise UsageError("--into-file holds no URL.", hint="Write redis://:PASSWORD@HOST:PORT/DB, on one line.")
    return text.strip()


def _tell_hides(hides: "HidesSettled") -> None:
    """What a person must know of the rules on what is hidden in a restored home."""
    for what in hides.unread:
        warn(f"{what[:1].upper()}{what[1:]} could not be read: what only they hide is recommended again.")
    if hides.unread:
        warn("`reco hide list` shows what is hidden now, `reco hide add ITEM --reason TEXT` hides what is missing.")
    if hides.kept:
        warn(f"Hidden since the backup, and still: {', '.join(hides.kept)} (`reco hide list`).")
    if hides.ended:
        warn(f"Hidden in the backup and shown again since, and still shown: {', '.join(hides.ended)}.")


def _of_setting(settings: "Settings") -> str | None:
    """The Redis of RECO_RESTORE_INTO, where no option says otherwise. It must not keep a cut restore unfinished."""
    from reco.backup.journal import read_journal
    from reco.errors import RestoreRefused

    if settings.restore_into is None:
        return None
    journal = read_journal(settings.home)
    if journal is not None:
        command = journal.command or "reco backup restore --force"
        raise RestoreRefused(
            f"A restore of {settings.home} was cut short, and RECO_RESTORE_INTO is set: only keys would go there.",
            hint=f"Finish it with `{command}{'' if '--here' in command else ' --here'}`, or name a Redis with --into.",
        )
    warn("RECO_RESTORE_INTO is set: only keys of Redis go there. --here restores the home, --redis-only its own Redis.")
    return settings.restore_into.get_secret_value()


def _tell_keys(keys: "KeysSettled") -> None:
    """What a person must know of the API keys of a restored home."""
    for what in keys.unread:
        warn(f"{what[:1].upper()}{what[1:]} could not be read: what was revoked there is not known.")
    if keys.ended:
        warn(f"API keys that held in the backup and ended since stay ended: {', '.join(keys.ended)}.")
    if keys.suspended:
        warn(
            f"API keys that may have been revoked since are suspended: {', '.join(keys.suspended)}. "
            "`reco keys list` shows them, `reco keys confirm ID...` (or --all) lets them hold again."
        )


def _moment(text: str) -> dt.datetime:
    from reco.errors import UsageError

    try:
        at = dt.datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no time.", hint="Write it as 2026-03-04T12:00:00 (UTC).") from None
    return at.replace(tzinfo=at.tzinfo or dt.UTC)
