"""The steps on backups that are no assets: checking a part, restoring by config, removing old ones.

Belongs here: these steps, for their jobs. Does not belong here: the work (`reco.backup`).
"""

import datetime as dt

import dagster as dg
from pydantic import Field

from assets.common import POOL
from resources.home import DatabaseResource, VaultResource

PARTS = 7


class RestoreConfig(dg.Config):
    """What is restored, of when, and where to."""

    backup_id: str = Field(default="", description="This backup; empty: the newest good one.")
    at: str = Field(default="", description="The state as of this moment, such as 2026-03-04T12:00:00 (UTC).")
    into: str = Field(
        default="", description="URL of another Redis without a password, which gets the keys; empty: the one in use."
    )
    dry_run: bool = Field(default=True, description="Only say what would be done.")
    force: bool = Field(default=False, description="Also where the target holds keys: they are replaced.")


@dg.op(pool=POOL)
def verify_next_part(context: dg.OpExecutionContext, database: DatabaseResource, vault: VaultResource) -> None:
    """Looks at every object of the newest good backup and reads a seventh of their bytes; so a week reads them all."""
    from reco.backup.verify import next_part, verify

    home = database.home().settings.home
    with vault.open() as backups:
        part = next_part(backups.checks(), PARTS)
        found = verify(backups, backups.newest_good(), home, part=part, now=dt.datetime.now(dt.UTC))
    context.add_output_metadata({"backup_id": found.backup_id, "part": found.part, "bytes_read": found.bytes_read})
    if not found.passed:
        raise dg.Failure(f"Backup {found.backup_id} is damaged: {'; '.join(found.problems)}", allow_retries=False)


@dg.op(pool=POOL)
def restore_backup(
    context: dg.OpExecutionContext, config: RestoreConfig, database: DatabaseResource, vault: VaultResource
) -> None:
    """Restores the keys of Redis. The home itself is restored by `reco backup restore`, with its services ended."""
    from reco.backup.restore import make_plan, restore

    settings = database.home().settings
    at = dt.datetime.fromisoformat(config.at) if config.at else None
    with vault.open() as backups:
        plan = make_plan(
            backups,
            settings,
            backup_id=config.backup_id or None,
            at=at and at.replace(tzinfo=at.tzinfo or dt.UTC),
            into=config.into or None,
            parts={"redis"},
        )
        told = {"backup_id": plan.manifest.backup_id, "target": plan.target, "target_holds": "; ".join(plan.lives)}
        if not config.dry_run:
            done = restore(backups, settings, plan, now=dt.datetime.now(dt.UTC), force=config.force)
            told |= {"snapshot_id": done.snapshot_id or "", "rto_seconds": str(done.seconds)}
    context.add_output_metadata({"dry_run": config.dry_run, **told})


@dg.op(pool=POOL)
def prune_backups(context: dg.OpExecutionContext, database: DatabaseResource, vault: VaultResource) -> None:
    """Removes what retention lets go, in both buckets; refuses where the clock or the list cannot be right."""
    from reco.backup.prune import policy_of, prune

    settings = database.home().settings
    told: dict[str, int] = {}
    for where in ("", "replica/") if settings.s3_replica_bucket else ("",):
        with vault.open(replica=bool(where)) as backups:
            found = prune(
                backups,
                policy_of(settings),
                grace=dt.timedelta(hours=settings.backup_grace_hours),
                keep_versions=dt.timedelta(days=settings.backup_version_days),
                now=dt.datetime.now(dt.UTC),
                dry_run=False,
            )
        figures = {"kept": len(found.plan.keep), "removed": len(found.plan.remove), "objects_removed": found.objects}
        figures |= {"bytes_removed": found.size_bytes, "bytes_freed": found.version_bytes, "locked": len(found.locked)}
        told |= {f"{where}{name}": value for name, value in figures.items()}
        if found.versions_refused:
            context.log.warning(f"{where}old versions were not looked at: {found.versions_refused}")
    context.add_output_metadata(told)
