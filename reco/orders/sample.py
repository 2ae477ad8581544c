"""The seeded sample: orders of a rental shop for gas and water instruments, as the CSV a shop would drop.

Belongs here: what a request for a sample is, and writing its lines as CSV. Does not belong here: who orders what
(`reco.orders.sample_orders`), the names of the items (`reco.orders.sample_items`), or anything that reads orders.
"""

import csv
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np

from reco.errors import RecoError, UsageError
from reco.orders.sample_items import CAL_KIT, PID, WATER_LEVEL_METER, service_items, shelf_items
from reco.orders.sample_orders import Dealt, deal
from reco.orders.sample_shape import PROTOTYPE
from reco.storage.lake import fsync_folder

HEADER = ("order_id", "item_name")
DEFAULT_SEED = 7
FIRST_ORDER = 100_001
MOST_ORDERS = 10_000_000
"""More would not fit the memory of a usual machine: the lines of a sample are held as arrays while they are dealt."""

_LINES_A_WRITE = 20_000


@dataclass(frozen=True)
class SampleFacts:
    """What was written: data lines (the header not counted), distinct orders, distinct items."""

    lines: int
    orders: int
    items: int


@dataclass(frozen=True)
class Sample:
    """Dealt orders with the name of each item position."""

    dealt: Dealt
    names: list[str]

    def rows(self) -> Iterator[tuple[str, str]]:
        """Order id and item name of each line; the lines of an order follow each other, orders rise from RO-100001."""
        lines = zip(self.dealt.order.tolist(), self.dealt.item.tolist(), strict=True)
        return ((f"RO-{FIRST_ORDER + order}", self.names[item]) for order, item in lines)

    def facts(self) -> SampleFacts:
        """The counts, taken from the lines themselves."""
        order, item = self.dealt.order, self.dealt.item
        return SampleFacts(len(order), len(np.unique(order)), len(np.unique(item)))


def prototype(seed: int = DEFAULT_SEED) -> Sample:
    """The prototype's data: the counts of `sample_shape.PROTOTYPE`, exactly.

    Raises:
        UsageError: the seed is negative.
    """
    return _named(deal(PROTOTYPE, _checked_seed(seed)))


def generate(orders: int, seed: int = DEFAULT_SEED) -> Sample:
    """The prototype's shape at another size: lines, items and heavy items in proportion, at least a small shelf.

    Raises:
        UsageError: the number of orders is not in 1..MOST_ORDERS, or the seed is negative.
    """
    if not 1 <= orders <= MOST_ORDERS:
        raise UsageError(
            f"A sample of {orders} orders cannot be made.",
            hint=f"Ask for 1 to {MOST_ORDERS} orders.",
            orders=orders,
        )
    return _named(deal(PROTOTYPE.scaled(orders), _checked_seed(seed)))


def sample_rows(
    *, orders: int | None = None, seed: int = DEFAULT_SEED, prototype: bool = False
) -> Iterator[tuple[str, str]]:
    """The lines of a sample as (order id, item name), in file order, no header; asked for as `write_sample`."""
    return _requested(orders, seed, wants_prototype=prototype).rows()


def write_sample(
    target: Path | str | BinaryIO, *, orders: int | None = None, seed: int = DEFAULT_SEED, prototype: bool = False
) -> SampleFacts:
    """Writes a sample as CSV: UTF-8, a header, LF line ends, quotes only where needed.

    Args:
        target: a file to make or replace, which appears whole or not at all; or an open binary file.
        orders: number of orders; None together with `prototype`.
        seed: 0 or more; equal arguments give equal bytes.
        prototype: the prototype's exact counts instead of a number of orders.

    Raises:
        UsageError: the request contradicts itself, is out of bounds, or `target` is not a place for a file.
        RecoError: the file could not be written; nothing was replaced.
    """
    if not isinstance(target, (str, Path)):
        sample = _requested(orders, seed, wants_prototype=prototype)
        _write_csv(sample, target)
        return sample.facts()
    path = Path(target)
    if path.is_dir() or not path.parent.is_dir():
        what = f"{path} is a folder" if path.is_dir() else f"The folder {path.parent} does not exist"
        raise UsageError(f"{what}.", hint="Give a file name in a folder that exists.", path=str(path))
    sample = _requested(orders, seed, wants_prototype=prototype)
    _replace_file(sample, path)
    return sample.facts()


def _requested(orders: int | None, seed: int, *, wants_prototype: bool) -> Sample:
    if wants_prototype and orders is not None:
        raise UsageError(
            "The prototype's sample has a fixed number of orders.",
            hint="Give either a number of orders or the prototype, not both.",
            orders=orders,
        )
    if wants_prototype:
        return prototype(seed)
    if orders is None:
        raise UsageError(
            "How many orders the sample should have is not given.", hint="Give a number of orders, such as 5000."
        )
    return generate(orders, seed)


def _checked_seed(seed: int) -> int:
    if seed < 0:
        raise UsageError(f"The seed {seed} is negative.", hint="Give a seed of 0 or more.", seed=seed)
    return seed


def _named(dealt: Dealt) -> Sample:
    return Sample(dealt, [PID, WATER_LEVEL_METER, CAL_KIT, *shelf_items(dealt.shelf), *service_items(dealt.services)])


def _write_csv(sample: Sample, file: BinaryIO) -> None:
    rows: Iterator[tuple[str, str]] = sample.rows()
    chunk: list[tuple[str, str]] = [HEADER]
    while chunk:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(chunk)
        file.write(text.getvalue().encode("utf-8"))
        chunk = list(islice(rows, _LINES_A_WRITE))


def _replace_file(sample: Sample, path: Path) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    try:
        with temporary.open("xb") as file:
            _write_csv(sample, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        fsync_folder(path.parent)
    except OSError as error:
        raise RecoError(
            f"{path} could not be written: {error.strerror or error}.",
            hint="Check free space and permissions of its folder, then run again: nothing was replaced.",
            path=str(path),
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
