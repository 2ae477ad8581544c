"""The manifest: what a published snapshot says about itself.

Belongs here: its fields, writing and reading it. Does not belong here: where it stands (`keys`) or when it is written.
"""

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reco.errors import SnapshotDamaged
from reco.snapshot.codec import COSINE, STORED

Manifest = dict[str, Any]

_REQUIRED: dict[str, type] = {
    "format": int,
    "snapshot_id": str,
    "digest": str,
    "published_at": str,
    "counts": dict,
    "name_blocks": int,
}
COUNTS = ("items", "orders", "pairs", "similar_rows", "keys", "bytes")


@dataclass(frozen=True, slots=True)
class ManifestFacts:
    """What the publisher knows about the data and the tables do not tell.

    drops: sha256 of every drop the data comes from; orders: all orders; pairs: distinct unordered pairs; the time range
    of orders in UTC; score_settings: how similarity was computed; score_choice: why this score, where the evaluation
    chose it; code_version: of the code that computed it;
    audit_head: the head of the audit trail before the publish, which a later proof of the trail is held against.
    """

    run_id: str | None
    drops: tuple[str, ...]
    orders: int
    pairs: int
    first_ordered_at: dt.datetime | None = None
    last_ordered_at: dt.datetime | None = None
    score_settings: Mapping[str, Any] = field(default_factory=dict)
    score_choice: Mapping[str, Any] = field(default_factory=dict)
    code_version: str = ""
    audit_head: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The facts that stand in the manifest as they are."""
        return {
            "run_id": self.run_id,
            "drops": sorted(self.drops),
            "first_ordered_at": utc_text(self.first_ordered_at),
            "last_ordered_at": utc_text(self.last_ordered_at),
            "score_settings": dict(self.score_settings),
            **({"score_choice": dict(self.score_choice)} if self.score_choice else {}),
            "code_version": self.code_version,
            "audit_head": self.audit_head,
        }


def sold_items(counts: Mapping[str, int]) -> int:
    """The items that an order holds: those of a catalogue alone come and go with it, which is no loss."""
    return counts["items"] - counts.get("unsold_items", 0)


def utc_text(at: dt.datetime | None) -> str | None:
    """A time as ISO 8601 with Z; a time without a zone is UTC."""
    if at is None:
        return None
    at = at.replace(tzinfo=dt.UTC) if at.tzinfo is None else at.astimezone(dt.UTC)
    return at.isoformat().replace("+00:00", "Z")


def write_manifest(manifest: Manifest) -> bytes:
    """The manifest as JSON."""
    return json.dumps(manifest, ensure_ascii=False, sort_keys=True).encode()


def read_manifest(raw: bytes, sid: str) -> Manifest:
    """The manifest of a snapshot.

    Raises:
        SnapshotDamaged: it does not parse, lacks a field, or is of another snapshot or of a later format.
    """
    try:
        value = json.loads(raw)
    except ValueError:
        value = None
    if (
        not isinstance(value, dict)
        or not all(isinstance(value.get(name), kind) for name, kind in _REQUIRED.items())
        or not all(isinstance(value["counts"].get(name), int) for name in COUNTS)
        or value["snapshot_id"] != sid
        or value["format"] not in (COSINE, STORED)
    ):
        raise SnapshotDamaged(
            f"The manifest of snapshot {sid} is not one that this version wrote.",
            hint="Go back to another one with `reco snapshot rollback`, or publish anew with `reco run`.",
            snapshot_id=sid,
        )
    return value
