"""Promises of `reco keys`: a key is shown once and never again, and each command says what it did."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reco.api.keybook import open_book
from reco.api.keys import read_key
from reco.audit.trail import events
from reco.errors import KeyNotFound, UsageError
from reco.settings import load_settings
from reco.storage.sql import api_keys, shared_database
from reco_pipeline_tests.commands import printed

Reco = Callable[..., str]


@pytest.fixture
def reco(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Reco:
    """`reco keys ...` on a home of its own; what it prints."""
    monkeypatch.setenv("RECO_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: printed(capsys, "keys", *arguments)


def told(reco: Reco, *arguments: str) -> Any:
    return json.loads(reco(*arguments, "--json"))


def listed(reco: Reco) -> dict[str, dict[str, Any]]:
    return {one["key_id"]: one for one in told(reco, "list")["keys"]}


def suspend(key_id: str) -> None:
    with shared_database(load_settings().sql_url).begin() as connection:
        connection.execute(api_keys.update().where(api_keys.c.key_id == key_id).values(suspended_at=_made_at(key_id)))


def _made_at(key_id: str) -> Any:
    return next(one.created_at for one in open_book(load_settings()).rows() if one.key_id == key_id)


def test_a_key_is_shown_when_it_is_made_and_never_again(reco: Reco, tmp_path: Path) -> None:
    """On its own line, so that it can be piped; the list and the home hold its id, not the key."""
    text, said = reco("create", "storefront", "--scope", "read", "--scope", "ops", "--expires", "90d").splitlines()
    key = read_key(text)
    assert key is not None
    assert key.key_id in said
    assert "ops, read; expires " in said
    assert "shown this once" in said
    (row,) = listed(reco).values()
    assert (row["name"], row["scopes"], row["state"], row["replaces"]) == (
        "storefront",
        ["ops", "read"],
        "active",
        None,
    )
    assert "mac" not in row
    assert key.key_id in reco("list")
    secret = text.rpartition("_")[2][:43]
    assert secret not in reco("list") + reco("list", "--json")
    assert not [
        path for path in (tmp_path / "home").rglob("*") if path.is_file() and secret in path.read_text("latin-1")
    ]
    assert (tmp_path / "home" / "keys" / "api.closed").is_file()


def test_a_replaced_key_goes_on_for_its_overlap(reco: Reco) -> None:
    """The new one has its name and scopes; the old one has an end."""
    old = told(reco, "create", "shop", "--scope", "read")
    new = told(reco, "create", "--replaces", old["key_id"], "--overlap", "2h")
    assert (new["name"], new["scopes"], new["replaces"]) == ("shop", ["read"], old["key_id"])
    rows = listed(reco)
    assert rows[old["key_id"]]["expires_at"] is not None
    assert rows[new["key_id"]]["expires_at"] is None


def test_a_revoked_key_is_revoked_once(reco: Reco) -> None:
    """The second time nothing is done and it is said; the trail has it once, with the account."""
    key = told(reco, "create", "shop", "--scope", "read")["key_id"]
    assert told(reco, "revoke", key) == {"key_id": key, "revoked": True}
    assert told(reco, "revoke", key) == {"key_id": key, "revoked": False}
    assert "was revoked before" in reco("revoke", key)
    assert listed(reco)[key]["state"] == "revoked"
    trail = [one.event.value for one in events(shared_database(load_settings().sql_url))]
    assert trail == ["key_revoked", "key_created"]


def test_suspended_keys_are_confirmed_by_id_or_all(reco: Reco) -> None:
    """What was not suspended is left alone, and what ended cannot be confirmed."""
    first, second, ended = (told(reco, "create", name, "--scope", "read")["key_id"] for name in "abc")
    told(reco, "revoke", ended)
    for one in (first, second, ended):
        suspend(one)
    assert [listed(reco)[one]["state"] for one in (first, second, ended)] == ["suspended", "suspended", "revoked"]
    with pytest.raises(UsageError, match="suspended"):
        reco("create", "--replaces", first)
    with pytest.raises(UsageError, match=ended):
        reco("confirm", first, ended)
    assert told(reco, "confirm", first) == {"confirmed": [first]}
    assert told(reco, "confirm", "--all") == {"confirmed": [second]}
    assert told(reco, "confirm", "--all") == {"confirmed": []}
    assert "No such key was suspended" in reco("confirm", first)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("create",), "no name"),
        (("create", "x"), "without a scope"),
        (("create", "x", "--scope", "root"), "no scope root"),
        (("create", "x", "--scope", "read", "--expires", "soon"), "no span"),
        (("create", "x", "--scope", "read", "--expires", "0d"), "expired already"),
        (("create", "x", "--replaces", "abc"), "has its name"),
        (("confirm",), "--all"),
        (("confirm", "abc", "--all"), "--all"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_next_step(reco: Reco, arguments: tuple[str, ...], words: str) -> None:
    """A usage error with a hint; nothing is made."""
    with pytest.raises(UsageError, match=words) as refused:
        reco(*arguments)
    assert refused.value.hint
    assert listed(reco) == {}


@pytest.mark.parametrize("command", ["revoke", "confirm"])
def test_an_unknown_key_is_named(reco: Reco, command: str) -> None:
    """With the command that lists those there are."""
    with pytest.raises(KeyNotFound, match="nothing") as refused:
        reco(command, "nothing")
    assert "reco keys list" in refused.value.hint


def test_an_empty_book_is_listed_as_one(reco: Reco) -> None:
    """No key was ever made, and asking does not close the home."""
    assert told(reco, "list") == {"keys": []}
    assert not open_book(load_settings()).ever_made()
