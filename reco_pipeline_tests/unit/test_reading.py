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
from reco.storage import reading
from reco.storage.columns import MONEY, Texts, lake_errors, pair_codes, text_array, texts
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
