"""Taking one customer out of the parts of a drop, without changing any count.

Belongs here: which rows are about a customer, and what stands in their place. Does not belong here: the order of the
steps, their record, and other copies (`reco.orders.forget`).
"""

import csv
import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reco.orders.drops import ORDER_LINES
from reco.orders.ledger import Drop
from reco.orders.sql import ID_JOINER
from reco.storage.lake import Lake

FORGOTTEN = "forgotten_"


@dataclass(frozen=True, slots=True)
class Identity:
    """A customer to forget. id: as the shop writes it; pseudonym: as the lake may hold it; name: what comes instead.

    `name` is random and made for this once: distinct customers stay as many, and nobody can come back from it.
    """

    id: str
    pseudonym: str
    name: str

    def order(self, order_id: str) -> str:
        """What an order id that is made of the customer's becomes: equal ones stay equal in every drop."""
        return FORGOTTEN + hmac.new(self.name.encode(), order_id.encode(), hashlib.sha256).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Found:
    """Rows about a customer in the parts of a drop."""

    lines: int
    others: int


def customer_in_orders(drop: Drop) -> int | None:
    """Which part of the order ids of a drop is the customer's id; None where they are made of other columns alone."""
    mapping = drop.mapping or {}
    customer, order = mapping.get("customer_id"), mapping.get("order_id")
    columns = [order] if isinstance(order, str) else list(order or ())
    return columns.index(customer) if isinstance(customer, str) and customer in columns else None


def count_rows(lake: Lake, table: str, part: str, change: Callable[[pa.Table], tuple[pa.Table, int]]) -> int:
    """How many rows a change would touch; 0 where the part is not there."""
    path = lake.path(table, part)
    return sum(change(group)[1] for group in _groups(path)) if path.is_file() else 0


def rewrite(lake: Lake, table: str, part: str, change: Callable[[pa.Table], tuple[pa.Table, int]]) -> int:
    """Replaces a part by its changed rows, whole or not at all; returns how many changed. Without any, it stays."""
    path = lake.path(table, part)
    if not path.is_file() or not any(change(group)[1] for group in _groups(path)):
        return 0
    changed = 0
    with lake.replace(table, part) as out, pq.ParquetWriter(out, pq.read_schema(path), compression="zstd") as writer:
        for group in _groups(path):
            new, count = change(group)
            writer.write_table(new)
            changed += count
    return changed


def _groups(path: Path) -> Any:
    with pq.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            yield file.read_row_group(number)


def lines_without(identity: Identity, *, in_orders: int | None) -> Callable[[pa.Table], tuple[pa.Table, int]]:
    """The change of accepted lines: the customer's id gives way to the random name, in composite order ids too."""

    def change(table: pa.Table) -> tuple[pa.Table, int]:
        mine = _mine(table, identity, in_orders=in_orders)
        count = pc.sum(mine).as_py() or 0
        if not count:
            return table, 0
        known = pc.is_valid(table["customer_id"])
        table = _with(table, "customer_id", pc.if_else(pc.and_(mine, known), identity.name, table["customer_id"]))
        if in_orders is not None:
            table = _with(table, "order_id", _renamed(table["order_id"], mine, identity))
        return table, count

    return change


def composite_orders(lake: Lake, drop: Drop, part: str, identity: Identity) -> set[str]:
    """The order ids of a part of a drop that are made of the customer's, as long as its lines are not rewritten."""
    path = lake.path(ORDER_LINES, part)
    place = customer_in_orders(drop)
    if place is None or not path.is_file():
        return set()
    groups = _groups(path)
    return {one for t in groups for one in t["order_id"].filter(_mine(t, identity, in_orders=place)).to_pylist()}


def _mine(table: pa.Table, identity: Identity, *, in_orders: int | None) -> Any:
    """Which lines are of the customer."""
    stored = pa.array([identity.id, identity.pseudonym])
    mine = pc.is_in(table["customer_id"], value_set=stored)
    return mine if in_orders is None else pc.or_(mine, _orders_of(table["order_id"], identity, in_orders))


