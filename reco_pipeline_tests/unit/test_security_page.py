"""The page on security names tests that exist, for each of the ten risks."""

import re

from reco_pipeline_tests.shop import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
TESTS = {
    name
    for file in (ROOT / "reco_pipeline_tests").rglob("test_*.py")
    for name in re.findall(r"^(?:async )?def (test_\w+)", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
}


def test_each_risk_is_held_by_tests_that_exist() -> None:
    """A promise without a test, or with one that was renamed, is found here."""
    rows = re.findall(r"^\| API(\d+) .*", PAGE, flags=re.MULTILINE)
    assert rows == [str(number) for number in range(1, 11)]
    for row in re.findall(r"^\| API\d+ .*", PAGE, flags=re.MULTILINE):
        assert re.findall(r"`test_\w+`", row), row
    assert set(re.findall(r"`(test_\w+)`", PAGE)) <= TESTS
