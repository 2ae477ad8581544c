"""The assets after the snapshot: its backup, and the proof that it comes back. The lineage ends in the proof.

Does not belong here: what a backup holds or a drill compares (`reco.backup`).
"""

import datetime as dt
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from assets.common import BACKED_UP, BACKUP, OWNERS, POOL, PROVEN
from assets.serving import redis_snapshot
from resources.home import DatabaseResource, RedisResource, VaultResource

if TYPE_CHECKING:
    from reco.backup.create import Created
    from reco.backup.status import Protection

REDIS_BACKUP, RESTORE_DRILL = "redis_backup", "restore_drill"


class BackupConfig(dg.Config):
    """What a person may choose when backing up by hand."""

    reason: str = Field(default="scheduled", description="Why it is made, in a word or two; stands in the manifest.")
    accept_smaller: bool = Field(
        default=False,
        description="It is right that there is far less than in the last good backup: without this such a backup is "
        "made, marked, and never counts as good.",
    )


class DrillConfig(dg.Config):
    """Which backup is proven."""

    backup_id: str = Field(default="", description="This backup; empty: the newest good one, or one by chance.")
    by_chance: bool = Field(default=False, description="A good backup by chance, so that in time each is proven.")


@dg.asset(
    name=REDIS_BACKUP,
    deps=[redis_snapshot],
    group_name=BACKUP,
    kinds={"s3"},
    owners=OWNERS,
    code_version="1",
    pool=POOL,
    freshness_policy=BACKED_UP,
)
def redis_backup(
    config: BackupConfig, database: DatabaseResource, redis: RedisResource, vault: VaultResource
) -> dg.MaterializeResult:
    """Redis, SQL, Dagster, the lake and the settings, sealed and read back; the manifest made it a backup."""
    from reco.backup.create import create
    from reco.backup.status import protection

    now = dt.datetime.now(dt.UTC)
    home = database.home()
    with vault.open(make_key=True) as backups, redis.client() as client:
        made = create(home, client, backups, now=now, reason=config.reason, accept_smaller=config.accept_smaller)
        copied = vault.replicate(backups, home, now)
        state = protection(backups, home.ledger.engine, now=dt.datetime.now(dt.UTC))
    return dg.MaterializeResult(metadata=_figures(made, state, copied), data_version=_version(made))


@dg.asset(
    name=RESTORE_DRILL,
    deps=[redis_backup],
    group_name=BACKUP,
    kinds={"redis"},
    owners=OWNERS,
    code_version="1",
    pool=POOL,
    freshness_policy=PROVEN,
)
def restore_drill(config: DrillConfig, database: DatabaseResource, vault: VaultResource) -> dg.MaterializeResult:
    """A backup restored into scratch servers: the same counts, digests, answers, and the model made anew equals it."""
    from reco.backup.drill import drill
    from reco.backup.status import protection

    home, now = database.home(), dt.datetime.now(dt.UTC)
    with vault.open() as backups:
        manifest = vault.choose(backups, config.backup_id, by_chance=config.by_chance)
        found = drill(backups, home.settings, manifest, now=now)
        state = protection(backups, home.ledger.engine, now=now)
    return dg.MaterializeResult(
        metadata={
            "backup_id": found.backup_id,
            "rto_seconds": found.rto_seconds,
            "rebuild_seconds": found.rebuild_seconds,
            "rpo_seconds": state.rpo_seconds or 0.0,
            "size_bytes": found.size_bytes,
            "comparisons": len(found.comparisons),
            "drills_passed_rate": state.drills_passed or 0.0,
        }
    )


def _figures(made: "Created", state: "Protection", copied: float | None) -> dict[str, dg.MetadataValue]:
    """The figures of a backup that make curves over its history."""
    manifest = made.manifest
    numbers = {
        "files": float(len(manifest.entries)),
        "size_bytes": float(manifest.size_bytes),
        "objects_sent": float(made.objects_sent),
        "bytes_sent": float(made.bytes_sent),
        "backup_seconds": manifest.seconds,
        "last_good_age_seconds": state.age_seconds,
        "rpo_seconds": state.rpo_seconds,
        "rto_seconds": state.rto_seconds,
        "replica_lag_seconds": copied,
    }
    texts = {"backup_id": manifest.backup_id, "suspicious": "; ".join(manifest.suspicious) or "no"}
    return {name: dg.MetadataValue.float(value) for name, value in numbers.items() if value is not None} | {
        name: dg.MetadataValue.text(value) for name, value in texts.items()
    }


def _version(made: "Created") -> dg.DataVersion:
    served = made.manifest.facts["served"] or {}
    return dg.DataVersion(str(served.get("digest", "none")))
