"""Promises about personal data: no customer id is stored where the profile says so, and counts stay what they were."""

import datetime as dt
import stat
from pathlib import Path

import pytest

from reco.errors import ConfigError
from reco.orders.home import Home, open_home
from reco.orders.ingest import ingest
from reco.orders.mending import export_open
from reco.orders.privacy import HIDDEN
from reco.orders.profiles import SourceProfile, builtin_profiles, load_profile
from reco.orders.pseudonyms import Pseudonyms
from reco.orders.quarantine import Selection, lines
from reco.orders.replay import replay_file
from reco.settings import Settings
from reco_pipeline_tests.model_tables import rows

NOON = dt.datetime(2024, 6, 1, 12, tzinfo=dt.UTC)
HEADER = "order_id,item_name,quantity,customer_id\n"
COLUMNS = {"order_id": "order_id", "item_name": "item_name", "quantity": "quantity", "customer_id": "customer_id"}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home that has never seen a drop."""
    return open_home(Settings(home=tmp_path / "home"))


def give(home: Home, folder: Path, name: str, lines: str, profile: SourceProfile | None = None) -> str:
    """Reads one file as a batch of its own; returns its key."""
    path = folder / name
    path.write_text(HEADER + lines)
    (one,) = home.ledger.register([(path, profile or load_profile("auto"))], now=NOON)
    assert one.drop is not None
    (result,) = ingest(home.ledger, [one.drop.key], now=NOON, run_id="r")
    assert result.error is None
    return one.drop.key


def column(home: Home, key: str, place: int, table: str = "order_lines") -> list[object]:
    """One column of a part."""
    return [row[place] for row in rows(home.lake.path(table, key))]


def test_a_customer_has_the_same_pseudonym_in_every_drop(home: Home, tmp_path: Path) -> None:
    """Distinct customers stay distinct, over files and lines; who has none has none."""
    first = give(home, tmp_path, "a.csv", "1,PID,1,anna@shop.test\n2,Kit,1,bob\n3,Kit,1,\n")
    second = give(home, tmp_path, "b.csv", "4,PID,1,bob\n")
    anna, bob, nobody = column(home, first, 7)
    assert (nobody, column(home, second, 7)) == (None, [bob])
    assert anna != bob
    assert {len(str(one)) for one in (anna, bob)} == {34}
    stored = b"".join(path.read_bytes() for path in (home.lake.root / "order_lines").iterdir())
    assert b"anna" not in stored
    assert b"bob" not in stored


def test_two_homes_give_different_pseudonyms(tmp_path: Path) -> None:
    """The key is the home's own, made once and readable by its owner alone; one that is given is used instead."""
    one, other = (Pseudonyms(tmp_path / name / "privacy.key") for name in "ab")
    assert one.of("bob") != other.of("bob")
    assert one.of("bob") == Pseudonyms(tmp_path / "a" / "privacy.key").of("bob")
    assert stat.S_IMODE((tmp_path / "a" / "privacy.key").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["privacy.key"]
    given = [Pseudonyms(tmp_path / name / "privacy.key", "a secret of sixteen").of("bob") for name in "cd"]
    assert given[0] == given[1]
    assert not (tmp_path / "c").exists()


def test_a_damaged_key_stops_the_reading(home: Home, tmp_path: Path) -> None:
    """No new key is made in its place: known customers would count twice."""
    give(home, tmp_path, "a.csv", "1,PID,1,bob\n")
    key = home.settings.home / "keys" / "privacy.key"
    key.write_text("not hex")
    again = open_home(home.settings)
    with pytest.raises(ConfigError, match=r"privacy\.key"):
        give(again, tmp_path, "b.csv", "2,PID,1,bob\n")
    assert key.read_text() == "not hex"


def test_the_key_is_never_shown(home: Home) -> None:
    """Neither by the settings nor by what holds it."""
    settings = Settings(home=home.settings.home, privacy_key="planted-secret-key")
    pseudonyms = Pseudonyms.of_home(settings)
    pseudonyms.of("bob")
    assert "planted" not in repr(settings) + repr(pseudonyms) + str(pseudonyms)


def test_a_profile_decides(home: Home, tmp_path: Path) -> None:
    """On in the built-in profiles that know a customer; a profile of one's own says so itself."""
    on = {name for name in builtin_profiles() if load_profile(name).privacy.pseudonymise}
    assert on == {"auto", "shopify", "uci-online-retail"}
    plain = SourceProfile.model_validate({"name": "till", "columns": COLUMNS})
    assert column(home, give(home, tmp_path, "a.csv", "1,PID,1,bob\n", plain), 7) == ["bob"]
    assert not (home.settings.home / "keys").exists()


def test_an_order_id_made_of_the_customer_is_hidden_too(home: Home, tmp_path: Path) -> None:
    """Orders of a day and a customer stay apart and equal ones together, but no id shows whose they are."""
    profile = SourceProfile.model_validate(
        {
            "name": "till",
            "columns": {**COLUMNS, "order_id": ["order_id", "customer_id"]},
            "privacy": {"pseudonymise": True},
        }
    )
    key = give(home, tmp_path, "a.csv", "mon,PID,1,bob\nmon,Kit,1,bob\nmon,Kit,1,eve\ntue,PID,1,bob\n", profile)
    first, again, other, later = column(home, key, 1)
    assert first == again
    assert len({first, other, later}) == 3
    assert not any("bob" in str(one) or "eve" in str(one) for one in (first, other, later))


def test_a_value_that_is_a_customer_is_hidden(home: Home, tmp_path: Path) -> None:
    """The quarantine tells the reason but not the id; the raw line stays for mending."""
    profile = SourceProfile.model_validate(
        {
            "name": "till",
            "columns": COLUMNS,
            "rules": {"excluded_status": {"column": "customer_id", "values": ["staff-7"]}},
            "privacy": {"pseudonymise": True},
        }
    )
    key = give(home, tmp_path, "a.csv", "1,PID,x,bob\n2,PID,1,staff-7\n", profile)
    wrong, staff = rows(home.lake.path("quarantined_lines", key))
    assert (wrong[4], wrong[6]) == ("invalid_quantity", "x")
    assert (staff[4], staff[5], staff[6]) == ("excluded_status", "customer_id", HIDDEN)
    assert staff[2] == b"2,PID,1,staff-7"


@pytest.mark.parametrize("hidden", [True, False])
def test_an_export_hides_customers_and_a_replay_knows_them(home: Home, tmp_path: Path, hidden: bool) -> None:
    """The shop mends the quantity; the customer's cell is a mask, and the line becomes that customer's all the same.

    Without pseudonyms it stands there as it came; a line that is no whole record always does.
    """
    profile = SourceProfile.model_validate({"name": "till", "privacy": {"pseudonymise": hidden}})
    text = '1,PID,1,anna@shop.test\n2,Kit,one,anna@shop.test\n3,Kit,two,""\n4,Kit,1,bob,more\n5,Kit,x,eve\n'
    key = give(home, tmp_path, "a.csv", text, profile)
    out = tmp_path / "mend.csv"
    export_open(home, Selection(), out, now=NOON)
    content = out.read_text(encoding="utf-8-sig")
    assert (content.count(HIDDEN), content.count("anna@shop.test")) == ((2, 0) if hidden else (0, 1))
    assert "4,Kit,1,bob,more" in content
    told = [line.to_json()["raw"] for line in lines(home.ledger, home.lake, home.ledger.drops())]
    who = HIDDEN if hidden else "anna@shop.test"
    assert told[:3] == [f"2,Kit,one,{who}", '3,Kit,two,""', "4,Kit,1,bob,more"]
    eve = HIDDEN if hidden else "eve"
    for cells, new in (('"one"', '"7"'), ('"two"', '"8"'), (f'"x","{eve}"', '"9","zoe"')):
        assert content.count(cells) == 1
        content = content.replace(cells, new)
    out.write_text(content, encoding="utf-8-sig")
    report = replay_file(home, out, now=NOON, actor="a test")
    assert (report.total("lines_accepted"), report.unchanged) == (3, 1)
    (replay,) = report.replays
    known = column(home, key, 7)
    zoe = home.ledger.pseudonyms.of("zoe") if hidden else "zoe"
    assert column(home, replay.key, 7) == [*known, None, zoe]
