"""Promises of the comparison with the recent past: formulas by hand, planted faults found, quiet data left in peace."""

import datetime as dt
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from reco.audit.catalogue import raised_checks
from reco.audit.contents import LineContents, invalid_values
from reco.audit.recent import RecentComparison, compare_recent
from reco.audit.robust import drift, robust_z, usual
from reco.audit.timeliness import judge_timeliness
from reco.audit.verdict import DropFacts, Kind, QualityLimits
from reco.audit.volume import DayVolume, JudgedDay, Receipts, Volumes, day_volumes, judge_days
from reco.errors import ConfigError, LakeError
from reco.orders.home import open_home
from reco.orders.ingest import ingest
from reco.orders.profiles import SourceProfile
from reco.orders.verdicts import VALUE_REASONS, drop_verdicts, newest_batch, recent_comparison
from reco.settings import Settings
from reco_pipeline_tests.model_tables import line, write_lines
from reco_pipeline_tests.reading import read_bytes

MONDAY = dt.date(2024, 6, 3)
NOW = dt.datetime(2024, 6, 3, 12, tzinfo=dt.UTC)


def test_median_and_spread_are_those_counted_by_hand() -> None:
    """Of 1, 2, 3, 4, 100 the median is 3 and the median deviation 1: one wild value moves neither."""
    assert usual([1, 2, 3, 4, 100]) == (3, 1.4826)
    assert robust_z(100, 3, 1.4826) == pytest.approx(65.43, abs=0.01)
    assert robust_z(5, 5, 0) == 0.0


def test_the_stability_index_is_the_one_counted_by_hand() -> None:
    """Shares of 50/50 that become 80/20 over many draws have an index of 0.416; equal ones have none."""
    moved = drift([8000, 2000], [5000, 5000], (10000, 10000))
    assert moved.index == pytest.approx(0.3 * 0.470004 + 0.3 * 0.916291, abs=1e-3)
    assert moved.worst == (1, 0)
    assert drift([50, 50], [500, 500], (10, 10)).index == pytest.approx(0, abs=1e-12)
    # The 99.9 % point of chi-squared with 9 degrees of freedom is 27.877.
    assert drift([1] * 10, [1] * 10, (100, 100)).noise == pytest.approx(27.877 * 2 / 100, rel=0.01)


def test_an_empty_bin_leaves_the_index_finite() -> None:
    """A bin that is gone, or new, moves the index without making it infinite."""
    assert 1 < drift([0, 100], [100, 0], (50, 50)).index < 20


def orders_of(day: int, orders: int = 60, **fields: Any) -> list[dict[str, Any]]:
    """Orders of two lines at usual prices; a field may be a function of order and place."""
    made = []
    for order in range(orders):
        for place, item in enumerate(("PID", "Hose" if order % 2 else "Pump")):
            given = {name: value(order, place) if callable(value) else value for name, value in fields.items()}
            usual_fields = {
                "item_name": item.lower(),
                "category": "Gear",
                "unit_price": 10 + place,
                "customer_id": f"c{order}",
                "ordered_at": dt.datetime(2024, 3, day, 12),  # noqa: DTZ001 - as the lake holds it
            }
            made.append(line(f"{day}-{order}", item, **(usual_fields | given)))
    return made


def compare(
    folder: Path, newest: Iterable[dict[str, Any]], *before: Iterable[dict[str, Any]], **options: Any
) -> RecentComparison:
    """The newest lines beside those of drops before."""
    new, old = [list(newest)], [list(one) for one in before]
    parts = [
        {f"{side}{n}": write_lines(folder / f"{side}{n}.parquet", lines) for n, lines in enumerate(drops)}
        for side, drops in (("new", new), ("old", old))
    ]
    counts = (sum(map(len, new)), sum(map(len, old)))
    return compare_recent(parts[0], parts[1], counts, **{"outlier_z": 5.0, **options})


