# SPDX-License-Identifier: Apache-2.0
"""The bundle's thresholds at the demo's pace."""

from pathlib import Path

import yaml

from openai_exporter.demo.thresholds import faster, rule_file
from openai_exporter.rules import load_thresholds

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
    assert (errors.hold, errors.window) == (25.0, 25.0)
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
    assert note.endswith("; the demo goes on with thresholds of its own")
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
