"""Times and amounts that only a whole column, or the profile, can tell the meaning of."""

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from reco.errors import DropAmbiguous, ProfileError
from reco.orders.profiles import SourceProfile
from reco_pipeline_tests.reading import ReadDrop, read_bytes


def profile(**parts: Any) -> SourceProfile:
    return SourceProfile.checked({"name": "test", **parts}, "a test")


def column(name: str, values: list[str], folder: Path, delimiter: str = ",", **parts: Any) -> ReadDrop:
    """Reads lines that differ in one column; the values stand in quotes."""
    body = "".join(f'{i}{delimiter}A{delimiter}"{value}"\n' for i, value in enumerate(values))
    return read_bytes(f"order_id{delimiter}item_id{delimiter}{name}\n{body}".encode(), folder, profile(**parts))


def times(read: ReadDrop) -> list[str | None]:
    assert read.result.error is None, read.result.error
    return [time.isoformat() if time else None for time in read.column("ordered_at")]


def told(form: str, timezone: str = "UTC") -> dict[str, Any]:
    columns = {"order_id": "order_id", "item_id": "item_id", "ordered_at": {"column": "when", "format": form}}
    return {"columns": columns, "timezone": timezone}


def test_days_of_excel_are_read_as_the_shop_s_local_time(tmp_path: Path) -> None:
    """A column of days since 1899-12-30 is told by its values, exact to a millisecond, in the profile's time zone."""
    values = ["40513.35", "40513", "", "45474,5", "hello"]
    read = column("order_date", values, tmp_path)
    assert times(read) == ["2010-12-01T08:24:00", "2010-12-01T00:00:00", None, "2024-07-01T12:00:00"]
    assert read.faults == {6: "invalid_timestamp"}
    summer = column("order_date", ["45474.5"], tmp_path, timezone="Europe/London")
    assert times(summer) == ["2024-07-01T11:00:00"]


@pytest.mark.parametrize(
    "values", [["1511544070", "1511544070.0", "946684800"], ["1511544070000", "1511544070000", "946684800000"]]
)
def test_epochs_are_utc_whatever_the_shop_s_time_zone(values: list[str], tmp_path: Path) -> None:
    """A column of seconds or milliseconds since 1970 is told by its number of digits."""
    expected = ["2017-11-24T17:21:10", "2017-11-24T17:21:10", "2000-01-01T00:00:00"]
    assert times(column("timestamp", values, tmp_path, timezone="Asia/Shanghai")) == expected


@pytest.mark.parametrize(
    ("form", "value", "expected"),
    [
        ("excel", "2.5", "1900-01-01T12:00:00"),
        ("excel", "40513.35", "2010-12-01T08:24:00"),
        ("epoch_seconds", "86400", "1970-01-02T00:00:00"),
        ("epoch_milliseconds", "1511544070123", "2017-11-24T17:21:10.123000"),
        ("day_first", "1/2/2024 8:30 AM", "2024-02-01T08:30:00"),
        ("month_first", "1/2/2024", "2024-01-02T00:00:00"),
        ("%Y%m%d", "20240131", "2024-01-31T00:00:00"),
    ],
)
def test_a_profile_names_the_form_of_times(form: str, value: str, expected: str, tmp_path: Path) -> None:
    """What detection would not take, or take otherwise, is read as the profile says."""
    read = column("when", [value], tmp_path, **told(form))
    if expected < "1990":
        assert read.others["reason"].to_list() == ["timestamp_out_of_range"]
    else:
        assert times(read) == [expected]


@pytest.mark.parametrize("form", ["exel", "%Q", "dd/mm/yyyy"])
def test_a_format_that_means_nothing_is_refused(form: str) -> None:
    """A misspelt format is an error of the profile, not of every line."""
    with pytest.raises(ProfileError, match="day_first"):
        profile(**told(form))


def test_numbers_among_dates_are_no_times(tmp_path: Path) -> None:
    """Where a column has dates too, or most values are something else, a number is not taken for a time."""
    assert column("order_date", ["2024-01-31", "45474", "45475"], tmp_path).faults == dict.fromkeys(
        [3, 4], "invalid_timestamp"
    )
    assert column("order_date", ["31/1/2024", "45474", "45475"], tmp_path).faults == dict.fromkeys(
        [3, 4], "invalid_timestamp"
    )
    assert column("order_date", ["x", "y", "45475"], tmp_path).result.counts.lines_accepted == 0