def _orders_of(order_ids: Any, identity: Identity, place: int) -> Any:
    """Which order ids have the customer's id, or what stands for it, in its place."""
    own = (identity.id, identity.pseudonym)
    found = [str(order).split(ID_JOINER)[place : place + 1] for order in order_ids.to_pylist()]
    return pa.chunked_array([pa.array([bool(part) and part[0] in own for part in found], pa.bool_())])


def _renamed(order_ids: Any, mine: Any, identity: Identity) -> Any:
    new = [
        identity.order(order) if hit and not order.startswith(FORGOTTEN) else order
        for hit, order in zip(mine.to_pylist(), order_ids.to_pylist(), strict=True)
    ]
    return pa.chunked_array([pa.array(new, pa.string())])


def replaced_without(identity: Identity, order_ids: frozenset[str]) -> Callable[[pa.Table], tuple[pa.Table, int]]:
    """The change of `replaced_orders`: order ids that became others."""

    def change(table: pa.Table) -> tuple[pa.Table, int]:
        mine: Any = pc.is_in(table["order_id"], value_set=pa.array(sorted(order_ids), pa.string()))
        count = pc.sum(mine).as_py() or 0
        return (_with(table, "order_id", _renamed(table["order_id"], mine, identity)), count) if count else (table, 0)

    return change


def others_without(identity: Identity, drop: Drop) -> Callable[[pa.Table], tuple[pa.Table, int]]:
    """The change of lines that were not accepted: the id is replaced in their raw bytes and in the value shown.

    Reason, column, line and byte offset stay, so that the line is still accounted for.
    """
    encoding = drop.encoding or "utf-8"
    errors = "surrogatepass" if encoding.lower().startswith("utf-16") else "surrogateescape"
    dialect = drop.dialect or {}
    delimiter, quote = dialect.get("delimiter") or ",", dialect.get("quote") or ""
    edge = re.escape(delimiter + quote) + r"\s"
    # 17850 may stand as 17850.0 in the file; between delimiters, quotes and blanks only: 5 is not in 9.50.
    pattern = re.compile(rf"(?<![^{edge}]){re.escape(identity.id)}(?:\.0+)?(?![^{edge}])")
    place = _customer_place(drop)

    def whole_and_other(text: str) -> bool:
        """Whether the line is well formed and its customer is somebody else."""
        if place is None:
            return False
        kind: Any = {"quotechar": quote} if quote else {"quoting": csv.QUOTE_NONE}
        try:
            fields = next(csv.reader([text], delimiter=delimiter, **kind), [])
        except csv.Error:
            return False
        return len(fields) == len(drop.header or ()) and not pattern.fullmatch(fields[place].strip())

    def redacted(raw: bytes | None) -> bytes | None:
        if raw is None:  # kept long enough: its text was removed
            return None
        try:
            text = raw.decode(encoding, errors)
            if not pattern.search(text) or whole_and_other(text):
                return raw
            return pattern.sub(identity.name, text).encode(encoding, errors)
        except UnicodeError:  # a line quarantined for its encoding: its bytes are looked at as they are
            text = raw.decode("latin-1")
            return pattern.sub(identity.name, text).encode("latin-1")

    def change(table: pa.Table) -> tuple[pa.Table, int]:
        raws: list[Any] = table["raw"].to_pylist()
        values = table["value"].to_pylist()
        new = [redacted(raw) for raw in raws]
        shown = [identity.name if value is not None and pattern.fullmatch(value) else value for value in values]
        pairs = zip(raws, new, values, shown, strict=True)
        count = sum(old != fresh or value != kept for old, fresh, value, kept in pairs)
        if not count:
            return table, 0
        table = _with(table, "raw", pa.array(new, pa.binary()))
        return _with(table, "value", pa.array(shown, pa.string())), count

    return change


def _customer_place(drop: Drop) -> int | None:
    name = (drop.mapping or {}).get("customer_id")
    header = drop.header or []
    return header.index(name) if isinstance(name, str) and header.count(name) == 1 else None


def _with(table: pa.Table, name: str, values: Any) -> pa.Table:
    place = table.schema.get_field_index(name)
    return table.set_column(place, table.schema.field(place), values)
