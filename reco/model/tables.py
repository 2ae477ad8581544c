"""The model's tables in the lake: which table is made from which, and proof that they belong together.

Belongs here: paths, stamps and the chain of digests. Does not belong here: the SQL of a table.
"""

import json

from reco.catalog.table import CATALOGUE
from reco.errors import LakeError
from reco.model.cooccurrence import CooccurrenceReport, build_cooccurrence
from reco.model.item_stats import ItemStatsReport, build_item_stats
from reco.model.scores import ScoreSettings
from reco.model.similar import SimilarReport, build_similar
from reco.orders.ledger import DropLedger, DropStatus, inputs_digest
from reco.orders.merging import MERGED_ITEMS
from reco.orders.orders import INPUT, ORDERS, merging_rules, order_parts
from reco.progress import stage
from reco.storage.lake import Lake, file_digest

ITEM_STATS = "item_stats"
ITEM_COOCCURRENCE = "item_cooccurrence"
SIMILAR_ITEMS = "similar_items"
COMPILED = "compiled"
"""A folder beside the lake, for the kernel's code where set-up kept none."""

INPUTS = {
    ITEM_STATS: (ORDERS, CATALOGUE),
    ITEM_COOCCURRENCE: (ORDERS,),
    SIMILAR_ITEMS: (ITEM_STATS, ITEM_COOCCURRENCE),  # ages of orders come with the pairs' weights
}


def make_item_stats(ledger: DropLedger, lake: Lake) -> tuple[ItemStatsReport, str]:
    """Makes `item_stats` from `orders`, the names in the lines and the shop's item names; also returns its digest."""
    inputs = _inputs(lake, ITEM_STATS)
    drops = ledger.drops(status=DropStatus.INGESTED)
    parts = order_parts(lake, drops)
    names = lake.path(CATALOGUE)
    with stage(ITEM_STATS), lake.replace(ITEM_STATS) as path:
        report = build_item_stats(
            lake.existing(ORDERS),
            [part.path for part in parts],
            names if names.is_file() else None,
            path,
            batches=[part.batch for part in parts],
            merged=lake.existing(MERGED_ITEMS),
            rules=merging_rules(drops),
        )
    return report, lake.stamp(ITEM_STATS, inputs).digest


def make_cooccurrence(lake: Lake, settings: ScoreSettings | None = None) -> tuple[CooccurrenceReport, str]:
    """Makes `item_cooccurrence` from `orders`; also returns its digest."""
    settings = settings or ScoreSettings()
    inputs = _inputs(lake, ITEM_COOCCURRENCE) | _scoring(settings)
    with stage(ITEM_COOCCURRENCE), lake.replace(ITEM_COOCCURRENCE) as path:
        report = build_cooccurrence(lake.existing(ORDERS), path, settings, compiled=lake.root.with_name(COMPILED))
    return report, lake.stamp(ITEM_COOCCURRENCE, inputs).digest


def make_similar(lake: Lake, settings: ScoreSettings | None = None) -> tuple[SimilarReport, str]:
    """Makes `similar_items` from the stats and the pairs; also returns its digest."""
    settings = settings or ScoreSettings()
    inputs = _inputs(lake, SIMILAR_ITEMS) | _scoring(settings)
    with stage(SIMILAR_ITEMS), lake.replace(SIMILAR_ITEMS) as path:
        report = build_similar(
            lake.existing(ITEM_STATS),
            lake.existing(ITEM_COOCCURRENCE),
            path,
            settings,
            orders=lake.existing(ORDERS),
            compiled=lake.root.with_name(COMPILED),
        )
    return report, lake.stamp(SIMILAR_ITEMS, inputs).digest


def broken_links(ledger: DropLedger, lake: Lake, settings: ScoreSettings | None = None) -> list[str]:
    """Sentences on every table that was not made from what now stands in the lake; empty when all belong together.

    A run of one asset alone, or two runs at once, can leave tables of different days side by side. Each is whole, but
    publishing them together would mix two models. The same goes for tables of other score settings.
    """
    settings = settings or ScoreSettings()
    problems: list[str] = []
    expected: dict[str, dict[str, str]] = {
        ORDERS: {INPUT: inputs_digest(ledger.drops(status=DropStatus.INGESTED))},
        **{name: _inputs(lake, name, missing_ok=True) for name in INPUTS},
    }
    expected[ITEM_COOCCURRENCE] |= _scoring(settings)
    expected[SIMILAR_ITEMS] |= _scoring(settings)
    for name, inputs in expected.items():
        stamp = lake.read_stamp(name)
        if stamp is None:
            problems.append(f"{name} is missing or not the file that was made")
            continue
        stale = [source for source, digest in inputs.items() if stamp.inputs.get(source) != digest]
        if stale:
            problems.append(f"{name} was made from another state of {' and '.join(stale)}")
    return problems


def _scoring(settings: ScoreSettings) -> dict[str, str]:
    return {"score settings": json.dumps(settings.as_dict(), sort_keys=True)}


def _inputs(lake: Lake, name: str, *, missing_ok: bool = False) -> dict[str, str]:
    """The digests of a table's inputs as they are now; an input that is not there counts as empty."""
    digests: dict[str, str] = {}
    for source in INPUTS[name]:
        path = lake.path(source)
        if not path.is_file() and source != CATALOGUE and not missing_ok:
            raise LakeError(f"{source} is not in the lake.", hint=f"Materialize {source} first.", table=source)
        digests[source] = file_digest(path) if path.is_file() else ""
    return digests
