"""Promises of `reco run`: every line accounted for, a bad drop alone, nothing twice, the last good snapshot served."""

import gzip
import os
import signal
from pathlib import Path

import pytest

from reco.settings import load_settings
from reco.storage.homelock import home_lock
from reco.storage.redis import open_redis
from reco_pipeline_tests.shop import Shop, new_shop

BASKETS = {
    "1": ["PID", "Cal Kit", "Hose"],
    "2": ["PID", "Cal Kit"],
    "3": ["PID", "Pump"],
    "4": ["Pump", "Hose"],
    "5": ["Gloves"],
}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A shop that has never seen a drop."""
    return new_shop(tmp_path)


def test_orders_become_recommendations_with_known_answers(shop: Shop) -> None:
    """Five orders counted by hand: stats, pairs, scores and evidence are exactly those."""
    done = shop.reco("run", "--orders", shop.orders("monday.csv", BASKETS), "--json")
    assert done.code == 0, done.err
    result = done.json
    assert (result["lines_read"], result["lines_accepted"], result["lines_excluded"], result["lines_quarantined"]) == (
        10,
        10,
        0,
        0,
    )
    assert (result["orders"], result["items"], result["pairs"]) == (5, 5, 5)
    assert result["published"]
    assert result["changed"]
    assert [(d["name"], d["status"], d["lines_read"]) for d in result["drops"]] == [("monday.csv", "ingested", 10)]
    best = shop.reco("similar", "PID", "--json").json["recommendations"][0]
    assert best["item_id"] == "Cal Kit"
    assert best["similarity_score"] == pytest.approx(2 / (3 * 2) ** 0.5)
    assert best["evidence"] == {
        "pair_orders": 2,
        "lift": pytest.approx(2 * 5 / (3 * 2)),
        "confidence": pytest.approx(2 / 3),
    }
    popular = shop.reco("popular", "--json", "--limit", "1").json["recommendations"]
    assert [(one["item_id"], one["purchases"]) for one in popular] == [("PID", 3)]
    basket = shop.reco("basket", "PID", "Hose", "--json").json["recommendations"]
    assert {one["item_id"] for one in basket} == {"Cal Kit", "Pump"}


def test_a_second_run_changes_nothing(shop: Shop) -> None:
    """The same content, under any name, is known: no run, no new snapshot, and it says so."""
    shop.reco("run", "--orders", shop.orders("monday.csv", BASKETS))
    first = shop.reco("status", "--json").json
    again = shop.reco("run", "--orders", shop.orders("renamed.csv", BASKETS), "--json").json
    assert again["run_id"] is None
    assert not again["changed"]
    assert again["published"]
    assert [d["status"] for d in again["drops"]] == ["known"]
    assert again["lines_read"] == 0
    assert shop.reco("status", "--json").json["snapshot_id"] == first["snapshot_id"]


def test_a_bad_drop_does_not_stop_the_good_ones(shop: Shop) -> None:
    """Missing, empty, header-only, binary and foreign files fail by name (exit 3); the good file is published."""
    shop.orders("good.csv", BASKETS)
    shop.write("empty.csv", "")
    shop.write("header.csv", "order_id,item_name\n")
    shop.write("binary.csv", bytes(range(256)) * 40)
    shop.write("foreign.csv", "colour,weight\nred,3\n")
    names = ["good.csv", "empty.csv", "header.csv", "binary.csv", "foreign.csv", "absent.csv"]
    done = shop.reco("run", "--json", *(a for name in names for a in ("--orders", shop.files / name)))
    assert done.code == 3, done.err
    state = {d["name"]: (d["status"], d["error"]) for d in done.json["drops"]}
    assert state.pop("good.csv") == ("ingested", None)
    assert {status for status, _ in state.values()} == {"failed"}
    assert all(name in error for name, (_, error) in state.items())
    assert "2 fields" in state["foreign.csv"][1]
    assert "order" in state["foreign.csv"][1]
    assert done.json["published"]
    assert done.json["orders"] == 5
    failed = shop.reco("drops", "list", "--state", "failed", "--json").json["drops"]
    assert {d["name"] for d in failed} == set(names) - {"good.csv", "absent.csv"}


def test_only_bad_drops_publish_nothing(shop: Shop) -> None:
    """With no usable drop the command ends with exit 3, says why, and serves nothing."""
    done = shop.reco("run", "--orders", shop.write("empty.csv", ""))
    assert done.code == 3
    assert "empty.csv" in done.out
    assert "Nothing is published" in done.out


def test_a_later_batch_replaces_an_order(shop: Shop) -> None:
    """The order that came again counts with its new lines only; the audit trail says that it was replaced."""
    shop.reco("run", "--orders", shop.orders("monday.csv", BASKETS))
    done = shop.reco(
        "run", "--json", "--orders", shop.orders("tuesday.csv", {"2": ["Gloves"], "6": ["Gloves", "Hose"]})
    )
    assert done.json["orders"] == 6
    evidence = shop.reco("similar", "PID", "--json").json["recommendations"]
    assert {one["item_id"]: one["evidence"]["pair_orders"] for one in evidence} == {"Cal Kit": 1, "Hose": 1, "Pump": 1}
    assert "orders_replaced" in shop.reco("status").out


def test_one_batch_unites_an_order_over_its_files(shop: Shop) -> None:
    """Files given together are one batch: an order's lines may stand in several of them."""
    shop.orders("a.csv", {"1": ["PID"]})
    shop.orders("b.csv", {"1": ["Cal Kit"]})
    result = shop.reco("run", "--json", "--orders", shop.files).json
    assert (result["orders"], result["pairs"]) == (1, 1)


