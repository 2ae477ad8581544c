"""Promises of what is told before a restore: what is known to be bad, and what may come out as another one."""

import datetime as dt

import pytest
from pydantic import SecretStr

import reco.backup.notes
from reco.audit.trail import Event, append, recording
from reco.backup.create import create
from reco.backup.manifest import write_manifest
from reco.backup.marks import Checked
from reco.backup.restore import make_plan, restore
from reco.errors import BackupNotFound, RestoreRefused
from reco.orders.home import open_home
from reco.orders.pseudonyms import Pseudonyms
from reco.settings import Settings
from reco_pipeline_tests.backup_shop import KEYS, NOON, BackupShop

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is deprecated and will be removed:DeprecationWarning"),
    pytest.mark.timeout(600),  # on a busy machine a restore takes a minute
]


def test_a_backup_known_to_be_bad_is_passed_over_and_named(shop: BackupShop) -> None:
    """The newest good one and the way to a moment go round it; where nothing else leads there it is used, and told."""
    at = shop.now
    shop.give("tuesday", {"9": ["Kit"]})
    first, second, third = (shop.back_up().manifest for _ in range(3))
    vault = shop.vault()
    assert make_plan(vault, shop.settings, at=at).manifest == first
    vault.mark_checked(Checked(first.backup_id, "drill", shop.now, passed=False))
    vault.mark_checked(Checked(third.backup_id, "drill", shop.now, passed=False))
    for plan, over in (
        (make_plan(vault, shop.settings, at=at), first),
        (make_plan(vault, shop.settings), third),
    ):
        assert plan.manifest == second
        (note,) = plan.notes
        assert note.startswith("Passed over")
        assert over.backup_id in note
        assert over.backup_id in plan.facts()["notes"]
    (note,) = make_plan(vault, shop.settings, backup_id=third.backup_id).notes
    assert f"found backup {third.backup_id} bad" in note
    vault.mark_checked(Checked(second.backup_id, "drill", shop.now, passed=False))
    plan = make_plan(vault, shop.settings, at=at)
    assert plan.manifest == first
    assert f"found backup {first.backup_id} bad" in plan.notes[0]
    with pytest.raises(BackupNotFound):
        make_plan(vault, shop.settings)


@pytest.mark.slow
def test_a_newest_backup_that_cannot_be_read_holds_no_moment_up(shop: BackupShop) -> None:
    """Its trail is damaged: that of the one before leads to the moment."""
    at = shop.now
    shop.give("tuesday", {"9": ["Kit"]})
    first = shop.back_up().manifest
    shop.give("wednesday", {"10": ["Kit"]})
    last = shop.back_up().manifest
    vault = shop.vault()
    vault.store.put_bytes(b"other", vault.object_key(last.entry("sql.jsonl").object))
    assert make_plan(vault, shop.settings, at=at).manifest == first


def test_who_was_forgotten_by_a_backup_that_cannot_be_read_does_not_come_back_unsaid(shop: BackupShop) -> None:
    """The database in use knows of them: no earlier backup is used. Without it a person is told, and has to agree."""
    at = shop.now
    shop.give("tuesday", {"9": ["Kit"]})
    first = shop.back_up().manifest
    with recording(shop.home.ledger.engine) as connection:
        append(connection, Event.CUSTOMER_FORGOTTEN, at=shop.now)
    last = shop.back_up().manifest
    vault = shop.vault()
    vault.store.put_bytes(b"other", vault.object_key(last.entry("sql.jsonl").object))
    with pytest.raises(BackupNotFound, match=f"forgotten since {first.backup_id}"):
        make_plan(vault, shop.settings, at=at)
    new = shop.settings.model_copy(update={"home": shop.folder / "new"})
    for spoilt in (vault.object_key(last.entry("sql.jsonl").object), vault.manifest_key(last.backup_id)):
        vault.store.put_bytes(b"other", spoilt)
        plan = make_plan(vault, new, at=at)
        assert plan.manifest == first
        (note,) = plan.notes
        assert f"The trail of {last.backup_id} cannot be read" in note
        with pytest.raises(RestoreRefused, match=f"forgotten by the time of {last.backup_id}"):
            restore(vault, new, plan, now=shop.now)


@pytest.fixture
def upgraded(monkeypatch: pytest.MonkeyPatch) -> str:
    """This code as a later version."""
    monkeypatch.setattr(reco.backup.notes, "__version__", "99.0.0")
    return "99.0.0"


