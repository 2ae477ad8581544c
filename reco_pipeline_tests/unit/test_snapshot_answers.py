import datetime as dt
import json
import subprocess
import sys

import pytest

from reco.errors import SnapshotDamaged
from reco.snapshot.answers import percent, recommendation_id
from reco.snapshot.codec import (
    Evidence,
    Neighbour,
    decode_entry,
    decode_figures,
    decode_neighbours,
    decode_ranks,
    encode,
    evidence,
)
from reco.snapshot.manifest import ManifestFacts, read_manifest, utc_text, write_manifest

SID = "20260304T050607Z-01234567"
COUNTS = {"items": 1, "orders": 1, "pairs": 0, "similar_rows": 0, "keys": 3, "bytes": 9}
MANIFEST = {
    "format": 1,
    "snapshot_id": SID,
    "digest": "d",
    "published_at": "2026-03-04T05:06:07Z",
    "counts": COUNTS,
    "name_blocks": 0,
}


@pytest.mark.parametrize(
    ("share", "words"),
    [(1, "100 %"), (0.588, "59 %"), (0.0994, "9.9 %"), (0.042, "4.2 %"), (0.0008, "0.08 %"), (0, "0 %")],
)
def test_shares_read_like_a_person_would_say_them(share, words):
    """Whole percents where that says enough, more digits where it does not."""
    assert percent(share) == words


def test_evidence_is_computed_from_counts():
    """17 of 20 orders with i hold j, which is in 40 of 100: cosine, lift and confidence by hand."""
    got = evidence(20, 40, Neighbour(3, 17, 40), 100, stored=False)
    assert got == Evidence(score=17 / 800**0.5, pair_orders=17, lift=17 * 100 / 800, confidence=0.85)


def test_a_recommendation_id_depends_on_snapshot_route_and_parameters_only():
    """The same question to the same snapshot has the same id; anything else another."""
    ids = {
        recommendation_id(sid, route, parameters)
        for sid in ("s1", "s2")
        for route in ("similar-items", "popular-items")
        for parameters in ({"item": "a", "limit": 5}, {"limit": 5, "item": "a"}, {"item": "\udcff", "limit": 5})
    }
    assert len(ids) == 8
    assert all(len(one) == 32 for one in ids)


@pytest.mark.parametrize(
    ("decode", "raw"),
    [
        (decode_figures, b"\xff"),
        (decode_figures, b"{}"),
        (decode_figures, b"[1,2]"),
        (decode_figures, b'["1",null,null,1,1,null,null,null,null,0]'),
        (decode_neighbours, b"[[1,2]]"),
        (decode_neighbours, b"[[1,2,0]]"),
        (decode_neighbours, b"[[1,2,true]]"),
        (decode_neighbours, b"[1]"),
        (decode_entry, b'[1,"n",3]'),
        (decode_entry, b'["i","n"]'),
        (decode_ranks, b"[1.5]"),
        (decode_ranks, b"[-1]"),
        (decode_ranks, b"nonsense"),
    ],
)
def test_a_value_we_did_not_write_is_damage_and_names_its_key(decode, raw):
    """Anything in Redis that has not the form of a publish is reported with its key, never half understood."""
    with pytest.raises(SnapshotDamaged, match="item:x"):
        decode(raw, b"item:x")


def test_values_are_readable_json():
    """Text stands as it is, not as escapes."""
    assert encode([1, "Zähler", None]) == '[1,"Zähler",null]'.encode()


def test_a_manifest_reads_back_as_written():
    """What is written is what is read."""
    assert read_manifest(write_manifest(MANIFEST), SID) == MANIFEST


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 3},
        {"format": "1"},
        {"snapshot_id": "other"},
        {"digest": None},
        {"counts": COUNTS | {"keys": "3"}},
        {"name_blocks": "0"},
    ],
)
def test_a_manifest_of_another_form_is_damage(changes):
    """A later format, another snapshot's manifest or a missing field is refused with the way out."""
    with pytest.raises(SnapshotDamaged, match=SID) as caught:
        read_manifest(json.dumps(MANIFEST | changes).encode(), SID)
    assert "rollback" in caught.value.hint


@pytest.mark.parametrize("raw", [b"[]", b"\xff", b"", b"null"])
def test_a_manifest_that_is_no_object_is_damage(raw):
    """Bytes that are no manifest at all are refused too."""
    with pytest.raises(SnapshotDamaged):
        read_manifest(raw, SID)


def test_times_of_the_manifest_are_utc():
    """A naive time is UTC, another zone is converted."""
    east = dt.timezone(dt.timedelta(hours=2))
    naive = dt.datetime(2026, 1, 2, 3)  # noqa: DTZ001 - as the lake has it
    assert utc_text(naive) == utc_text(dt.datetime(2026, 1, 2, 5, tzinfo=east)) == "2026-01-02T03:00:00Z"
    assert ManifestFacts(None, ("b", "a"), 1, 0).as_dict()["drops"] == ["a", "b"]


def test_reading_needs_no_engine():
    """A service that only reads snapshots loads neither Polars nor DuckDB."""
    code = "import sys, reco.snapshot.store; print([m for m in ('polars', 'duckdb', 'pandas') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
