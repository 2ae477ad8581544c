import datetime as dt
import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reco.snapshot.keys import Keys, encode_part, make_sid, name_suffix, popular_suffix, rank_suffix, stats_suffix

NOW = dt.datetime(2026, 3, 4, 5, 6, 7, 999999, tzinfo=dt.UTC)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(TEXT)
def test_a_part_of_a_key_holds_no_separator_blank_or_control_character(text):
    """Whatever an id holds, its part of a key is free of `:`, blanks and control characters, and can be read back."""
    part = encode_part(text)
    assert not re.search(r"[:\s\x00-\x1f\x7f-\x9f]", part)
    assert unquote(part) == text


@given(TEXT, TEXT)
def test_two_ids_never_share_a_key(one, other):
    """Different ids have different keys."""
    assert (stats_suffix(one) == stats_suffix(other)) == (one == other)


@pytest.mark.parametrize(
    ("text", "part"),
    [("PID", "PID"), ("a:b", "a%3Ab"), ("50%", "50%25"), ("Cal Kit", "Cal%20Kit"), ("é\u00a0", "é%C2%A0")],
)
def test_only_what_must_be_is_encoded(text, part):
    """Letters of any script stand as they are, so that a key can be read by a person."""
    assert encode_part(text) == part


def test_a_category_called_all_is_not_the_whole_shop():
    """The popular list of a category called "all" has a key of its own, which no other category can have."""
    assert popular_suffix() == "popular:all"
    assert len({popular_suffix(), popular_suffix("all"), popular_suffix("%61ll"), popular_suffix("All")}) == 4


def test_a_snapshot_id_is_the_second_in_utc_and_the_digest():
    """The id is `{utc}-{digest[:8]}`, whatever zone the time came in."""
    zone = dt.timezone(dt.timedelta(hours=2))
    assert make_sid(NOW.astimezone(zone), "0123456789abcdef", []) == "20260304T050607Z-01234567"


@pytest.mark.parametrize("back", [dt.timedelta(0), dt.timedelta(days=1)])
def test_ids_rise_even_when_the_clock_does_not(back):
    """A publish in the same second, or after the clock went back, still gets the highest id."""
    older = make_sid(NOW, "f" * 64, [])
    assert make_sid(NOW - back, "0" * 64, ["20250101T000000Z-aaaaaaaa", older]) == "20260304T050608Z-00000000"


def test_only_versioned_keys_of_the_namespace_are_recognised():
    """Sweeping can only ever see keys of snapshots of this namespace."""
    keys = Keys("shop")
    assert keys.sid_of(b"shop:20260304T050607Z-01234567:item:PID:stats") == "20260304T050607Z-01234567"
    for foreign in (
        b"shop:user:7:recs",
        b"shop2:20260304T050607Z-01234567:item:PID:stats",
        b"my-shop:20260304T050607Z-01234567:popular:all",
        b"shop:20260304T050607Z-01234567",
        b"shop:snapshot:20260304T050607Z-01234567:manifest",
    ):
        assert keys.sid_of(foreign) is None
    assert keys.sid_of_manifest(b"shop:snapshot:20260304T050607Z-01234567:manifest") == "20260304T050607Z-01234567"
    assert keys.sid_of_manifest(b"shop:snapshot:current") is None


def test_lookups_stay_in_blocks_that_redis_keeps_compact():
    """A lookup hash holds 128 ranks, and names spread over the blocks there are."""
    assert [rank_suffix(rank) for rank in (1, 128, 129)] == ["ranks:0", "ranks:0", "ranks:1"]
    assert {name_suffix(str(number), 3) for number in range(100)} == {"names:0", "names:1", "names:2"}