def test_quiet_drops_have_no_contradiction_outlier_or_drift(tmp_path: Path) -> None:
    """A day like the days before it is compared in everything, and nothing is found."""
    found = compare(tmp_path, orders_of(3), orders_of(1), orders_of(2))
    assert (found.lines, found.lines_before, found.orders_newest, found.orders_before) == (120, 240, 60, 120)
    assert found.items == (3, 0, 0, ())
    assert found.orders == (60, 0, 0, ())
    assert found.prices == (120, 0, ())
    assert found.quantities == (120, 0, ())
    assert set(found.shifts) == {"items", "prices"}  # every order has two lines, of one category
    assert all(one.drift.index < 0.01 for one in found.shifts.values())


def test_two_names_and_two_categories_of_an_item_are_found(tmp_path: Path) -> None:
    """The name may differ between drops; the item is shown with both names."""
    renamed = orders_of(2, item_name=lambda order, place: "PID meter" if place == 0 else f"x{order % 2}")
    split = orders_of(1, category=lambda order, place: "Tools" if place == 0 and order == 5 else "Gear")
    found = compare(tmp_path, renamed, split)
    assert found.items[:3] == (3, 3, 1)
    assert found.items.rate == 1.0
    assert found.items.worst[0] == {
        "item_id": "PID",
        "lines": 240 // 2,
        "names": "PID meter | pid",
        "categories": "Gear | Tools",
    }


def test_orders_of_two_customers_or_two_days_are_found_without_naming_them(tmp_path: Path) -> None:
    """Offenders are shown by drop and line; an order over midnight is none."""
    noon = dt.datetime(2024, 3, 1, 23, 30)  # noqa: DTZ001 - as the lake holds it

    def times(order: int, place: int) -> dt.datetime:
        return noon + (dt.timedelta(days=place) if order == 7 else dt.timedelta(hours=place))

    found = compare(
        tmp_path,
        orders_of(1, ordered_at=times, customer_id=lambda order, place: f"c{place}" if order < 3 else "secret"),
    )
    assert found.orders[:3] == (60, 3, 1)
    assert found.orders.rate == 3 / 60
    assert [one["line"] for one in found.orders.worst] == [2, 4, 6, 16]
    assert found.orders.worst[-1] == {"drop": "new0", "line": 16, "two_customers": False, "two_days": True}
    assert "secret" not in str(found)


def test_prices_in_pence_and_huge_quantities_are_outliers_of_their_item(tmp_path: Path) -> None:
    """A hundred times the usual price is far, twice is not; 90 pieces are far where one is usual."""
    wild = orders_of(
        3,
        unit_price=lambda order, _: 1000 if order == 0 else 20 if order == 1 else 10,
        quantity=lambda order, place: 90 if (order, place) == (9, 0) else 1,
    )
    found = compare(tmp_path, wild, orders_of(1), orders_of(2))
    assert found.prices[:2] == (120, 2)
    assert found.prices.worst[0] == {
        "item_id": "PID",
        "lines": 1,
        "farthest": 1000.0,
        "usual": 10.0,
        "robust_z": 18.4,
    }
    assert found.quantities[:2] == (120, 1)
    assert found.quantities.worst[0]["farthest"] == 90.0


def test_without_a_past_a_drop_is_compared_with_itself_and_drift_is_not_asked(tmp_path: Path) -> None:
    """The first drop has outliers among its own lines, and no drift."""
    first = compare(tmp_path, orders_of(1, unit_price=lambda order, _: 1000 if order == 0 else 10))
    assert first.prices.beyond == 2
    assert first.shifts == {}
    assert compare(tmp_path, []).prices == (0, 0, ())


