"""Restoring: which backup, whether it may be done, and the whole of it.

Belongs here: the plan, the refusals, and the order prepare -> switch -> check. Does not belong here: these steps.
"""

import datetime as dt
import os
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import redis
from pydantic import SecretStr

from reco.backup.api_keys import KeysSettled
from reco.backup.contents import comparable, served_facts
from reco.backup.hides import HidesSettled
from reco.backup.lives import home_lives, redis_lives
from reco.backup.manifest import Manifest
from reco.backup.moments import Moment, find_moment
from reco.backup.notes import plan_notes
from reco.backup.past import rewind
from reco.backup.prepare import EVERYTHING, part_of, prepare
from reco.backup.redis_dump import RedisFacts
from reco.backup.run_tables import RunTables, left_out
from reco.backup.secret_marks import secret_notes
from reco.backup.switch import Switched, check_redis, switch, switch_redis
from reco.backup.today import enter_today, find_today, make_journal
from reco.backup.vault import Vault
from reco.errors import BackupDamaged, Busy, RedisUnavailable, RestoreRefused
from reco.local import locks
from reco.settings import Settings
from reco.storage.homelock import home_lock, require_whole, services_up, sole_use
from reco.storage.lake import Lake
from reco.storage.redis import address, open_redis

WAIT_SECONDS = 5.0


@dataclass(frozen=True)
class Plan:
    """What a restore would do.

    parts: what is read back; replaced: what of it takes the place of what is there (the keys of a moment between two
    backups are made of all parts, and alone replaced). moment: the state it goes back to, where that is not the state
    of the backup itself; lives: what the target holds now, in words: it is replaced, and only with `--force`; notes:
    what a person must know before, in sentences; here: RECO_RESTORE_INTO names another target, which is not meant;
    tables: what makes Dagster's tables, where its records go into a Postgres.
    """

    manifest: Manifest
    parts: frozenset[str]
    replaced: frozenset[str]
    target: str
    lives: tuple[str, ...]
    moment: Moment | None = None
    into: str | None = field(default=None, repr=False)
    replica: bool = False
    notes: tuple[str, ...] = ()
    here: bool = False
    tables: RunTables | None = field(default=None, repr=False)

    @property
    def command(self) -> str:
        """What a person types to do this again, where it was cut short."""
        state = f"--at {self.moment.at.isoformat()}" if self.moment else f"--id {self.manifest.backup_id}"
        where = " --into-file FILE" if self.into else " --redis-only" if self.replaced == {"redis"} else ""
        where = " --here" if self.here and not where else where
        source = " --replica" if self.replica else ""
        return f"reco backup restore {state}{where}{source} --force"

    def facts(self) -> dict[str, str]:
        """The plan in words, without a secret."""
        as_of = self.moment.at if self.moment else self.manifest.created_at
        return {
            "backup_id": self.manifest.backup_id,
            "created_at": self.manifest.created_at.isoformat(),
            "as_of": as_of.isoformat(),
            "parts": ", ".join(sorted(self.replaced)),
            "target": self.target,
            "target_holds": "; ".join(self.lives),
            "size_bytes": str(self.size_bytes),
            "notes": " ".join(self.notes),
            "by_hand": self.command,
        }

    @property
    def size_bytes(self) -> int:
        """Plain bytes to bring back."""
        return sum(one.size_bytes for one in self.manifest.entries if part_of(one.name) in self.parts)


@dataclass(frozen=True)
class Restored:
    """What a restore did; seconds is the whole of it, the recovery time. api_keys, hides: None where the home stayed.

    redis: what Redis holds of the backup.
    """

    plan: Plan
    switched: Switched
    api_keys: KeysSettled | None
    snapshot_id: str | None
    answers_equal: bool | None
    seconds: float
    redis: RedisFacts
    hides: HidesSettled | None = None


def make_plan(  # noqa: PLR0913 - each argument is a decision of the caller
    vault: Vault,
    settings: Settings,
    *,
    backup_id: str | None = None,
    at: dt.datetime | None = None,
    into: str | None = None,
    parts: Collection[str] = EVERYTHING,
    replica: bool = False,
    tables: RunTables | None = None,
) -> Plan:
    """Chooses the backup and looks at the target; changes nothing.

    Args:
        vault: the backups.
        settings: the home, Redis and database to restore to.
        backup_id: this one; the newest good one if neither it nor `at` is given.
        at: the state as of this moment.
        into: another Redis, which then gets the keys alone.
        parts: what to restore.
        replica: `vault` is that of the second bucket, which the command to type again must name.
        tables: what makes Dagster's tables; without it records that lie in a Postgres are left out.

    Raises:
        BackupNotFound: there is no such backup, or none that reaches that moment.
        BackupDamaged: its manifest is not ours.
    """
    moment = None
    if at is not None:
        moment = find_moment(vault, settings, at)
        manifest = moment.base
    else:
        manifest = vault.read(backup_id) if backup_id else vault.newest_good()
    replaced = frozenset({"redis"} if into else parts)
    # The state of a moment between two backups is made of all parts.
    needed = replaced if moment is None or moment.event_id is None else EVERYTHING
    notes = plan_notes(vault, manifest, moment, named=backup_id is not None)
    without = left_out(manifest, settings, tables) if "dagster" in replaced else ""
    if without:
        replaced, notes = replaced - {"dagster"}, (*notes, without)
    target = address(into, "The URL to restore into") if into else str(settings.home)
    lives = redis_lives(settings, into) + (() if into else home_lives(settings, replaced))
    if "keys" in replaced:
        notes += tuple(secret_notes(manifest, settings, vault.keys))
    here = settings.restore_into is not None
    return Plan(manifest, needed, replaced, target, lives, moment, into, replica, notes, here, tables)


