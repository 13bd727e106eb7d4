# SPDX-License-Identifier: Apache-2.0
"""The table of firing alerts tells every alert apart, and leads from each to its dashboard."""

import re
import time
from pathlib import Path

import pytest

from tests.dashboards.data.scenarios import timeline
from tests.dashboards.data.series import Series
from tests.dashboards.data.timeline import HOUR
from tests.dashboards.data.tsdb import PROMTOOL, load, serving
from tests.dashboards.grafana import Range, ask
from tests.dashboards.pages import config, pages
from tests.mixin.bundle import evaluate, rule_files
from tests.rules.case import cases
from tests.stack.programs import PROMETHEUS

_PROMQL = "local q = (import 'dashboards/lib/promql.libsonnet')((import 'mixin.libsonnet')._config); "
_LABEL = re.compile(r"\$labels\.(\w+)")
SHARED = {
    "job": "names the scrape job for the queries of a text",
    "provider": "the target has one",
    "severity": "a column",
}
"""Labels that a text may name though the table shows them otherwise, and why."""
_RULES = [
    rule for file in rule_files().values() for group in file["groups"] for rule in group["rules"] if "alert" in rule
]


def test_every_label_that_the_text_of_an_alert_names_is_in_the_table() -> None:
    telling = set(evaluate(_PROMQL + "q.telling"))
    lost = {
        rule["alert"]: found
        for rule in _RULES
        if (found := set(_LABEL.findall(str(rule["annotations"]))) - telling - set(SHARED))
    }

    print(f"{len(_RULES)} alert rules")
    assert lost == {}


def test_rules_of_one_name_and_severity_differ_in_a_label_of_the_table_or_only_in_their_windows() -> None:
    telling = {*evaluate(_PROMQL + "q.telling"), "severity"}
    windows = {"long_window", "short_window"}
    seen: dict[str, dict[str, str]] = {}
    for rule in _RULES:
        fixed = {name: value for name, value in rule["labels"].items() if name not in windows}
        key = str([rule["alert"], *sorted((k, v) for k, v in fixed.items() if k in telling)])
        assert seen.setdefault(key, fixed) == fixed, rule["alert"]


@pytest.mark.stack
def test_every_alert_that_the_cases_of_the_rules_fire_is_a_row_of_its_own(tmp_path: Path) -> None:
    """All of them at once in a real Prometheus: rows are counted by what a person reads."""
    if PROMETHEUS is None or PROMTOOL is None:
        pytest.skip("prometheus and promtool are not installed")
    fired = [
        case.alert_labels(each) | {"alertname": case.alert} for case in cases() for each in case.data.get("fires", ())
    ]
    told = [{name: value for name, value in labels.items() if name != "job"} for labels in fired]
    ours = {frozenset(labels.items()) for labels in told if labels["alertname"].startswith("OpenAI")}
    when = timeline(int(time.time()), 0.02, fine=HOUR)
    alerts = [Series("ALERTS", {"alertstate": "firing", **dict(labels)}, when.constant(1.0)) for labels in ours]
    load(tmp_path / "data", when, alerts)
    page = next(page for page in pages() if page.name == "overview")
    panel = next(panel for panel in page.panels if panel.title == "Firing alerts")
    with serving(tmp_path / "data") as server:
        answer = ask(server, page, panel, panel.targets[0], Range(when.start, when.end), {})
    rows = {
        (row["metric"]["alertname"], row["value"][1], row["metric"].get("what")) for row in answer["data"]["result"]
    }

    print(f"{len(ours)} alerts of {len({labels['alertname'] for labels in fired})} names, {len(rows)} rows")
    assert len(rows) == len(answer["data"]["result"]) == len(ours) > 90


def test_every_category_of_alerts_leads_to_a_dashboard() -> None:
    pairs = evaluate("(import 'dashboards/lib/page.libsonnet').ofCategories((import 'mixin.libsonnet')._config)")
    led = {category: uid for uid, categories in pairs for category in categories.split("|")}

    assert {rule["labels"]["category"] for rule in _RULES} <= set(led)
    assert set(led.values()) <= set(config()["dashboards"].values())