def test_the_same_lines_in_one_file_or_many_give_the_same_snapshot(shop: Shop, tmp_path: Path) -> None:
    """The content digest does not depend on how the lines are cut into files, nor on their order."""
    shop.orders("all.csv", BASKETS)
    shop.reco("run", "--orders", shop.files)
    other = new_shop(tmp_path / "other")
    for number, (order, items) in enumerate(reversed(BASKETS.items())):
        other.orders(f"part-{number}.csv", {order: reversed(items)})
    other.reco("run", "--orders", other.files)
    digests = [one.reco("snapshot", "show", "--json").json["digest"] for one in (shop, other)]
    assert digests[0] == digests[1]


def test_a_retracted_drop_leaves_the_orders_and_can_come_back(shop: Shop) -> None:
    """After a retract the next run publishes without the drop; giving its file again brings it back."""
    shop.reco("run", "--orders", shop.orders("monday.csv", BASKETS))
    before = shop.reco("snapshot", "show", "--json").json["digest"]
    tuesday = shop.orders("tuesday.csv", {"7": ["PID", "Gloves"]})
    shop.reco("run", "--orders", tuesday)
    assert shop.reco("drops", "retract", "tuesday.csv", "--reason", "sent by mistake").code == 0
    without = shop.reco("run", "--json").json
    assert without["changed"]
    assert shop.reco("snapshot", "show", "--json").json["digest"] == before
    assert shop.reco("run", "--json", "--orders", tuesday).json["orders"] == 6
    assert shop.reco("drops", "retract", "nothing").code == 2


def test_a_rollback_holds_until_something_new_comes(shop: Shop) -> None:
    """A snapshot chosen by a person stays through runs without news; --force or a new drop moves on."""
    shop.reco("run", "--orders", shop.orders("monday.csv", BASKETS))
    first = shop.reco("status", "--json").json["snapshot_id"]
    shop.reco("run", "--orders", shop.orders("tuesday.csv", {"7": ["PID", "Gloves"]}))
    second = shop.reco("status", "--json").json["snapshot_id"]
    assert second != first
    assert shop.reco("snapshot", "rollback", "--json").json["snapshot_id"] == first
    held = shop.reco("run", "--json").json
    assert held["snapshot_id"] == first
    assert not held["published"]
    assert "rollback" in held["note"]
    assert shop.reco("run", "--force", "--json").json["published"]
    listed = shop.reco("snapshot", "list", "--json").json["snapshots"]
    assert {one["snapshot_id"] for one in listed} >= {first}


def test_an_empty_local_home_gets_the_sample_once(shop: Shop) -> None:
    """Without any file a new home makes its sample; a home with real drops never does."""
    made = shop.reco("run", "--json")
    assert made.code == 0, made.err
    assert made.json["drops"][0]["name"].startswith("sample-")
    assert shop.reco("run", "--json").json["run_id"] is None


