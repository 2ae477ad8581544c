"""Columns of Parquet files as arrays: what is read a row group at a time is what reading all at once gives."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reco.errors import LakeError
from reco.model import ranking
from reco.storage import reading
from reco.storage.columns import (
    MONEY,
    MONEY_SUM,
    Texts,
    is_one_value,
    lake_errors,
    nothing,
    pair_codes,
    split_codes,
    sum_runs,
    text_array,
    texts,
    write_table,
)
from reco.storage.reading import Columns

WORDS = st.one_of(st.none(), st.sampled_from(["", "a", "b", "B", "é", "a b", "10", "9"]))
ROWS = st.lists(st.lists(WORDS, max_size=6), min_size=1, max_size=4)


def write(path: Path, values: list[Any], kind: pa.DataType, group: int) -> Path:
    """A file with one column `x`, in row groups of this many rows."""
    pq.write_table(pa.table({"x": pa.array(values, kind)}), path, row_group_size=group)
    return path


@pytest.mark.parametrize("waiting", [0, 2**26])
@given(ROWS, st.integers(1, 3), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_texts_of_row_groups_are_the_texts_of_the_whole(
    tmp_path: Path, waiting: int, files: list[list[str | None]], group: int, in_order: bool
) -> None:
    """Whatever is null, repeated, constant or in order, and however it is divided, codes and texts are the same."""
    if in_order:
        flat = iter(sorted(word for words in files for word in words if word is not None))
        files = [[next(flat) for word in words if word is not None] for words in files]
    paths = [write(tmp_path / f"{i}.parquet", words, pa.string(), group) for i, words in enumerate(files)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "WAITING_BYTES", waiting)
        read = Columns.of(paths, ["x"]).texts("x")
    whole = texts(pa.chunked_array([pa.array([word for words in files for word in words], pa.string())]))
    assert read.codes.tolist() == whole.codes.tolist()
    assert [str(read.values[code]) for code in read.codes if code >= 0] == [
        str(whole.values[code]) for code in whole.codes if code >= 0
    ]
    assert len(set(read.values.to_pylist())) == len(read), "no text twice"


def test_equal_texts_of_many_row_groups_do_not_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many row groups hold them, no more wait than the limit says, beside those known to differ."""
    words = [f"{place * 7 % 100:02}" for place in range(100)]
    file = write(tmp_path / "x.parquet", words * 50, pa.string(), 100)
    monkeypatch.setattr(reading, "WAITING_BYTES", 2**11)
    united, sizes = reading._united, []

    def watched(dictionaries: list[Any]) -> Any:
        sizes.append(sum(one.nbytes for one in dictionaries))
        return united(dictionaries)

    monkeypatch.setattr(reading, "_united", watched)
    read = Columns.of([file], ["x"]).texts("x")
    assert len(sizes) > 10
    assert max(sizes) < 2**11 + 3 * pa.array(words).nbytes
    assert read.values.to_pylist() == sorted(words)
    assert read.codes.tolist() == [int(word) for word in words] * 50


def test_text_that_is_no_utf8_is_an_error_of_the_lake(tmp_path: Path) -> None:
    """Such a column is read and compared by bytes; where its characters are needed, the table is named."""
    ends = pa.array([0, 4, 7], pa.int32()).buffers()[1]
    bad = pa.Array.from_buffers(pa.string(), 2, [None, ends, pa.py_buffer(b"Caf\xe9tea")])
    pq.write_table(pa.table({"x": bad}), tmp_path / "x.parquet")
    read = Columns.of([tmp_path / "x.parquet"], ["x"]).texts("x")
    assert read.codes.tolist() == [0, 1]
    with pytest.raises(LakeError, match="item_stats could not be computed: 'utf-8'"), lake_errors("item_stats"):
        read.values.to_pylist()


