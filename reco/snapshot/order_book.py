"""The orders behind a snapshot, sorted by their id: what `recommendations/{order_id}` looks an order up in.

Belongs here: writing the file beside a snapshot, finding one order in it, and giving orders of it other ids. Does not
belong here: recommending, and why an order gets another id (`reco.orders.forget`).

The file holds source, order id and item id; neither customers nor times. Rows are sorted and stand in small groups, so
that one order is found by reading the bounds of the groups and then one of them.
"""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

from reco.errors import OrderNotFound, OrdersUnavailable
from reco.storage.lake import Lake, file_digest

if TYPE_CHECKING:
    import pyarrow as pa

    from reco.storage.columns import Texts

SERVED_ORDERS = "redis_snapshot"
"""The folder in the lake; a part is named by its snapshot."""

ROWS_PER_GROUP = 8192
_PORTION = 15 * ROWS_PER_GROUP
_COLUMNS = ("order_id", "source", "item_id")
_DIGEST = "orders_sha256"


def keep_orders(lake: Lake, orders: Path, snapshot_id: str) -> None:
    """Writes the orders of a snapshot beside it, unless they stand there.

    Args:
        lake: where the file goes.
        orders: the `orders` table that the snapshot was made of.
        snapshot_id: names the file.

    Raises:
        LakeError: the table cannot be read, or the file not be written.
    """
    from reco.storage.columns import lake_errors  # noqa: PLC0415 - readers of one order load Arrow when they need it

    with lake_errors(f"The orders of snapshot {snapshot_id}"):
        digest = file_digest(orders)
        if not _is_of(lake.path(SERVED_ORDERS, snapshot_id), digest):
            _write(lake, snapshot_id, *_read(orders), digest)


def kept_snapshots(lake: Lake) -> list[str]:
    """The ids of the snapshots whose orders stand here, sorted."""
    return sorted(path.stem for path in lake.path(SERVED_ORDERS).parent.glob("*.parquet"))


def drop_orders(lake: Lake, published: Collection[str]) -> None:
    """Removes the orders of snapshots that are not among these."""
    for snapshot_id in kept_snapshots(lake):
        if snapshot_id not in published:
            lake.path(SERVED_ORDERS, snapshot_id).unlink(missing_ok=True)


