"""What is read, without the people behind it.

Belongs here: putting pseudonyms in the place of customer ids before anything is stored. Does not belong here: making
them (`reco.orders.pseudonyms`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pyarrow as pa

from reco.orders.parts import OtherLine
from reco.orders.pseudonyms import Pseudonyms
from reco.storage.columns import text_array, text_column, texts

HIDDEN = "(hidden: a customer id)"


def hide_customers(
    accepted: pa.Table, others: Sequence[OtherLine], columns: Mapping[str, tuple[int, ...]], pseudonyms: Pseudonyms
) -> tuple[pa.Table, list[OtherLine]]:
    """What was read, without its customers.

    An order id that is made of the customer's column too becomes a pseudonym as a whole, so that orders stay apart and
    equal ones stay equal. The raw bytes of lines that were not accepted stay as they came: they are for mending.

    Args:
        accepted: has `customer_id` and `order_id` as dictionaries.
        others: lines that were not accepted.
        columns: places in the header, by canonical column.
        pseudonyms: those of the home.
    """
    customer = set(columns.get("customer_id", ()))
    if not customer:
        return accepted, list(others)
    hidden = {name for name, places in columns.items() if customer.intersection(places)}
    for name in ("customer_id", "order_id"):
        if name in hidden and accepted.num_rows:
            known = texts(accepted[name])
            own = text_array([pseudonyms.of(one) for one in known.values.to_pylist()])
            place = accepted.column_names.index(name)
            accepted = accepted.set_column(place, name, text_column(own, known.codes))
    masked = [replace(one, value=HIDDEN) if one.value is not None and one.column in hidden else one for one in others]
    return accepted, masked