@given(st.lists(st.one_of(st.none(), st.integers(-5, 5)), max_size=9), st.integers(1, 4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_numbers_and_money_come_with_what_is_missing(tmp_path: Path, values: list[int | None], group: int) -> None:
    """A missing number is the one asked for, missing money is 0 and known as missing."""
    numbers = Columns.of([write(tmp_path / "n.parquet", values, pa.int64(), group)], ["x"]).numbers("x", null=-9)
    assert numbers.tolist() == [-9 if value is None else value for value in values]
    amounts = [None if value is None else Decimal(value) / 4 for value in values]
    found, known = Columns.of([write(tmp_path / "m.parquet", amounts, MONEY, group)], ["x"]).money("x")
    assert found.tolist() == [0 if value is None else value * 2500 for value in values]
    assert known.tolist() == [value is not None for value in values]


def test_a_column_of_one_text_takes_no_memory(tmp_path: Path) -> None:
    """The source of a million lines is one text: its codes are one number."""
    read = Columns.of([write(tmp_path / "x.parquet", ["shop"] * 1000, pa.string(), 100)] * 3, ["x"]).texts("x")
    assert (len(read.codes), read.codes.strides, read.values.to_pylist()) == (3000, (0,), ["shop"])


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    """A file of another version says which column it lacks."""
    with pytest.raises(LakeError, match="no column 'y'"):
        Columns.of([write(tmp_path / "x.parquet", [1], pa.int64(), 1)], ["x", "y"])


def test_two_columns_are_one_code_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Codes of pairs compare as the pairs do, whatever portions they are computed in."""
    monkeypatch.setattr("reco.storage.columns.PORTION", 2)
    one = Texts(text_array(["a", "b"]), np.array([1, 0, 0, 1, 1], np.int32))
    other = Texts(text_array(["x", "y", "z"]), np.array([0, 2, 1, 2, 0], np.int32))
    assert pair_codes(one, other).tolist() == [3, 2, 1, 5, 3]
    alone = Texts(text_array(["a"]), np.zeros(5, np.int32))
    assert pair_codes(alone, other).tolist() == [0, 2, 1, 2, 0]


@given(st.lists(st.sampled_from([None, 1, 2]), min_size=2, max_size=12), st.integers(1, 3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_a_column_of_one_number_takes_no_memory_and_says_the_same(
    tmp_path: Path, values: list[int | None], group: int
) -> None:
    """Numbers are the same whether a row group has one, several or none; all alike, they are one value told for all."""
    found = Columns.of([write(tmp_path / "x.parquet", values, pa.int64(), group)], ["x"]).numbers("x", null=7)
    expected = [7 if value is None else value for value in values]
    assert found.tolist() == expected
    assert is_one_value(found) == (len(set(expected)) == 1)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=20), st.data())
def test_runs_of_one_value_add_up_like_any_other(values: list[int], data: st.DataObject) -> None:
    """Sums of runs need not look at values that are all the same."""
    places = np.array(data.draw(st.permutations(range(len(values)))))
    starts = np.array(sorted({0, *data.draw(st.lists(st.integers(0, len(values) - 1)))}))
    alike = np.broadcast_to(np.int64(3), len(values))
    assert sum_runs(alike, places, starts).tolist() == sum_runs(np.full(len(values), 3), places, starts).tolist()
    expected = [sum(run) for run in np.split(np.array(values)[places], starts[1:])]
    assert sum_runs(np.array(values), places, starts).tolist() == expected


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4))))
def test_codes_put_together_come_apart_again(pairs: list[tuple[int, int]]) -> None:
    """Of one source alone too, where there is nothing to divide."""
    codes = np.array([5 * one + other for one, other in pairs], np.int64)
    one, other = split_codes(codes, 5)
    assert list(zip(one.tolist(), other.tolist(), strict=True)) == pairs


@pytest.mark.parametrize(
    "kind", [pa.int64(), pa.timestamp("us"), pa.float64(), MONEY, MONEY_SUM, pa.string(), pa.bool_()]
)
@pytest.mark.parametrize("count", [0, 1, 9])
def test_a_column_without_a_value_is_whole(kind: pa.DataType, count: int) -> None:
    """As Arrow's own: it is valid, has no value, and can be sliced and written."""
    found = nothing(count, kind)
    found.validate(full=True)
    assert (found.type, found.to_pylist()) == (kind, [None] * count)
    assert found.slice(count // 2).null_count == count - count // 2


def test_a_column_that_stands_there_twice_is_written_twice(tmp_path: Path) -> None:
    """An export without ids has its names as ids: what is looked through once is in both columns of the file."""
    words = pa.chunked_array([pa.array(["b", "a", "b", None]).dictionary_encode(), pa.array(["c"]).dictionary_encode()])
    schema = pa.schema([("x", pa.string()), ("y", pa.string()), ("z", pa.string())])
    with write_table(tmp_path / "x.parquet", schema, rows_per_group=2) as writer:
        writer.write(words, words, pa.chunked_array([pa.array(["q"] * 5).dictionary_encode()]))
    read = pq.read_table(tmp_path / "x.parquet").to_pydict()
    assert read == {"x": ["b", "a", "b", None, "c"], "y": ["b", "a", "b", None, "c"], "z": ["q"] * 5}


@pytest.mark.parametrize("many", [0, 2**16])
def test_items_are_found_among_few_and_among_many(monkeypatch: pytest.MonkeyPatch, many: int) -> None:
    """By bytes, so that capitals, accents and the first and last of all names are found, and no other is."""
    monkeypatch.setattr(ranking, "MANY_ITEMS", many)
    names = sorted(["B", "a", "ab", "b", "é", "zz", "日本"], key=str.encode)
    items = ranking.Items(pa.array(names), np.ones(len(names)), 1.0)
    column = pa.chunked_array([pa.array([*reversed(names), names[2]])])
    assert items.places(column, Path("pairs.parquet")).tolist() == [*range(len(names) - 1, -1, -1), 2]
    for stranger in ("", "A", "abc", "zzz", "日本語"):
        with pytest.raises(LakeError, match="item_stats does not know"):
            items.places(pa.chunked_array([pa.array(["a", stranger])]), Path("pairs.parquet"))
