"""Taking one customer out of the parts of a drop, without changing any count.

Belongs here: which rows are about a customer, and what stands in their place. Does not belong here: the order of the
steps, their record, and other copies (`reco.orders.forget`).
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reco.orders.drops import ORDER_LINES, QUARANTINED_LINES
from reco.orders.fields import field_spans, replace_fields
from reco.orders.forgotten import FORGOTTEN
from reco.orders.order_ids import parts_of
from reco.storage.lake import Lake


@dataclass(frozen=True, slots=True)
class Identity:
    """A customer to forget. id: as the shop writes it; pseudonym: as the lake may hold it; name: what comes instead."""

    id: str
    pseudonym: str
    name: str

    def name_of(self, value: str) -> str | None:
        """The name where a value is the id: 17850 may stand as 17850.0 in the file."""
        return self.name if re.fullmatch(rf"{re.escape(self.id)}(?:\.0+)?", value) else None

    def in_text(self, text: str, delimiter: str, quote: str) -> str:
        """The text without the id, where it stands between delimiters, quotes and blanks: 5 is not in 9.50."""
        edge = re.escape(delimiter + quote) + r"\s"
        return re.sub(rf"(?<![^{edge}]){re.escape(self.id)}(?:\.0+)?(?![^{edge}])", self.name, text)


def order_name(name: str, order_id: str) -> str:
    """What an order id that is made of a forgotten customer's becomes: equal ones stay equal in every drop."""
    return FORGOTTEN + hmac.new(name.encode(), order_id.encode(), hashlib.sha256).hexdigest()[:32]


class Whom(Protocol):
    """Who is taken out of what was read."""

    def name_of(self, value: str) -> str | None:
        """What stands in the place of a value that is an id; None where it is not theirs."""

    def in_text(self, text: str, delimiter: str, quote: str) -> str:
        """A text of which nobody knows the fields, without their ids."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where the lines of a drop, or of a replay of it, name customers.

    fields: positions in the header, none where no column is a customer's; names: the names such a column goes by in
    `quarantined_lines`; in_orders: which part of the order ids is the customer's id, None where they are made of other
    columns alone.
    """

    fields: frozenset[int]
    names: frozenset[str]
    in_orders: int | None

    def __or__(self, other: "Places") -> "Places":
        """Both: raw lines of a drop are read again by profiles that may know another customer."""
        own = self.in_orders if self.in_orders is not None else other.in_orders
        return Places(self.fields | other.fields, self.names | other.names, own)


def places_of(header: Sequence[str], mapping: Mapping[str, str | list[str]]) -> Places:
    """Where lines read with this mapping (header names by canonical column) name their customer."""
    customer, order = mapping.get("customer_id"), mapping.get("order_id")
    if not isinstance(customer, str) or customer not in header:
        return Places(frozenset(), frozenset(), None)
    columns = [order] if isinstance(order, str) else list(order or ())
    in_orders = columns.index(customer) if customer in columns else None
    names = {"customer_id", customer} | ({"order_id"} if in_orders is not None else set())
    fields = frozenset(place for place, name in enumerate(header) if name == customer)
    return Places(fields, frozenset(names), in_orders)


def count_rows(lake: Lake, table: str, part: str, change: Callable[[pa.Table], tuple[pa.Table, int]]) -> int:
    """How many rows a change would touch; 0 where the part is not there."""
    path = lake.path(table, part)
    return sum(change(group)[1] for group in _groups(path)) if path.is_file() else 0


def holds_name(lake: Lake, part: str, name: str) -> bool:
    """Whether a part of the lines, accepted or not, has a name that begins so in a customer's place."""
    lines, others = lake.path(ORDER_LINES, part), lake.path(QUARANTINED_LINES, part)
    groups = _groups(lines) if lines.is_file() else ()
    if any(pc.any(pc.starts_with(group["customer_id"], name)).as_py() for group in groups):
        return True
    bare = name.encode()
    # Without the NUL bytes that UTF-16 has between its letters.
    raws = (raw for group in (_groups(others) if others.is_file() else ()) for raw in group["raw"].to_pylist())
    return any(raw is not None and bare in raw.replace(b"\0", b"") for raw in raws)


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


