"""Promises of the usual form of times: read many at once it is what the rule table's SQL reads, or it is left to it."""

import datetime as dt
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reco.orders import times
from reco.orders.iso import begin_as_iso, iso_times
from reco.orders.profiles import SourceProfile
from reco_pipeline_tests.reading import NOW, read_bytes

USUAL = st.datetimes().map(lambda one: one.replace(microsecond=0).isoformat(sep=" "))
NEARLY = st.from_regex(r"[0-9]{4}[-/][0-3][0-9][-/][0-3][0-9][ T][0-2][0-9]:[0-6][0-9]:[0-6][0-9]", fullmatch=True)
OTHER = st.sampled_from(
    ["", "2024-06-01", "2024-06-01T10:00:00Z", " 2024-06-01 10:00:00", "1/2/2024", "\uff12024-06-01 10:00:00"]
)


def asked(texts: list[str]) -> list[int | None]:
    """Microseconds since 1970 of each text, as the rule table's SQL reads it; None where it is no time."""
    with duckdb.connect() as con:
        con.register("texts", pa.table({"i": list(range(len(texts))), "t": pa.array(texts, pa.string())}))
        query = f"SELECT epoch_us({times.local_time('t', 'plain', 'UTC')}) FROM texts ORDER BY i"
        return [row[0] for row in con.sql(query).fetchall()]


@given(st.lists(USUAL | NEARLY | OTHER, max_size=6))
@example(["2024-02-29 23:59:59"])
@example(["2023-02-29 00:00:00"])
@example(["2024-01-01 24:00:00"])
@example(["2024-06-30 23:59:60"])
@example(["0000-01-01 00:00:00"])
@example(["0001-01-01T00:00:00", "9999-12-31 23:59:59"])
@example(["2024-06-01 10:00:00", "2024-06-01 10:00"])
def test_what_is_read_at_once_is_what_is_asked(texts: list[str]) -> None:
    """Either every text has the value that SQL gives it, or nothing is said of any."""
    column = pa.array(["skipped", *texts, "skipped"], pa.string()).slice(1, len(texts))
    found = iso_times(column)
    if found is not None:
        assert found.tolist() == asked(texts)


@given(st.lists(USUAL, min_size=1))
def test_the_usual_form_is_read_at_once(texts: list[str]) -> None:
    """Every time of every year, with a blank or a T."""
    expected = [np.datetime64(text).astype("datetime64[us]").astype(np.int64) for text in texts]
    for between in (" ", "T"):
        found = iso_times(pa.array([text.replace(" ", between) for text in texts]))
        assert found is not None
        assert found.tolist() == expected


@given(st.lists(USUAL | NEARLY | OTHER, min_size=1, max_size=4))
def test_a_column_that_begins_as_iso_has_nothing_else(texts: list[str]) -> None:
    """Where all texts are said to begin so, SQL finds none that does not."""
    with duckdb.connect() as con:
        con.register("texts", pa.table({"t": pa.array(texts, pa.string())}))
        (others,) = con.sql(f"SELECT count(*) FROM texts WHERE {times.not_iso('t')}").fetchall()[0]
    assert begin_as_iso(pa.array(texts, pa.string())) is (others == 0)


@pytest.mark.parametrize("zone", ["UTC", "Europe/London"])
def test_one_other_time_changes_no_other_value(zone: str, tmp_path: Path) -> None:
    """A column of usual times alone, and the same with one in another form, give the same lines and reasons."""
    late = NOW + dt.timedelta(days=3)
    moments = ["2024-06-01 10:00:00", "1989-12-31 23:59:59", "1990-01-01 00:00:00", f"{late:%Y-%m-%d %H:%M:%S}"]
    text = "order_id,item_id,order_date\n" + "".join(f"{i},a,{one}\n" for i, one in enumerate(moments))
    profile = SourceProfile.checked({"name": "shop", "timezone": zone}, "a test")
    usual = read_bytes(text.encode(), tmp_path, profile)
    mixed = read_bytes((text + "9,a,2024-06-01\n").encode(), tmp_path, profile)
    assert usual.faults == mixed.faults == {3: "timestamp_out_of_range", 5: "timestamp_out_of_range"}
    assert mixed.accepted[:2].equals(usual.accepted)
    assert usual.others.equals(mixed.others)
    assert usual.column("ordered_at")[0].hour == {"UTC": 10, "Europe/London": 9}[zone]
