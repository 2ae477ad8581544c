"""Known answers on real order files: the counts that people published or that were measured another way."""

import tarfile
from pathlib import Path

import duckdb
import pytest

from reco.model.checks import check_key_nulls, check_similar_bounds, check_symmetry
from reco.model.cooccurrence import Engine, build_cooccurrence
from reco.orders.accepted import OrderPart
from reco_pipeline_tests.model_tables import Built, build, rows

OPTIONAL = {
    "quantity": "1::BIGINT",
    "line_total": "NULL::DECIMAL(18,4)",
    "customer_id": "NULL::VARCHAR",
    "item_name": "NULL::VARCHAR",
    "category": "NULL::VARCHAR",
    "ordered_at": "NULL::TIMESTAMP",
}


def as_lines(csv: Path, out: Path, order_id: str, item_id: str, where: str = "true", **columns: str) -> OrderPart:
    """A drop whose order lines are SQL expressions over the text columns of a CSV file."""
    fields = ", ".join(f"{expression} AS {name}" for name, expression in {**OPTIONAL, **columns}.items())
    with duckdb.connect() as con:
        con.execute(
            f"""
            COPY (
                SELECT row_number() OVER () + 1 AS line, {order_id} AS order_id, {item_id} AS item_id, {fields},
                       NULL::DECIMAL(18,4) AS unit_price, 'real' AS source
                FROM read_csv('{csv}', all_varchar = true, header = true) WHERE {where}
            ) TO '{out}' (FORMAT parquet)
            """
        )
    return OrderPart(out, out.stem, 1, csv.name)


def assert_sound(made: Built, parts: list[OrderPart]) -> None:
    """Every check of the model passes, and both engines make the same pairs, to the byte."""
    engines: tuple[Engine, ...] = ("sort", "kernel")
    for engine in engines:
        again = made.pairs.with_name(engine)
        assert build_cooccurrence(made.orders, again, engine=engine) == made.pairs_report
        assert again.read_bytes() == made.pairs.read_bytes()
    assert check_key_nulls([p.path for p in parts]).passed
    assert check_symmetry(made.pairs, made.stats).pairs == made.pairs_report.pairs
    assert check_symmetry(made.pairs, made.stats).passed
    assert check_similar_bounds(made.similar).passed


def test_groceries(real_data: Path, tmp_path: Path) -> None:
    """Groceries of the association-rule literature: 9,835 orders, 169 items, whole milk in 2,513 of them."""
    one = as_lines(real_data / "arules_groceries.csv.gz", tmp_path / "lines.parquet", '"transaction"', "item")
    made = build(tmp_path / "out", [one])
    report = made.orders_report
    assert (report.lines, report.rows, report.orders, report.items) == (43_367, 43_367, 9_835, 169)
    assert [(r[0], r[3], r[9]) for r in rows(made.stats)[:2]] == [
        ("whole milk", 2_513, 1),
        ("other vegetables", 1_903, 2),
    ]
    pair = {r[:2]: r[2:] for r in rows(made.pairs)}
    assert pair["whole milk", "other vegetables"] == pair["other vegetables", "whole milk"] == (736, None)
    lift = {r[:2]: r[6] for r in rows(made.similar)}["whole milk", "other vegetables"]
    assert lift == pytest.approx(736 * 9_835 / (2_513 * 1_903), rel=1e-12)
    assert_sound(made, [one])


@pytest.mark.slow
def test_instacart(real_data: Path, tmp_path: Path) -> None:
    """Instacart's training orders: exactly 5,711,806 distinct pairs."""
    csv = real_data / "instacart_train_order_products.csv.gz"
    one = as_lines(csv, tmp_path / "lines.parquet", "order_id", "product_id")
    made = build(tmp_path / "out", [one])
    report = made.orders_report
    assert (report.lines, report.orders, report.items) == (1_384_617, 131_209, 39_123)
    assert (made.pairs_report.pairs, made.pairs_report.pair_occurrences) == (5_711_806, 10_741_920)
    assert_sound(made, [one])


@pytest.mark.slow
def test_complete_journey(real_data: Path, tmp_path: Path) -> None:
    """Complete Journey, lines of quantity above zero: exactly 11,856,643 distinct pairs."""
    one = as_lines(
        real_data / "complete_journey_transactions.csv.gz",
        tmp_path / "lines.parquet",
        "basket_id",
        "product_id",
        where="quantity::DOUBLE > 0",
        quantity="quantity::BIGINT",
        line_total="sales_value::DECIMAL(18,4)",
        customer_id="household_id",
        ordered_at="transaction_timestamp::TIMESTAMP",
    )
    made = build(tmp_path / "out", [one])
    report = made.orders_report
    assert (report.lines, report.orders, report.items) == (1_460_438, 155_518, 68_260)
    assert made.pairs_report.pairs == 11_856_643
    assert_sound(made, [one])


@pytest.mark.slow
def test_online_retail_by_day(real_data: Path, tmp_path: Path) -> None:
    """UCI Online Retail as 305 daily drops, every line kept, one order of 1,110 lines: 3,751,576 pairs."""
    with tarfile.open(real_data / "online_retail_by_day.tar.gz") as archive:
        archive.extractall(tmp_path / "csv", filter="data")
    (tmp_path / "lines").mkdir()
    parts = [
        as_lines(csv, tmp_path / "lines" / f"{csv.stem}.parquet", "InvoiceNo", "StockCode")
        for csv in sorted((tmp_path / "csv").rglob("*.csv"))
    ]
    made = build(tmp_path / "out", parts)
    report = made.orders_report
    assert (len(parts), report.lines, report.orders, report.items) == (305, 541_909, 25_900, 4_070)
    assert made.pairs_report.pairs == 3_751_576
    assert_sound(made, parts)
