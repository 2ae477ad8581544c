"""The public corpora of hostile CSV, for tests: their files by kind, and what is expected of them.

Belongs here: finding files and their expected values beside them. Does not belong here: any claim.
"""

import csv
import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

CORPORA = ("csv-spectrum", "csv-test-data", "csvlint", "w3c-csvw-tests")
W3C = "w3c-csvw-tests"


@dataclass(frozen=True)
class CorpusFile:
    """One file of a corpus; `kind` says what it is to a reader of CSV."""

    corpus: str
    kind: str
    path: Path


def unpack_corpora(data: Path, folder: Path) -> Path:
    """Unpacks all corpora into the folder."""
    for corpus in CORPORA:
        with tarfile.open(data / "csv_corpora" / f"{corpus}.tar.gz") as archive:
            archive.extractall(folder, filter="data")
    return folder


def corpus_files(folder: Path) -> list[CorpusFile]:
    """Every file of the corpora, sorted by corpus and path."""
    expected = {path for path, _ in expected_tables(folder)}
    return [
        CorpusFile(corpus, _kind(path, expected), path)
        for corpus in CORPORA
        for path in sorted((folder / corpus).rglob("*"))
        if path.is_file()
    ]


def _kind(path: Path, expected: set[Path]) -> str:
    if path in expected:
        return "CSV with expected values"
    if path.suffix in (".csv", ".tsv"):
        return "CSV made to be wrong" if path.name.startswith(("bad-", "invalid")) else "other CSV"
    if path.suffix in (".xls", ".xlsx"):
        return "spreadsheets"
    return {".json": "JSON", ".jsonld": "JSON", ".ttl": "Turtle"}.get(path.suffix, "other text")


def expected_tables(folder: Path) -> Iterator[tuple[Path, list[list[str]]]]:
    """The files whose values are known, with the header and every record that is no blank line."""
    for name in ("csv-spectrum/csvs", "csv-test-data/csv"):
        for path in sorted((folder / name).glob("*.csv")):
            answer = path.parents[1] / "json" / f"{path.stem}.json"
            if answer.exists():
                yield path, _table(json.loads(_corrected(answer.read_text(encoding="utf-8"), path)))
    yield from _w3c_tables(folder / W3C / "tests")


def _corrected(answer: str, path: Path) -> str:
    """The expected JSON without two mistakes of csv-spectrum, where it expects what its CSV does not hold.

    One is a phone number in `location_coordinates`, the other carriage returns in a file that has none.
    """
    answer = answer.replace("1234567890", "2095257564") if path.stem == "location_coordinates" else answer
    return answer if b"\r" in path.read_bytes() else answer.replace("\\r\\n", "\\n")


def _table(answer: Any) -> list[list[str]]:
    """Rows as lists: those given as objects get their keys as a header; a single empty field is a blank line."""
    rows = [answer] if isinstance(answer, dict) else answer
    if rows and isinstance(rows[0], dict):
        rows = [list(rows[0]), *(list(row.values()) for row in rows)]
    return [[str(value) for value in row] for row in rows if row != [""]]


def _w3c_tables(tests: Path) -> Iterator[tuple[Path, list[list[str]]]]:
    """The tests that turn a CSV without metadata into JSON. An empty cell is left out there."""
    manifest = json.loads((tests / "manifest-json.jsonld").read_text(encoding="utf-8"))
    for entry in manifest["entries"]:
        path = tests / entry["action"].rpartition("/")[2]
        plain = path.suffix == ".csv" and not {"implicit", "httpLink"} & set(entry)
        if plain and "result" in entry and "metadata" not in entry.get("option", {}):
            answer = json.loads((tests / entry["result"].rpartition("/")[2]).read_text(encoding="utf-8"))
            rows = _w3c_rows(answer)
            header = [unquote(name) for name in dict.fromkeys(name for row in rows for name in row)]
            yield path, [header, *([row.get(name, "") for name in header] for row in rows)]


def _w3c_rows(answer: Any) -> list[dict[str, str]]:
    if isinstance(answer, dict):
        rows = [row["describes"][0] for table in answer["tables"] for row in table.get("row", [])]
    else:
        rows = answer
    return [{name: value for name, value in row.items() if not name.startswith("@")} for row in rows]


def independent_records(path: Path, delimiter: str) -> int | None:
    """How many records, header included, the csv module counts in UTF-8 text; None where it finds a fault in it."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        return sum(1 for row in rows if row)
    except (UnicodeDecodeError, csv.Error):
        return None
