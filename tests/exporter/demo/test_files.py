# SPDX-License-Identifier: Apache-2.0
"""Configuration files of the demo."""

import re
from pathlib import Path

import yaml

from openai_exporter.demo.files import (
    GROWTH_RULES,
    GROWTH_STEP,
    alertmanager_document,
    bundled_rules,
    prometheus_document,
    quickened,
)


def test_the_bundle_s_rules_are_loaded_without_its_compiled_thresholds(tmp_path: Path) -> None:
    folder = tmp_path / "prometheus" / "rules"
    folder.mkdir(parents=True)
    for name in ("b.yml", "a.yml", "user-thresholds.yml", "notes.txt"):
        (folder / name).write_text("groups: []\n")

    assert [path.name for path in bundled_rules(tmp_path)] == ["a.yml", "b.yml"]
    assert bundled_rules(tmp_path / "none") == []


def test_growth_is_recorded_at_the_pace_of_the_demo_under_the_same_names(tmp_path: Path) -> None:
    rules = Path(__file__).parents[3] / "prometheus" / "rules"
    (copy, same) = (quickened(rules / name, tmp_path) for name in (GROWTH_RULES, "recording-usage.yml"))
    before, after = (yaml.safe_load(path.read_text())["groups"] for path in (rules / GROWTH_RULES, copy))

    assert same == rules / "recording-usage.yml"
    assert {group["interval"] for group in after} == {GROWTH_STEP}
    for old, new in zip(before, after, strict=True):
        assert [rule["record"] for rule in old["rules"]] == [rule["record"] for rule in new["rules"]]
        assert not any(re.search(r"\b(5|10)m\b", rule["expr"]) for rule in new["rules"])


def test_every_alert_goes_to_page_sink_but_the_dead_man_s_switch() -> None:
    document = alertmanager_document("http://127.0.0.1:8086")

    assert document["route"]["receiver"] == "page-sink"
    assert document["route"]["routes"] == [{"matchers": ['severity="none"'], "receiver": "nobody"}]
    assert document["receivers"][0]["webhook_configs"] == [{"url": "http://127.0.0.1:8086/"}]


def test_prometheus_loads_the_rules_and_alerts_where_there_is_an_alertmanager() -> None:
    with_all = prometheus_document("http://127.0.0.1:1", "http://127.0.0.1:2", [Path("a.yml")])
    alone = prometheus_document("http://127.0.0.1:1", None, [])

    assert with_all["rule_files"] == ["a.yml"]
    assert with_all["alerting"]["alertmanagers"] == [{"static_configs": [{"targets": ["127.0.0.1:2"]}]}]
    assert not {"rule_files", "alerting"} & alone.keys()
