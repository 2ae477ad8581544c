"""Promises of the settings: names in errors, precedence, secrets never shown."""

from pathlib import Path

import pytest

from reco.errors import ConfigError
from reco.settings import load_settings


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_home_defaults_to_a_folder_of_the_working_folder(tmp_path: Path) -> None:
    """Without any setting the home is `.reco` where the command is started, as an absolute path."""
    assert load_settings().home == tmp_path / ".reco"
    assert load_settings().inbox_place == tmp_path / ".reco" / "inbox"


def test_environment_beats_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value of the environment wins over reco.toml, and an argument over both."""
    (tmp_path / "reco.toml").write_text('namespace = "fromfile"\nkeep_snapshots = 7\n')
    monkeypatch.setenv("RECO_NAMESPACE", "fromenv")
    assert load_settings().namespace == "fromenv"
    assert load_settings().keep_snapshots == 7
    assert load_settings(namespace="argument").namespace == "argument"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RECO_KEEP_SNAPSHOTS", "many"),
        ("RECO_NAMESPACE", "a b"),
        ("RECO_PROFILE", "prod"),
        ("RECO_INBOX", "s3://b"),
        ("RECO_INBOX", "gs://bucket/p"),
        ("RECO_TIMEZONE", "Mars/Olympus"),
    ],
)
def test_a_value_that_does_not_parse_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The start stops with the name of the setting that is wrong."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=name) as caught:
        load_settings()
    assert caught.value.details["settings"] == [name]
    assert caught.value.exit_code == 2


def test_an_unknown_setting_in_the_file_is_named(tmp_path: Path) -> None:
    """A misspelt setting in reco.toml is an error, not silence."""
    (tmp_path / "reco.toml").write_text('namspace = "shop"\n')
    with pytest.raises(ConfigError, match="RECO_NAMSPACE"):
        load_settings()


def test_a_file_that_is_not_toml_is_an_error_of_ours(tmp_path: Path) -> None:
    """A damaged reco.toml stops the start with a clear error."""
    (tmp_path / "reco.toml").write_text("namespace = [\n")
    with pytest.raises(ConfigError, match=r"reco\.toml"):
        load_settings()


def test_a_secret_can_come_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RECO_REDIS_URL_FILE gives the URL; the final newline is not part of it."""
    secret = tmp_path / "redis-url"
    secret.write_text("redis://:planted-secret@127.0.0.1:6379/0\n")
    monkeypatch.setenv("RECO_REDIS_URL_FILE", str(secret))
    url = load_settings().redis_url
    assert url is not None
    assert url.get_secret_value() == "redis://:planted-secret@127.0.0.1:6379/0"


def test_a_missing_secret_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A secret file that cannot be read stops the start with the setting and the path."""
    monkeypatch.setenv("RECO_REDIS_URL_FILE", str(tmp_path / "absent"))
    with pytest.raises(ConfigError, match=r"RECO_REDIS_URL_FILE names .*absent"):
        load_settings()


def test_secrets_never_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the repr of the settings nor the error of a wrong one holds a secret."""
    monkeypatch.setenv("RECO_DATABASE_URL", "postgresql://u:planted-secret@h/d")
    assert "planted-secret" not in repr(load_settings())
    monkeypatch.setenv("RECO_KEEP_SNAPSHOTS", "planted-secret")
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert "planted-secret" not in str(caught.value)


def test_production_refuses_the_embedded_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """RECO_PROFILE=production without RECO_REDIS_URL does not start, and says which setting is missing."""
    monkeypatch.setenv("RECO_PROFILE", "production")
    with pytest.raises(ConfigError, match="RECO_REDIS_URL"):
        load_settings()
    monkeypatch.setenv("RECO_REDIS_URL", "redis://cache:6379/0")
    assert load_settings().profile == "production"
