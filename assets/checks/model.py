"""The checks of the model's tables: invariants that only a defect or damage can break.

Does not belong here: counting the breaches (`reco.model.checks`).
"""

import dagster as dg

from assets.checks.common import result, spec
from reco.model.checks import check_similar_bounds, check_symmetry
from reco.model.tables import ITEM_COOCCURRENCE, ITEM_STATS, SIMILAR_ITEMS
from resources.home import LakeResource

PAIRS, SCORES = "pairs_symmetric_and_bounded", "scores_bounded"


@dg.asset_check(
    asset=ITEM_COOCCURRENCE, additional_deps=[ITEM_STATS], description=spec(ITEM_COOCCURRENCE, PAIRS).description
)
def pairs_symmetric_and_bounded(lake: LakeResource) -> dg.AssetCheckResult:
    """Counts pairs without their mirror, over the orders of an item, or of an item with itself."""
    store = lake.open()
    report = check_symmetry(store.existing(ITEM_COOCCURRENCE), store.existing(ITEM_STATS))
    return result(
        ITEM_COOCCURRENCE,
        PAIRS,
        passed=report.passed,
        found=f"{'An unknown number of' if report.pairs is None else report.pairs} pairs, {report.kept} of them kept: "
        f"{report.asymmetric} asymmetric, {report.over_bound} above their bound, "
        f"{report.self_pairs} of an item with itself.",
        figures={
            "pairs": report.pairs,
            "kept": report.kept,
            "asymmetric": report.asymmetric,
            "over_bound": report.over_bound,
            "self_pairs": report.self_pairs,
        },
        worst=report.offenders,
    )


@dg.asset_check(asset=SIMILAR_ITEMS, description=spec(SIMILAR_ITEMS, SCORES).description)
def scores_bounded(lake: LakeResource) -> dg.AssetCheckResult:
    """Counts rows of similar items outside their bounds."""
    report = check_similar_bounds(lake.open().existing(SIMILAR_ITEMS))
    return result(
        SIMILAR_ITEMS,
        SCORES,
        passed=report.passed,
        found=f"{report.rows} rows: {report.out_of_bounds} out of bounds, {report.self_pairs} of an item with "
        f"itself, {report.repeated} repeated, {report.misranked} out of rank.",
        figures={
            "rows": report.rows,
            "out_of_bounds": report.out_of_bounds,
            "self_pairs": report.self_pairs,
            "repeated": report.repeated,
            "misranked": report.misranked,
        },
        worst=report.offenders,
    )
