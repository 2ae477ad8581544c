"""The commands on backups.

Does not belong here: making, checking or restoring one (`reco.backup`).
"""

import datetime as dt
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reco_pipeline.cli.options import JsonFlag
from reco_pipeline.cli.output import facts, print_json, progress, say, size, table, warn

if TYPE_CHECKING:
    from reco.backup.manifest import Manifest
    from reco.backup.vault import Vault
    from reco.settings import Settings

app = typer.Typer(help="Backups: make, check, restore, prove, remove.", no_args_is_help=True)
FAILED = 1
ReplicaFlag = Annotated[bool, typer.Option("--replica", help="The backups of the second bucket.")]
BackupOption = Annotated[
    str | None, typer.Option("--id", metavar="ID", help="Backup id; the newest good one if not given.")
]


@dataclass(frozen=True)
class Opened:
    """What a command on backups works with."""

    settings: "Settings"
    vault: "Vault"


@contextmanager
def opened_backups(*, make_key: bool = False, replica: bool = False, uses_home: bool = True) -> Iterator[Opened]:
    """The backups that the settings name. uses_home: False for what chooses a backup for a home cut short."""
    from reco.backup.place import open_vault
    from reco_pipeline.cli.start import settings_of_command

    settings = settings_of_command(uses_home=uses_home)
    with open_vault(settings, make_key=make_key, replica=replica) as vault, progress():
        yield Opened(settings, vault)


@app.command("create")
def create(
    accept_smaller: Annotated[
        bool, typer.Option("--accept-smaller", help="It is right that there is far less than in the last one.")
    ] = False,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, in a word or two.")] = "by hand",
    as_json: JsonFlag = False,
) -> None:
    """Back up Redis, SQL, Dagster, the lake and the settings; copy it to the second bucket if there is one.

    Example: reco backup create
    """
    from reco.backup.create import create as make
    from reco.backup.place import open_vault
    from reco.backup.replicate import replicate as copy
    from reco.orders.home import open_home
    from reco.storage.redis import open_redis

    now = dt.datetime.now(dt.UTC)
    copied = None
    with opened_backups(make_key=True) as opened:
        settings = opened.settings
        with open_redis(settings) as client:
            made = make(
                open_home(settings), client, opened.vault, now=now, reason=reason, accept_smaller=accept_smaller
            )
        if settings.s3_replica_bucket is not None:
            with open_vault(settings, replica=True) as second:
                copied = copy(opened.vault, second, settings.home, now=now)
        key = opened.vault.keys.made
    if key is not None:
        warn(
            f"Backups are encrypted for a key that was made now: keep a copy of {key} elsewhere, or they open nowhere."
        )
    manifest = made.manifest
    for why in manifest.suspicious:
        warn(f"This backup does not count as good: {why}.")
    result = _row(manifest) | {
        "objects_sent": made.objects_sent,
        "bytes_sent": made.bytes_sent,
        "identity_made": str(key) if key else None,
        "replicated": asdict(copied) if copied else None,
    }
    if as_json:
        print_json(result)
    else:
        say(
            f"Backup {manifest.backup_id}: {len(manifest.entries):,} files, {size(manifest.size_bytes)}; "
            f"{made.objects_sent:,} were new, {size(made.bytes_sent)} sent in {manifest.seconds:.1f} s."
        )
    raise typer.Exit(FAILED if manifest.suspicious else 0)


@app.command("list")
def show_all(replica: ReplicaFlag = False, as_json: JsonFlag = False) -> None:
    """Every backup, oldest first, with what was found out about it.

    Example: reco backup list
    """
    with opened_backups(replica=replica, uses_home=False) as opened:
        listed, checks, pins = opened.vault.list(), opened.vault.checks(), opened.vault.pins()
        bad = opened.vault.standing(listed, checks).backups
    rows: list[dict[str, Any]] = []
    for one in listed:
        mine = [check for check in checks if check.backup_id == one.backup_id]
        row = _row(one.manifest) if one.manifest else {"backup_id": one.backup_id}
        row |= {"good": one.good, "problem": one.problem or "; ".join(one.manifest.suspicious if one.manifest else ())}
        row |= {"known_bad": one.backup_id in bad, "pinned": one.backup_id in pins}
        row |= {"checks": [vars(check) for check in mine]}
        rows.append(row)
    if as_json:
        print_json({"backups": rows})
        return
    if not rows:
        say("There is no backup. `reco backup create` makes one.")
        return
    shown = [
        (
            row["backup_id"],
            "good" if row["good"] and not row["known_bad"] else "NOT GOOD",
            "pinned" if row["pinned"] else "",
            size(row["size_bytes"]) if "size_bytes" in row else "",
            row.get("orders"),
            ", ".join(f"{one['kind']} {'ok' if one['passed'] else 'FAILED'}" for one in row["checks"][-2:]),
            row["problem"],
        )
        for row in rows
    ]
    table("Backups", ("backup", "", "", "size", "orders", "checked", "problem"), shown)


