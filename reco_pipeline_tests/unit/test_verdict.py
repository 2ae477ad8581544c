"""Promises of the quality figures: each by hand, each limit seen to matter, nothing found where nothing is wrong."""

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reco.audit.catalogue import CATALOGUE
from reco.audit.contents import LineContents, line_contents
from reco.audit.verdict import DropFacts, Kind, QualityLimits, column_completeness, judge_drops
from reco.errors import LakeError
from reco.orders.verdicts import KEY_COLUMNS, newest_batch, quality_limits
from reco.settings import Settings, load_settings
from reco_pipeline_tests.model_tables import line, write_lines

RECEIVED = dt.datetime(2024, 3, 10, 8, 0, tzinfo=dt.UTC)
LIMITS = QualityLimits()


def at(*parts: int) -> dt.datetime:
    """A time as the lake holds it: UTC without a zone."""
    return dt.datetime(*parts)  # type: ignore[arg-type] # noqa: DTZ001 - see above


def drop(key: str = "today", **fields: Any) -> DropFacts:
    """A drop of 100 good lines of one day, with a customer on each."""
    contents = LineContents(
        fields.pop("lines", 100),
        {"customer_id": fields.pop("customers", 100)},
        fields.pop("first", at(2024, 3, 9, 9)),
        fields.pop("last", at(2024, 3, 9, 18)),
    )
    facts = DropFacts(key, f"{key}.csv", 1, RECEIVED, 100, 0, 0, ("customer_id",), contents)
    return replace(facts, **fields)


def found(*drops: DropFacts, limits: QualityLimits = LIMITS) -> dict[Kind, str]:
    """What is found about the last of these drops."""
    return {one.kind: one.message for one in judge_drops(drops, limits)[-1].findings}


def test_figures_of_a_drop_are_those_counted_by_hand() -> None:
    """30 of 120 lines quarantined, 6 repeated, 45 of 90 with a customer: 75 points, 25 %, 5 % and 50 %."""
    verdict = judge_drops([drop(read=120, quarantined=30, duplicates=6, lines=90, customers=45)], LIMITS)[0]
    assert verdict.quality_score == 75.0
    assert verdict.quarantine_rate == 0.25
    assert verdict.duplicate_rate == 0.05
    assert verdict.completeness == {"customer_id": 0.5}
    assert verdict.recent_rate is None
    assert {one.kind for one in verdict.findings} == {Kind.SCORE, Kind.QUARANTINE}


def test_nothing_is_found_about_a_good_drop_or_an_empty_one() -> None:
    """A drop as it should be has no finding, nor has one without a line."""
    assert found(drop()) == {}
    assert found(drop(read=0, lines=0, customers=0, first=None, last=None)) == {}


@pytest.mark.parametrize(
    ("poor", "kind", "says"),
    [
        ({"quarantined": 6}, Kind.SCORE, "quality score 94.0, below 95"),
        ({"quarantined": 3}, Kind.QUARANTINE, "3.00% of lines quarantined, above 2.00%"),
        ({"duplicates": 6}, Kind.DUPLICATES, "6.00% of lines repeat another exactly, above 5.00%"),
        ({"customers": 49}, Kind.COMPLETENESS, "customer_id has a value in 49.00% of lines, below 50.00%"),
    ],
)
def test_each_limit_finds_what_is_worse_and_nothing_at_the_limit(poor: dict[str, Any], kind: Kind, says: str) -> None:
    """A figure one line beyond its limit is a finding in numbers; at the limit it is none."""
    assert found(drop(**poor))[kind] == says
    (name, value) = next(iter(poor.items()))
    assert kind not in found(drop(**{name: value + (1 if name == "customers" else -1)}))


def test_a_jump_is_measured_against_the_drops_before_it() -> None:
    """Four drops of 1 % before: 4 % is a jump, 3 % is none, and two drops are no past."""
    past = [drop(f"day-{n}", quarantined=1) for n in range(4)]
    assert found(*past, drop(quarantined=4))[Kind.JUMP] == "4.00% of lines quarantined, in the 4 drops before it 1.00%"
    assert Kind.JUMP not in found(*past, drop(quarantined=3))
    assert Kind.JUMP not in found(*past[:2], drop(quarantined=50))


