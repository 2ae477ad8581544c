"""What is read, without the people behind it.

Belongs here: putting pseudonyms, and names of the forgotten, in the place of customer ids before anything is stored.
Does not belong here: making either (`reco.orders.pseudonyms`, `reco.orders.forgotten`).
"""

from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from reco.orders.opened import OpenedDrop
from reco.orders.order_ids import parts_of
from reco.orders.parts import OtherLine
from reco.orders.redact import Records, order_name, places_of
from reco.storage.columns import text_array, text_column, texts

HIDDEN = "(hidden: a customer id)"


class Hiding:
    """Hides the customers in what was read of one drop, as its profile and the home ask for it.

    An order id that is made of the customer's column too becomes a pseudonym as a whole, so that orders stay apart and
    equal ones stay equal. The raw bytes of lines that were not accepted stay as they came, for mending, but for
    customers who were forgotten.
    """

    def __init__(self, opened: OpenedDrop, *, encoding: str | None = None) -> None:
        """`encoding` is that of raw bytes, where they are not in the file's own."""
        drop, header, columns = opened.drop, opened.layout.header, opened.layout.mapping.columns
        customer = columns.get("customer_id", ())
        named = drop.forgotten.names(drop.profile.name) if drop.forgotten and customer else None
        self._hidden = {name for name, places in columns.items() if set(customer).intersection(places)}
        self._pseudonyms = drop.pseudonyms if customer else None
        self._forgotten = named
        self._places = places_of(header, opened.layout.mapping.named(header))
        if named is not None:
            dialect, code = opened.layout.dialect.to_json(), encoding or opened.text.encoding
            self._records = Records(named, self._places, len(header), dialect, code)

    @property
    def needed(self) -> bool:
        """Whether anything of the drop has to be hidden."""
        return self._pseudonyms is not None or self._forgotten is not None

    def accepted(self, lines: pa.Table) -> pa.Table:
        """Accepted lines, whose `customer_id` and `order_id` are dictionaries."""
        for name, stored in (("customer_id", self._customer), ("order_id", self._order)):
            if self.needed and name in self._hidden and lines.num_rows:
                known = texts(lines[name])
                own = text_array([stored(one) for one in known.values.to_pylist()])
                lines = lines.set_column(lines.column_names.index(name), name, text_column(own, known.codes))
        return lines

    def others(self, lines: Sequence[OtherLine]) -> list[OtherLine]:
        """Lines that were not accepted."""
        return [self._other(one) for one in lines] if self.needed else list(lines)

    def raw(self, record: bytes) -> bytes:
        """The bytes of a record, without forgotten customers."""
        return self._records.raw(record) or b"" if self._forgotten is not None else record

    def _other(self, line: OtherLine) -> OtherLine:
        value = line.value
        if value is not None and self._pseudonyms is not None and line.column in self._hidden:
            value = HIDDEN
        elif self._forgotten is not None:
            value = self._records.value(value, line.column)
        return replace(line, raw=self.raw(line.raw), value=value)

    def _customer(self, one: str) -> str:
        name = self._forgotten.of_id(one) if self._forgotten is not None else None
        return name or self._stored(one)

    def _order(self, one: str) -> str:
        place = self._places.in_orders
        part = parts_of(one)[place : place + 1] if place is not None else []
        name = self._forgotten.of_id(part[0]) if self._forgotten is not None and part else None
        return order_name(name, self._stored(one)) if name else self._stored(one)

    def _stored(self, one: str) -> str:
        return self._pseudonyms.of(one) if self._pseudonyms is not None else one
