"""Which checks fail now, by the records of Dagster.

Belongs here: that question. Does not belong here: running a check, or showing one.
"""

import dagster as dg

from reco.audit.catalogue import CATALOGUE, Weight
from reco.audit.standing import FailingCheck

PARTITIONED = frozenset({"drop_quality"})
"""Says of each drop what other checks say of all: its newest verdict is about one drop only."""


def failing_now(instance: dg.DagsterInstance, *, leave_out: frozenset[str] = PARTITIONED) -> list[FailingCheck]:
    """The checks whose newest execution failed, in the order of the catalogue."""
    found = []
    for one in CATALOGUE:
        if one.name in leave_out:
            continue
        key = dg.AssetCheckKey(dg.AssetKey(one.asset), one.name)
        record = instance.get_latest_asset_check_evaluation_record(key)
        if record is None or record.status.value in ("SUCCEEDED", "PLANNED"):
            continue
        said = record.evaluation.description if record.evaluation else None
        message = said or "the run ended before the check did"
        raised = record.evaluation is not None and record.evaluation.severity is dg.AssetCheckSeverity.ERROR
        weight = Weight.ERROR if raised and one.weight is Weight.WARNING else one.weight
        found.append(FailingCheck(one.asset, one.name, weight.value, message, record.create_timestamp))
    return found
