"""Promises of the production profile: it starts with everything it needs, or names all that it lacks at once."""

import datetime as dt
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyrage
import pytest
from typer.testing import CliRunner

from reco.api.keybook import open_book
from reco.errors import ConfigError
from reco.orders.pseudonyms import Pseudonyms
from reco.settings import Settings, load_settings
from reco_pipeline.cli.app import app
from reco_pipeline.definitions import build_defs
from reco_pipeline.dev import services
from reco_pipeline.doctor import examine
from reco_pipeline.production import readiness, require_ready
from reco_pipeline.run import RunRequest, run
from reco_pipeline_tests.commands import printed
from reco_pipeline_tests.production import WHOLE

NOW = dt.datetime(2026, 3, 4, 12, tzinfo=dt.UTC)
NAMED = [*(name for name in WHOLE if name != "RECO_PROFILE"), "API keys"]


def given(monkeypatch: pytest.MonkeyPatch, home: Path, values: Mapping[str, str]) -> Settings:
    """The settings of an environment that has these and no others."""
    for name in [*WHOLE, "RECO_API_HOST", "RECO_BACKUP_IDENTITY"]:
        monkeypatch.delenv(name, raising=False)
    for name, value in {"RECO_HOME": str(home), **values}.items():
        monkeypatch.setenv(name, value)
    return load_settings()


def with_key(settings: Settings) -> str:
    return open_book(settings).create("shop", ["read"], now=NOW, actor="test").key_id


def lacks(settings: Settings) -> dict[str, str]:
    return {one.what: one.next_step for one in readiness(settings) if not one.ok}


