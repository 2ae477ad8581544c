"""Proving the audit trail of a home, held against the heads that were noted outside of its database.

Belongs here: where they are noted and reading them there. Does not belong here: the proof itself (`reco.audit.proof`).

Whoever cuts the end off the trail, or puts an older copy of the database in its place, would have to change Redis and
Dagster's event log too.
"""

from dataclasses import dataclass, field, replace

from reco.audit.proof import Proof, prove
from reco.audit.stored import FilesReport
from reco.errors import Busy, RecoError
from reco.orders.home import Home
from reco.snapshot.release import REDIS_SNAPSHOT
from reco.snapshot.store import SnapshotStore
from reco.storage.homelock import home_lock
from reco.storage.redis import open_redis

MATERIALIZATIONS = 100
"""So many of the newest publishes are looked at in Dagster."""
LOCK_SECONDS = 10.0


@dataclass
class NotedHeads:
    """Heads by who noted them, and in words the places that could not be asked."""

    heads: dict[str, str] = field(default_factory=dict)
    unasked: list[str] = field(default_factory=list)


def prove_home(home: Home, *, given: str | None = None) -> Proof:
    """The proof of a home's trail; `given` is a head that a person noted.

    A run replaces a file before it says so. So where a file is not as the trail says, it is looked at again while no
    run is at work; where one goes on, that is told instead.
    """
    noted = noted_heads(home)
    heads = noted.heads | ({"--head": given} if given is not None else {})
    found = prove(home.ledger.engine, home.lake, noted=heads, unasked=noted.unasked)
    if not found.files.problems:
        return found
    try:
        with home_lock(home.settings.home, wait_seconds=LOCK_SECONDS):
            return prove(home.ledger.engine, home.lake, noted=heads, unasked=noted.unasked)
    except Busy as error:
        told = [*noted.unasked, f"files of the lake, while they change: {error.message}"]
        return replace(found, files=FilesReport(found.files.checked, ()), unasked=tuple(told))


def noted_heads(home: Home) -> NotedHeads:
    """The heads noted by the snapshots in Redis and by the runs that Dagster knows; imports Dagster if it was used."""
    noted = NotedHeads()
    try:
        with open_redis(home.settings) as client:
            heads = SnapshotStore(client, home.settings.namespace).audit_heads()
        noted.heads |= {f"snapshot {sid}": head for sid, head in heads.items()}
    except RecoError as error:
        noted.unasked.append(f"the snapshots in Redis: {error.message}")
    if (home.settings.home / "dagster" / "dagster.yaml").is_file():
        noted.heads |= _of_dagster(home)
    return noted


def _of_dagster(home: Home) -> dict[str, str]:
    import dagster as dg

    from assets.serving import AUDIT_HEAD
    from reco_pipeline.instance import open_instance

    found = {}
    with open_instance(home.settings.home) as instance:
        for one in instance.fetch_materializations(dg.AssetKey(REDIS_SNAPSHOT), limit=MATERIALIZATIONS).records:
            made = one.asset_materialization
            if made is not None and AUDIT_HEAD in made.metadata:
                found[f"run {one.run_id}"] = str(made.metadata[AUDIT_HEAD].value)
    return found
