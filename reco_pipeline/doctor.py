"""Looks at everything a run needs and says what is wrong and what to do.

Belongs here: the list of examinations. Does not belong here: repairing anything.
"""

import shutil
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version

from reco.errors import RecoError
from reco.settings import Settings, loose_secrets
from reco_pipeline.findings import Finding

LEAST_FREE_BYTES = 1_000_000_000


def examine(settings: Settings) -> list[Finding]:
    """Every examination, whatever the others find."""
    return [
        finding
        for what, look in (
            ("python", _python),
            ("home", _home),
            ("database", _database),
            ("redis", _redis),
            ("buckets", _buckets),
            ("lake", _lake),
            ("dagster", _dagster),
            ("secrets", _secrets),
            ("production", _production),
        )
        for finding in _safely(what, look, settings)
    ]


def _safely(what: str, look: Callable[[Settings], list[Finding]], settings: Settings) -> list[Finding]:
    try:
        return look(settings)
    except RecoError as error:
        return [Finding(what, False, error.message, error.hint)]
    except OSError as error:
        return [Finding(what, False, str(error), "Check the path and its rights.")]


def _python(_: Settings) -> list[Finding]:
    return [Finding("python", True, f"{sys.version.split()[0]} at {sys.executable}")]


def _home(settings: Settings) -> list[Finding]:
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=settings.home):
            free = shutil.disk_usage(settings.home).free
    except OSError as error:
        step = "Set RECO_HOME to a folder you can write to."
        return [Finding("home", False, f"{settings.home} cannot be written to: {error.strerror}", step)]
    enough = free >= LEAST_FREE_BYTES
    found = f"{settings.home}, {free / 1e9:.1f} GB free"
    return [Finding("home", enough, found, "" if enough else "Free some room on this disk.")]


def _database(settings: Settings) -> list[Finding]:
    from reco.storage.sql import open_database, shown

    engine = open_database(settings.sql_url)
    return [Finding("database", True, f"{engine.dialect.name}: {shown(settings.sql_url)}")]


def _redis(settings: Settings) -> list[Finding]:
    from reco.storage.redis import address, open_redis, server_facts, warnings

    with open_redis(settings) as client:
        facts = server_facts(client)
        kind = "embedded" if settings.redis_url is None else "external"
        room = f"{facts.max_memory_bytes / 1e6:,.0f} MB" if facts.max_memory_bytes else "no limit of its own"
        found = (
            f"{kind} {facts.server} {facts.version} at {address(client)}, "
            f"{facts.used_memory_bytes / 1e6:,.1f} MB used of {room}"
        )
    notes = warnings(facts)
    return [Finding("redis", True, found), *(Finding("redis", True, "warning", note) for note in notes)]


def _buckets(settings: Settings) -> list[Finding]:
    """The buckets that settings name; the embedded one is started by the first command that needs it."""
    from reco.backup.place import open_vault

    named = [(settings.s3_bucket, False), (settings.s3_replica_bucket, True)]
    found = []
    for bucket, replica in named:
        if bucket is None:
            continue
        what = "second bucket" if replica else "bucket"
        try:
            with open_vault(settings, replica=replica) as vault:
                guards = vault.store.guards()
        except RecoError as error:
            found.append(Finding(what, False, error.message, error.hint))
            continue
        known = {True: "keeps versions", False: "keeps no versions", None: "does not tell whether it keeps versions"}
        locks = f", locks objects for {guards.retention}" if guards.retention else ""
        found.append(Finding(what, True, f"s3://{bucket}, {known[guards.versions]}{locks}"))
        if guards.lock and not guards.retention:
            step = "Give the bucket a default retention if backups are to be held fast: until then nothing is locked."
            found.append(Finding(what, True, "warning: object lock is on, without a retention", step))
    return found


def _lake(settings: Settings) -> list[Finding]:
    from reco.orders.home import open_home

    ledger = open_home(settings).ledger
    wrong = ledger.imbalances()
    if wrong:
        step = "Read those drops again: materialize order_lines for their partitions."
        return [Finding("lake", False, f"{len(wrong)} drops do not add up; {wrong[0].message}", step)]
    return [Finding("lake", True, f"{len(ledger.drops())} drops, every line accounted for")]


def _dagster(settings: Settings) -> list[Finding]:
    from reco_pipeline.instance import dagster_home

    return [Finding("dagster", True, f"{version('dagster')}, runs in {dagster_home(settings.home)}")]


def _secrets(settings: Settings) -> list[Finding]:
    """Files of secrets that others can read; production refuses them, and names them below."""
    if settings.profile == "production":
        return []
    step = "Take the rights of other accounts away with `chmod 600`; production refuses such a file."
    return [Finding("secrets", True, str(one), step) for one in loose_secrets(settings)]


def _production(settings: Settings) -> list[Finding]:
    from reco_pipeline.production import readiness

    return readiness(settings) if settings.profile == "production" else []