@app.command("verify")
def verify(
    backup: BackupOption = None,
    part: Annotated[
        str, typer.Option("--part", metavar="N/T", help="Read only the n-th of t parts; `next/T` goes on.")
    ] = "1/1",
    replica: ReplicaFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Check that every object of a backup is there with the bytes that were put. Needs no key that opens anything.

    Example: reco backup verify --part next/7
    """
    from reco.backup.verify import verify as look

    with opened_backups(replica=replica, uses_home=False) as opened:
        manifest = opened.vault.read(backup) if backup else opened.vault.newest_to_check()
        found = look(
            opened.vault, manifest, opened.settings.home, part=_part(opened.vault, part), now=dt.datetime.now(dt.UTC)
        )
    if as_json:
        print_json(asdict(found) | {"passed": found.passed})
    else:
        say(f"Backup {found.backup_id}, part {found.part}: {found.objects:,} objects, {size(found.bytes_read)} read.")
        for problem in found.problems:
            say(f"  {problem}")
    raise typer.Exit(0 if found.passed else FAILED)


@app.command("drill")
def drill(
    backup: BackupOption = None,
    any_backup: Annotated[bool, typer.Option("--random", help="A good backup by chance, not the newest.")] = False,
    replica: ReplicaFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Prove a backup: restore it into scratch servers and compare everything, also with the model made anew.

    Example: reco backup drill
    """
    from reco.backup.drill import drill as prove
    from reco.backup.status import protection
    from reco.orders.home import open_home

    now = dt.datetime.now(dt.UTC)
    with opened_backups(replica=replica) as opened:
        manifest = opened.vault.any_good() if any_backup else _chosen(opened.vault, backup)
        found = prove(opened.vault, opened.settings, manifest, now=now)
        risk = protection(opened.vault, open_home(opened.settings).ledger.engine, now=now)
    result = asdict(found) | {"passed": found.passed, "rpo_seconds": risk.rpo_seconds}
    if as_json:
        print_json(result)
        return
    rows = [("ok" if one.passed else "FAILED", one.name) for one in found.comparisons]
    table(f"Drill of {found.backup_id}", ("", "compared"), rows)
    say(f"  recovery time (RTO)  {found.rto_seconds:.1f} s for {size(found.size_bytes)}")
    say(f"  would be lost (RPO)  {risk.rpo_seconds:.0f} s of changes since the last good backup")


@app.command("prune")
def prune(
    yes: Annotated[bool, typer.Option("--yes", help="Remove; without it only the plan is shown.")] = False,
    replica: ReplicaFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Remove backups that retention lets go, and old objects of no backup. Shows the plan unless --yes is given.

    The second bucket keeps what the first one has.

    Example: reco backup prune --yes
    """
    from reco.backup.place import open_vault
    from reco.backup.prune_buckets import prune_bucket

    with ExitStack() as stack:
        opened = stack.enter_context(opened_backups(replica=replica))
        settings, now = opened.settings, dt.datetime.now(dt.UTC)
        elsewhere = stack.enter_context(open_vault(settings)).ids() if replica else []
        found = prune_bucket(opened.vault, settings, now=now, elsewhere=elsewhere, dry_run=not yes)
    if as_json:
        kept = {key: list(why) for key, why in found.plan.keep.items()}
        print_json(asdict(found) | {"plan": {"keep": kept, "remove": list(found.plan.remove)}})
        return
    rows = [(one, "stays", ", ".join(why)) for one, why in found.plan.keep.items()]
    rows += [(one, "REMOVED" if yes else "would go", "") for one in found.plan.remove]
    table("Retention", ("backup", "", "why"), sorted(rows))
    say(f"{found.objects:,} objects of no backup ({size(found.size_bytes)}) {'were removed' if yes else 'would go'}.")
    freed = f"{found.versions:,} versions hidden by earlier removals ({size(found.version_bytes)})"
    say(f"{freed} {'were freed' if yes else 'would be freed'}.")
    if found.versions_refused:
        warn(
            f"Old versions were not looked at: {found.versions_refused} Give the rights s3:ListBucketVersions and "
            "s3:DeleteObjectVersion, or the bucket a lifecycle rule with NoncurrentVersionExpiration."
        )
    for one in found.locked:
        warn(f"The store holds {one} fast (object lock): it was left.")
    if not yes:
        say("Nothing was changed; --yes removes.")


@app.command("pin")
def pin(
    backup: Annotated[str, typer.Argument(help="Backup id.")],
    why: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why it must stay.")] = "",
    remove: Annotated[bool, typer.Option("--remove", help="Take the pin off.")] = False,
    replica: ReplicaFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Keep a backup from ever being removed, in both buckets, or let it go again.

    Example: reco backup pin 00000042-20260304T120000Z-0a1b2c3d --reason "before the move"
    """
    from reco.backup.place import open_vault

    now = dt.datetime.now(dt.UTC)
    with ExitStack() as stack:
        opened = stack.enter_context(opened_backups(replica=replica))
        vaults = [opened.vault]
        if not replica and opened.settings.s3_replica_bucket is not None:
            second = stack.enter_context(open_vault(opened.settings, replica=True))
            # What is not there yet is pinned when it is copied. The first bucket's pin goes last: it would be copied.
            vaults = [second, *vaults] if remove else [*vaults, second] if backup in second.ids() else vaults
        for vault in vaults:
            if remove:
                vault.unpin(backup)
            else:
                vault.pin(backup, now=now, why=why)
    if as_json:
        print_json({"backup_id": backup, "pinned": not remove})
    else:
        say(f"Backup {backup} {'may go with the others again' if remove else 'stays until it is unpinned'}.")


@app.command("redate")
def redate(
    backup: Annotated[str, typer.Argument(help="Backup id.")],
    why: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it stands in the audit trail.")],
    replica: ReplicaFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Put the date of a backup right that was made while a clock was wrong: the store's time of it counts from now on.

    Example: reco backup redate 00000042-20360304T120000Z-0a1b2c3d --reason "the clock was ten years ahead"
    """
    from reco.backup.redate import redate as put_right
    from reco.orders.home import open_home

    with opened_backups(replica=replica) as opened:
        engine = open_home(opened.settings).ledger.engine
        done = put_right(opened.vault, engine, backup, now=dt.datetime.now(dt.UTC), why=why)
    if as_json:
        print_json({"backup_id": done.backup_id, "said": done.said.isoformat(), "made_at": done.at.isoformat()})
    else:
        say(f"Backup {done.backup_id} counts as made at {done.at.isoformat()}, not at {done.said.isoformat()}.")


@app.command("replicate")
def replicate(
    back: Annotated[
        bool, typer.Option("--back", help="From the second bucket to the first one, after that was lost.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Copy what is missing to the second bucket, and check it there.

    Example: reco backup replicate
    """
    from reco.backup.place import open_vault
    from reco.backup.replicate import replicate as copy

    with opened_backups() as opened, open_vault(opened.settings, replica=True) as second:
        ways = (second, opened.vault) if back else (opened.vault, second)
        done = copy(*ways, opened.settings.home, now=dt.datetime.now(dt.UTC), back=back)
    if as_json:
        print_json(asdict(done))
    else:
        say(
            f"{len(done.backups)} backups copied: {done.objects:,} objects, {size(done.bytes_sent)}; "
            f"{done.marks:,} marks (pins, dates, findings)."
        )


@app.command("status")
def status(as_json: JsonFlag = False) -> None:
    """How well the shop is protected now: last good backup, last drill, what would be lost. Exit code 1 if overdue.

    Example: reco backup status
    """
    from reco.backup.keys import Keyring
    from reco.backup.status import absences, look
    from reco.orders.home import open_home
    from reco_pipeline.cli.start import settings_of_command

    settings = settings_of_command()
    key = Keyring.in_home(settings)
    found = look(settings, open_home(settings).ledger.engine, now=dt.datetime.now(dt.UTC))
    overdue = absences(found)
    if as_json:
        print_json(
            found.as_dict() | {"overdue": [vars(one) for one in overdue], "identity_in_home": str(key) if key else None}
        )
    else:
        values = found.as_dict()
        for name in ("last_verify", "last_drill"):
            one = values[name]
            values[name] = f"{one['at']} {'passed' if one['passed'] else 'FAILED: ' + one['problem']}" if one else None
        facts([(name.replace("_", " "), value) for name, value in values.items()])
        if key is not None:
            say(f"  The key of these backups is {key}: with no copy elsewhere they are lost with the home.")
        for alert in overdue:
            say(f"  OVERDUE: {alert.reason}")
            say(f"  next: {alert.next_step}")
    raise typer.Exit(FAILED if overdue else 0)


def _chosen(vault: "Vault", backup: str | None) -> "Manifest":
    return vault.read(backup) if backup else vault.newest_good()


def _part(vault: "Vault", text: str) -> tuple[int, int]:
    from reco.backup.verify import next_part
    from reco.errors import UsageError

    first, _, parts = text.partition("/")
    if parts.isdigit() and int(parts) > 0 and first == "next":
        return next_part(vault.checks(), int(parts))
    if parts.isdigit() and first.isdigit() and 1 <= int(first) <= int(parts):
        return int(first), int(parts)
    raise UsageError(f"{text!r} names no part.", hint="Write N/T, such as 1/7, or next/7.")


def _row(manifest: "Manifest") -> dict[str, Any]:
    served = manifest.facts["served"] or {}
    return {
        "backup_id": manifest.backup_id,
        "created_at": manifest.created_at.isoformat(),
        "reason": manifest.reason,
        "good": manifest.good,
        "suspicious": list(manifest.suspicious),
        "files": len(manifest.entries),
        "size_bytes": manifest.size_bytes,
        "seconds": manifest.seconds,
        "snapshot_id": served.get("snapshot_id"),
        "orders": served.get("orders"),
    }
