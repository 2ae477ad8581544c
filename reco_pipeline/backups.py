"""The steps on backups that are no assets: checking a part, restoring by config, removing old ones.

Belongs here: these steps, for their jobs. Does not belong here: the work (`reco.backup`).
"""

import datetime as dt
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field, SecretStr

from assets.common import POOL
from resources.home import DatabaseResource, VaultResource

if TYPE_CHECKING:
    from reco.settings import Settings

PARTS = 7


class What(Enum):
    """What can be restored."""

    REDIS = "redis"
    EVERYTHING = "everything"


class RestoreConfig(dg.Config):
    """What is restored, of when, and where to. Run config is shown to everyone: no secret may stand in it."""

    what: What = Field(default=What.REDIS, description="The keys of Redis, or the whole home.")
    backup_id: str = Field(default="", description="This backup; empty: the newest good one.")
    at: str = Field(default="", description="The state as of this moment, such as 2026-03-04T12:00:00 (UTC).")
    into: str = Field(default="", description="URL of another Redis, without a password; empty: the one in use.")
    into_setting: bool = Field(default=False, description="Into the Redis that RECO_RESTORE_INTO names.")
    home: str = Field(default="", description="Another folder, which becomes a home: for everything.")
    dry_run: bool = Field(default=True, description="Only say what would be done.")
    force: bool = Field(default=False, description="Also where the target holds something: it is replaced.")

    def moment(self) -> dt.datetime | None:
        """The moment to go back to, or None.

        Raises:
            UsageError: `at` is no time.
        """
        from reco.errors import UsageError

        try:
            at = dt.datetime.fromisoformat(self.at) if self.at else None
        except ValueError:
            raise UsageError(
                f"`at` is {self.at!r}, which is no time.", hint="Write it as 2026-03-04T12:00:00 (UTC)."
            ) from None
        return at and at.replace(tzinfo=at.tzinfo or dt.UTC)

    def target(self, settings: "Settings") -> str | None:
        """The other Redis, or None.

        Raises:
            UsageError: it is named twice, not at all, or with a password.
        """
        from reco.errors import UsageError
        from reco.storage.redis import has_password

        if self.into_setting and (self.into or settings.restore_into is None):
            raise UsageError(
                "into_setting asks for the Redis of RECO_RESTORE_INTO, which is not set, or `into` names one too.",
                hint="Set RECO_RESTORE_INTO or RECO_RESTORE_INTO_FILE where Dagster runs, and leave `into` empty.",
            )
        if self.into_setting and settings.restore_into is not None:
            return settings.restore_into.get_secret_value()
        if self.into and has_password(self.into, "into"):
            raise UsageError(
                "The URL in `into` has a password, which the UI shows to everyone: change that password.",
                hint="Set RECO_RESTORE_INTO_FILE where Dagster runs, and give into_setting: true.",
            )
        return self.into or None


@dg.op(pool=POOL)
def verify_next_part(context: dg.OpExecutionContext, database: DatabaseResource, vault: VaultResource) -> None:
    """Looks at every object of the newest good backup and reads a seventh of their bytes; so a week reads them all.

    So it does in the second bucket, of its own newest good backup: what was right when it was copied may not stay so.
    """
    from reco.backup.verify import next_part, verify

    settings = database.home().settings
    told: dict[str, str | int] = {}
    problems: list[str] = []
    for where in ("", "replica/") if settings.s3_replica_bucket else ("",):
        with vault.open(replica=bool(where)) as backups:
            if where and not backups.ids():
                context.log.warning("The second bucket has no backup yet; `reco backup replicate` copies them.")
                continue
            part = next_part(backups.checks(), PARTS)
            found = verify(backups, backups.newest_to_check(), settings.home, part=part, now=dt.datetime.now(dt.UTC))
        told |= {f"{where}backup_id": found.backup_id, f"{where}part": found.part}
        told |= {f"{where}bytes_read": found.bytes_read}
        if not found.passed:
            of = " in the second bucket" if where else ""
            problems.append(f"Backup {found.backup_id}{of} is damaged: {'; '.join(found.problems)}")
    context.add_output_metadata(told)
    if problems:
        raise dg.Failure(" ".join(problems), allow_retries=False)