def composite_orders(lake: Lake, part: str, identity: Identity, *, in_orders: int | None) -> set[str]:
    """The order ids of a part that are made of the customer's, as long as its lines are not rewritten."""
    path = lake.path(ORDER_LINES, part)
    if in_orders is None or not path.is_file():
        return set()
    groups = _groups(path)
    return {one for t in groups for one in t["order_id"].filter(_mine(t, identity, in_orders=in_orders)).to_pylist()}


def _mine(table: pa.Table, identity: Identity, *, in_orders: int | None) -> Any:
    """Which lines are of the customer."""
    stored = pa.array([identity.id, identity.pseudonym])
    mine = pc.is_in(table["customer_id"], value_set=stored)
    return mine if in_orders is None else pc.or_(mine, _orders_of(table["order_id"], identity, in_orders))


def _orders_of(order_ids: Any, identity: Identity, place: int) -> Any:
    """Which order ids have the customer's id, or what stands for it, in its place."""
    own = (identity.id, identity.pseudonym)
    found = [parts_of(str(order))[place : place + 1] for order in order_ids.to_pylist()]
    return pa.chunked_array([pa.array([bool(part) and part[0] in own for part in found], pa.bool_())])


def _renamed(order_ids: Any, mine: Any, identity: Identity) -> Any:
    new = [
        order_name(identity.name, order) if hit and not order.startswith(FORGOTTEN) else order
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


class Records:
    """Takes ids out of single records of one drop that were not accepted.

    In a record that has a field for each of the `columns` only those of customers are looked at; in any other, whatever
    may be a field, since nobody knows which columns they are.
    """

    def __init__(self, whom: Whom, places: Places, columns: int, dialect: Mapping[str, Any], encoding: str) -> None:
        self._whom, self._places, self._columns, self._encoding = whom, places, columns, encoding
        self._errors = "surrogatepass" if encoding.lower().startswith("utf-16") else "surrogateescape"
        self._delimiter, self._quote = dialect.get("delimiter") or ",", dialect.get("quote") or ""

    def raw(self, raw: bytes | None) -> bytes | None:
        """The bytes of a record; None where its text was removed, because it was kept long enough."""
        if raw is None:
            return None
        try:
            text = raw.decode(self._encoding, self._errors)
            clean = self._text(text)
            return raw if clean == text else clean.encode(self._encoding, self._errors)
        except UnicodeError:  # a line quarantined for its encoding: its bytes are looked at as they are
            return self._text(raw.decode("latin-1")).encode("latin-1")

    def _text(self, text: str) -> str:
        spans = field_spans(text, self._delimiter, self._quote)
        if spans is None or len(spans) != self._columns:
            return self._whom.in_text(text, self._delimiter, self._quote)
        change = self._whom.name_of
        return replace_fields(text, spans, self._places.fields, self._quote, lambda value: change(value) or value)

    def value(self, value: str | None, column: str | None) -> str | None:
        """The value that is shown of a record, of the column it is of."""
        if value is None or (self._columns and column not in self._places.names):
            return value
        parts = parts_of(value) if column == "order_id" else [value]
        return next((name for part in parts if (name := self._whom.name_of(part))), value)


def others_without(
    identity: Identity, places: Places, *, columns: int, dialect: Mapping[str, Any], encoding: str
) -> Callable[[pa.Table], tuple[pa.Table, int]]:
    """The change of lines that were not accepted: the id is replaced in their raw bytes and in the value shown.

    See `Records` for which fields are looked at. Where no column is a customer's nothing changes,
    unless the columns are not known (0), as of a drop that waits to be read anew. Reason, column, line and byte offset
    stay, so that the line is still accounted for.
    """
    records = Records(identity, places, columns, dialect, encoding)

    def change(table: pa.Table) -> tuple[pa.Table, int]:
        if columns and not places.fields:
            return table, 0
        raws: list[Any] = table["raw"].to_pylist()
        values: list[Any] = table["value"].to_pylist()
        new = [records.raw(raw) for raw in raws]
        kept = [records.value(value, column) for value, column in zip(values, table["column"].to_pylist(), strict=True)]
        pairs = zip(raws, new, values, kept, strict=True)
        count = sum(old != fresh or value != told for old, fresh, value, told in pairs)
        if not count:
            return table, 0
        table = _with(table, "raw", pa.array(new, pa.binary()))
        return _with(table, "value", pa.array(kept, pa.string())), count

    return change


def _with(table: pa.Table, name: str, values: Any) -> pa.Table:
    place = table.schema.get_field_index(name)
    return table.set_column(place, table.schema.field(place), values)
