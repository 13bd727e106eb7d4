# SPDX-License-Identifier: Apache-2.0
"""What a demo runs: its directory and its configuration files."""

import re
from pathlib import Path

import pytest
import yaml

from openai_exporter.demo.plan import (
    GROWTH_RULES,
    GROWTH_STEP,
    alertmanager_document,
    bundled_rules,
    faster,
    fitted,
    grafana_home,
    held,
    linked,
    prometheus_document,
    rule_file,
)
from openai_exporter.errors import StartError
from openai_exporter.rules.thresholds import load_thresholds

# Configuration files of the demo.


def test_the_bundle_s_rules_are_loaded_without_its_compiled_thresholds(tmp_path: Path) -> None:
    folder = tmp_path / "prometheus" / "rules"
    folder.mkdir(parents=True)
    for name in ("b.yml", "a.yml", "user-thresholds.yml", "notes.txt"):
        (folder / name).write_text("groups: []\n")

    assert [path.name for path in bundled_rules(tmp_path)] == ["a.yml", "b.yml"]
    assert bundled_rules(tmp_path / "none") == []


def test_growth_is_recorded_at_the_pace_of_the_demo_under_the_same_names(tmp_path: Path) -> None:
    rules = Path(__file__).parents[3] / "prometheus" / "rules"
    (copy, same) = (
        fitted(rules / name, tmp_path, None, "http://127.0.0.1:9090") for name in (GROWTH_RULES, "recording-usage.yml")
    )
    before, after = (yaml.safe_load(path.read_text())["groups"] for path in (rules / GROWTH_RULES, copy))

    assert same == rules / "recording-usage.yml"
    assert {group["interval"] for group in after} == {GROWTH_STEP}
    for old, new in zip(before, after, strict=True):
        assert [rule["record"] for rule in old["rules"]] == [rule["record"] for rule in new["rules"]]
        assert not any(re.search(r"\b(5|10)m\b", rule["expr"]) for rule in new["rules"])


@pytest.mark.parametrize(
    ("grafana", "expected"),
    [
        (None, "http://127.0.0.1:9091/alerts"),
        ("http://127.0.0.1:3001", "http://127.0.0.1:3001/d/openai-costs?from=now-6h&var-x={{ .x | urlquery }}"),
    ],
)
def test_links_of_alerts_lead_to_what_runs(grafana: str | None, expected: str) -> None:
    rule = {
        "dashboard_url": "http://localhost:3000/d/openai-costs?from=now-6h&var-x={{ .x | urlquery }}",
        "command": "a",
    }
    text = yaml.safe_dump({"annotations": rule}, width=10_000)
    assert yaml.safe_load(linked(text, grafana, "http://127.0.0.1:9091"))["annotations"] == rule | {
        "dashboard_url": expected
    }


def test_no_shipped_alert_links_to_a_grafana_that_does_not_run(tmp_path: Path) -> None:
    for rules in bundled_rules(Path(__file__).parents[3]):
        text = fitted(rules, tmp_path, None, "http://127.0.0.1:9090").read_text()
        assert "localhost:3000" not in text
        assert len(yaml.safe_load(text)["groups"]) == len(yaml.safe_load(rules.read_text())["groups"])


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


@pytest.mark.parametrize(
    ("binary", "home"), [("bin/grafana", "."), ("bin/grafana-server", "."), ("bin/grafana", "share/grafana")]
)
def test_grafana_s_own_files_are_found_from_its_binary_on_path(tmp_path: Path, binary: str, home: str) -> None:
    """Of an archive and of Homebrew, also through a link."""
    files = tmp_path / "grafana 12" / home / "conf" / "defaults.ini"
    program = tmp_path / "grafana 12" / binary
    link = tmp_path / "on path"
    for file in (files, program):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    link.symlink_to(program)

    assert grafana_home(link) == files.parents[1]


# The demo's folder: whose it is, and that two demos never share it.


def test_what_an_earlier_demo_left_is_gone(tmp_path: Path) -> None:
    with held(tmp_path):
        (tmp_path / "exporter.yml").touch()
        (tmp_path / "prometheus").mkdir()
        (tmp_path / "prometheus" / "wal").touch()
    with held(tmp_path):
        assert {path.name for path in tmp_path.iterdir()} == {".openai-exporter-demo", "logs"}


def test_a_second_demo_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    with held(tmp_path):
        (tmp_path / "exporter.yml").touch()
        with pytest.raises(StartError, match="already; end it, or choose another"), held(tmp_path):
            pass
        assert (tmp_path / "exporter.yml").exists()


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()

    with pytest.raises(StartError, match="is not empty and not a directory of the demo"), held(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(StartError, match="cannot be written: Not a directory"), held(tmp_path / "file" / "data"):
        pass


# The bundle's thresholds at the demo's pace.

SHIPPED = Path(__file__).parents[3] / "alerting" / "thresholds.yml"


def alerts(text: str) -> dict[str, str]:
    """Name of each alert -> its `for`."""
    rules = [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]
    return {rule["alert"]: rule["for"] for rule in rules}


def test_windows_and_waits_shrink_as_the_interval_does() -> None:
    file = faster(load_thresholds(SHIPPED), 5.0)

    assert file.settings.interval == 5.0
    latency, _, errors, throughput, _ = file.thresholds
    assert (latency.hold, latency.window) == (10.0, 25.0)
    assert (errors.hold, errors.window) == (25.0, 75.0)
    assert (throughput.hold, throughput.window) == (50.0, 75.0)


def test_cost_keeps_its_pace() -> None:
    file = load_thresholds(SHIPPED)

    assert faster(file, 5.0).thresholds[-1] == file.thresholds[-1]


def test_the_shipped_thresholds_become_the_demo_s_rules() -> None:
    text, notes = rule_file(SHIPPED.parent, 5.0)

    assert notes == ()
    assert alerts(text)["OpenAIHighErrorRate"] == "25s"


def test_without_a_bundle_there_are_built_in_thresholds(tmp_path: Path) -> None:
    text, notes = rule_file(tmp_path, 5.0)

    assert (notes, set(alerts(text))) == ((), {"OpenAIHighLatency", "OpenAIHighErrorRate"})


def test_a_mistake_in_the_bundle_is_told_and_does_not_stop_the_demo(tmp_path: Path) -> None:
    path = tmp_path / "thresholds.yml"
    path.write_text("thresholds: [{name: a}]")

    text, (note,) = rule_file(tmp_path, 5.0)

    assert note.startswith(f"{path}:1: thresholds[0].metric: is missing; must be one of ")
    assert note.endswith("; the demo continues with its own thresholds")
    assert "OpenAIHighErrorRate" in alerts(text)


def test_raw_rules_are_taken_as_they_are_and_a_broken_file_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "rules.d").mkdir()
    mine = {"alert": "Mine", "expr": "vector(1)", "for": "10m", "labels": {"severity": "info"}}
    raw = {"groups": [{"name": "mine", "rules": [mine]}]}
    (tmp_path / "rules.d" / "good.yml").write_text(yaml.safe_dump(raw))
    (tmp_path / "rules.d" / "bad.yml").write_text("groups: [{name: a, rules: [{alert: A}]}]")

    text, (note,) = rule_file(tmp_path, 5.0)

    assert alerts(text)["Mine"] == "10m"
    assert f"{tmp_path / 'rules.d' / 'bad.yml'}:1" in note
    assert note.endswith("; left out")
