"""The orders behind a snapshot, sorted by their id: what `recommendations/{order_id}` looks an order up in.

Belongs here: writing the file beside a snapshot, finding one order in it, and giving orders of it other ids. Does not
belong here: recommending, and why an order gets another id (`reco.orders.forget`).

The file holds source, order id and item id; neither customers nor times. Rows are sorted and stand in small groups, so
that one order is found by reading the bounds of the groups and then one of them.
"""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from reco.errors import LakeError, OrderNotFound, OrdersUnavailable
from reco.storage.lake import Lake, file_digest

SERVED_ORDERS = "redis_snapshot"
"""The folder in the lake; a part is named by its snapshot."""

ROWS_PER_GROUP = 8192
_DIGEST = b"orders_sha256"


def keep_orders(lake: Lake, orders: Path, snapshot_id: str) -> None:
    """Writes the orders of a snapshot beside it, unless they stand there.

    Args:
        lake: where the file goes.
        orders: the `orders` table that the snapshot was made of.
        snapshot_id: names the file.

    Raises:
        LakeError: the table cannot be read, or the file not be written.
    """
    import pyarrow as pa  # noqa: PLC0415 - readers of one order load it when they need it
    import pyarrow.parquet as pq  # noqa: PLC0415 - see above

    digest = file_digest(orders).encode()
    path = lake.path(SERVED_ORDERS, snapshot_id)
    if not _is_of(path, digest):
        try:
            _write(lake, snapshot_id, pq.read_table(orders, columns=["order_id", "source", "item_id"]), digest)
        except pa.ArrowException as error:
            raise LakeError(
                f"The orders of snapshot {snapshot_id} could not be kept: {error}.",
                hint="Materialize orders again, then run again.",
                table=SERVED_ORDERS,
            ) from error


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
    import pyarrow as pa  # noqa: PLC0415 - see `keep_orders`
    import pyarrow.compute as pc  # noqa: PLC0415 - see `keep_orders`
    import pyarrow.parquet as pq  # noqa: PLC0415 - see `keep_orders`

    path = lake.path(SERVED_ORDERS, snapshot_id)
    try:
        table = pq.read_table(path)
        pairs = table.select(["source", "order_id"]).group_by(["source", "order_id"]).aggregate([])
        found: Any = zip(pairs["source"].to_pylist(), pairs["order_id"].to_pylist(), strict=True)
        names = {pair: name for pair in found if (name := renamed(*pair)) is not None}
        if not names or not write:
            return len(names)
        sources, orders = table["source"], table["order_id"]
        for source in {source for source, _order in names}:
            old = [order for one, order in names if one == source]
            new: Any = pa.array([names[source, order] for order in old], pa.string())
            place: Any = pc.index_in(orders, value_set=pa.array(old, pa.string()))
            mine = pc.and_(pc.is_in(sources, value_set=pa.array([source], pa.string())), pc.is_valid(place))
            orders = pc.if_else(mine, pc.take(new, place), orders)
        column = table.schema.get_field_index("order_id")
        _write(lake, snapshot_id, table.set_column(column, "order_id", orders), _digest_of(path))
    except (OSError, pa.ArrowException) as error:
        raise LakeError(
            f"Orders of snapshot {snapshot_id} could not get other ids: {str(error).splitlines()[0].rstrip('.')}.",
            hint=f"If {path} is damaged, remove it: the next `reco run` writes that of the served snapshot anew.",
            table=SERVED_ORDERS,
        ) from error
    return len(names)


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


def _write(lake: Lake, snapshot_id: str, table: Any, digest: bytes) -> None:
    """Writes these orders, sorted; the digest says of which table they are."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - see `keep_orders`

    table = table.sort_by([("order_id", "ascending"), ("source", "ascending"), ("item_id", "ascending")])
    with lake.replace(SERVED_ORDERS, snapshot_id) as target:
        pq.write_table(
            table.replace_schema_metadata({_DIGEST: digest}), target, compression="zstd", row_group_size=ROWS_PER_GROUP
        )


def _digest_of(path: Path) -> bytes:
    """The digest of the `orders` table that the file was made of; empty where it says none."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - see `keep_orders`

    return bytes((pq.read_schema(path).metadata or {}).get(_DIGEST, b""))


def _is_of(path: Path, digest: bytes) -> bool:
    """Whether the file was made of these orders."""
    import pyarrow as pa  # noqa: PLC0415 - see `keep_orders`

    try:
        return _digest_of(path) == digest
    except (OSError, pa.ArrowException):
        return False