def test_a_snapshot_of_another_version_is_told_in_the_plan(shop: BackupShop, upgraded: str) -> None:
    """Where it would be made anew; a whole backup needs no version."""
    at = shop.now
    shop.give("tuesday", {"9": ["Kit"]})
    made = shop.back_up().manifest
    (note,) = make_plan(shop.vault(), shop.settings, at=at).notes
    assert f"made by reco {made.code_version}" in note
    assert f"by this reco {upgraded}" in note
    assert f"--id {made.backup_id}" in note
    assert make_plan(shop.vault(), shop.settings).notes == ()
    assert make_plan(shop.vault(), shop.settings, at=made.created_at).notes == ()


def test_the_version_of_a_snapshot_is_that_of_its_publish(shop: BackupShop, upgraded: str) -> None:
    """The trail tells it, whatever version made the backups around."""
    with recording(shop.home.ledger.engine) as connection:
        details = {"code_version": upgraded, "digest": "0" * 64}
        append(connection, Event.SNAPSHOT_PUBLISHED, at=shop.now, snapshot_id="other", **details)
    at = shop.now
    shop.give("tuesday", {"9": ["Kit"]})
    shop.back_up()
    plan = make_plan(shop.vault(), shop.settings, at=at)
    assert plan.moment is not None
    assert plan.moment.version == upgraded
    assert plan.notes == ()


def test_a_date_that_was_put_right_leads_to_moments(shop: BackupShop) -> None:
    """A backup dated behind hides those before it until its date is right."""
    at = shop.now
    shop.give("tuesday", {"9": ["Kit"]})
    first = shop.back_up().manifest
    shop.minute -= 24 * 60
    behind = shop.back_up().manifest
    vault = shop.vault()
    with pytest.raises(BackupNotFound, match="No backup was made after"):
        make_plan(vault, shop.settings, at=at)
    vault.mark_dated(behind.backup_id, NOON + dt.timedelta(days=2), now=shop.now)
    assert make_plan(vault, shop.settings, at=at).manifest == first


def with_secrets(shop: BackupShop, **secrets: str) -> Settings:
    """The settings of the shop with these secrets."""
    return shop.settings.model_copy(update={name: SecretStr(value) for name, value in secrets.items()})


def test_secrets_that_are_not_those_of_then_are_told(shop: BackupShop) -> None:
    """Customers would count twice, no API key be right: before the restore, and without a secret in the manifest."""
    then = with_secrets(shop, privacy_key="0123456789abcdef", api_peppers="1:0123456789abcdef,2:fedcba9876543210")
    made = create(open_home(then), shop.client, shop.vault(), now=shop.now).manifest
    text = write_manifest(made, KEYS).decode()
    assert not [one for one in ("0123456789abcdef", "fedcba9876543210") if one in text]

    def notes(settings: Settings) -> list[str]:
        return [one.split(": ")[0] for one in make_plan(shop.vault(), settings).notes]

    assert notes(then) == []
    assert notes(shop.settings) == [
        f"{name} was set when this was backed up and is not now" for name in ("RECO_PRIVACY_KEY", "RECO_API_PEPPERS")
    ]
    wrong = with_secrets(shop, privacy_key="fedcba9876543210", api_peppers="1:0123456789abcdef")
    assert notes(wrong) == [f"{name} is not that of the backup" for name in ("RECO_PRIVACY_KEY", "RECO_API_PEPPERS")]
    more = with_secrets(
        shop, privacy_key="0123456789abcdef", api_peppers="3:0000000000000000,2:fedcba9876543210,1:0123456789abcdef"
    )
    assert notes(more) == []
    assert make_plan(shop.vault(), shop.settings, parts={"redis"}).notes == (), "keys of Redis are no concern of theirs"


@pytest.mark.slow
def test_secrets_of_the_home_come_back_with_it(shop: BackupShop) -> None:
    """What lies in a file of the home lies in the backup: only a setting that says otherwise is told."""
    Pseudonyms.of_home(shop.settings).of("anna")
    shop.back_up()
    assert make_plan(shop.vault(), shop.settings).notes == ()
    (note,) = make_plan(shop.vault(), with_secrets(shop, privacy_key="0123456789abcdef")).notes
    assert note.startswith("RECO_PRIVACY_KEY is not that of the backup")
    key = (shop.settings.home / "keys" / "privacy.key").read_text().strip()
    assert make_plan(shop.vault(), with_secrets(shop, privacy_key=key)).notes == ()
