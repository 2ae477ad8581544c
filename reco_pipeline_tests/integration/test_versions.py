"""Promises of upgrades and of the way back: migrations up and down over rows, on SQLite and on Postgres."""

import datetime as dt
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from reco.audit.chain import verify_chain
from reco.audit.trail import Event, append, recording
from reco.errors import DatabaseUnavailable, UsageError
from reco.storage import sql
from reco.storage.versions import known_versions, move
from reco_pipeline_tests.postgres import running_postgres
from reco_pipeline_tests.shop import new_shop

NOON = dt.datetime(2026, 3, 4, 12, tzinfo=dt.UTC)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an empty database of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('versions') / 'reco.sqlite'}"
        return
    with running_postgres() as url:
        yield url


def shape(engine: sa.Engine) -> dict[str, Any]:
    """Tables and their columns as the server tells them."""
    schema = None if engine.dialect.name == "sqlite" else sql.SCHEMA
    look = sa.inspect(engine)
    names = set(look.get_table_names(schema=schema)) - {sql.VERSION_TABLE}
    return {
        name: (
            {one["name"]: (str(one["type"]), one["nullable"]) for one in look.get_columns(name, schema=schema)},
            sorted(look.get_pk_constraint(name, schema=schema)["constrained_columns"]),
        )
        for name in names
    }


def test_every_version_goes_down_and_up_again_with_its_rows(server: str) -> None:
    """Step by step to the oldest and back: the same tables, every event of the trail, and a whole chain."""
    engine = sql.open_database(server)
    for name in ("a", "b", "c"):
        with recording(engine) as connection:
            append(connection, Event.DROP_SEEN, at=NOON, name=name)
    with engine.begin() as connection:
        connection.execute(
            sql.snapshots.insert().values(
                snapshot_id="s1", namespace="reco", digest="d", inputs_digest="i", published_at=NOON, orders=3, items=2,
                pairs=1, redis_keys=9, redis_bytes=99, forced=False,
            )
        )  # fmt: skip
    before, versions = shape(engine), known_versions()
    assert versions[-1] == sql.HEAD
    for version in reversed(versions[:-1]):
        assert move(engine, version) is not None
        assert sql.current_version(engine) == version
    assert shape(engine).keys() < before.keys()
    for version in versions[1:]:
        move(engine, version)
    assert shape(engine) == before
    assert verify_chain(engine).problem == ""
    with engine.connect() as connection:
        names = [one["name"] for one in connection.scalars(sa.select(sql.audit_events.c.details).order_by("id"))]
        assert names == ["a", "b", "c"]
        assert connection.scalar(sa.select(sql.snapshots.c.redis_bytes)) == 99
    with pytest.raises(UsageError, match="9999"):
        move(engine, "9999")
    engine.dispose()


def test_an_upgrade_is_gone_back_from_as_the_page_says(tmp_path: Path) -> None:
    """What a newer release made is refused by the older one; moved down by the newer, it goes on with all it knew."""
    shop = new_shop(tmp_path)
    orders = shop.orders("monday.csv", {"1": ["PID", "Kit"], "2": ["PID", "Kit"]})
    assert shop.reco("run", "--orders", orders).code == 0
    older = known_versions()[-2]
    moved = subprocess.run(
        [sys.executable, "-m", "reco.storage.versions", "--to", older],
        env=shop.environment,
        cwd=shop.files,
        capture_output=True,
        text=True,
        check=True,
    )
    assert moved.stdout == f"moved from {sql.HEAD} to {older}\n"
    with pytest.MonkeyPatch.context() as patch:  # the release before: its newest version is the one moved to
        patch.setattr(sql, "HEAD", older)
        engine = sql.open_database(f"sqlite:///{shop.home / 'reco.sqlite'}")
        with engine.connect() as connection:
            assert connection.scalar(sa.select(sql.drops.c.lines_accepted)) == 4
        engine.dispose()
    again = shop.reco("run", "--orders", orders, "--json")  # the upgrade, a second time
    assert (again.code, again.json["run_id"]) == (0, None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sql, "HEAD", older)
        with pytest.raises(DatabaseUnavailable, match="made by a newer reco"):
            sql.open_database(f"sqlite:///{shop.home / 'reco.sqlite'}")
