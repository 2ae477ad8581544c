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
from reco.audit.trail import Event, append, events, recording
from reco.errors import Busy, DatabaseUnavailable, UsageError
from reco.settings import Settings, load_settings
from reco.storage import sql
from reco.storage.homelock import in_use
from reco.versions import known_versions, main, move
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


def keys_and_rules(connection: sa.Connection) -> None:
    """A key that holds, one that a restore suspended, a rule in force and one that has ended."""
    made = {"scopes": ["read"], "mac": "m", "pepper": "p", "created_at": NOON, "created_by": "x"}
    for name, since in (("holds", None), ("suspended", NOON)):
        connection.execute(sql.api_keys.insert().values(key_id=name, name=name, suspended_at=since, **made))
    rule = {"namespace": "reco", "action": "hide", "kind": "item", "author": "x", "reason": "recall"}
    for value, end in (("recalled", None), ("back", NOON)):
        connection.execute(sql.item_rules.insert().values(value=value, created_at=NOON, removed_at=end, **rule))


def standing(engine: sa.Engine) -> tuple[Any, ...]:
    """The version, keys with whether they are revoked and suspended, how many rules, and how many events."""
    with engine.connect() as connection:
        keys = {
            one.key_id: (one.revoked_at is not None, one.suspended_at is not None)
            for one in connection.execute(sa.select(sql.api_keys))
        }
        rules, marks = (
            connection.scalar(sa.select(sa.func.count()).select_from(table))
            for table in (sql.item_rules, sql.audit_events)
        )
    return sql.current_version(engine), keys, rules, marks


def test_what_an_older_version_cannot_hold_back_ends_with_a_mark(tmp_path: Path) -> None:
    """Nothing is dropped unasked; a suspended key is revoked, not set free, and the trail tells of hides that end."""
    engine = sql.open_database(Settings(home=tmp_path).sql_url)
    with recording(engine) as connection:
        keys_and_rules(connection)
    before = standing(engine)
    with pytest.raises(
        UsageError, match=r"1 of api_keys.suspended_at; 2 of item_rules; .*: suspended; .*again: 1\."
    ) as no:
        move(engine, "0006", now=NOON)
    assert no.value.details["dropped"] == {"api_keys.suspended_at": 1, "item_rules": 2}
    assert standing(engine) == before
    done = move(engine, "0006", now=NOON, drop=True)
    assert (done.before, done.keys, done.rules) == (sql.HEAD, ("suspended",), (1,))
    assert move(engine, sql.HEAD, now=NOON).dropped == {}
    assert standing(engine) == (sql.HEAD, {"holds": (False, False), "suspended": (True, False)}, 0, 2)
    told = [(one.event, one.details.get("key_id") or one.details["value"]) for one in events(engine)]
    assert told == [(Event.ITEM_SHOWN, "recalled"), (Event.KEY_REVOKED, "suspended")]
    assert move(engine, "0005", now=NOON, drop=True).keys == ("holds",), "a key that is dropped ends as well"
    assert verify_chain(engine).problem == ""
    engine.dispose()


def test_a_home_in_use_is_not_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever uses the home is named and the database stays; then it is moved, and what is asked is told."""
    monkeypatch.setenv("RECO_HOME", str(tmp_path))
    engine = sql.open_database(load_settings().sql_url)
    with in_use(tmp_path, "reco serve"):
        assert command(monkeypatch, "--to", "0007") == Busy.exit_code
    assert "in use: reco serve (process" in capsys.readouterr().err
    assert sql.current_version(engine) == sql.HEAD
    with engine.begin() as connection:
        keys_and_rules(connection)
    assert command(monkeypatch, "--to", "0007") == UsageError.exit_code
    assert "2 of item_rules" in capsys.readouterr().err
    assert command(monkeypatch, "--to", "0007", "--yes") == 0
    assert capsys.readouterr().out.startswith(f"moved from {sql.HEAD} to 0007; dropped: 2 of item_rules; ")
    engine.dispose()


def test_the_older_release_moves_nothing_of_a_newer_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Typed with the wrong one of the two releases, the command says which one to use, and changes nothing."""
    monkeypatch.setenv("RECO_HOME", str(tmp_path))
    engine = sql.open_database(load_settings().sql_url)
    stamp = sa.table(sql.VERSION_TABLE, sa.column("version_num"), schema=sql.schema_of(engine))
    with engine.begin() as connection:
        connection.execute(sa.update(stamp).values(version_num="9999"))
    for to in (sql.HEAD, "0005"):
        assert command(monkeypatch, "--to", to, "--yes") == UsageError.exit_code
        said = capsys.readouterr().err
        assert "made by a newer reco (9999)" in said
        assert "Use the newer release" in said
    assert sql.current_version(engine) == "9999"
    engine.dispose()


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """`python -m reco.versions` in this process."""
    monkeypatch.setattr(sys, "argv", ["versions", *arguments])
    return main()


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
        keys_and_rules(connection)
    before, versions = shape(engine), known_versions()
    assert versions[-1] == sql.HEAD
    for version in reversed(versions[:-1]):
        assert move(engine, version, now=NOON, drop=True).before is not None
        assert sql.current_version(engine) == version
    assert shape(engine).keys() < before.keys()
    for version in versions[1:]:
        move(engine, version, now=NOON)
    assert shape(engine) == before
    assert verify_chain(engine).problem == ""
    with engine.connect() as connection:
        details = list(connection.scalars(sa.select(sql.audit_events.c.details).order_by("id")))
        assert [one["name"] for one in details if "name" in one] == ["a", "b", "c"]
        assert connection.scalar(sa.select(sql.snapshots.c.redis_bytes)) == 99
    with pytest.raises(UsageError, match="9999"):
        move(engine, "9999", now=NOON)
    engine.dispose()


def test_an_upgrade_is_gone_back_from_as_the_page_says(tmp_path: Path) -> None:
    """What a newer release made is refused by the older one; moved down by the newer, it goes on with all it knew."""
    shop = new_shop(tmp_path)
    orders = shop.orders("monday.csv", {"1": ["PID", "Kit"], "2": ["PID", "Kit"]})
    assert shop.reco("run", "--orders", orders).code == 0
    older = known_versions()[-2]
    url = shop.environment.get("RECO_DATABASE_URL", f"sqlite:///{shop.home / 'reco.sqlite'}")
    moved = subprocess.run(
        [sys.executable, "-m", "reco.versions", "--to", older],
        env=shop.environment,
        cwd=shop.files,
        capture_output=True,
        text=True,
        check=True,
    )
    assert moved.stdout == f"moved from {sql.HEAD} to {older}\n"
    with pytest.MonkeyPatch.context() as patch:  # the release before: its newest version is the one moved to
        patch.setattr(sql, "HEAD", older)
        engine = sql.open_database(url)
        with engine.connect() as connection:
            assert connection.scalar(sa.select(sql.drops.c.lines_accepted)) == 4
        engine.dispose()
    again = shop.reco("run", "--orders", orders, "--json")  # the upgrade, a second time
    assert (again.code, again.json["run_id"]) == (0, None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sql, "HEAD", older)
        with pytest.raises(DatabaseUnavailable, match="made by a newer reco"):
            sql.open_database(url)
