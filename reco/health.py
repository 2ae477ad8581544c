"""How a shop is doing now: one look for the screen of `reco status` and for the asset `pipeline_health`.

Belongs here: gathering the figures, and which of them mean that somebody has to act. Does not belong here: asking
Dagster which checks fail (given by the caller), showing it (`reco_pipeline.cli`, `assets.health`), or telling it.
"""

import datetime as dt
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import redis

from reco.alerts.outbox import Outbox
from reco.alerts.tell import Alert
from reco.audit.quality import quarantine_rates
from reco.audit.standing import FailingCheck
from reco.backup.status import absences, look
from reco.container import Container
from reco.errors import RecoError
from reco.orders.home import Home
from reco.orders.ledger import DropStatus
from reco.settings import Settings
from reco.snapshot.store import SnapshotInfo, SnapshotStore, memory_of
from reco.storage.redis import redis_errors

OLD_SNAPSHOT = dt.timedelta(hours=50)
"""Two days and their delays: a shop that sells daily has published since."""
REDIS_FULL = 0.9
CROWDED = 0.7
"""Share of its memory or processor time above which a container has too little left for a peak."""
ALERT_WAITS_TOO_LONG = dt.timedelta(hours=1)


@dataclass
class Health:
    """The figures of one look. Ages in seconds, sizes in bytes; None: not known, or there is none.

    problems: sentences on what somebody has to act upon, empty where all is well.
    """

    home: str
    drops: dict[str, int]
    drops_today: int
    drops_failed_today: int
    lines_read: int
    lines_quarantined: int
    quality_score: float | None
    snapshot_id: str | None = None
    snapshot_age_seconds: int | None = None
    snapshots_kept: int = 0
    snapshots_stale: int = 0
    items: int = 0
    orders: int = 0
    redis_memory_bytes: int | None = None
    redis_memory_limit_bytes: int | None = None
    disk_free_bytes: int | None = None
    disk_free_rate: float | None = None
    alerts_waiting: int = 0
    backups: dict[str, Any] = field(default_factory=dict)
    failing: list[FailingCheck] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def examine(
    home: Home, client: redis.Redis | None, failing: Sequence[FailingCheck], *, now: dt.datetime, trouble: str = ""
) -> Health:
    """Looks at everything once. What cannot be reached is a problem in the result, not an error.

    Args:
        home: the shop.
        client: its Redis; None where that cannot be reached, `trouble` then says why.
        failing: the checks that fail now.
        now: the present time.
        trouble: why there is no client.
    """
    found = _of_drops(home, now)
    found.failing = list(failing)
    if trouble:
        found.problems.append(trouble)
    if client is not None:
        try:
            _add_served(found, client, home.settings, now)
        except RecoError as error:
            found.problems.append(str(error))
    found.backups = _of_backups(home, now)
    _add_room(found, home.settings)
    waiting = Outbox(home.settings.home).waiting()
    found.alerts_waiting = len(waiting)
    found.problems += _problems(found)
    if waiting and now - dt.datetime.fromisoformat(waiting[0].at) > ALERT_WAITS_TOO_LONG:
        found.problems.append(f"{len(waiting)} alerts could not be sent, last answer: {waiting[0].answer}.")
    return found


def shortages(settings: Settings, client: redis.Redis) -> list[Alert]:
    """What is running out: the disk of the home, and the memory of Redis, as alerts.

    Raises:
        RedisUnavailable: Redis does not answer.
    """
    alerts = []
    free, rate = _free(settings)
    if rate < settings.disk_warn_free:
        alerts.append(Alert("disk_short", "home", _disk(rate, free, settings), "`reco cleanup` removes what may go."))
    with redis_errors(client):
        memory = memory_of(client)
    if memory.max_bytes and memory.used_bytes > REDIS_FULL * memory.max_bytes:
        held = f"Redis holds {memory.used_bytes:,} of the {memory.max_bytes:,} bytes it may"
        reason = f"{held}: a publish needs room for a copy."
        step = "`reco snapshot gc`, fewer snapshots (RECO_KEEP_SNAPSHOTS), or more memory."
        alerts.append(Alert("redis_memory_short", "redis", reason, step))
    return alerts


