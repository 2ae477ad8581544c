"""What the target of a restore holds already, in words: it is replaced, and only with `--force`.

Belongs here: looking at it. Does not belong here: refusing it (`reco.backup.restore`).
"""

from collections.abc import Collection

import sqlalchemy as sa
from pydantic import SecretStr

from reco.backup.contents import HOME_KEYS, lake_files
from reco.backup.manifest import DAGSTER, KEYS
from reco.backup.prepare import DATABASE
from reco.backup.redis_dump import owned_names
from reco.backup.run_tables import records_there
from reco.errors import DatabaseUnavailable, RedisUnavailable
from reco.settings import Settings
from reco.snapshot.keys import Keys
from reco.storage.redis import address, open_redis
from reco.storage.sql import SCHEMA, database_errors, drops, open_empty


def redis_lives(settings: Settings, into: str | None) -> tuple[str, ...]:
    """What the Redis holds that keys would go into; into: the URL of another one than that of the settings.

    Raises:
        RedisUnavailable: one given by URL does not answer.
    """
    if into is None and settings.redis_url is None and not (settings.home / "redis" / "data").exists():
        return ()
    try:
        with open_redis(settings.model_copy(update={"redis_url": SecretStr(into)}) if into else settings) as client:
            names = owned_names(client, Keys(settings.namespace))
            where = address(client)
    except RedisUnavailable:
        if into is not None or settings.redis_url is not None:
            raise
        return ("the embedded Redis does not start on its files",)
    return (f"Redis at {where} holds {len(names):,} keys of {settings.namespace}",) if names else ()


def home_lives(settings: Settings, parts: Collection[str]) -> tuple[str, ...]:
    """What the home and its databases hold of these parts.

    Raises:
        DatabaseUnavailable: one given by URL does not answer.
    """
    found = []
    keys = [name for name in HOME_KEYS if (settings.home / KEYS / name).exists()]
    if "keys" in parts and keys:
        found.append(f"{settings.home / KEYS} has {' and '.join(keys)}")
    if "dagster" in parts and any((settings.home / DAGSTER).rglob("*.db")):
        found.append(f"{settings.home / DAGSTER} holds the records of runs")
    if "dagster" in parts and settings.dagster_database_url is not None:
        runs = records_there(settings)
        found += [f"Dagster's database knows {runs:,} runs"] if runs else []
    if "lake" in parts and any(lake_files(settings.home / "lake")):
        found.append(f"{settings.home / 'lake'} holds files")
    if "sql" in parts and (settings.database_url is not None or (settings.home / DATABASE).exists()):
        engine = open_empty(settings.sql_url)
        try:
            with database_errors(engine.url), engine.connect() as connection:
                schema = None if engine.dialect.name == "sqlite" else SCHEMA
                if sa.inspect(connection).has_table("drops", schema=schema):
                    rows = connection.scalar(sa.select(sa.func.count()).select_from(drops))
                    found += [f"the database knows {rows:,} drops"] if rows else []
        except DatabaseUnavailable:
            if settings.database_url is not None:
                raise
            found.append(f"{settings.home / DATABASE} is there and cannot be read")
        finally:
            engine.dispose()
    return tuple(found)