def test_mixed_dates_are_read_where_none_has_two_readings(tmp_path: Path) -> None:
    """ISO dates, month names and dates of either order share a column as long as each value has one meaning only."""
    values = ["2024-01-31 10:00", "31/1/2024", "1/31/2024", "5/5/2024", "31 Jan 2024", "99/99/2024"]
    read = column("order_date", values, tmp_path)
    day = "2024-01-31T00:00:00"
    assert times(read) == ["2024-01-31T10:00:00", day, day, "2024-05-05T00:00:00", day]
    assert read.faults == {7: "invalid_timestamp"}
    error = column("order_date", [*values, "3/4/2024"], tmp_path).result.error
    assert isinstance(error, DropAmbiguous)
    assert "'3/4/2024'" in error.message


def test_days_without_signs_and_offsets_behind_any_date_are_read(tmp_path: Path) -> None:
    """`20240105` has one meaning only; an offset counts behind a date in whatever order, clock or language."""
    values = ["20240105", "20240105 10:30", "20240105T10:30:00Z", "20241305", "01022024", "20101012"]
    read = column("order_date", values, tmp_path, timezone="Asia/Shanghai")
    assert times(read) == [
        "2024-01-04T16:00:00",
        "2024-01-05T02:30:00",
        "2024-01-05T10:30:00",
        "2010-10-11T16:00:00",
    ]
    assert read.faults == dict.fromkeys([5, 6], "invalid_timestamp")
    values = ["13/01/2024 10:00 +0200", "13/01/2024 10:00:30.5+02", "13/01/2024 10:00 PM -05:30", "13 Jan 2024 10:00Z"]
    read = column("order_date", [*values, "13.1.24 9:00 UTC"], tmp_path, timezone="Asia/Shanghai")
    assert times(read) == [
        "2024-01-13T08:00:00",
        "2024-01-13T08:00:30.500000",
        "2024-01-14T03:30:00",
        "2024-01-13T10:00:00",
        "2024-01-13T09:00:00",
    ]


def test_an_offset_does_not_tell_the_order_of_day_and_month(tmp_path: Path) -> None:
    """Where both orders fit every date, the drop asks, offsets or not; the answer reads them."""
    values = ["01/02/2024 10:00 +0200", "03/04/2024 10:00 +0200"]
    error = column("order_date", values, tmp_path).result.error
    assert isinstance(error, DropAmbiguous)
    assert times(column("when", values, tmp_path, **told("month_first")))[0] == "2024-01-02T08:00:00"


@pytest.mark.parametrize(
    ("values", "decimal", "read"),
    [
        (["2,39", "1.234", "5", "1,234"], ",", ["2.39", "1234", "5", "1.234"]),
        (["1.234,50", "1.234"], ",", ["1234.5", "1234"]),
        (["€ 2,39", "-0,5 EUR", "1 234,5"], ",", ["2.39", None, "1234.5"]),
        (["0,123"], ",", ["0.123"]),
        (["2.39", "1,234"], ".", ["2.39", "1234"]),
        (["1,234,567", "1,234"], ".", ["1234567", "1234"]),
        (["1'234.50", "0.125"], ".", ["1234.5", "0.125"]),
        (["2.39", "3.10", "2,39"], ".", ["2.39", "3.1", None]),
        (["2,39", "3,10", "2.39"], ",", ["2.39", "3.1", None]),
        (["12", "5"], ".", ["12", "5"]),
    ],
)
@pytest.mark.parametrize("delimiter", [",", ";"])
def test_amounts_prove_their_decimal_sign(
    values: list[str], decimal: str, read: list[str | None], delimiter: str, tmp_path: Path
) -> None:
    """One amount that has one reading only tells the sign of all; what contradicts most of them is refused."""
    drop = column("price", values, tmp_path, delimiter)
    expected = [Decimal(amount) for amount in read if amount is not None]
    assert drop.column("unit_price") == expected
    assert drop.result.dialect is not None
    assert drop.result.dialect["decimal"] == decimal
    assert len(drop.faults) == len(values) - len(expected)


