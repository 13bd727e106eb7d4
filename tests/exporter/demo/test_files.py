# SPDX-License-Identifier: Apache-2.0
"""Configuration files of the demo."""

from pathlib import Path

from openai_exporter.demo.files import alertmanager_document, bundled_rules, prometheus_document


def test_the_bundle_s_rules_are_loaded_without_its_compiled_thresholds(tmp_path: Path) -> None:
    folder = tmp_path / "prometheus" / "rules"
    folder.mkdir(parents=True)
    for name in ("b.yml", "a.yml", "user-thresholds.yml", "notes.txt"):
        (folder / name).write_text("groups: []\n")

    assert [path.name for path in bundled_rules(tmp_path)] == ["a.yml", "b.yml"]
    assert bundled_rules(tmp_path / "none") == []


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