def crowded(found: Container, cores_used: float | None) -> list[Alert]:
    """What the container of the runs is short of, as alerts; nothing of what has no bound.

    Args:
        found: its use and its bounds.
        cores_used: processors' worth of time since an earlier look, on average; None: not known.
    """
    alerts = []
    if found.memory_limit_bytes and found.memory_bytes > CROWDED * found.memory_limit_bytes:
        held = f"The container of the runs holds {found.memory_bytes:,} of {found.memory_limit_bytes:,} bytes"
        reason = f"{held}: at all of them the kernel ends a process."
        alerts.append(Alert("memory_short", "runs", reason, "Raise its limit (`mem_limit`)."))
    if found.cores and cores_used is not None and cores_used > CROWDED * found.cores:
        reason = f"The container of the runs used {cores_used:.2f} of its {found.cores:.2f} processors for an hour."
        step = "See in the Dagster UI what it works at; raise its limit (`cpus`)."
        alerts.append(Alert("processor_busy", "runs", reason, step, "/runs"))
    return alerts


def _of_drops(home: Home, now: dt.datetime) -> Health:
    drops = home.ledger.drops()
    today = [drop for drop in drops if drop.received_at.date() == now.date()]
    rates = quarantine_rates([drop for drop in drops if drop.status is DropStatus.INGESTED])
    return Health(
        home=str(home.settings.home),
        drops=dict(Counter(drop.status.value for drop in drops)),
        drops_today=len(today),
        drops_failed_today=sum(drop.status is DropStatus.FAILED for drop in today),
        lines_read=rates.read,
        lines_quarantined=rates.quarantined,
        quality_score=rates.quality_score,
    )


def _add_served(found: Health, client: redis.Redis, settings: Settings, now: dt.datetime) -> None:
    with redis_errors(client):
        kept = SnapshotStore(client, settings.namespace).list()
        memory = memory_of(client)
    served: SnapshotInfo | None = next((one for one in kept if one.current), None)
    found.snapshots_kept = len(kept)
    found.snapshots_stale = max(0, len(kept) - max(settings.keep_snapshots, 1) - 1)  # an older one may be served
    found.redis_memory_bytes, found.redis_memory_limit_bytes = memory.used_bytes, memory.max_bytes or None
    if served is not None:
        made = dt.datetime.fromisoformat(served.published_at)
        found.snapshot_id = served.snapshot_id
        found.snapshot_age_seconds = int((now - made).total_seconds())
        found.items, found.orders = served.items, served.orders


def _of_backups(home: Home, now: dt.datetime) -> dict[str, Any]:
    """What there is to say of backups; where their store cannot be asked, why."""
    try:
        state = look(home.settings, home.ledger.engine, now=now)
    except RecoError as error:
        return {"problem": error.message, "overdue": []}
    return state.as_dict() | {"problem": None, "overdue": [_shown(one) for one in absences(state)]}


def _shown(alert: Alert) -> dict[str, str]:
    return {
        "what": alert.what,
        "subject": alert.subject,
        "reason": alert.reason,
        "next_step": alert.next_step,
    }


def _free(settings: Settings) -> tuple[int, float]:
    room = shutil.disk_usage(settings.home)
    return room.free, room.free / room.total


def _add_room(found: Health, settings: Settings) -> None:
    found.disk_free_bytes, found.disk_free_rate = _free(settings)
    if found.disk_free_rate < settings.disk_warn_free:
        found.problems.append(_disk(found.disk_free_rate, found.disk_free_bytes, settings))


def _disk(rate: float, free: int, settings: Settings) -> str:
    return f"{rate:.1%} of the disk of {settings.home} is free ({free:,} bytes), below {settings.disk_warn_free:.0%}."


def _problems(found: Health) -> list[str]:
    said = []
    if found.drops_failed_today:
        said.append(f"{found.drops_failed_today} drops of today could not be used: `reco drops list --state failed`.")
    age = found.snapshot_age_seconds
    if age is not None and age > OLD_SNAPSHOT.total_seconds():
        said.append(f"The served snapshot is {age // 3600} hours old.")
    if age is None and found.redis_memory_bytes is not None and found.drops.get("ingested"):
        said.append("Drops were read, and no snapshot is served.")
    if found.snapshots_stale:
        said.append(f"{found.snapshots_stale} snapshots are kept beyond RECO_KEEP_SNAPSHOTS: `reco snapshot gc`.")
    used, limit = found.redis_memory_bytes, found.redis_memory_limit_bytes
    if used is not None and limit and used > REDIS_FULL * limit:
        said.append(f"Redis holds {used:,} of {limit:,} bytes.")
    said += [
        f"Check {one.check} of {one.asset} fails: {one.message}" for one in found.failing if one.weight != "warning"
    ]
    if found.backups.get("problem"):
        said.append(f"Backups: {found.backups['problem']}")
    return said + [f"{one['reason']} {one['next_step']}" for one in found.backups.get("overdue", [])]
