"""Promises about where a restore goes: another Redis by a URL nobody sees, another home from Dagster."""

import datetime as dt
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import redis
from pydantic import SecretStr
from typer.testing import CliRunner

from reco.audit.trail import Event, events
from reco.backup.journal import Journal, end_journal, write_journal
from reco.backup.restore import make_plan
from reco.errors import ConfigError, RestoreRefused, UsageError
from reco.orders.home import open_home
from reco.settings import load_settings
from reco.snapshot.store import SnapshotStore
from reco.storage.redis import address, has_password
from reco.storage.sql import shown
from reco_pipeline.backups import RestoreConfig, What, target_of
from reco_pipeline.cli.app import app
from reco_pipeline.definitions import build_defs
from reco_pipeline_tests.backup_shop import IDENTITY, NOON, BackupShop
from reco_pipeline_tests.graph import QUIET
from reco_pipeline_tests.object_store import S3Server
from reco_pipeline_tests.servers import port_of, running_valkey

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is deprecated and will be removed:DeprecationWarning"),
    pytest.mark.timeout(600),  # on a busy machine a restore takes a minute
]
PASSWORD = "planted-password"


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    """Another Redis, which asks for a password."""
    with running_valkey(tmp_path_factory.mktemp("locked")) as found:
        found.config_set("requirepass", PASSWORD)
        found.execute_command("AUTH", PASSWORD)
        yield found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, client: redis.Redis, server: S3Server) -> BackupShop:
    """A shop with one published drop and one backup, which no test of this file changes."""
    found = BackupShop(tmp_path_factory.mktemp("shop"), client, server)
    found.minute = int((dt.datetime.now(dt.UTC) - NOON).total_seconds() // 60) - 60
    found.give()
    found.publish()
    found.back_up()
    return found


@pytest.fixture
def shop(made: BackupShop, monkeypatch: pytest.MonkeyPatch) -> BackupShop:
    """That shop, its settings in the environment."""
    for name, value in settings_of(made).items():
        monkeypatch.setenv(f"RECO_{name.upper()}", value)
    return made


def settings_of(shop: BackupShop) -> dict[str, str]:
    return {
        "home": str(shop.settings.home),
        "redis_url": f"redis://127.0.0.1:{port_of(shop.client)}/0",
        "namespace": shop.settings.namespace,
        "s3_bucket": shop.server.bucket,
        "s3_endpoint_url": shop.server.url,
        "backup_identity": str(IDENTITY),
    }


def urls(locked: redis.Redis) -> list[str]:
    """The ways to write a password into a URL."""
    port = port_of(locked)
    return [f"redis://:{PASSWORD}@127.0.0.1:{port}/0", f"redis://127.0.0.1:{port}/0?password={PASSWORD}"]


def test_no_address_shows_a_password() -> None:
    """Of a Redis or a database, wherever in the URL it stands; a text that is no URL is not repeated either."""
    assert address("redis://me:planted@cache:7000/3?socket_timeout=1") == "cache:7000/3"
    assert address("redis://cache?password=planted") == "cache:6379"
    assert address("unix:///run/redis.sock?password=planted") == "/run/redis.sock"
    assert has_password("redis://cache?password=planted")
    assert not has_password("redis://cache:6379/0")
    with pytest.raises(ConfigError, match="--into is not a Redis URL") as refused:
        address("planted://x", "--into")
    assert "planted" not in str(refused.value)
    for url in (
        "postgresql://u:planted@h/d",
        "postgresql://u@h/d?password=planted",
        "postgresql://h/d?sslpassword=planted",
    ):
        assert "planted" not in shown(url)
        assert shown(url).startswith("postgresql://")
    assert shown("sqlite:////srv/shop/reco.sqlite") == "sqlite:////srv/shop/reco.sqlite"


@pytest.mark.parametrize("how", ["argument", "query", "file", "stdin", "setting"])
def test_a_password_is_taken_from_where_nobody_sees_it(
    how: str,
    shop: BackupShop,
    locked: redis.Redis,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """From a file, stdin or a setting without a word; from the command line with a warning; shown in no case."""
    plain, query = urls(locked)
    file = tmp_path / "url"
    file.write_text(f"{plain}\n")
    file.chmod(0o600)
    if how == "setting":
        monkeypatch.setenv("RECO_RESTORE_INTO_FILE", str(file))
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{plain}\n"))
    options = {"argument": ["--into", plain], "query": ["--into", query], "file": ["--into-file", str(file)]}
    options |= {"stdin": ["--into-file", "-"], "setting": []}
    locked.flushall()
    before = [one.key for one in shop.home.ledger.drops()]
    for more in (["--dry-run"], ["--json"]):
        app(["backup", "restore", *options[how], *more], standalone_mode=False)
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{plain}\n"))
    said = capsys.readouterr()
    assert PASSWORD not in said.out + said.err
    done = json.loads(said.out.splitlines()[-1])
    assert (done["restored"], done["target"], done["parts"]) == (True, f"127.0.0.1:{port_of(locked)}", ["redis"])
    assert ("whoever lists processes" in said.err) is (how in ("argument", "query"))
    assert SnapshotStore(locked, shop.settings.namespace).current_id() == done["snapshot_id"]
    assert [one.key for one in shop.home.ledger.drops()] == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--into", "redis://h", "--into-file", "f"], "both name"),
        (["--into-file", "absent"], "cannot be read"),
        (["--into-file", "empty"], "holds no URL"),
        (["--into", "nonsense"], "not a Redis URL"),
    ],
)
def test_a_target_that_is_none_is_refused(
    options: list[str], words: str, shop: BackupShop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the store is asked for anything."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(UsageError, match=words):
        app(["backup", "restore", *options], standalone_mode=False)
    assert len(shop.home.ledger.drops()) == 1


def plan_of(*options: str) -> dict[str, Any]:
    """The plan that the command shows."""
    done = CliRunner().invoke(app, ["backup", "restore", *options, "--dry-run", "--json"])
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_an_option_wins_over_the_setting(
    shop: BackupShop, locked: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without one the setting holds, and says so; `--here` means the home, and its command says it again."""
    monkeypatch.setenv("RECO_RESTORE_INTO", urls(locked)[0])
    other, own = f"127.0.0.1:{port_of(locked)}", str(shop.settings.home)
    assert (plan_of()["target"], plan_of()["parts"]) == (other, ["redis"])
    assert "--here restores the home" in CliRunner().invoke(app, ["backup", "restore", "--dry-run"]).stderr
    assert (plan_of("--redis-only")["target"], plan_of("--redis-only")["parts"]) == (own, ["redis"])
    assert (plan_of("--here")["target"], "sql" in plan_of("--here")["parts"]) == (own, True)
    plan = make_plan(shop.vault(), load_settings())
    assert plan.command.endswith(" --here --force")
    with pytest.raises(UsageError, match="--here asks for the home"):
        app(["backup", "restore", "--here", "--redis-only"], standalone_mode=False)


def test_the_setting_does_not_keep_a_cut_restore_unfinished(
    shop: BackupShop, locked: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command that a home asks for would else send keys elsewhere, and the home would stay of two times."""
    monkeypatch.setenv("RECO_RESTORE_INTO", urls(locked)[0])
    write_journal(shop.settings.home, Journal("reco backup restore --id X --force", "X", "", []))
    try:
        with pytest.raises(RestoreRefused, match="was cut short") as refused:
            app(["backup", "restore", "--force"], standalone_mode=False)
        assert "`reco backup restore --id X --force --here`" in refused.value.hint
        assert plan_of("--here")["target"] == str(shop.settings.home)
        assert plan_of("--into", urls(locked)[0])["parts"] == ["redis"]
    finally:
        end_journal(shop.settings.home)


@pytest.mark.parametrize(
    ("file", "words"), [("keys/privacy.key", "has privacy.key"), ("dagster/runs.db", "holds the records of runs")]
)
def test_a_home_of_keys_or_records_alone_is_not_empty(shop: BackupShop, tmp_path: Path, file: str, words: str) -> None:
    """Customers would become others, or the history of runs go, without anybody having said so."""
    settings = shop.settings.model_copy(update={"home": tmp_path / "home", "namespace": "nobody"})
    vault, made = shop.vault(), shop.vault().newest_good()
    assert make_plan(vault, settings, backup_id=made.backup_id).lives == ()
    (settings.home / file).parent.mkdir(parents=True)
    (settings.home / file).write_text("00")
    (told,) = make_plan(vault, settings, backup_id=made.backup_id).lives
    assert words in told


# -------------------------------------------------------------------------------------------------------- in Dagster


def job(shop: BackupShop, **config: Any) -> tuple[dict[str, Any], str]:
    """Runs `restore_job`; the metadata of its step, and the error of one that failed."""
    with dg.DagsterInstance.ephemeral() as instance:
        done = (
            build_defs(settings_of(shop))
            .resolve_job_def("restore_job")
            .execute_in_process(
                instance=instance,
                run_config=QUIET | {"ops": {"restore_backup": {"config": config}}},
                raise_on_error=False,
            )
        )
        outputs = [one.step_output_data for one in done.all_events if one.is_successful_output]
        failed = [one.step_failure_data for one in done.all_events if one.is_step_failure]
        logs = " ".join(one.user_message for one in instance.all_logs(done.run_id))
        told = {name: value.value for out in outputs for name, value in out.metadata.items()}
        return told, " ".join([*(one.error.to_string() for one in failed if one.error), logs])


def test_the_job_shows_what_when_and_where(shop: BackupShop) -> None:
    """The plan of everything, for the home Dagster runs in: with the command that does it, since Dagster cannot."""
    told, _ = job(shop, what="EVERYTHING")
    backup = shop.vault().newest_good()
    assert told["dry_run"] is True
    assert told["backup_id"] == backup.backup_id
    assert told["by_hand"] == f"reco backup restore --id {backup.backup_id} --force"
    assert told["target"] == str(shop.settings.home)
    assert "1 drops" in told["target_holds"]
    assert told["parts"] == "dagster, keys, lake, redis, sql"
    told, error = job(shop, what="EVERYTHING", dry_run=False, force=True)
    assert told == {}
    assert "cannot replace the home it runs in" in error
    assert backup.backup_id in error
    assert len(shop.home.ledger.drops()) == 1


def test_the_job_restores_everything_into_another_home(shop: BackupShop, locked: redis.Redis, tmp_path: Path) -> None:
    """A folder and a Redis of its own; the home that Dagster runs in stays as it is."""
    locked.flushall()
    locked.config_set("requirepass", "")
    target = tmp_path / "other home"
    try:
        into = f"redis://127.0.0.1:{port_of(locked)}/0"
        told, error = job(shop, what="EVERYTHING", home=str(target), into=into, dry_run=False)
    finally:
        locked.config_set("requirepass", PASSWORD)
    assert told["target"] == str(target), error
    other = open_home(shop.settings.model_copy(update={"home": target}))
    assert [one.key for one in other.ledger.drops()] == [one.key for one in shop.home.ledger.drops()]
    assert SnapshotStore(locked, shop.settings.namespace).current_id() == told["snapshot_id"]


def test_the_job_tells_what_it_could_not_read(shop: BackupShop, locked: redis.Redis, tmp_path: Path) -> None:
    """Keys and hides of a newer backup that is damaged are not known: in the metadata, the log and the trail."""
    vault, first = shop.vault(), shop.vault().newest_good()
    newer = "99999998-20990101T000000Z-0badc0de"
    vault.store.put_bytes(b"damage", vault.manifest_key(newer))
    locked.flushall()
    locked.config_set("requirepass", "")
    target = tmp_path / "other home"
    into = f"redis://127.0.0.1:{port_of(locked)}/0"
    try:
        told, logs = job(shop, what="EVERYTHING", home=str(target), into=into, backup_id=first.backup_id, dry_run=False)
    finally:
        locked.config_set("requirepass", PASSWORD)
        vault.store.remove(vault.manifest_key(newer))
    assert f"the keys of backup {newer}; the rules on what is hidden of backup" in told["unread"], logs
    assert "Could not be read: the keys of backup" in logs
    engine = open_home(shop.settings.model_copy(update={"home": target})).ledger.engine
    (mark,) = events(engine, event=Event.HOME_RESTORED)
    assert "; ".join(mark.details["unread"]) == told["unread"]


def test_a_moment_that_is_no_time_is_refused_with_the_next_step(shop: BackupShop) -> None:
    """Named as it was given, with how to write it."""
    _, error = job(shop, at="yesterday")
    assert "UsageError" in error
    assert "'yesterday', which is no time" in error
    assert "2026-03-04T12:00:00" in error


def test_production_names_a_redis_for_another_home_or_is_refused_at_once(shop: BackupShop) -> None:
    """Also in a dry run: everything would be fetched first, and then no server be there to take the keys."""
    own = shop.settings.model_copy(update={"profile": "production"})
    config = RestoreConfig(what=What.EVERYTHING, home="/srv/other")
    with pytest.raises(UsageError, match="no Redis is named for it") as refused:
        target_of(own, config)
    assert "Give `into`" in refused.value.hint
    named, into = target_of(own, RestoreConfig(what=What.EVERYTHING, home="/srv/other", into="redis://other"))
    assert into is None
    assert (str(named.home), named.redis_url) == ("/srv/other", SecretStr("redis://other"))


def test_no_password_stands_in_the_config_of_the_job(
    shop: BackupShop, locked: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A URL with one is refused without being repeated; the setting takes it, and nothing shows it."""
    for url in urls(locked):
        told, error = job(shop, into=url, dry_run=False, force=True)
        assert told == {}
        assert "into_setting" in error
        assert PASSWORD not in error
    assert "RECO_RESTORE_INTO" in job(shop, into_setting=True)[1]
    monkeypatch.setenv("RECO_RESTORE_INTO", urls(locked)[0])
    told, error = job(shop, into_setting=True, dry_run=False, force=True)
    assert told["target"] == f"127.0.0.1:{port_of(locked)}", error
    assert PASSWORD not in json.dumps(told) + error
    assert SnapshotStore(locked, shop.settings.namespace).current_id() == told["snapshot_id"]
