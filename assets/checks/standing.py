"""Which checks fail now, by the records of Dagster.

Belongs here: that question. Does not belong here: running a check, or showing one.

Dagster notes a check as planned when a run is made, long before the check runs, and for ever where it never does. So
the newest record that says something counts: an execution that was completed, or a run that ended after it had made
the asset anew and before the check looked at it. A run that waits or is at work says nothing yet, and one that ended
before it made the asset leaves what was found of it true.
"""

from collections.abc import Callable
from functools import cache

import dagster as dg
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecord

from reco.audit.catalogue import CATALOGUE, Weight
from reco.audit.standing import FailingCheck

PARTITIONED = frozenset({"drop_quality"})
"""Says of each drop what other checks say of all: its newest verdict is about one drop only."""
RECORDS_AT_ONCE = 20


def failing_now(instance: dg.DagsterInstance, *, leave_out: frozenset[str] = PARTITIONED) -> list[FailingCheck]:
    """The checks whose newest verdict is a failure, in the order of the catalogue."""
    made_by = cache(lambda run_id: _made(instance, run_id))
    found = []
    for one in CATALOGUE:
        if one.name in leave_out:
            continue
        key = dg.AssetCheckKey(dg.AssetKey(one.asset), one.name)
        record = _verdict(instance, key, made_by)
        if record is None or record.status.value == "SUCCEEDED":
            continue
        said = record.evaluation if record.status.value == "FAILED" else None
        message = (said.description if said else None) or "the run ended before the check did"
        raised = said is not None and said.severity is dg.AssetCheckSeverity.ERROR
        weight = Weight.ERROR if raised and one.weight is Weight.WARNING else one.weight
        found.append(FailingCheck(one.asset, one.name, weight.value, message, record.create_timestamp))
    return found


def _verdict(
    instance: dg.DagsterInstance, key: dg.AssetCheckKey, made_by: Callable[[str], frozenset[dg.AssetKey]]
) -> AssetCheckExecutionRecord | None:
    """The newest record of a check that says something; None where there is none."""
    before, limit = None, 1  # mostly the newest says it
    while records := instance.event_log_storage.get_asset_check_execution_history(key, limit, before):
        for record in records:
            if record.status.value != "PLANNED" or key.asset_key in made_by(record.run_id):
                return record
        before, limit = records[-1].id, RECORDS_AT_ONCE
    return None


def _made(instance: dg.DagsterInstance, run_id: str) -> frozenset[dg.AssetKey]:
    """The assets that a run has made, once it has ended; none before, and none where the run was removed."""
    run = instance.get_run_by_id(run_id)
    if run is None or not run.is_finished:
        return frozenset()
    made = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION).records
    return frozenset(one.asset_key for one in made if one.asset_key is not None)