def restore(vault: Vault, settings: Settings, plan: Plan, *, now: dt.datetime, force: bool = False) -> Restored:
    """Restores as planned: everything is read and checked before anything is replaced.

    Raises:
        RestoreRefused: the target lives and `force` is not given, or something uses the home.
        BackupError: the keys of Redis alone are asked for, and a restore of the whole home was cut short.
        BackupDamaged, BackupKeyWrong: see `prepare`; nothing was changed.
        Busy: a run of the home is at work.
        RedisUnavailable, DatabaseUnavailable: they do not answer or are full.
    """
    started = time.monotonic()
    api_keys, hides = None, None
    _require_free(plan, settings, force=force)
    with ExitStack() as stack:
        if "sql" in plan.replaced:
            stack.enter_context(_alone(settings.home))
        if plan.into is None:
            stack.enter_context(home_lock(settings.home, wait_seconds=WAIT_SECONDS))
        Lake(settings.home).sweep()
        folder = stack.enter_context(Lake(settings.home).scratch())
        prepared = prepare(vault, plan.manifest, folder / "parts", plan.parts)
        if plan.moment is not None and plan.moment.event_id is not None:
            prepared = rewind(prepared, plan.moment, settings, now=now)
        client = stack.enter_context(_target_redis(settings, plan.into))
        if "sql" in plan.replaced:
            journal = make_journal(settings, plan.command, plan.manifest.backup_id, now)
            today = find_today(vault, settings, plan.manifest, journal, folder)
            api_keys, hides = enter_today(prepared.database, today, plan.manifest, plan.moment, now)
            prepared = replace(prepared, parts=plan.replaced)
            switched = switch(prepared, settings, client, journal, now=now, tables=plan.tables)
        else:
            switched = switch_redis(prepared, client, settings.namespace, now=now)
        redis_facts = check_redis(prepared, client, settings.namespace)
        served = served_facts(client, settings.namespace)
    version = str(prepared.manifest.facts["code_version"])
    expected = comparable(prepared.manifest.facts["served"], version)
    equal = None if expected is None else comparable(served, version) == expected
    if equal is False:
        raise BackupDamaged(
            "What is served after the restore does not give the answers that were given when it was backed up.",
            hint="Run `reco run --force`, which publishes the restored lake anew, and keep the backup for examination.",
            entry="answers",
            reason="they differ",
        )
    return Restored(
        plan,
        switched,
        api_keys,
        served["snapshot_id"] if served else None,
        equal,
        round(time.monotonic() - started, 3),
        redis_facts,
        hides,
    )


def _require_free(plan: Plan, settings: Settings, *, force: bool) -> None:
    if plan.replaced != {"redis"} and services_up(settings.home):
        raise RestoreRefused(
            f"Services of {settings.home} are up: they would go on with what is moved away.",
            hint="End `reco dev` (or Dagster and the API), then restore.",
        )
    if plan.replaced == {"redis"} and plan.into is None:
        require_whole(settings.home)
    if plan.moment is not None and plan.moment.unread and not force:
        raise RestoreRefused(
            f"Who was forgotten by the time of {', '.join(plan.moment.unread)} is not known: the restore could bring "
            "them back.",
            hint="See the notes of the plan (--dry-run); --force restores all the same.",
            backups=list(plan.moment.unread),
        )
    if plan.lives and not force:
        raise RestoreRefused(
            f"The target is not empty: {'; '.join(plan.lives)}.",
            hint="Restore into another RECO_HOME, or give --force: files are moved aside, keys in Redis are replaced.",
            lives=list(plan.lives),
        )


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Nobody else uses the home for the block, however it was started."""
    with ExitStack() as stack:
        try:
            stack.enter_context(sole_use(home, WAIT_SECONDS))
        except Busy as error:
            raise RestoreRefused(
                f"{error.message} It would go on with what is moved away.",
                hint="End it (`reco serve`, `reco dev`, Dagster), then restore.",
                users=error.details.get("users", []),
            ) from error
        yield


@contextmanager
def _target_redis(settings: Settings, into: str | None) -> Iterator[redis.Redis]:
    """The Redis to restore to. An embedded one whose files are damaged begins anew, empty; they are moved aside."""
    wanted = settings.model_copy(update={"redis_url": SecretStr(into)}) if into else settings
    with ExitStack() as stack:
        try:
            client = stack.enter_context(open_redis(wanted))
        except RedisUnavailable:
            if wanted.redis_url is not None or not _move_damaged(settings.home):
                raise
            client = stack.enter_context(open_redis(wanted))
        yield client


def _move_damaged(home: Path) -> bool:
    """Moves the files of an embedded Redis that does not start out of its way; False where one still holds them."""
    held = locks.try_exclusive(home / "redis" / "data.lock")
    if held is None:
        return False
    try:
        data = home / "redis" / "data"
        data.rename(data.with_name(f"data-damaged-{os.urandom(3).hex()}"))
    finally:
        held.close()
    return True
