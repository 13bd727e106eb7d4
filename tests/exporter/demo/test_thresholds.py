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
    text, problem = rule_file(SHIPPED, 5.0)

    assert problem == ""
    assert alerts(text)["OpenAIHighErrorRate"] == "25s"


def test_without_a_bundle_there_are_built_in_thresholds(tmp_path: Path) -> None:
    text, problem = rule_file(tmp_path / "thresholds.yml", 5.0)

    assert (problem, set(alerts(text))) == ("", {"OpenAIHighLatency", "OpenAIHighErrorRate"})


def test_a_mistake_in_the_bundle_is_told_and_does_not_stop_the_demo(tmp_path: Path) -> None:
    path = tmp_path / "thresholds.yml"
    path.write_text("thresholds: [{name: a}]")

    text, problem = rule_file(path, 5.0)

    assert (
        problem
        == f"{path}:1: thresholds[0].metric: is missing; must be one of " + problem.partition("one of ")[2]
    )
    assert "OpenAIHighErrorRate" in alerts(text)
