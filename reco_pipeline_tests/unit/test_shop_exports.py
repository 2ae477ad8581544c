"""Exports as shop systems write them, through the built-in profiles."""

import csv
import io
from pathlib import Path

import polars as pl

from reco.orders.accepted import OrderPart
from reco.orders.profiles import SourceProfile
from reco.orders.view import build_orders
from reco_pipeline_tests.reading import ReadDrop, read_bytes

SHOPIFY_LINE = (
    "Name,Email,Financial Status,Paid at,Fulfillment Status,Fulfilled at,Accepts Marketing,Currency,Subtotal,Shipping,"
    "Taxes,Total,Discount Code,Discount Amount,Shipping Method,Created at,Lineitem quantity,Lineitem name,"
    "Lineitem price,Lineitem compare at price,Lineitem sku,Lineitem requires shipping,Lineitem taxable,"
    "Lineitem fulfillment status,"
    "Billing Name,Billing Street,Notes,Cancelled at,Payment Method,Refunded Amount,Vendor,Id,Tags,Risk Level,Source"
)
SHOPIFY = next(csv.reader([SHOPIFY_LINE]))
WOO = ("Order Number", "Order Status", "Order Date", "Item Name", "Quantity", "Item Cost", "Order Line Subtotal")


def export(header: list[str], *lines: dict[str, str]) -> bytes:
    """A CSV with this header; a line names only the fields it is about."""
    target = io.StringIO(newline="")
    writer = csv.DictWriter(target, header, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return target.getvalue().encode()


def first(
    name: str, item: str, status: str = "paid", at: str = "2024-03-05 23:30:00 -0500", **more: str
) -> dict[str, str]:
    """The first line of a Shopify order, which alone has what belongs to the order."""
    order = {"Name": name, "Email": "ann@example.com", "Financial Status": status, "Currency": "USD", "Created at": at}
    return order | following(name, item) | {"Total": "30.00", "Id": "5551234567890"} | more


def following(name: str, item: str) -> dict[str, str]:
    return {
        "Name": name,
        "Lineitem name": item,
        "Lineitem quantity": "2",
        "Lineitem price": "1,234.50",
        "Lineitem fulfillment status": "pending",
        "Vendor": "Rental",
    }


def orders_of(read: ReadDrop, folder: Path) -> pl.DataFrame:
    part, out = folder / "part.parquet", folder / "orders.parquet"
    read.accepted.write_parquet(part)
    build_orders([OrderPart(part, "drop", 1, "orders.csv")], out)
    return pl.read_parquet(out)


def test_a_shopify_order_has_the_date_and_customer_of_its_first_line(tmp_path: Path) -> None:
    """All lines are accepted, offsets count, and in the orders each item has the order's date and customer."""
    text = export(SHOPIFY, first("#1001", "Pump, 2 in / Red"), following("#1001", "Hose"), first("#1002", "Hose"))
    read = read_bytes(text, tmp_path, "shopify")
    assert (read.accepted.height, read.faults) == (3, {})
    assert read.column("item_id") == ["Pump, 2 in / Red", "Hose", "Hose"]
    orders = orders_of(read, tmp_path).sort("order_id", "item_id")
    assert orders["order_id"].to_list() == ["#1001", "#1001", "#1002"]
    assert orders["customer_id"].to_list() == ["ann@example.com"] * 3
    assert {time.isoformat() for time in orders["ordered_at"].to_list()} == {"2024-03-06T04:30:00"}
    assert [str(revenue) for revenue in orders["revenue"].to_list()] == ["2469.0000"] * 3


def test_a_refunded_shopify_order_is_left_out_as_a_whole(tmp_path: Path) -> None:
    """The status of the first line counts for the lines below it too, and a part refund for none."""
    text = export(
        SHOPIFY,
        first("#1001", "Pump", "refunded"),
        following("#1001", "Hose"),
        first("#1002", "Hose", "partially_refunded"),
        following("#1002", "Pump"),
        first("#1003", "Pump", "Voided"),
    )
    read = read_bytes(text, tmp_path, "shopify")
    assert read.faults == dict.fromkeys([2, 3, 6], "excluded_status")
    assert read.others["value"].to_list() == ["refunded", None, "Voided"]
    assert read.column("order_id") == ["#1002", "#1002"]


def test_a_shopify_export_without_a_status_is_read(tmp_path: Path) -> None:
    """The profile's rule asks for no column that the shop took out of its export."""
    header = ["Name", "Email", "Created at", "Lineitem quantity", "Lineitem name", "Lineitem price", "Lineitem sku"]
    read = read_bytes(
        export(header, {k: v for k, v in first("#1", "Pump").items() if k in header}), tmp_path, "shopify"
    )
    assert read.column("item_id") == ["Pump"]


def test_a_woocommerce_export_leaves_out_what_was_not_bought(tmp_path: Path) -> None:
    """One line an item with the labels of the plugin; failed and cancelled orders are excluded, not lost."""
    lines = [
        ("101", "Completed", "2024-03-05 11:30", "Hose", "2", "9.99", "19.98"),
        ("101", "Completed", "2024-03-05 11:30", "Pump &amp; Filter", "1", "120", "120"),
        ("102", "wc-cancelled", "2024-03-05 12:00", "Hose", "1", "9.99", "9.99"),
        ("103", "Failed", "2024-03-06 12:00", "Hose", "1", "9.99", "9.99"),
    ]
    text = export(list(WOO), *(dict(zip(WOO, line, strict=True)) for line in lines))
    read = read_bytes(text, tmp_path, "woocommerce")
    assert read.column("order_id") == ["101", "101"]
    assert read.faults == {4: "excluded_status", 5: "excluded_status"}


def test_a_composite_order_is_one_order_in_the_view(tmp_path: Path) -> None:
    """Day and customer together are an order: the same customer on another day has another one."""
    profile = SourceProfile.checked(
        {"name": "till", "columns": {"order_id": ["day", "who"], "item_id": "sku", "customer_id": "who"}}, "a test"
    )
    text = b"day,who,sku\n2024-01-31,7,a\n2024-01-31,7,b\n2024-02-01,7,a\n2024-01-31,8,a\n,8,a\n"
    read = read_bytes(text, tmp_path, profile)
    assert read.faults == {6: "missing_order_id"}
    orders = orders_of(read, tmp_path)
    assert sorted(set(orders["order_id"].to_list())) == ["2024-01-31|7", "2024-01-31|8", "2024-02-01|7"]
    assert orders.height == 4
