"""The seeded sample: the prototype's counts, the same shape at any size, and equal bytes for equal arguments.

What is promised about the data is counted here from the bytes written, with the csv module and sets.
"""

import csv
import hashlib
import io
import resource
import unicodedata
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reco.errors import RecoError, UsageError
from reco.orders import sample_items
from reco.orders.sample import MOST_ORDERS, SampleFacts, generate, prototype, sample_rows, write_sample
from reco.orders.sample_shape import PROTOTYPE, order_sizes

PID = "PID"
METER = "Water Level Meter"
KIT = "Cal Kit - Std - 34L Regulator 100PPM/Tedlar Bag"
SMALL_SHA256 = "745ac785c38e3af8c2d743dfb7e8038a551e8934df27a470d0a9064aef439a5b"
PROTOTYPE_SHA256 = "122fd61e7980bf430248f265bdaafbae12be31f1cb7a649138fb193a72796f23"


@dataclass(frozen=True)
class Counted:
    """What plain counting finds in a sample."""

    rows: list[tuple[str, ...]]
    baskets: dict[str, list[str]]

    @classmethod
    def of(cls, data: bytes) -> "Counted":
        """Reads the bytes of a CSV; the header is checked and left out."""
        header, *rows = [tuple(row) for row in csv.reader(io.StringIO(data.decode("utf-8"), newline=""), strict=True)]
        assert header == ("order_id", "item_name")
        baskets: dict[str, list[str]] = {}
        for order, item in rows:
            baskets.setdefault(order, []).append(item)
        return cls(rows, baskets)

    def lines_of(self, item: str) -> int:
        """Lines that hold the item."""
        return sum(name == item for _, name in self.rows)

    def orders_with(self, *items: str) -> int:
        """Orders that hold all of the items."""
        return sum(set(items) <= set(basket) for basket in self.baskets.values())

    def pairs(self) -> Counter[tuple[str, str]]:
        """Orders of each unordered pair."""
        return Counter(pair for basket in self.baskets.values() for pair in combinations(sorted(set(basket)), 2))


def made(*, orders: int | None = None, seed: int = 7, prototype: bool = False) -> bytes:
    """The bytes of a sample."""
    file = io.BytesIO()
    write_sample(file, orders=orders, seed=seed, prototype=prototype)
    return file.getvalue()


@pytest.fixture(scope="module")
def prototype_bytes() -> bytes:
    """The prototype's data with the default seed."""
    return made(prototype=True)


@pytest.fixture(scope="module")
def counted_prototype(prototype_bytes: bytes) -> Counted:
    """The prototype's data, counted."""
    return Counted.of(prototype_bytes)


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """No file of this process can grow beyond `size` bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_prototype_has_its_lines_orders_and_items(counted_prototype: Counted) -> None:
    """The prototype's sample has exactly 486,620 lines, 154,167 orders and 15,105 items, and its largest order 35."""
    found = counted_prototype
    assert len(found.rows) == 486_620
    assert len(found.baskets) == 154_167
    assert len({item for _, item in found.rows}) == 15_105
    assert max(map(len, found.baskets.values())) == 35


def test_prototype_has_its_named_items(counted_prototype: Counted) -> None:
    """PID, the meter, the kit, and PID with the kit, are in exactly the lines and orders of the prototype."""
    found = counted_prototype
    assert (found.lines_of(PID), found.lines_of(METER), found.lines_of(KIT)) == (30_245, 29_558, 22_975)
    assert (found.orders_with(PID), found.orders_with(METER), found.orders_with(KIT)) == (30_245, 29_558, 22_975)
    assert found.orders_with(PID, KIT) == 17_951


def test_prototype_has_its_pairs_and_neighbours(counted_prototype: Counted) -> None:
    """133,632 distinct pairs, 13,008 items with a neighbour, and the pair that is bought most is PID and its kit."""
    pairs = counted_prototype.pairs()
    assert len(pairs) == 133_632
    assert len({item for pair in pairs for item in pair}) == 13_008
    assert pairs.most_common(1) == [((KIT, PID), 17_951)]


def test_named_items_are_the_three_best_sellers(counted_prototype: Counted) -> None:
    """No other item sells as often as one of the three named ones, and the long tail is long."""
    sold = Counter(item for _, item in counted_prototype.rows)
    assert [item for item, _ in sold.most_common(3)] == [PID, METER, KIT]
    assert sum(lines <= 10 for lines in sold.values()) > 5_000


def test_order_sizes_fall_with_a_long_tail(counted_prototype: Counted) -> None:
    """Fewer orders the larger they are up to 20 lines, and some beyond."""
    sizes = Counter(map(len, counted_prototype.baskets.values()))
    assert all(sizes[n] > sizes[n + 1] > 0 for n in range(1, 20))
    assert sum(count for n, count in sizes.items() if n > 20) >= 20


