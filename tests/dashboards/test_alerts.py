# SPDX-License-Identifier: Apache-2.0
"""The table of firing alerts tells every alert apart, and leads from each to its dashboard."""

import re

from tests.dashboards.pages import config
from tests.mixin.bundle import evaluate, rule_files

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


def test_every_category_of_alerts_leads_to_a_dashboard() -> None:
    pairs = evaluate("(import 'dashboards/lib/page.libsonnet').ofCategories((import 'mixin.libsonnet')._config)")
    led = {category: uid for uid, categories in pairs for category in categories.split("|")}

    assert {rule["labels"]["category"] for rule in _RULES} <= set(led)
    assert set(led.values()) <= set(config()["dashboards"].values())
