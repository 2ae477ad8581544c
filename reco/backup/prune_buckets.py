"""Retention by the settings: one bucket, or both in the right order.

Belongs here: which bucket comes first, and what the second keeps for it. Does not belong here: what goes (`prune`).
"""

import datetime as dt
from collections.abc import Collection, Iterator

from reco.backup.place import open_vault
from reco.backup.prune import Pruned, prune
from reco.backup.retention import Policy
from reco.backup.vault import Vault
from reco.settings import Settings


def prune_bucket(
    vault: Vault, settings: Settings, *, now: dt.datetime, elsewhere: Collection[str] = (), dry_run: bool
) -> Pruned:
    """Prunes one bucket by the rules of the settings; arguments and errors as of `reco.backup.prune.prune`."""
    return prune(
        vault,
        Policy(
            days=settings.backup_keep_days,
            daily=settings.backup_keep_daily,
            weekly=settings.backup_keep_weekly,
            monthly=settings.backup_keep_monthly,
            minimum=settings.backup_keep_minimum,
        ),
        grace=dt.timedelta(hours=settings.backup_grace_hours),
        keep_versions=dt.timedelta(days=settings.backup_version_days),
        elsewhere=elsewhere,
        now=now,
        dry_run=dry_run,
    )


def prune_buckets(settings: Settings, *, now: dt.datetime, dry_run: bool) -> Iterator[Pruned]:
    """Prunes the first bucket, then the second one if there is one, which keeps what the first one has then.

    Each is pruned when it is asked for. Where the first one is refused there is no second: what it has is not known.

    Raises:
        RetentionRefused, Busy: see `reco.backup.prune.prune`.
        BackupKeyWrong, ConfigError, ObjectStoreUnavailable: see `reco.backup.place.open_vault`.
    """
    with open_vault(settings) as vault:
        first = prune_bucket(vault, settings, now=now, dry_run=dry_run)
        left = {*vault.ids()} - ({*first.plan.remove} if dry_run else set())
    yield first
    if settings.s3_replica_bucket is not None:
        with open_vault(settings, replica=True) as second:
            yield prune_bucket(second, settings, now=now, elsewhere=left, dry_run=dry_run)
