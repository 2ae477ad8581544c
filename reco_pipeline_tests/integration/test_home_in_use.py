"""Promises about a home that others use, or whose restore was cut short: nothing is replaced under them, or written."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import redis
import typer

from reco.backup.restore import make_plan, restore
from reco.errors import BackupError, Busy, RestoreRefused
from reco.storage.homelock import RESTORING, USERS, in_use, require_whole, sole_use, stay_in_use, users_of
from reco_pipeline.cli.app import app
from reco_pipeline.dev import services
from reco_pipeline_tests.api_server import running_api
from reco_pipeline_tests.backup_shop import BackupShop
from reco_pipeline_tests.commands import printed
from reco_pipeline_tests.object_store import S3Server
from reco_pipeline_tests.servers import port_of

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is deprecated and will be removed:DeprecationWarning"),
    pytest.mark.timeout(600),  # on a busy machine a restore takes a minute
]
ARGUMENTS = {
    "drop": ["FILE"],
    "similar": ["PID"],
    "basket": ["PID"],
    "search": ["PID"],
    "drops retract": ["KEY"],
    "quarantine export": ["--out", "FILE"],
    "quarantine replay": ["FILE"],
    "keys create": ["NAME", "--scope", "read"],
    "keys confirm": ["ID"],
    "keys revoke": ["ID"],
    "audit trace": ["PID"],
    "audit forget": ["ID", "--yes"],
    "hide add": ["PID", "--reason", "TEXT"],
    "hide remove": ["1"],
    "backup pin": ["ID"],
    "backup redate": ["ID", "--reason", "TEXT"],
}
TOUCH_NO_HOME = {"sample", "inspect", "config show", "config check", "doctor", "redis history", "redis cut"}
CHOOSE_A_BACKUP = {"backup list", "backup verify", "backup restore"}


@pytest.fixture
def shop(tmp_path: Path, client: redis.Redis, server: S3Server) -> BackupShop:
    """A shop with one published drop and one backup."""
    found = BackupShop(tmp_path, client, server)
    found.give()
    found.publish()
    found.back_up()
    return found


def bring_back(shop: BackupShop) -> None:
    vault = shop.vault()
    restore(vault, shop.settings, make_plan(vault, shop.settings), now=shop.now, force=True)


def leaves(group: click.Command, *path: str) -> Iterator[str]:
    """Every command that does something, as it is typed."""
    if not isinstance(group, click.Group):
        yield " ".join(path)
        return
    for name, one in group.commands.items():
        yield from leaves(one, *path, name)


COMMANDS = sorted(leaves(typer.main.get_command(app)))


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - TOUCH_NO_HOME - CHOOSE_A_BACKUP))
def test_every_command_refuses_a_home_whose_restore_was_cut_short(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever writes, reads or serves it; the hint is the command that finishes the restore, and nothing was made."""
    home = tmp_path / "home"
    home.mkdir()
    finish = "reco backup restore --id 00000007-20260304T120000Z-0a1b2c3d --force"
    (home / RESTORING).write_text(json.dumps({"command": finish}))
    monkeypatch.setenv("RECO_HOME", str(home))
    monkeypatch.setenv("RECO_REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BackupError, match="cut short") as refused:
        printed(capsys, *command.split(), *ARGUMENTS.get(command, []))
    assert finish in refused.value.hint
    assert sorted(path.name for path in home.iterdir() if not path.name.endswith(".lock")) in (
        [RESTORING],
        [RESTORING, USERS],
    )


def test_the_lists_of_exceptions_are_of_commands_there_are() -> None:
    """A command that was renamed does not slip through by its old name."""
    assert set(COMMANDS) >= TOUCH_NO_HOME | CHOOSE_A_BACKUP | set(ARGUMENTS)


def test_any_journal_closes_a_home(tmp_path: Path) -> None:
    """One that is cut off or of another version refuses too, with the command that finishes any restore."""
    require_whole(tmp_path)
    for text in ("", "{}", "[]", "{"):
        (tmp_path / RESTORING).write_text(text)
        with pytest.raises(BackupError, match="cut short") as refused:
            require_whole(tmp_path)
        assert "reco backup restore --force" in refused.value.hint


def test_a_running_service_is_seen_and_named(shop: BackupShop, monkeypatch: pytest.MonkeyPatch) -> None:
    """`reco serve` alone keeps the home from being replaced under it; Redis alone may come back while it answers."""
    environment = {
        "RECO_HOME": str(shop.settings.home),
        "RECO_REDIS_URL": f"redis://127.0.0.1:{port_of(shop.client)}/0",
        "RECO_NAMESPACE": shop.settings.namespace,
    }
    monkeypatch.setattr("reco.backup.restore.WAIT_SECONDS", 0.1)
    with running_api(environment) as api:
        with pytest.raises(RestoreRefused, match="reco serve") as refused:
            bring_back(shop)
        assert f"reco serve (process {api.process.pid})" in refused.value.message
        assert "End it" in refused.value.hint
        vault = shop.vault()
        plan = make_plan(vault, shop.settings, parts={"redis"})
        assert restore(vault, shop.settings, plan, now=shop.now, force=True).answers_equal
        assert api.health()["status"] == "healthy"
        assert api.stop(signal.SIGTERM)[0] == 0
    bring_back(shop)
    assert users_of(shop.settings.home) == []


def test_nobody_comes_in_while_a_restore_is_at_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A key that is revoked in that time would be lost, a service would start on half a home: both are told to wait."""
    monkeypatch.setenv("RECO_HOME", str(tmp_path))
    for command in (["keys", "revoke", "ID"], ["serve"], ["status"]):
        with sole_use(tmp_path, 0), pytest.raises(Busy, match=f"process {os.getpid()}"):
            printed(capsys, *command)


def test_the_keys_of_redis_alone_do_not_mend_a_home_cut_short(shop: BackupShop) -> None:
    """Half a home stays refused until all of it is restored."""
    (shop.settings.home / RESTORING).write_text("{}")
    vault = shop.vault()
    plan = make_plan(vault, shop.settings, parts={"redis"})
    with pytest.raises(BackupError, match="cut short"):
        restore(vault, shop.settings, plan, now=shop.now, force=True)
    bring_back(shop)
    require_whole(shop.settings.home)


def test_dagster_is_seen_however_it_was_started(shop: BackupShop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of Dagster holds the home from its first look at it until it ends."""
    monkeypatch.setattr("reco.backup.restore.WAIT_SECONDS", 0.1)
    stay_in_use(shop.settings.home, "Dagster")
    stay_in_use(shop.settings.home, "Dagster")
    with pytest.raises(RestoreRefused, match=f"Dagster .process {os.getpid()}"):
        bring_back(shop)
    assert len(users_of(shop.settings.home)) == 1


def test_reco_dev_refuses_a_home_cut_short(tmp_path: Path, shop: BackupShop) -> None:
    """Before anything is started."""
    (shop.settings.home / RESTORING).write_text("{}")
    with pytest.raises(BackupError, match="cut short"), services(shop.settings, print):
        pytest.fail("services on half a home")


def test_what_killed_users_left_holds_nobody_up(tmp_path: Path) -> None:
    """A note without its process is removed; the lock went with the process."""
    (tmp_path / USERS).mkdir()
    (tmp_path / USERS / "1-0").write_text("reco serve (process 1)")
    with in_use(tmp_path, "reco status"):
        assert users_of(tmp_path) == [f"reco status (process {os.getpid()})"]
        with pytest.raises(Busy, match="reco status"), sole_use(tmp_path, 0):
            pytest.fail("alone beside another")
    assert list((tmp_path / USERS).iterdir()) == []
    with sole_use(tmp_path, 0):
        assert users_of(tmp_path) == []
