"""All public corpora of hostile CSV through the reader; the table of `docs/csv.md` is what the last test finds."""

import tempfile
from collections import Counter
from pathlib import Path

import pytest

from reco.errors import DropEmpty
from reco.orders.drops import DropFile
from reco.orders.inspect import inspect_file
from reco.orders.inspection import Inspection
from reco.orders.profiles import SourceProfile, load_profile
from reco.orders.table import open_table
from reco_pipeline_tests.corpora import corpus_files, expected_tables, independent_records, unpack_corpora
from reco_pipeline_tests.reading import NOW
from reco_pipeline_tests.shop import ROOT

PAGE = ROOT / "docs" / "csv.md"
HEADING = "| corpus | kind | files | read | cannot be read | lines | structural faults |"
AUTO = load_profile("auto")


@pytest.fixture(scope="module")
def corpora(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack_corpora(real_data, tmp_path_factory.mktemp("corpora"))


def read_table(path: Path, profile: SourceProfile = AUTO) -> list[list[str]]:
    """Header and records of a file, as the reader gives them."""
    drop = DropFile("drop", path, path.name, profile)
    with tempfile.TemporaryDirectory() as name, open_table(drop, Path(name) / "table") as table:
        assert not table.faults
        return [list(table.header), *(fields for _, fields in table.records())]


def look(path: Path) -> Inspection:
    with tempfile.TemporaryDirectory() as name:
        return inspect_file(path, AUTO, now=NOW, scratch=Path(name))


def test_valid_files_have_the_expected_values(corpora: Path) -> None:
    """Every field is as the 39 known answers have it, two of them for one file; blank lines are no records."""
    compared = Counter[str]()
    for path, expected in expected_tables(corpora):
        if path.stem == "all-empty":
            with pytest.raises(DropEmpty):
                read_table(path)
        else:
            assert read_table(path) == (expected or [["foo", "bar", "baz"]]), path
        compared[path.relative_to(corpora).parts[0]] += 1
    assert compared == {"csv-spectrum": 12, "csv-test-data": 18, "w3c-csvw-tests": 9}


def test_files_made_to_be_wrong_say_what_is_wrong(corpora: Path) -> None:
    """Each of the 7 files with one fault is told by its line and reason; two of them are none to this reader."""
    told = {}
    for path in sorted((corpora / "csv-test-data" / "csv").glob("bad-*.csv")):
        seen = look(path)
        told[path.stem] = seen.error.code if seen.error else {one.line: one.reason for one in seen.examples}
    assert told == {
        "bad-header-less-fields": {2: "too_few_fields"},
        "bad-header-more-fields": {2: "too_many_fields"},
        "bad-header-no-header": "drop_empty",
        "bad-header-wrong-header": {},  # other names: nobody said which are right
        "bad-missing-quote": {2: "unbalanced_quote"},
        "bad-quotes-with-unescaped-quote": {2: "unbalanced_quote"},
        "bad-unescaped-quote": {},  # a quote inside of a field that is not quoted is text
    }


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_file_is_answered_and_no_line_is_lost(corpora: Path) -> None:
    """About 1,000 files: never a crash, lines as the csv module counts them, and the documented figures."""
    rows: dict[tuple[str, str], tuple[Counter[str], Counter[str], Counter[str]]] = {}
    compared = 0
    for file in corpus_files(corpora):
        counts, errors, reasons = rows.setdefault((file.corpus, file.kind), (Counter(), Counter(), Counter()))
        seen = look(file.path)
        counts["files"] += 1
        if seen.error is not None:
            errors[seen.error.code] += 1
            continue
        told = seen.to_json()
        counts.update(read=1, lines=told["lines_read"])
        reasons.update(told["reasons"])
        assert seen.refusal is not None, f"{file.path} holds orders"
        assert told["lines_quarantined"] == sum(told["reasons"].values()) <= told["lines_read"]
        independent = independent_records(file.path, told["dialect"]["delimiter"])
        if independent is not None and "unbalanced_quote" not in told["reasons"]:
            assert told["lines_read"] == independent - 1, file.path
            compared += 1
    table = [HEADING, "|---|---|---|---|---|---|---|"]
    for (corpus, kind), (counts, errors, reasons) in rows.items():
        cells = (
            f"{corpus}",
            kind,
            counts["files"],
            counts["read"],
            _list(errors),
            f"{counts['lines']:,}",
            _list(reasons),
        )
        table.append("| " + " | ".join(map(str, cells)) + " |")
    assert _table_of_page() == table, "\n".join(table)
    assert compared > 0.9 * sum(counts["read"] for counts, _, _ in rows.values())


def _list(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} `{code}`" for code, count in sorted(counts.items())) or "-"


def _table_of_page() -> list[str]:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = lines.index(HEADING)
    return [line for line in lines[start:] if line.startswith("|")][: _rows_after(lines, start)]


def _rows_after(lines: list[str], start: int) -> int:
    return next((i for i, line in enumerate(lines[start:]) if not line.startswith("|")), len(lines) - start)