@dg.op(pool=POOL)
def restore_backup(
    context: dg.OpExecutionContext, config: RestoreConfig, database: DatabaseResource, vault: VaultResource
) -> None:
    """Restores the keys of Redis, or everything into another home; unless told otherwise it only shows the plan.

    The home that Dagster runs in is planned here and restored by the command shown: its databases are among what is
    replaced, and the records of this very run in them.
    """
    from reco.backup.prepare import EVERYTHING
    from reco.backup.restore import make_plan, restore
    from reco_pipeline.run_tables import DagsterTables

    own = database.home().settings
    settings, into = target_of(own, config)
    everything = config.what is What.EVERYTHING
    with vault.open() as backups:
        plan = make_plan(
            backups,
            settings,
            backup_id=config.backup_id or None,
            at=config.moment(),
            into=into,
            parts=EVERYTHING if everything else {"redis"},
            tables=DagsterTables(),
        )
        told = plan.facts()
        context.log.info(f"Plan: {told}")
        if everything and settings.home == own.home and not config.dry_run:
            raise dg.Failure(
                f"A running Dagster cannot replace the home it runs in. End it, then type: {plan.command}",
                metadata=told,
                allow_retries=False,
            )
        if not config.dry_run:
            done = restore(backups, settings, plan, now=dt.datetime.now(dt.UTC), force=config.force)
            told |= {"snapshot_id": done.snapshot_id or "", "rto_seconds": str(done.seconds)}
            if done.api_keys is not None and done.hides is not None:
                told |= {"api_keys_suspended": ", ".join(done.api_keys.suspended)}
                told |= {"hidden_kept": ", ".join(done.hides.kept), "hidden_ended": ", ".join(done.hides.ended)}
                told |= {"unread": "; ".join((*done.api_keys.unread, *done.hides.unread))}
            if told.get("unread"):
                context.log.warning(
                    f"Could not be read: {told['unread']}. What was revoked or hidden only there is not known: see "
                    "`reco keys list` and `reco hide list` in that home."
                )
    context.add_output_metadata({"dry_run": config.dry_run, **told})


def target_of(own: "Settings", config: RestoreConfig) -> "tuple[Settings, str | None]":
    """The settings of the home to restore to, and another Redis that gets the keys alone."""
    from reco.errors import UsageError

    other = config.target(own)
    if config.what is What.REDIS and config.home:
        raise UsageError(
            "`home` names a home, and `what` the keys of Redis alone.",
            hint="Give what: EVERYTHING, or `into` instead of `home`.",
        )
    if config.what is What.REDIS:
        return own, other
    if not config.home:
        return own, None
    if own.profile == "production" and other is None:
        raise UsageError(
            f"Everything is to be restored into {config.home}, and no Redis is named for it: production starts no "
            "server of its own, and the one in use stays as it is.",
            hint="Give `into`, or into_setting: true with RECO_RESTORE_INTO_FILE, naming an empty Redis.",
        )
    redis_url = SecretStr(other) if other else None
    databases = {"database_url": None, "dagster_database_url": None}  # those in use stay as they are
    values = {"home": Path(config.home).absolute(), "redis_url": redis_url} | databases
    return own.model_copy(update=values), None


@dg.op(pool=POOL)
def prune_backups(context: dg.OpExecutionContext, database: DatabaseResource) -> None:
    """Removes what retention lets go, in both buckets; refuses where the clock or the list cannot be right.

    The second bucket keeps what the first one has, which would be copied there again.
    """
    from reco.backup.prune_buckets import prune_buckets

    told: dict[str, int] = {}
    done = prune_buckets(database.home().settings, now=dt.datetime.now(dt.UTC), dry_run=False)
    for where, found in zip(("", "replica/"), done, strict=False):
        figures = {"kept": len(found.plan.keep), "removed": len(found.plan.remove), "objects_removed": found.objects}
        figures |= {"bytes_removed": found.size_bytes, "bytes_freed": found.version_bytes, "locked": len(found.locked)}
        told |= {f"{where}{name}": value for name, value in figures.items()}
        if found.versions_refused:
            context.log.warning(f"{where}old versions were not looked at: {found.versions_refused}")
    context.add_output_metadata(told)