def test_no_order_repeats_an_item(counted_prototype: Counted) -> None:
    """An order holds an item once."""
    assert len(set(counted_prototype.rows)) == len(counted_prototype.rows)


def test_order_ids_rise_and_lines_of_an_order_are_together(counted_prototype: Counted) -> None:
    """Orders are RO-100001, RO-100002 and so on, in file order, none in two places."""
    ids = [order for order, _ in counted_prototype.rows]
    assert list(counted_prototype.baskets) == [f"RO-{100_001 + n}" for n in range(154_167)]
    assert sum(one != other for one, other in pairwise(ids)) == 154_166


def test_what_fits_together_is_bought_together(counted_prototype: Counted) -> None:
    """A pump's pairs are mostly with its own product line: its tubing is in far more of its orders than chance."""
    found = counted_prototype
    pump, tubing = "PP-110 Peristaltic Pump", "PP-110 Tubing, Silicone, 3/8\" ID x 50'"
    together = found.orders_with(pump, tubing)
    by_chance = found.orders_with(pump) * found.orders_with(tubing) / len(found.baskets)
    assert together > 20 * by_chance


def test_prototype_bytes_are_pinned(prototype_bytes: bytes) -> None:
    """The default prototype is the same file on every machine and Python: people compare results on it."""
    assert hashlib.sha256(prototype_bytes).hexdigest() == PROTOTYPE_SHA256


def test_small_sample_bytes_are_pinned() -> None:
    """300 orders of seed 7 are the same bytes on every machine and Python."""
    assert hashlib.sha256(made(orders=300, seed=7)).hexdigest() == SMALL_SHA256


@pytest.mark.parametrize("seed", [0, 1, 2**64])
def test_any_seed_has_the_prototypes_counts(seed: int) -> None:
    """What holds for the default seed holds for another, which gives other orders."""
    baskets: dict[str, set[str]] = {}
    lines = 0
    for order, item in sample_rows(seed=seed, prototype=True):
        baskets.setdefault(order, set()).add(item)
        lines += 1
    items = {item for basket in baskets.values() for item in basket}
    named = [sum(item in basket for basket in baskets.values()) for item in (PID, METER, KIT)]
    assert (lines, len(baskets), len(items), max(map(len, baskets.values()))) == (486_620, 154_167, 15_105, 35)
    assert lines == sum(map(len, baskets.values()))
    assert named == [30_245, 29_558, 22_975]
    assert sum({PID, KIT} <= basket for basket in baskets.values()) == 17_951
    pairs = {pair for basket in baskets.values() for pair in combinations(sorted(basket), 2)}
    assert len({item for pair in pairs for item in pair}) == 13_008
    assert len(pairs) == 133_632


def test_another_seed_gives_other_orders() -> None:
    """The seed matters, and the same seed gives the same bytes."""
    assert made(orders=50, seed=1) == made(orders=50, seed=1)
    assert made(orders=50, seed=1) != made(orders=50, seed=2)


@settings(max_examples=60, deadline=None)
@given(orders=st.integers(1, 700), seed=st.integers(0, 2**32))
def test_any_size_is_a_sensible_shop(orders: int, seed: int) -> None:
    """From one order up: lines in proportion, no repeats, PID with its kit, every name used, facts that are true."""
    file = io.BytesIO()
    facts = write_sample(file, orders=orders, seed=seed)
    found = Counted.of(file.getvalue())
    sold = {item for _, item in found.rows}
    assert facts == SampleFacts(len(found.rows), len(found.baskets), len(sold))
    assert facts.orders == orders
    assert abs(facts.lines - orders * 486_620 / 154_167) <= 0.5
    assert len(set(found.rows)) == len(found.rows)
    assert found.orders_with(PID, KIT) >= 1
    assert found.orders_with(METER) >= 1
    assert sold == set(generate(orders, seed).names)


def test_five_thousand_orders_have_the_prototypes_proportions() -> None:
    """The sample of `make run` has lines, items, heavy items and the pair in proportion to the prototype's."""
    found = Counted.of(made(orders=5_000))
    share = 5_000 / 154_167
    assert len(found.rows) == round(486_620 * share)
    assert len({item for _, item in found.rows}) == pytest.approx(15_105 * share, abs=5)
    assert max(map(len, found.baskets.values())) == 35
    for item, lines in ((PID, 30_245), (METER, 29_558), (KIT, 22_975)):
        assert found.orders_with(item) == round(lines * share)
    assert found.orders_with(PID, KIT) == round(17_951 * share)