def test_everything_that_is_missing_is_named_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing but the profile: each setting and the API key, each with a next step; nothing is made for it."""
    settings = given(monkeypatch, tmp_path / "home", {"RECO_PROFILE": "production"})
    with pytest.raises(ConfigError) as refused:
        require_ready(settings)
    assert refused.value.details["settings"] == NAMED
    for one in refused.value.details["missing"]:
        assert one["next_step"]
        assert f"\n  {one['what']}: {one['found']}" in refused.value.message
    assert "RECO_DATABASE_URL" not in refused.value.message
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("name", NAMED)
def test_each_thing_is_needed(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one of them it alone is named; with all it starts; and the profile local needs none."""
    settings = given(monkeypatch, tmp_path / "home", WHOLE)
    key = with_key(settings)
    require_ready(settings)
    if name == "API keys":
        open_book(settings).revoke(key, now=NOW, actor="test")
    else:
        settings = given(monkeypatch, tmp_path / "home", {k: v for k, v in WHOLE.items() if k != name})
    found = lacks(settings)
    if name == "RECO_API_PEPPERS":  # under no pepper no key is right either
        assert found.pop("API keys")
    assert list(found) == [name]
    require_ready(settings.model_copy(update={"profile": "local"}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RECO_BACKUP_RECIPIENTS", "age1nonsense"),
        ("RECO_BACKUP_RECIPIENTS", " , "),
        ("RECO_API_PEPPERS", "planted-no-list"),
    ],
)
def test_what_does_not_parse_is_as_good_as_missing(
    name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recipient or pepper that nothing could be done with is named, with the others, and without its text."""
    settings = given(monkeypatch, tmp_path / "home", WHOLE | {name: value})
    assert set(lacks(settings)) == {name, "API keys"}
    with pytest.raises(ConfigError) as refused:
        require_ready(settings)
    assert "planted" not in str(refused.value)


@pytest.mark.parametrize("name", ["RECO_BACKUP_RECIPIENTS", "RECO_API_PEPPERS"])
def test_blank_is_as_good_as_missing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting of blanks sets nothing, and an empty file of a secret stops the start by its name."""
    settings = given(monkeypatch, tmp_path / "home", WHOLE | {name: " "})
    assert name in lacks(settings)
    empty = tmp_path / "empty"
    empty.write_text("\n")
    rest = {one: value for one, value in WHOLE.items() if one != name}
    with pytest.raises(ConfigError, match=f"{name}_FILE names .* is empty"):
        given(monkeypatch, tmp_path / "home", rest | {f"{name}_FILE": str(empty)})


def test_a_database_that_is_away_is_named_and_dagster_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands are told; a code location that did not load for a moment's absence would stay away."""
    broken = tmp_path / "broken.sqlite"
    broken.write_bytes(b"not a database" * 100)
    settings = given(monkeypatch, tmp_path / "home", WHOLE | {"RECO_DATABASE_URL": f"sqlite:///{broken}"})
    assert list(lacks(settings)) == ["RECO_DATABASE_URL"]
    with pytest.raises(ConfigError, match="RECO_DATABASE_URL"):
        require_ready(settings)
    require_ready(settings, database_may_be_away=True)


def test_a_loose_secret_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named by its setting, with the command that closes it."""
    file = tmp_path / "redis"
    file.write_text(WHOLE["RECO_REDIS_URL"])
    file.chmod(0o644)
    values = {name: value for name, value in WHOLE.items() if name != "RECO_REDIS_URL"}
    settings = given(monkeypatch, tmp_path / "home", values | {"RECO_REDIS_URL_FILE": str(file)})
    with_key(settings)
    assert lacks(settings) == {"RECO_REDIS_URL_FILE": f"`chmod 600 {file}`"}
    file.chmod(0o600)
    require_ready(settings)


def test_every_start_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`reco run`, `reco serve`, `reco dev` and the code location refuse alike, before they start or make anything."""
    settings = given(monkeypatch, tmp_path / "home", {"RECO_PROFILE": "production"})
    monkeypatch.chdir(tmp_path)

    def dev() -> None:
        with services(settings, print):
            pytest.fail("services up")

    starts: tuple[Any, ...] = (
        lambda: run(settings, RunRequest()),
        dev,
        build_defs,
        lambda: printed(capsys, "serve"),
        lambda: printed(capsys, "run"),
        lambda: printed(capsys, "dev"),
    )
    for start in starts:
        with pytest.raises(ConfigError) as refused:
            start()
        assert refused.value.details["settings"] == NAMED
    assert not (tmp_path / "home").exists()


def test_the_commands_tell_the_same_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`reco config check` under any profile, `reco doctor` under production; exit code 2 and 0."""
    monkeypatch.chdir(tmp_path)
    given(monkeypatch, tmp_path / "home", {})
    done = CliRunner().invoke(app, ["config", "check", "--json"])
    said = json.loads(done.stdout)
    assert [one["what"] for one in said["checks"] if not one["ok"]] == NAMED
    assert (done.exit_code, said["ready"]) == (2, False)
    with_key(given(monkeypatch, tmp_path / "home", WHOLE))
    done = CliRunner().invoke(app, ["config", "check", "--json"])
    assert (done.exit_code, json.loads(done.stdout)["ready"]) == (0, True)
    settings = given(monkeypatch, tmp_path / "home", WHOLE | {"RECO_S3_BUCKET": ""})
    found = {one.what: one for one in examine(settings)}
    assert found["RECO_S3_BUCKET"].ok is False
    assert found["API keys"].ok is True


@pytest.mark.parametrize(
    ("what", "better"),
    [
        pytest.param(
            "RECO_DATABASE_URL",
            {"RECO_DATABASE_URL": "sqlite:///{home}/reco.sqlite"},
            marks=pytest.mark.sqlite("that the ledger is a file is what is advised against"),
        ),
        ("RECO_S3_REPLICA_BUCKET", {"RECO_S3_REPLICA_BUCKET": "elsewhere"}),
        ("RECO_BACKUP_IDENTITY", {"RECO_BACKUP_IDENTITY": ""}),
        ("RECO_REDIS_URL", {"RECO_REDIS_URL": "redis://reader:planted@127.0.0.1:1/0"}),
        ("RECO_API_TRUSTED_PROXIES", {"RECO_API_TRUSTED_PROXIES": "10.0.0.1"}),
    ],
)
def test_what_production_can_do_without_is_advice(
    what: str, better: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told with its next step, stops no start, and is silent once it is followed."""
    home = tmp_path / "home"
    identity = str(pyrage.x25519.Identity.generate())
    poor = WHOLE | {"RECO_API_HOST": "0.0.0.0", "RECO_BACKUP_IDENTITY": identity}  # noqa: S104 - nobody listens
    settings = given(monkeypatch, home, poor)
    with_key(settings)
    assert {one.what for one in readiness(settings) if one.ok and one.next_step} >= {what}
    require_ready(settings)
    settings = given(monkeypatch, home, poor | {name: value.format(home=home) for name, value in better.items()})
    assert what not in {one.what for one in readiness(settings) if one.next_step}


def test_a_redis_url_that_is_none_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first run fails on it, and without its text."""
    settings = given(monkeypatch, tmp_path / "home", WHOLE | {"RECO_REDIS_URL": "http://planted:1"})
    assert "RECO_REDIS_URL" in lacks(settings)
    assert "planted" not in json.dumps([vars(one) for one in readiness(settings)])


def test_the_file_of_a_home_may_become_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a home made for itself means the same when RECO_PRIVACY_KEY_FILE names it: no customer counts twice."""
    local = given(monkeypatch, tmp_path / "home", {})
    before = Pseudonyms.of_home(local).of("anna")
    file = tmp_path / "home" / "keys" / "privacy.key"
    assert file.stat().st_mode & 0o077 == 0
    moved = given(monkeypatch, tmp_path / "new", {"RECO_PRIVACY_KEY_FILE": str(file)})
    assert Pseudonyms.of_home(moved).of("anna") == before
    assert not (tmp_path / "new").exists()


def test_values_are_not_in_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither what is found nor a next step repeats a secret."""
    settings = given(monkeypatch, tmp_path / "home", WHOLE)
    assert "planted" not in json.dumps([vars(one) for one in readiness(settings)])
    assert os.environ["RECO_PRIVACY_KEY"].startswith("planted")