def test_another_mix_of_items_prices_and_baskets_is_drift(tmp_path: Path) -> None:
    """Every characteristic says how far it moved, beyond noise, with the shares that moved most."""
    other = [
        line(f"n-{order}", f"Item {order % 4}", unit_price=99, category="New") for order in range(200) for _ in range(6)
    ]
    found = compare(tmp_path, other, orders_of(1, 100), orders_of(2, 100, category="Tools"))
    assert set(found.shifts) == {"items", "categories", "prices", "baskets"}
    assert all(one.drift.index > max(0.25, one.drift.noise) for one in found.shifts.values())
    assert found.shifts["baskets"].worst[0]["of"] == "baskets"
    values = {one["value"]: (one["share_before"], one["share_now"]) for one in found.shifts["items"].worst}
    assert values["all others"] == (0.0, 1.0)


def test_of_too_many_lines_whole_orders_are_drawn_the_same_each_time(tmp_path: Path) -> None:
    """The work is bounded; an order is drawn with all its lines, and the same orders again."""
    lines = [line(f"o{order}", item) for order in range(2000) for item in ("a", "b")]
    found = compare(tmp_path, lines, looked_at=400)
    assert 250 < found.lines < 600
    assert found.lines == 2 * found.orders_newest
    assert compare(tmp_path, lines, looked_at=400) == found


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    """Lines that are gone are an error, not a comparison with less."""
    with pytest.raises(LakeError, match="does not exist"):
        compare_recent({"a": tmp_path / "a.parquet"}, {}, (1, 0), outlier_z=5)


def test_invalid_values_are_counted_by_column(tmp_path: Path) -> None:
    """Every column at fault in a line counts, whichever reason decided; excluded lines do not."""
    text = (
        "order_id,item_name,quantity,unit_price,ordered_at\n"
        "1,PID,1,2,2024-01-01\n"
        "2,PID,x,y,2024-01-01\n"
        "3,PID,0,1,never\n"
        ",PID,1,1,2024-01-01\n"
    )
    read = read_bytes(text.encode(), tmp_path)
    assert read.result.counts.lines_quarantined == 3
    (part,) = tmp_path.glob("read-*/lake/quarantined_lines/drop.parquet")
    assert invalid_values({"drop": part}, VALUE_REASONS) == {"drop": {"quantity": 2, "unit_price": 1, "ordered_at": 1}}
    assert invalid_values({}, VALUE_REASONS) == {}


def test_sources_by_turns_are_each_compared_with_themselves(tmp_path: Path) -> None:
    """A till and a web shop sell other things at other prices, one with more faults: their turns are no news."""
    home = open_home(Settings(home=tmp_path / "home"))
    wares = {"till": ("PID", 10, 0), "web": ("Bow", 500, 4)}

    def compared(*given: tuple[str, str]) -> tuple[RecentComparison, set[Kind]]:
        files = []
        for source, sells in given:
            item, price, faults = wares[sells]
            rows = [f"{n},{item if n % 2 else 'String'},1,{price + n % 2},2024-03-01" for n in range(40)]
            rows += [f"9{n},{item},x,{price},2024-03-01" for n in range(faults)]
            files.append((tmp_path / f"{source}-{len(home.ledger.drops())}.csv", SourceProfile(name=source)))
            text = "\n".join(["order_id,item_name,quantity,unit_price,order_date", *rows, ""])
            files[-1][0].write_text(text + "\n" * len(home.ledger.drops()))  # other bytes, or it is no new drop
        keys = [one.drop_key for one in home.ledger.register(files, now=NOW) if one.drop_key]
        ingest(home.ledger, keys, now=NOW, run_id=None)
        verdicts = drop_verdicts(home.ledger, home.lake, QualityLimits())
        found = recent_comparison(verdicts, home.lake, recent_drops=10, outlier_z=5.0)
        assert found is not None
        return found, {one.kind for verdict in newest_batch(verdicts) for one in verdict.findings}

    compared(("till", "till"))
    compared(("web", "web"))
    for source in ("till", "web", "till", "web", "till", "web"):
        found, kinds = compared((source, source))
        assert set(found.shifts) == {"items", "prices"}
        assert all(shift.drift.index < 0.01 for shift in found.shifts.values())
        assert found.prices.beyond == 0
        assert Kind.JUMP not in kinds
    found, kinds = compared(("till", "web"))
    assert found.shifts["items"].drift.index > 1
    assert Kind.JUMP in kinds
    found, _ = compared(("till", "till"), ("web", "web"))
    assert set(found.shifts) == {"items of till", "prices of till", "items of web", "prices of web"}
    assert (found.orders_newest, found.prices.beyond) == (80, 0)
    assert {row["of"] for row in found.shifts["items of web"].worst} == {"items of web"}


