"""Promises about the orders beside a snapshot: every order is found, by looking at few rows."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reco.errors import LakeError, OrderNotFound
from reco.snapshot.order_book import ROWS_PER_GROUP, SERVED_ORDERS, keep_orders, order_items, rename_orders
from reco.storage.lake import Lake

SID = "20240601T120000Z-00000001"
ORDERS = 12_000


def orders_of(lake: Lake) -> Path:
    """Orders of two sources with the same ids, two items each, in no order."""
    rows = [
        (f"{n * 7919 % ORDERS}", source, f"item {n % 40 + k}") for n in range(ORDERS) for k in (0, 1) for source in "ba"
    ]
    columns: Any = dict(zip(("order_id", "source", "item_id"), map(list, zip(*rows, strict=True)), strict=True))
    with lake.replace("orders") as path:
        pq.write_table(pa.table(columns), path)
    return lake.path("orders")


def test_an_order_is_found_by_the_bounds_of_small_groups(tmp_path: Path) -> None:
    """Each group tells its first and last order id, and holds few rows; rows are as in `orders`, sorted."""
    lake = Lake(tmp_path)
    keep_orders(lake, orders_of(lake), SID)
    path = lake.path(SERVED_ORDERS, SID)
    table = pq.read_table(path)
    assert table.schema.equals(pa.schema([(name, pa.string()) for name in ("order_id", "source", "item_id")]))
    found = [tuple(row.values()) for row in table.to_pylist()]
    assert found == sorted(tuple(row.values()) for row in pq.read_table(lake.path("orders")).to_pylist())
    meta, bounds = pq.read_metadata(path), []
    for number in range(meta.num_row_groups):
        group = meta.row_group(number)
        assert group.num_rows <= ROWS_PER_GROUP
        told = group.column(0).statistics
        assert told is not None
        bounds.append((str(told.min), str(told.max)))
    assert len(bounds) == -(-len(found) // ROWS_PER_GROUP)
    assert sum(low <= "777" <= high for low, high in bounds) <= 2
    assert order_items(lake, SID, "7919", "a") == ["item 1", "item 2"]
    with pytest.raises(OrderNotFound):
        order_items(lake, SID, "7919")


def test_orders_are_written_once_and_take_other_ids(tmp_path: Path) -> None:
    """A file of the same orders is left as it is; one whose order got another id is found by that."""
    lake = Lake(tmp_path)
    orders = orders_of(lake)
    keep_orders(lake, orders, SID)
    path = lake.path(SERVED_ORDERS, SID)
    assert rename_orders(lake, SID, lambda s, o: "aa" if (s, o) == ("a", "5") else None) == 1
    assert order_items(lake, SID, "aa") == order_items(lake, SID, "5", "b")
    with pytest.raises(OrderNotFound):
        order_items(lake, SID, "5", "a")
    ids: Any = pq.read_table(path)["order_id"].to_pylist()
    assert ids == sorted(ids)
    content = path.read_bytes()
    keep_orders(lake, orders, SID)
    assert path.read_bytes() == content
    pq.write_table(pa.table({"order_id": ["1"]}), orders)
    with pytest.raises(LakeError, match="source"):
        keep_orders(lake, orders, SID)
    orders.unlink()
    with pytest.raises(LakeError, match=SID):
        keep_orders(lake, orders, SID)
