"""Promises of the described tables: what Dagster shows is what the files hold, and no customer is in it."""

from pathlib import Path

import pyarrow.parquet as pq

from assets.tables import column_lineage, markdown_table, preview
from reco.model.columns import TABLES
from reco.orders.merging import MergedItem, write_merged
from reco.orders.parts import ORDER_LINES_SCHEMA, QUARANTINED_SCHEMA
from reco_pipeline_tests.model_tables import build, line, part, types


def described(table: str) -> dict[str, str]:
    """Names and types as described."""
    return {one.name: one.sql_type for one in TABLES[table]}


def test_the_description_of_every_table_is_that_of_its_file(tmp_path: Path) -> None:
    """Names, order and types of the columns are those of the Parquet files that are written."""
    for table, schema in (("order_lines", ORDER_LINES_SCHEMA), ("quarantined_lines", QUARANTINED_SCHEMA)):
        with pq.ParquetWriter(tmp_path / f"{table}.parquet", schema) as writer:
            writer.write_table(schema.empty_table())
        assert list(types(tmp_path / f"{table}.parquet").items()) == list(described(table).items())
    built = build(tmp_path / "lake", [part(tmp_path, "a", [line("1", "PID", total="2.5"), line("1", "Hose")])])
    merged = tmp_path / "merged.parquet"
    write_merged([MergedItem("shop", "a", "A", 3)], merged)
    files = {
        "orders": built.orders,
        "merged_items": merged,
        "item_stats": built.stats,
        "item_cooccurrence": built.pairs,
        "similar_items": built.similar,
    }
    for table, path in files.items():
        assert list(types(path).items()) == list(described(table).items()), table
    others = {
        "order_lines",
        "quarantined_lines",
        "catalogue",
        "model_evaluation",
        "score_choice",
    }  # elsewhere
    assert set(TABLES) == {*others, *files}


def test_columns_come_from_columns_that_exist() -> None:
    """Every source in the lineage is a described column of another table."""
    for table, columns in TABLES.items():
        for one in columns:
            for source, name in one.sources:
                assert name in described(source), f"{table}.{one.name} from {source}.{name}"
                assert source != table


def test_lines_come_from_the_columns_of_the_drop() -> None:
    """The lineage of order lines names the headers of the file, several where several were joined."""
    lineage = column_lineage("order_lines", {"order_id": ["Date", "Customer"], "item_id": "SKU"})
    deps = lineage["dagster/column_lineage"].deps_by_column
    assert {dep.column_name for dep in deps["order_id"]} == {"Date", "Customer"}
    assert [(dep.asset_key.to_user_string(), dep.column_name) for dep in deps["item_id"]] == [("raw_orders", "SKU")]


def test_a_preview_shows_no_customer_and_no_order(tmp_path: Path) -> None:
    """Whatever is stored of people stays out of the event log; columns without any value are left out."""
    lines = [line("secret-order", "00123", customer_id="alice", item_name="PID")]
    shown = str(preview("order_lines", part(tmp_path, "a", lines).path)["preview"].value)
    assert "00123" in shown
    assert "alice" not in shown
    assert "secret-order" not in shown
    assert "unit_price" not in shown


def test_no_value_becomes_markup_or_another_number() -> None:
    """Ids keep their zeros, and bars, tags and line ends of a name cannot break out of their cell."""
    assert "| 00123 " in str(markdown_table(["item"], [["00123"], ["00456"]]).value)
    shown = str(markdown_table(["item", "n"], [["00123", 1234], ["a|b\n<img src=x>", None]]).value)
    assert "1,234" in shown
    assert "a\\|b &lt;img src=x>" in shown
    assert len(shown.splitlines()) == 4