def test_the_inbox_is_processed_and_its_folder_names_the_profile(shop: Shop) -> None:
    """`reco drop` puts files in whole; `reco run` takes each once, with the profile its folder names."""
    export = shop.write(
        "uci.csv",
        "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
        "536365,85123A,HOLDER,6,2010-12-01 08:26:00,2.55,17850.0,UK\n"
        "536365,71053,LANTERN,6,2010-12-01 08:26:00,3.39,17850.0,UK\n"
        "C536379,85123A,HOLDER,-1,2010-12-01 09:41:00,2.55,17850.0,UK\n",
    )
    assert shop.reco("drop", export, "--source", "uci-online-retail").code == 0
    result = shop.reco("run", "--json").json
    assert [(d["source"], d["lines_excluded"]) for d in result["drops"]] == [("uci-online-retail", 1)]
    assert result["reasons"] == {"cancelled": 1}
    assert shop.reco("run", "--json").json["run_id"] is None
    assert shop.reco("drop", export, "--source", "nosuch").code == 2
    assert shop.reco("drop", shop.files / "absent.csv").code == 3


def test_redis_down_ends_with_the_next_step(tmp_path: Path) -> None:
    """An external Redis that does not answer is exit 4 before anything is taken in, without its password."""
    shop = new_shop(tmp_path, RECO_REDIS_URL="redis://:planted-secret@127.0.0.1:1/0")
    done = shop.reco("run", "--orders", shop.orders("monday.csv", BASKETS))
    assert done.code == 4
    assert "127.0.0.1:1" in done.err
    assert "next:" in done.err
    assert "planted-secret" not in done.err + done.out
    assert shop.reco("drops", "list", "--json").json == {"drops": [], "catalogues": []}


def test_the_gate_refuses_and_force_publishes(shop: Shop) -> None:
    """A model that lost most of its orders is refused (exit 5) and the old snapshot serves; --force overrides."""
    big = {str(n): [f"item {n % 40}", f"item {(n * 7 + 1) % 40}"] for n in range(200)}
    shop.reco("run", "--orders", shop.orders("big.csv", big))
    served = shop.reco("status", "--json").json["snapshot_id"]
    shop.reco("drops", "retract", "big.csv")
    small = shop.orders("small.csv", BASKETS)
    refused = shop.reco("run", "--orders", small)
    assert refused.code == 5
    assert "orders" in refused.err
    assert shop.reco("status", "--json").json["snapshot_id"] == served
    forced = shop.reco("run", "--force", "--json")
    assert forced.code == 0, forced.err
    assert forced.json["orders"] == 5


def test_commands_work_in_a_foreign_folder_with_an_assets_of_its_own(shop: Shop) -> None:
    """A folder `assets/` where the command is started does not get in the way."""
    foreign = shop.files / "elsewhere"
    (foreign / "assets").mkdir(parents=True)
    (foreign / "assets" / "__init__.py").write_text("raise SystemExit('not ours')\n")
    done = shop.reco("run", "--json", "--orders", shop.orders("monday.csv", BASKETS), cwd=foreign)
    assert done.code == 0, done.err


def test_two_runs_of_one_home_do_not_meet(shop: Shop) -> None:
    """A second run while one is at work ends at once with exit 4 and names the first."""
    with home_lock(shop.home):
        done = shop.reco("run", "--orders", shop.orders("monday.csv", BASKETS))
    assert done.code == 4
    assert str(os.getpid()) in done.err


