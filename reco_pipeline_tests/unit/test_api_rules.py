"""Promises of the rules and the dashboard: they ask for what is exported, and people know what to do."""

import json
import re
import shutil
import subprocess

import pytest
import yaml

from reco.api.metrics import Metrics
from reco_pipeline_tests.shop import ROOT

RULES = ROOT / "docker" / "prometheus" / "rules.yml"
TESTS = ROOT / "docker" / "prometheus" / "rules_test.yml"
DASHBOARD = ROOT / "docker" / "grafana" / "recommendations-api.json"
PAGE = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
GIVEN = {"job", "instance", "le"}  # by Prometheus

rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
RECORDED = {rule["record"] for rule in rules if "record" in rule}
ALERTS = {rule["alert"]: rule for rule in rules if "alert" in rule}
PANELS = json.loads(DASHBOARD.read_text())["panels"]
ASKED = [rule["expr"] for rule in rules] + [target["expr"] for panel in PANELS for target in panel["targets"]]


def labels_of_metrics():
    """Every sample name the service exports, with the labels it can have."""
    metrics = Metrics()
    metrics.snapshot_id = lambda: "20260304T050607Z-c0860aac"
    metrics.request("GET", "/livez", 200, 0.1)
    found: dict[str, set[str]] = {name: set() for name in metrics.names()}
    for family in metrics.families():
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def test_rules_and_dashboard_ask_for_what_is_exported():
    """A misspelt name or label would be a rule that never fires."""
    known = labels_of_metrics()
    assert len(ASKED) > 50
    for expression in ASKED:
        for name, _, selected in re.findall(r"\b(recs_\w+)(\{([^}]*)\})?", expression):
            assert name in known, (name, expression)
            assert set(re.findall(r"(\w+)\s*[=!]~?\"", selected)) <= known[name] | GIVEN, expression
        assert set(re.findall(r"recs:[\w:]+", expression)) <= RECORDED, expression


def test_every_metric_is_on_the_dashboard_or_in_a_rule():
    """What nobody looks at need not be measured; the version and the start are for people who ask."""
    unseen = {name for name in labels_of_metrics() if not any(name in expression for expression in ASKED)}
    assert {name for name in unseen if not name.endswith(("_sum", "_count", "_created"))} == set()


def test_every_alert_says_what_it_means_and_what_to_do():
    """Each has a severity, a summary, a section of its name, and its proof; and no section is left over."""
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", PAGE, flags=re.MULTILINE | re.DOTALL))
    assert sections.keys() == ALERTS.keys()
    for name, rule in ALERTS.items():
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["runbook"] == f"docs/alerts.md#{name.lower()}"
        assert "*Means*" in sections[name]
        assert {"*Do*", "*Look*"} & set(re.findall(r"\*\w+\*", sections[name]))
        assert f'alertname="{name}"' in TESTS.read_text()


def test_a_panel_has_a_place_of_its_own():
    """No two panels of the dashboard lie on each other, and each has a title."""
    cells = [(x, y) for p in PANELS for x in _span(p, "x", "w") for y in _span(p, "y", "h")]
    assert len(cells) == len(set(cells))
    assert all(panel["title"] for panel in PANELS)


def _span(panel, start, length):
    place = panel["gridPos"]
    return range(place[start], place[start] + place[length])


@pytest.mark.slow
def test_each_alert_fires_when_it_should_and_no_other_does():
    """The tests of the rules, by Prometheus' own tool."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool (Debian package prometheus)")
    done = subprocess.run([promtool, "test", "rules", str(TESTS)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
