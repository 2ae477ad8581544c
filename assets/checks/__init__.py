"""The asset checks: each says what it found in numbers and shows offenders when it fails.

Belongs here: a module for each group of assets; names, promises and weights stand in `reco.audit.catalogue`. Does not
belong here: how a figure is computed. Blocking checks guard invariants that only a defect of ours or damage can break;
a poor drop only warns.
"""

from assets.checks.catalogue import catalogue_checks
from assets.checks.evaluation import evaluated_model
from assets.checks.ingest import drops_and_lines, lines_reconcile
from assets.checks.model import pairs_symmetric_and_bounded, scores_bounded
from assets.checks.orders import volume_usual
from assets.checks.partitions import drop_quality
from assets.checks.serving import served_snapshot

all_checks = [
    lines_reconcile,
    drops_and_lines,
    drop_quality,
    volume_usual,
    catalogue_checks,
    pairs_symmetric_and_bounded,
    scores_bounded,
    evaluated_model,
    served_snapshot,
]