@settings(max_examples=200, deadline=None)
@given(orders=st.integers(1, 20_000))
def test_order_sizes_sum_to_the_lines(orders: int) -> None:
    """Sizes are 1 to 35 and sum to exactly the lines of the shape, at any number of orders."""
    lines = PROTOTYPE.scaled(orders).lines
    sizes = order_sizes(orders, lines)
    assert (len(sizes), int(sizes.sum())) == (orders, lines)
    assert int(sizes.min()) >= 1
    assert int(sizes.max()) <= 35


def test_names_are_distinct_however_many() -> None:
    """A larger shop gets more product lines, never the same name twice."""
    names = [*sample_items.shelf_items(60_000), *sample_items.service_items(20_000), PID, METER, KIT]
    assert len(set(names)) == len(names) == 80_003


def test_every_kind_fills_a_product_line() -> None:
    """Each kind of instrument has enough parts, so that a product line is whole and has no part twice."""
    for line in range(len(sample_items.KINDS)):
        assert len(set(sample_items.line_items(line))) == sample_items.LINE_SIZE


def test_names_are_as_awkward_as_real_ones(prototype_bytes: bytes, counted_prototype: Counted) -> None:
    """Names hold commas, quotes, slashes, percent, non-ASCII; they are NFC, without blanks at the ends, and quoted."""
    names = {item for _, item in counted_prototype.rows}
    for part in (",", '"', "'", "/", "%", "Ø", "°", "µ", "®"):
        assert any(part in name for name in names), part
    assert all(name == unicodedata.normalize("NFC", name).strip() for name in names)
    assert b'"PP-110 Tubing, Silicone, 3/8"" ID x 50\'"\n' in prototype_bytes


def test_csv_has_lf_and_no_bom(prototype_bytes: bytes) -> None:
    """One physical line a record, LF, UTF-8 without a mark, and a newline at the end."""
    assert prototype_bytes.startswith(b"order_id,item_name\n")
    assert prototype_bytes.endswith(b"\n")
    assert prototype_bytes.count(b"\n") == 486_621
    assert b"\r" not in prototype_bytes


def test_rows_and_file_are_the_same() -> None:
    """`sample_rows` yields what `write_sample` writes."""
    assert list(sample_rows(orders=40, seed=3)) == Counted.of(made(orders=40, seed=3)).rows


def test_a_path_gets_the_same_bytes_and_nothing_else(tmp_path: Path) -> None:
    """A path, as text or Path, gets the bytes an open file gets; what was there is replaced, no other file stays."""
    target = tmp_path / "orders.csv"
    target.write_text("older")
    facts = write_sample(target, orders=40, seed=3)
    assert target.read_bytes() == made(orders=40, seed=3)
    assert facts == write_sample(str(target), orders=40, seed=3)
    assert [path.name for path in tmp_path.iterdir()] == ["orders.csv"]


def test_a_full_disk_replaces_nothing(tmp_path: Path) -> None:
    """Where the bytes do not fit, the error names the file, the old file is whole and no half file stays."""
    target = tmp_path / "orders.csv"
    target.write_text("older")
    with (
        files_limited_to(10_000),
        pytest.raises(RecoError, match=r"orders\.csv could not be written.*Check free space"),
    ):
        write_sample(target, orders=5_000, seed=1)
    assert target.read_text() == "older"
    assert [path.name for path in tmp_path.iterdir()] == ["orders.csv"]


@pytest.mark.parametrize("orders", [0, -1, MOST_ORDERS + 1])
def test_impossible_numbers_of_orders_are_refused(orders: int) -> None:
    """Fewer than one order, or more than memory holds, is a usage error that says what may be asked for."""
    with pytest.raises(UsageError, match=f"{orders} orders cannot be made.*1 to {MOST_ORDERS}"):
        generate(orders, 1)


def test_contradicting_requests_are_refused() -> None:
    """Neither a number nor the prototype, or both, is a usage error."""
    with pytest.raises(UsageError, match="not both"):
        sample_rows(orders=10, prototype=True)
    with pytest.raises(UsageError, match="Give a number of orders"):
        sample_rows()


def test_a_negative_seed_is_refused() -> None:
    """A seed below zero is a usage error, for both kinds of sample."""
    for make in (lambda: prototype(-1), lambda: generate(5, -1)):
        with pytest.raises(UsageError, match="seed -1 is negative"):
            make()


def test_a_place_that_takes_no_file_is_refused_at_once(tmp_path: Path) -> None:
    """A folder as target, or a missing folder, is a usage error that names it; nothing is made."""
    with pytest.raises(UsageError, match="is a folder"):
        write_sample(tmp_path, orders=5)
    with pytest.raises(UsageError, match="nowhere does not exist"):
        write_sample(tmp_path / "nowhere" / "orders.csv", orders=5)
    assert not list(tmp_path.iterdir())