def weeks(counts: dict[int, int], last: int = 0) -> Volumes:
    """The same number of orders on every day of eight weeks before MONDAY, with other counts by days from it."""
    days = {MONDAY + dt.timedelta(days=n): DayVolume(100, 300) for n in range(-56, last + 1)}
    days |= {MONDAY + dt.timedelta(days=n): DayVolume(c, 3 * c) for n, c in counts.items()}
    return Volumes(days, [(MONDAY, MONDAY + dt.timedelta(days=last))])


def judged(volumes: Volumes, received_on: dt.date) -> list[JudgedDay]:
    """The days of one source against eight weeks."""
    return judge_days("till", volumes, 8, received_on)


def test_a_day_is_judged_by_its_weekday_before() -> None:
    """Half the usual orders are far from eight weeks of 100, 85 are not, and a closed Sunday is as usual."""
    after = MONDAY + dt.timedelta(days=9)
    assert judged(weeks({0: 50}), after)[0].farthest == pytest.approx(150 / 30)
    assert judged(weeks({0: 85}), after)[0].orders_z == pytest.approx(-1.5)
    sundays = dict.fromkeys(range(-50, 8, 7), 0)
    days = {one.day.weekday(): one for one in judged(weeks(sundays, last=7), after)}
    assert days[6].farthest == 0.0
    assert days[6].usual_orders == 0


def test_a_day_that_is_missing_counts_as_zero_and_one_not_over_is_left_out() -> None:
    """A hole between two days of the newest drops is seen; the day of receipt may still fill."""
    volumes = weeks({}, last=2)
    hole = Volumes({day: v for day, v in volumes.days.items() if day != MONDAY + dt.timedelta(days=1)}, volumes.spans)
    days = judged(hole, MONDAY + dt.timedelta(days=2))
    assert [(one.day.weekday(), one.volume.orders) for one in days] == [(0, 100), (1, 0)]
    assert days[1].orders_z == -10.0


def test_less_than_four_weeks_are_no_past() -> None:
    """In the first weeks of a shop nothing is usual."""
    young = {day: volume for day, volume in weeks({}).days.items() if day > MONDAY - dt.timedelta(days=25)}
    assert judged(Volumes(young, [(MONDAY, MONDAY)]), MONDAY + dt.timedelta(days=9)) == []
    assert judged(Volumes({}), MONDAY) == []


def write_orders(path: Path, rows: str) -> Path:
    """An `orders` table of rows `(source, order, days from MONDAY, drop)`, two items each."""
    duckdb.sql(
        f"""COPY (SELECT source, source || n AS order_id, unnest(['a', 'b']) AS item_id, drop_key,
              CAST('{MONDAY}' AS TIMESTAMP) + INTERVAL 1 DAY * day AS ordered_at
              FROM (SELECT row_number() OVER () AS n, * FROM ({rows}) t(source, day, drop_key)))
        TO '{path}' (FORMAT parquet)"""
    )
    return path


def test_days_are_counted_from_the_orders_of_all_drops(tmp_path: Path) -> None:
    """Each order once, lines per item; only days that judging the newest drops needs."""
    weekly = "SELECT 's', -7 * (n % 20), CASE WHEN n % 20 = 0 THEN 'new' ELSE 'old' END FROM range(100) t(n)"
    path = write_orders(tmp_path / "orders.parquet", weekly)
    receipts = {"s": Receipts(MONDAY + dt.timedelta(days=1), MONDAY - dt.timedelta(days=6))}
    (volumes,) = day_volumes(path, ["new"], receipts, 8).values()
    assert volumes.spans == ((MONDAY, MONDAY),)
    assert volumes.days == {MONDAY - dt.timedelta(weeks=n): DayVolume(5, 10) for n in range(9)}
    assert day_volumes(path, ["none"], receipts, 8) == {}


