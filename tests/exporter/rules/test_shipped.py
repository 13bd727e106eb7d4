# SPDX-License-Identifier: Apache-2.0
"""The thresholds that ship: the four classic ones are on, their examples hold, the compiled file is fresh."""

import shutil
from pathlib import Path

import pytest
import yaml

from openai_exporter.rules.examples import failures
from openai_exporter.rules.rule_file import build
from openai_exporter.rules.thresholds import SHIPPED, load_thresholds

from .prometheus import PROMTOOL, needs_promtool, passes

ROOT = Path(__file__).parents[3]
ALERTING = ROOT / "alerting"


def test_the_four_classic_thresholds_are_enabled() -> None:
    found = load_thresholds(ALERTING / "thresholds.yml").thresholds

    assert [
        (each.metric, each.operator, each.threshold, each.hold, each.severity) for each in found if each.enabled
    ] == [
        ("p95_latency", ">", "5s", 120.0, "warning"),
        ("p95_latency", ">", "10s", 60.0, "critical"),
        ("error_rate", ">", "5%", 300.0, "critical"),
        ("throughput", "<", "0.1/min", 600.0, "warning"),
    ]


def test_names_of_shipped_alerts_are_those_of_the_rules_and_none_is_free() -> None:
    documents = [yaml.safe_load(path.read_text()) for path in (ROOT / "prometheus" / "rules").glob("alerts-*.yml")]
    rules = [rule for document in documents for group in document["groups"] for rule in group["rules"]]

    assert {rule["alert"] for rule in rules} == SHIPPED


def test_the_compiled_file_is_fresh() -> None:
    built = build(ALERTING / "thresholds.yml", ALERTING / "rules.d")

    assert built.left_out == ()
    assert (ROOT / "prometheus" / "rules" / "user-thresholds.yml").read_text() == built.text


@needs_promtool
@pytest.mark.stack
def test_every_example_holds_and_each_threshold_has_one_that_fires_and_one_that_does_not() -> None:
    file = load_thresholds(ALERTING / "thresholds.yml")

    assert failures(file, PROMTOOL) == []
    for each in file.thresholds:
        assert {example.fires for example in each.examples} == {True, False}, each.name


@needs_promtool
@pytest.mark.stack
@pytest.mark.parametrize(
    ("model", "fires"),
    [
        ("gpt-6-luna", True),
        ("gpt-5.4-mini", True),
        ("gpt-5-pro", False),
        ("gpt-6-pro-2026-08-01", False),
        ("o3", False),
        ("o4-mini-deep-research", False),
        ("gpt-5-mini", False),
        ("deep-thinker", False),
    ],
)
def test_models_that_think_first_are_not_critical_for_ever(model: str, fires: bool, tmp_path: Path) -> None:
    labels = (
        f'job="openai",instance="a",target="openai",provider="openai",module="chat",endpoint="chat",model="{model}"'
    )
    names = {"probe_success": "1", "openai_probe_availability_good": "1", "probe_duration_seconds": "12"}
    inputs = [{"series": f"{name}{{{labels}}}", "values": f"{value}x90"} for name, value in names.items()]
    firing = [
        {"expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})', "eval_time": "80m"}
        | {"exp_samples": [{"labels": "{}", "value": 1}] if fires else []}
        for alert in ("OpenAIHighLatency", "OpenAICriticalLatency")
    ]
    rules = (ROOT / "prometheus" / "rules" / "user-thresholds.yml").read_text()

    assert passes(tmp_path, rules, [{"interval": "1m", "input_series": inputs, "promql_expr_test": firing}]) == ""


def test_the_example_of_a_raw_file_can_be_used_as_it_is(tmp_path: Path) -> None:
    shutil.copy(ALERTING / "rules.d" / "example.yml.off", tmp_path / "mine.yml")

    built = build(ALERTING / "thresholds.yml", tmp_path, PROMTOOL or None)

    assert built.raw == ("mine.yml",)
    assert built.left_out == ()