def test_a_jump_from_nothing_needs_half_a_percent() -> None:
    """After drops without any quarantined line, one in 200 is no jump and two are."""
    past = [drop(f"day-{n}") for n in range(3)]
    assert Kind.JUMP not in found(*past, drop(read=200, quarantined=1))
    assert Kind.JUMP in found(*past, drop(read=200, quarantined=2))


def test_only_the_recent_past_counts() -> None:
    """With recent_drops = 3, bad drops of long ago no longer hide a jump."""
    old = [drop(f"old-{n}", quarantined=40) for n in range(5)]
    past = [drop(f"day-{n}") for n in range(3)]
    assert Kind.JUMP not in found(*old, *past, drop(quarantined=10))
    assert Kind.JUMP in found(*old, *past, drop(quarantined=10), limits=replace(LIMITS, recent_drops=3))


def test_dates_in_the_future_far_back_or_over_too_long_a_span_are_found() -> None:
    """More than 14 hours after receipt, a year before the drops before it, over ten years in one drop."""
    assert found(drop(last=at(2024, 3, 10, 23)))[Kind.DATES] == (
        "newest order at 2024-03-10 23:00, received 2024-03-10 08:00"
    )
    assert Kind.DATES not in found(drop(last=at(2024, 3, 10, 22)))
    early = drop("early", first=at(2022, 1, 1), last=at(2022, 2, 1))
    assert "more than 366 days" in found(drop("first"), early)[Kind.DATES]
    assert found(early, drop()) == {}
    assert found(drop(first=at(2000, 1, 1)))[Kind.DATES] == "orders from 2000-01-01 to 2024-03-09, more than 3660 days"


def test_completeness_counts_only_drops_whose_file_has_the_column() -> None:
    """A column that a file does not have is not incomplete; over several drops lines are added, not shares."""
    without = drop("without", columns=(), customers=0)
    assert column_completeness([without]) == {}
    assert column_completeness([without, drop(lines=100, customers=40), drop(lines=300, customers=300)]) == {
        "customer_id": 340 / 400
    }


def test_the_newest_batch_is_the_one_that_came_last() -> None:
    """Drops given together are judged together."""
    verdicts = judge_drops([drop("a", batch=1), drop("b", batch=3), drop("c", batch=3)], LIMITS)
    assert [one.facts.key for one in newest_batch(verdicts)] == ["b", "c"]
    assert newest_batch([]) == []


def test_defaults_of_the_settings_are_those_of_the_rules(tmp_path: Path) -> None:
    """The rules used without settings are the documented ones."""
    assert quality_limits(load_settings(home=tmp_path)) == QualityLimits()


def test_contents_are_counted_for_each_drop(tmp_path: Path) -> None:
    """Nulls and empty texts are no values; a drop without lines has none; times are the least and the greatest."""
    first = write_lines(
        tmp_path / "a[1].parquet",
        [
            line("1", "PID", customer_id="c", ordered_at=at(2024, 1, 2)),
            line("1", "Hose", customer_id="", ordered_at=at(2024, 1, 1)),
            line("2", "PID"),
        ],
    )
    empty = write_lines(tmp_path / "b.parquet", [])
    contents = line_contents({"a": first, "b": empty}, (*KEY_COLUMNS, "customer_id", "line_total"))
    assert contents["a"] == LineContents(
        3,
        {"source": 3, "line": 3, "order_id": 3, "item_id": 3, "quantity": 3, "customer_id": 1, "line_total": 0},
        at(2024, 1, 1),
        at(2024, 1, 2),
    )
    assert contents["b"].lines == 0
    assert set(contents["b"].present.values()) == {0}
    assert line_contents({}, KEY_COLUMNS) == {}
    with pytest.raises(LakeError, match="does not exist"):
        line_contents({"c": tmp_path / "c.parquet"}, KEY_COLUMNS)


QUALITY = (Path(__file__).parents[2] / "docs" / "quality.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(one.name for one in CATALOGUE))
def test_every_check_is_documented(name: str) -> None:
    """A check stands in the documents by its name."""
    assert f"`{name}`" in QUALITY


@pytest.mark.parametrize("name", [name for name in Settings.model_fields if "_warn_" in name or name == "recent_drops"])
def test_every_limit_is_documented_with_its_default(name: str) -> None:
    """The table of limits has each setting and the default in effect."""
    assert f"| `RECO_{name.upper()}` | {Settings.model_fields[name].default:g} |" in QUALITY