def test_another_source_is_no_part_of_a_day(tmp_path: Path) -> None:
    """Two tills with 50 orders a day each: the day that only one has exported yet is a full day of that one."""
    tills = "SELECT till, -7 * w, CASE WHEN w = 0 THEN 'new' ELSE 'old' END FROM range(9) a(w), range(50) b(n), "
    rows = tills + "(VALUES ('east'), ('west')) c(till) WHERE w > 0 OR till = 'east'"
    path = write_orders(tmp_path / "orders.parquet", rows)
    found = day_volumes(path, ["new"], {"east": Receipts(MONDAY + dt.timedelta(days=1), MONDAY)}, 8)
    assert list(found) == ["east"]
    (day,) = judge_days("east", found["east"], 8, MONDAY + dt.timedelta(days=1))
    assert (day.source, day.volume.orders, day.usual_orders, day.farthest) == ("east", 50, 50, 0.0)


def test_a_day_exported_on_that_very_day_is_judged_with_the_next_export(tmp_path: Path) -> None:
    """Every day comes at its own evening: Monday is left open then, and judged on Tuesday, once."""
    daily = "SELECT 's', d, CASE WHEN d = {newest} THEN 'new' ELSE 'old' END FROM range(-60, {newest} + 1) a(d), "
    rows = daily + "range(40) b(n) WHERE d <> 0 OR n < 10"

    def days(newest: int, before: int) -> list[tuple[int, int]]:
        path = write_orders(tmp_path / f"orders-{newest}-{before}.parquet", rows.format(newest=newest))
        received = [MONDAY + dt.timedelta(days=n) for n in (newest, before)]
        found = day_volumes(path, ["new"], {"s": Receipts(*received)}, 8)["s"]
        return [((one.day - MONDAY).days, one.volume.orders) for one in judge_days("s", found, 8, received[0])]

    assert days(0, -1) == [(-1, 40)]
    assert days(1, 0) == [(0, 10)]
    assert days(2, 1) == [(1, 40)]


def batch(number: int, newest: int, received: int, source: str = "shop") -> DropFacts:
    """A drop of March 2024 by the days of its newest order and its receipt."""
    times = [dt.datetime(2024, 3, day) for day in (newest, newest)]  # noqa: DTZ001 - as the lake holds it
    at = dt.datetime(2024, 3, received, tzinfo=dt.UTC)
    contents = LineContents(1, {}, *times)
    return DropFacts(f"d{number}", f"d{number}.csv", number, at, 1, 0, 0, (), contents, source)


def test_lateness_is_measured_against_the_batches_before() -> None:
    """One day old is usual, five are late with three days of slack, and another source has no say."""
    past = [batch(n, n, n + 1) for n in (1, 2, 3)]
    found = judge_timeliness([*past, batch(4, 9, 14)], 10)
    assert (found.age_days, found.usual_age_days, found.backlog_days) == (5.0, 1.0, -6.0)
    assert found.late(3)
    assert not found.late(4)
    other = judge_timeliness([*past, batch(4, 9, 14, "other")], 10)
    assert (other.usual_age_days, other.batches_before) == (None, 0)
    assert not other.late(0)
    assert judge_timeliness([], 10).age_days is None


def test_only_checks_that_warn_can_be_raised() -> None:
    """A name that is none stops the start, with the names there are."""
    assert raised_checks(" quality_score, mix_steady,") == {"quality_score", "mix_steady"}
    assert raised_checks("") == frozenset()
    with pytest.raises(ConfigError, match=r"RECO_ERROR_CHECKS names drift, which is no check that warns\."):
        raised_checks("drift,dates_sane")
    with pytest.raises(ConfigError, match="lines_reconcile"):
        raised_checks("lines_reconcile")
