"""Reading registered drops into the lake and the ledger, many in one scan.

Belongs here: the loop between ledger and reader. Does not belong here: either of them.
"""

import datetime as dt
from collections.abc import Sequence

from reco.errors import DropError
from reco.orders.company import beside
from reco.orders.drops import DropFile, DropResult
from reco.orders.ledger import DropLedger, DropStatus
from reco.orders.outcomes import enter_failure, enter_result
from reco.orders.reader import read_batch
from reco.progress import report


def ingest(ledger: DropLedger, keys: Sequence[str], *, now: dt.datetime, run_id: str | None) -> list[DropResult]:
    """Reads the drops of these keys and enters each in the ledger as soon as its files are in the lake.

    A drop that fails is entered as failed and the others go on. Retracted drops and unknown keys are left alone, and so
    is a drop that was read and whose bytes were removed since to forget a customer. The other drops of their batches
    are looked at for what only a whole batch tells; where a drop comes to count, or does no more, they wait to be read
    anew.

    Raises:
        LedgerBroken: the lines of a drop do not add up, which is our defect.
    """
    drops = [
        drop
        for drop in ledger.drops(keys=keys)
        if drop.status is not DropStatus.RETRACTED
        and not (drop.status is DropStatus.INGESTED and ledger.bytes_removed(drop.key))
    ]
    files: list[DropFile] = []
    results: list[DropResult] = []
    for drop in drops:
        try:
            files.append(ledger.file(drop))
        except DropError as error:
            enter_failure(ledger, drop.key, error, now=now, run_id=run_id)
            results.append(DropResult(drop.key, "failed", error))
    with ledger.lake.scratch() as scratch:
        others = beside(ledger, drops)
        for result in read_batch(files, ledger.lake, now=now, scratch=scratch, beside=others):
            enter_result(ledger, result, now=now, run_id=run_id)
            results.append(result)
            report("order_lines", len(results), len(drops))
    before = {drop.key: drop for drop in drops}
    for result in results:
        drop = before[result.key]
        if (drop.status is DropStatus.FAILED) is not (result.error is not None):
            ledger.reopen_beside(drop, now=now, left=result.error is not None, apart=before)
    return results