@pytest.mark.parametrize(
    ("values", "delimiter"),
    [(["1,234"], ","), (["$1,234", "12", "7,000"], ","), (["1.234"], ";"), (["1,234", "2.50", "2,50"], ",")],
)
def test_a_doubtful_decimal_sign_is_asked_for(values: list[str], delimiter: str, tmp_path: Path) -> None:
    """Where an amount has two readings and nothing, or too much, proves one, the drop is refused with the answers."""
    error = column("price", values, tmp_path, delimiter).result.error
    assert isinstance(error, DropAmbiguous)
    assert values[0] in error.message
    assert error.details["questions"][0]["answers"] == ['decimal = "."', 'decimal = ","']
    as_point = column("price", values, tmp_path, delimiter, dialect={"decimal": "."})
    as_comma = column("price", values, tmp_path, delimiter, dialect={"decimal": ","})
    assert {as_point.column("unit_price")[0], as_comma.column("unit_price")[0]} == {Decimal("1.234"), Decimal(1234)}


def test_every_drop_of_a_batch_has_its_own_signs(tmp_path: Path) -> None:
    """Price and line total prove a sign together, and quantities are read with it."""
    text = b"order_id;item;quantity;unit_price;line_total\n1;a;2,0;1,234;2,5\n"
    read = read_bytes(text, tmp_path)
    assert (read.column("quantity"), read.column("unit_price")) == ([2], [Decimal("1.234")])
    both = read_bytes(text.replace(b"1,234", b"1.234,5"), tmp_path)
    assert both.column("unit_price") == [Decimal("1234.5")]


def test_a_time_in_two_columns_can_be_told_its_order(tmp_path: Path) -> None:
    """A date and a time of their own are one time, and a question about them names both."""
    text = b"order_id,item,date,time\n1,a,1/2/2024,9:58:11\n"
    error = read_bytes(text, tmp_path).result.error
    assert isinstance(error, DropAmbiguous)
    answer = error.details["questions"][0]["answers"][0]
    assert answer == 'ordered_at = { column = ["date", "time"], format = "day_first" }'
    columns = {"order_id": "order_id", "item_id": "item"}
    read = read_bytes(
        text, tmp_path, profile(columns=columns | {"ordered_at": {"column": ["date", "time"], "format": "day_first"}})
    )
    assert read.column("ordered_at") == [dt.datetime.fromisoformat("2024-02-01T09:58:11")]


@pytest.mark.parametrize("clock", ["EST", "CEST", "UTC+2", "America/New_York", "banana", "Uhr"])
def test_a_word_behind_a_time_is_never_left_out(tmp_path: Path, clock: str) -> None:
    """What is not understood about a time is a fault: a zone's name that is skipped would be hours off."""
    text = f"order_id,item_id,ordered_at\n1,a,2024-01-05 10:00:00 {clock}\n2,b,2024-01-05 10:00:00\n"
    assert read_bytes(text.encode(), tmp_path).faults == {2: "invalid_timestamp"}


def test_twelve_hours_behind_an_iso_date(tmp_path: Path) -> None:
    """1:05 PM is 13:05, and 12:30 AM is half past midnight."""
    text = "order_id,item_id,ordered_at\n1,a,2024-01-13 1:05 PM\n2,b,2024-01-05 12:30 AM\n3,c,2024-01-05 12:30:15 pm\n"
    found = [one.strftime("%H:%M:%S") for one in read_bytes(text.encode(), tmp_path).column("ordered_at")]
    assert found == ["13:05:00", "00:30:00", "12:30:15"]


def test_a_line_in_all_is_an_amount_of_money(tmp_path: Path) -> None:
    """A price and a quantity that are fine by themselves may make more money than there is room for."""
    text = b"order_id,item_id,quantity,unit_price\n1,a,999999999,999999999999\n2,a,100,999999999999\n"
    read = read_bytes(text, tmp_path)
    assert read.faults == {2: "invalid_price"}
    assert read.column("line_total") == [Decimal(99999999999900)]
