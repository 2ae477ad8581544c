"""The `catalogue` table: every item the shop ever listed, as its newest catalogue has it.

Belongs here: reading the catalogues that wait, and putting all of them together. Does not belong here: what a line is
(`reco.catalog.reader`), or names that stand in order lines (`reco.model.item_stats`).
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from reco.catalog.ledger import CATALOGUE as CATALOGUE  # noqa: PLC0414 - mypy: it may be imported from here
from reco.catalog.ledger import CatalogueDrop, CatalogueLedger
from reco.catalog.reader import CATALOGUE_LINES, read_catalogue
from reco.catalog.rules import COLUMNS
from reco.errors import DropError, ProfileError
from reco.orders.drops import DropResult
from reco.orders.ledger import DropStatus
from reco.progress import report
from reco.storage.engine import fetch_row, literal, open_engine, parquet, write_parquet
from reco.storage.lake import Lake, file_digest


@dataclass(frozen=True, slots=True)
class CatalogueReport:
    """Figures of the table: its items, those in the newest catalogue of their source, with a name, with a category.

    digest: the sha256 of the file, empty where there never was a catalogue.
    """

    items: int = 0
    listed: int = 0
    named: int = 0
    categorised: int = 0
    digest: str = ""


def ingest_catalogues(ledger: CatalogueLedger, *, now: dt.datetime, run_id: str | None) -> list[DropResult]:
    """Reads the catalogues that wait and enters each in the ledger; one that fails never stops the others.

    Raises:
        LedgerBroken: the lines of one do not add up, which is our defect.
        LakeError: the lake cannot be written.
    """
    waiting = ledger.drops(status=DropStatus.PENDING)
    results: list[DropResult] = []
    for drop in waiting:
        with ledger.lake.scratch() as scratch:
            try:
                result = read_catalogue(ledger.file(drop), ledger.lake, scratch / "drop")
            except DropError as error:
                result = DropResult(drop.key, "failed", error)
            except ProfileError as error:  # of a version with other fields
                result = DropResult(drop.key, "failed", DropError(error.message, hint=error.hint, name=drop.name))
        ledger.record(result, now=now, run_id=run_id)
        results.append(result)
        report(CATALOGUE, len(results), len(waiting))
    return results


def make_catalogue(ledger: CatalogueLedger, lake: Lake) -> CatalogueReport:
    """Writes the table: one row an item by item_id, with the columns of its newest line, source, drop_key and listed.

    An item that the newest catalogue of its source no longer has keeps its name and is not `listed`: orders of it
    remain. Equal catalogues give equal bytes.

    Raises:
        LakeError: the lines of a catalogue are missing or damaged.
    """
    drops = ledger.drops(status=DropStatus.INGESTED)
    path = lake.path(CATALOGUE)
    if not drops and not path.is_file():
        return CatalogueReport()
    with open_engine(CATALOGUE, path.with_name("catalogue.work")) as con, lake.replace(CATALOGUE) as target:
        write_parquet(con, _newest_lines(drops, lake), target)
        counts = fetch_row(
            con,
            f"SELECT count(*), count(*) FILTER (listed), count(item_name), count(category) FROM {parquet(target)}",
        )
    items, listed, named, categorised = counts
    return CatalogueReport(items, listed, named, categorised, file_digest(path))


def _newest_lines(drops: Sequence[CatalogueDrop], lake: Lake) -> str:
    newest = {drop.source: drop.key for drop in drops}
    parts = [
        f"SELECT *, {literal(drop.key)} AS drop_key, {place} AS place, {newest[drop.source] == drop.key} AS listed "
        f"FROM {parquet(lake.existing(CATALOGUE_LINES, drop.key))}"
        for place, drop in enumerate(drops)
    ]
    nothing = ", ".join(f"NULL::{kind} AS {column}" for column, kind in COLUMNS.items())
    empty = f"SELECT 0 AS line, {nothing}, '' AS source, '' AS drop_key, 0 AS place, false AS listed WHERE false"
    return (
        f"SELECT {', '.join(COLUMNS)}, source, drop_key, listed FROM ({' UNION ALL '.join(parts or [empty])}) "
        "QUALIFY row_number() OVER (PARTITION BY item_id ORDER BY place DESC) = 1 ORDER BY item_id"
    )
