"""Promises of the settings: names in errors, precedence, secrets never shown."""

from pathlib import Path

import pytest

from reco.errors import ConfigError
from reco.settings import load_settings, loose_secrets
from reco.storage.redis import embedded_redis


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


def test_production_has_no_embedded_server(tmp_path: Path) -> None:
    """Whoever asks for Redis in production without RECO_REDIS_URL is told so; nothing is started."""
    settings = load_settings(home=tmp_path, profile="production")
    with pytest.raises(ConfigError, match="RECO_REDIS_URL"):
        embedded_redis(settings)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.sqlite("it is what a home has where no URL is set")
def test_what_follows_from_a_setting_follows_it_into_a_copy(tmp_path: Path) -> None:
    """A scratch home of a drill or a moment must not work on the database of the home it was copied from."""
    one = load_settings(home=tmp_path / "one")
    before = (one.sql_url, one.inbox_place, one.trusted_proxies)
    other = one.model_copy(update={"home": tmp_path / "other", "api_trusted_proxies": "10.0.0.1"})
    assert (other.sql_url, other.inbox_place) == (
        f"sqlite:///{tmp_path}/other/reco.sqlite",
        tmp_path / "other" / "inbox",
    )
    assert other.trusted_proxies == ["10.0.0.1"]
    assert (one.sql_url, one.inbox_place, one.trusted_proxies) == before


def test_a_secret_given_twice_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RECO_X and RECO_X_FILE: neither wins silently, and neither value is told."""
    secret = tmp_path / "secret"
    secret.write_text("redis://:planted-secret@127.0.0.1:1/0")
    monkeypatch.setenv("RECO_REDIS_URL_FILE", str(secret))
    monkeypatch.setenv("RECO_REDIS_URL", "redis://:planted-too@127.0.0.1:2/0")
    with pytest.raises(ConfigError, match="RECO_REDIS_URL and RECO_REDIS_URL_FILE are both set") as caught:
        load_settings()
    assert "planted" not in str(caught.value)
    assert caught.value.details["settings"] == ["RECO_REDIS_URL", "RECO_REDIS_URL_FILE"]
    monkeypatch.setenv("RECO_REDIS_URL", "")
    assert load_settings().redis_url is not None


def test_a_secret_file_that_others_can_read_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files behind RECO_X_FILE, a reco.toml that holds a secret, and the keys of the home; not those of a container."""
    monkeypatch.chdir(tmp_path)
    secret, config, keys = tmp_path / "secret", tmp_path / "reco.toml", tmp_path / "home" / "keys"
    keys.mkdir(parents=True)
    secret.write_text("redis://127.0.0.1:1/0")
    config.write_text('namespace = "shop"\n')
    (keys / "privacy.key").write_text("x" * 64)
    monkeypatch.setenv("RECO_REDIS_URL_FILE", str(secret))
    for path in (secret, config, keys / "privacy.key"):
        path.chmod(0o600)
    settings = load_settings(home=tmp_path / "home")
    assert loose_secrets(settings) == []
    for path, mode in ((secret, 0o640), (config, 0o644), (keys / "privacy.key", 0o604)):
        path.chmod(mode)
    assert [one.path for one in loose_secrets(settings)] == [secret, keys / "privacy.key"]
    config.write_text('database_url = "postgresql://u:p@h/d"\n')
    found = [str(one) for one in loose_secrets(settings)]
    assert len(found) == 3
    assert f"RECO_REDIS_URL_FILE: {secret} can be read by other accounts (mode 0640)" in found
    monkeypatch.setattr("reco.secretfiles._OF_A_CONTAINER", tmp_path)
    assert loose_secrets(settings) == []