@pytest.mark.parametrize(
    ("number", "stage", "code"),
    [
        (signal.SIGINT, "orders", 130),
        pytest.param(signal.SIGINT, "raw_orders", 130, marks=pytest.mark.slow),
        # Dagster, inside whose run it comes, takes TERM as an interrupt.
        pytest.param(signal.SIGTERM, "item_stats", 130, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, "order_lines", 129, marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_run_leaves_no_process_and_no_lock(
    shop: Shop, number: signal.Signals, stage: str, code: int
) -> None:
    """Ctrl-C, TERM and a closed terminal end the run and its server, at any stage; the next run does the work."""
    shop.reco("sample", "--orders", "20000", "--out", shop.files / "orders.csv")
    running = shop.start("run", "--orders", shop.files / "orders.csv")
    while not (shop.home / "lake" / stage).exists():
        assert running.poll() is None
    os.killpg(running.pid, number)
    _, said = running.communicate(timeout=60)
    assert running.returncode == code, said
    assert "Traceback" not in said
    assert not _processes_of(shop.home)
    assert shop.reco("run", "--json").code == 0


def test_a_retracted_file_in_the_inbox_stays_out(shop: Shop) -> None:
    """The next run does not bring back what a person took out, although its file still lies in the inbox."""
    shop.reco("drop", shop.orders("keep.csv", BASKETS), shop.orders("gone.csv", {"9": ["PID"]}))
    shop.reco("run")
    assert shop.reco("drops", "retract", "gone.csv").code == 0
    after = shop.reco("run", "--json").json
    assert (after["orders"], after["changed"]) == (5, True)
    states = {d["name"]: d["status"] for d in shop.reco("drops", "--json").json["drops"]}
    assert states == {"keep.csv": "ingested", "gone.csv": "retracted"}


def test_the_sample_gives_way_to_the_shops_first_drop(shop: Shop) -> None:
    """Generated orders never mix with real ones: they are taken out, it is said, and the gate does not compare."""
    first = shop.reco("run")
    assert "Bought together with PID" in first.out
    assert "Next:" in first.out
    own = shop.reco("run", "--orders", shop.orders("mine.csv", BASKETS), "--json")
    assert own.code == 0, own.err
    assert own.json["orders"] == 5
    assert "sample was taken out" in own.json["note"]


def test_retracting_every_drop_is_refused_aloud(shop: Shop) -> None:
    """Nobody means to serve nothing: exit 5 with the next step, also with --force, and the old answers stay."""
    shop.reco("run", "--orders", shop.orders("monday.csv", BASKETS))
    shop.reco("drops", "retract", "monday.csv")
    for flags in ((), ("--force",)):
        done = shop.reco("run", *flags)
        assert done.code == 5
        assert "0 items" in done.err
    assert shop.reco("popular", "--json").code == 0


def test_a_damaged_snapshot_is_published_again(shop: Shop) -> None:
    """Lost keys or a lost manifest are noticed by the next run, which serves a whole snapshot again."""
    shop.reco("run", "--orders", shop.orders("monday.csv", BASKETS))
    for pattern in ("reco:2*:item:PID:similar", "reco:snapshot:2*:manifest"):
        with open_redis(load_settings(home=shop.home)) as client:
            keys = list(client.scan_iter(match=pattern))
            assert keys
            client.delete(*keys)
        done = shop.reco("run", "--json")
        assert done.code == 0, done.err
        assert done.json["published"]
        assert done.json["changed"]
        assert shop.reco("similar", "PID", "--json").json["recommendations"]


def test_a_drop_that_fails_only_when_read_whole(shop: Shop) -> None:
    """Dates that two formats fit are not guessed: exit 3, by name; what else is to publish is published."""
    shop.reco("run", "--orders", shop.orders("monday.csv", BASKETS))
    shop.reco("run", "--orders", shop.orders("tuesday.csv", {"6": ["PID"]}))
    shop.reco("drops", "retract", "tuesday.csv")
    lines = "".join(f"{n},PID,0{n}/02/2024\n" for n in range(1, 7))
    done = shop.reco("run", "--json", "--orders", shop.write("dates.csv", f"order_id,item_name,order_date\n{lines}"))
    assert done.code == 3, done.out
    assert "format" in done.json["drops"][0]["error"]
    assert (done.json["changed"], done.json["orders"]) == (True, 5)


def test_a_refusal_shows_what_came_of_the_drops(shop: Shop) -> None:
    """When every line was quarantined the reasons stand beside the refusal."""
    export = shop.write("de.csv", "order_id;item_name;quantity\n1;PID;1,5\n2;PID;2,5\n")
    done = shop.reco("run", "--orders", export)
    assert done.code == 5
    assert "2 of 2 lines quarantined" in done.err
    assert "invalid_quantity: 2" in done.err


def test_another_profile_for_known_bytes_is_not_ignored_in_silence(shop: Shop) -> None:
    """A file that was read with another profile is refused with the way to read it anew; the way works."""
    export = shop.write("orders.csv", "order_id,item_name,quantity\n1,PID,1\n1,Kit,1\n")
    shop.reco("run", "--orders", export)
    again = shop.reco("run", "--orders", export, "--source", "prototype", "--json")
    assert again.code == 3
    assert "retract" in again.json["drops"][0]["error"]
    key = shop.reco("drops", "--json").json["drops"][0]["key"]
    shop.reco("drops", "retract", key)
    done = shop.reco("run", "--orders", export, "--source", "prototype", "--json")
    assert [d["source"] for d in done.json["drops"]] == ["prototype"]


def test_items_named_like_markup_are_shown_as_they_are(shop: Shop) -> None:
    """Brackets in a name are text, in titles too."""
    done = shop.reco("run", "--orders", shop.orders("odd.csv", {"1": ["[/b]", "[bold]"], "2": ["[/b]", "[bold]"]}))
    assert done.code == 0, done.err
    assert "Bought together with [/b]" in done.out


def test_a_misspelt_setting_is_told(tmp_path: Path) -> None:
    """A variable that nothing reads is named, with the one that was meant; secrets are masked in what is shown."""
    shop = new_shop(tmp_path, RECO_NAMESPCE="x", RECO_DATABASE_URL="sqlite:////tmp/planted-secret")
    done = shop.reco("config")
    assert "did you mean RECO_NAMESPACE?" in done.err
    assert "planted-secret" not in done.out


@pytest.mark.parametrize("name", ["data.json", "orders.xlsx", ".hidden.csv.tmp"])
def test_the_inbox_takes_no_file_it_would_not_see(shop: Shop, name: str) -> None:
    """A file that no run would look at is refused when it is dropped."""
    assert shop.reco("drop", shop.write(name, "order_id,item_name\n1,PID\n")).code == 2


def test_two_exports_of_one_name_are_two_drops(shop: Shop) -> None:
    """The second gets a number before its suffixes, so that it is seen; the same content keeps its place."""
    for text in ("1,PID\n", "2,Hose\n", "1,PID\n"):
        path = shop.write("orders.csv.gz", gzip.compress(f"order_id,item_name\n{text}".encode(), mtime=0))
        assert shop.reco("drop", path).code == 0
    assert sorted(p.name for p in (shop.home / "inbox").iterdir()) == ["orders-2.csv.gz", "orders.csv.gz"]
    assert shop.reco("run", "--json").json["orders"] == 2


def test_an_inbox_folder_may_hold_its_own_profile(shop: Shop) -> None:
    """`inbox/<source>/profile.toml` maps the files beside it."""
    folder = shop.home / "inbox" / "till"
    folder.mkdir(parents=True)
    (folder / "profile.toml").write_text('name = "till"\n[columns]\norder_id = "Bon"\nitem_name = "Artikel"\n')
    (folder / "a.csv").write_text("Bon;Artikel\n1;PID\n1;Kit\n")
    assert [d["source"] for d in shop.reco("run", "--json").json["drops"]] == ["till"]


def _processes_of(home: Path) -> list[str]:
    """The processes that name the home in their command line or work in it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            folder = str((process / "cwd").readlink())
        except OSError:
            continue
        if str(home) in line or folder.startswith(str(home)):
            found.append(line)
    return found


def test_status_lists_failing_checks_and_forgets_them_when_they_pass(shop: Shop) -> None:
    """A poor drop shows in `reco status` with its message; once it is retracted and run again, nothing fails."""
    assert shop.reco("status", "--json").json["failing_checks"] == []
    good = shop.orders("good.csv", BASKETS)
    poor = shop.write("poor.csv", "order_id,item_name,quantity\n6,PID,1\n6,Hose,zero\n")
    assert shop.reco("run", "--orders", good, "--orders", poor).code == 0
    failing = shop.reco("status", "--json").json["failing_checks"]
    assert [one["check"] for one in failing] == ["quality_score", "values_valid", "quarantine_rate"]
    assert failing[0] == {
        "asset": "order_lines",
        "check": "quality_score",
        "weight": "warning",
        "message": "poor.csv: quality score 50.0, below 95.",
    }
    assert shop.reco("status", "--json").json["failing_checks"] == failing
    assert "poor.csv: quality score 50.0" in shop.reco("status").out
    shop.reco("drops", "retract", "poor.csv")
    assert shop.reco("run", "--orders", shop.orders("more.csv", {"7": ["PID", "Pump"]})).code == 0
    assert shop.reco("status", "--json").json["failing_checks"] == []
