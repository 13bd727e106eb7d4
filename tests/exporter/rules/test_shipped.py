# SPDX-License-Identifier: Apache-2.0
"""The thresholds that ship: the four classic ones are on, their examples hold, the compiled file is fresh."""

import shutil
from pathlib import Path

import pytest

from openai_exporter.rules.examples import failures
from openai_exporter.rules.rule_file import build, is_stale
from openai_exporter.rules.thresholds import load_thresholds

from .prometheus import PROMTOOL, needs_promtool

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


def test_the_compiled_file_is_fresh() -> None:
    built = build(ALERTING / "thresholds.yml", ALERTING / "rules.d")

    assert built.left_out == ()
    assert not is_stale(ROOT / "prometheus" / "rules" / "user-thresholds.yml", built.text)


@needs_promtool
@pytest.mark.stack
def test_every_example_holds_and_each_threshold_has_one_that_fires_and_one_that_does_not() -> None:
    file = load_thresholds(ALERTING / "thresholds.yml")

    assert failures(file, PROMTOOL) == []
    for each in file.thresholds:
        assert {example.fires for example in each.examples} == {True, False}, each.name


def test_the_example_of_a_raw_file_can_be_used_as_it_is(tmp_path: Path) -> None:
    shutil.copy(ALERTING / "rules.d" / "example.yml.off", tmp_path / "mine.yml")

    built = build(ALERTING / "thresholds.yml", tmp_path, PROMTOOL or None)

    assert built.raw == ("mine.yml",)
    assert built.left_out == ()