def rename_orders(
    lake: Lake, snapshot_id: str, renamed: Callable[[str, str], str | None], *, write: bool = True
) -> int:
    """Gives orders of a snapshot other ids, whole or not at all; done again, it finds none.

    Args:
        lake: where the file stands.
        snapshot_id: names the file.
        renamed: of source and order id, the new id; None where the order keeps its own.
        write: False only counts.

    Returns:
        How many orders have, or would get, another id.

    Raises:
        LakeError: the file cannot be read or written.
    """
    import numpy as np  # noqa: PLC0415 - see `keep_orders`

    from reco.storage.columns import Texts, lake_errors, text_array  # noqa: PLC0415 - see `keep_orders`

    path = lake.path(SERVED_ORDERS, snapshot_id)
    with lake_errors(f"Other ids for orders of snapshot {snapshot_id}"):
        orders, sources, items = _read(path)
        pairs, rows = np.unique(orders.codes.astype(np.int64) * len(sources) + sources.codes, return_inverse=True)
        ids, names = orders.values.to_pylist(), sources.values.to_pylist()
        new = {}
        for place, pair in enumerate(pairs.tolist()):
            order, source = divmod(pair, len(names))
            if (name := renamed(names[source], ids[order])) is not None:
                new[place] = name
        if not new or not write:
            return len(new)
        known = sorted({*ids, *new.values()}, key=str.encode)
        code = {one: place for place, one in enumerate(known)}
        codes = np.array([code[new.get(place, ids[pair // len(names)])] for place, pair in enumerate(pairs.tolist())])
        renumbered = Texts(text_array(known), codes[rows].astype(np.int32))
        _write(lake, snapshot_id, renumbered, sources, items, _digest_of(path))
    return len(new)


def order_items(lake: Lake, snapshot_id: str, order_id: str, source: str | None = None) -> list[str]:
    """The ids of the items of an order, sorted.

    Raises:
        OrderNotFound: no order has this id, or those of several sources do.
        OrdersUnavailable: the file of the snapshot is not here, or cannot be read.
    """
    import pyarrow as pa  # noqa: PLC0415 - the service alone needs no Arrow
    import pyarrow.parquet as pq  # noqa: PLC0415 - see above

    path = lake.path(SERVED_ORDERS, snapshot_id)
    try:
        found = pq.read_table(path, filters=[("order_id", "==", order_id)], use_threads=False).to_pylist()
    except (OSError, pa.ArrowException, UnicodeError) as error:
        if isinstance(error, UnicodeError):
            found = []  # no order has an id that is no text
        else:
            raise OrdersUnavailable(
                f"The orders of snapshot {snapshot_id} cannot be read here.",
                hint="The service must see the lake of the home that published; `reco run` writes the file anew.",
                snapshot_id=snapshot_id,
            ) from error
    sources = sorted({row["source"] for row in found})
    if source is None and len(sources) > 1:
        raise OrderNotFound(
            f"{len(sources)} sources have an order of this id.", hint=f"Name one with `source`: {', '.join(sources)}."
        )
    items = sorted(row["item_id"] for row in found if source in (None, row["source"]))
    if not items:
        raise OrderNotFound(
            f"Snapshot {snapshot_id} knows no such order.",
            hint="Ids are matched exactly; orders whose lines were all quarantined or excluded are not known.",
        )
    return items


def _read(path: Path) -> tuple["Texts", "Texts", "Texts"]:
    """Order ids, sources and items of a table, a row each."""
    from reco.storage.reading import Columns  # noqa: PLC0415 - see `keep_orders`

    table = Columns.of([path], _COLUMNS)
    return table.texts("order_id"), table.texts("source"), table.texts("item_id")


def _write(  # noqa: PLR0917 - the columns of the file
    lake: Lake, snapshot_id: str, orders: "Texts", sources: "Texts", items: "Texts", digest: str
) -> None:
    """Writes these orders, sorted; the digest says of which table they are."""
    import numpy as np  # noqa: PLC0415 - see `keep_orders`

    from reco.storage.columns import text_column, write_table  # noqa: PLC0415 - see `keep_orders`

    rows = np.lexsort((items.codes, sources.codes, orders.codes))
    with (
        lake.replace(SERVED_ORDERS, snapshot_id) as target,
        write_table(target, _schema(), sought=["order_id"], rows_per_group=ROWS_PER_GROUP) as writer,
    ):
        writer.note(_DIGEST, digest)
        for start in range(0, len(rows), _PORTION):
            portion = rows[start : start + _PORTION]
            codes = orders.codes[portion]
            ids = orders.values.slice(int(codes[0]), int(codes[-1] - codes[0]) + 1)  # of the portion alone
            writer.write(
                text_column(ids, codes - codes[0]),
                text_column(sources.values, sources.codes[portion]),
                text_column(items.values, items.codes[portion]),
            )


def _schema() -> "pa.Schema":
    import pyarrow as pa  # noqa: PLC0415 - see `keep_orders`

    return pa.schema([(name, pa.string()) for name in _COLUMNS])


def _digest_of(path: Path) -> str:
    """The digest of the `orders` table that the file was made of; empty where it says none."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - see `keep_orders`

    return bytes((pq.read_schema(path).metadata or {}).get(_DIGEST.encode(), b"")).decode()


def _is_of(path: Path, digest: str) -> bool:
    """Whether the file was made of these orders."""
    import pyarrow as pa  # noqa: PLC0415 - see `keep_orders`

    try:
        return _digest_of(path) == digest
    except (OSError, pa.ArrowException):
        return False
