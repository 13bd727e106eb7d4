# SPDX-License-Identifier: Apache-2.0
"""Examples of thresholds.yml as promtool's test files, and their run."""

import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openai_exporter.config.base import format_duration
from openai_exporter.rules import output as tool
from openai_exporter.rules.compile import alert
from openai_exporter.rules.measures import MEASURES, PROBE_LABELS, Measure
from openai_exporter.rules.output import as_yaml
from openai_exporter.rules.samples import columns, encoded, steps
from openai_exporter.rules.schema import Example, Settings, Threshold, ThresholdFile, an_instance

# Examples of thresholds.yml to promtool's test files.

_LABELS = {
    "target": "openai",
    "endpoint": "chat",
    "model": "gpt-x",
    "organization": "acme",
    "project_id": "proj_x",
}
_FIXED = {"job": "openai", "instance": "exporter:9985"}


@dataclass(frozen=True, slots=True)
class Trial:
    """One example as promtool runs it.

    Attributes:
        place: index of the threshold and of its example.
        rules: the rule file that it needs.
        test: an item of promtool's `tests`.
        interval: of samples and evaluations, in seconds.
    """

    place: tuple[int, int]
    rules: dict[str, Any]
    test: dict[str, Any]
    interval: float


def trials(file: ThresholdFile) -> Iterator[Trial]:
    """Every example, those of thresholds that are not enabled too."""
    # The selector is about where the exporter runs, which an example says nothing of.
    settings = file.settings.model_copy(update={"selector": f'job="{_FIXED["job"]}"'})
    for index, threshold in enumerate(file.thresholds):
        rule = alert(threshold, settings)
        rules = {"groups": [{"name": "example", "rules": [rule]}]}
        for number, example in enumerate(threshold.examples):
            test = _test(threshold, example, rule["alert"], settings) | {"name": f"{index} {number}"}
            yield Trial((index, number), rules, test, settings.interval)


def _test(threshold: Threshold, example: Example, name: str, settings: Settings) -> dict[str, Any]:
    measure = MEASURES[threshold.metric]
    found = steps(example, measure, _lasting(threshold, measure, settings))
    end = format_duration(len(found) * settings.interval)
    firing = f'max_over_time(ALERTS{{alertname="{name}", alertstate="firing"}}[{end}])'
    return {
        "interval": format_duration(settings.interval),
        "input_series": [
            {
                "series": f"{metric}{{{', '.join(part for part in (_labels(threshold, measure), more) if part)}}}"
            }
            | {"values": encoded(column)}
            for (metric, more), column in columns(measure, found, settings.interval).items()
        ],
        "promql_expr_test": [
            {
                "expr": f"(count({firing}) > bool 0) or vector(0)",
                "eval_time": end,
                "exp_samples": [{"labels": "{}", "value": int(example.fires)}],
            }
        ],
    }


def _lasting(threshold: Threshold, measure: Measure, settings: Settings) -> int:
    """Steps after which a lasting value must have been seen: two windows, `for`, and a few evaluations."""
    window = threshold.window or measure.window
    return math.ceil((2 * window + threshold.hold) / settings.interval) + 3


def _labels(threshold: Threshold, measure: Measure) -> str:
    """Labels of a series that the threshold selects."""
    wanted = [*PROBE_LABELS, "instance"] if not measure.is_usage else [*measure.scope.values(), *_FIXED]
    chosen = _LABELS | _FIXED | {"module": "chat", "provider": "openai"}
    for key, label in measure.scope.items():
        patterns = getattr(threshold, key)
        if patterns is not None:
            chosen[label] = an_instance(patterns[0])
    return ", ".join(f'{label}="{chosen[label]}"' for label in dict.fromkeys(wanted))


# Runs the examples of thresholds.yml through promtool.


def failures(file: ThresholdFile, promtool: str) -> list[tuple[int, int]]:
    """Index of threshold and example of each that does not hold, in the file's order.

    Raises:
        StartError: promtool cannot be run.
    """
    found: list[tuple[int, int]] = []
    by_threshold: dict[int, list[Trial]] = {}
    for trial in trials(file):
        by_threshold.setdefault(trial.place[0], []).append(trial)
    with tempfile.TemporaryDirectory(prefix="openai-exporter-rules-") as folder:
        for members in by_threshold.values():
            found += _failed(members, Path(folder), promtool)
    return found


def _failed(members: Sequence[Trial], folder: Path, promtool: str) -> list[tuple[int, int]]:
    if _passes(members, folder, promtool):
        return []
    return [each.place for each in members if not _passes([each], folder, promtool)]


def _passes(members: Sequence[Trial], folder: Path, promtool: str) -> bool:
    document: dict[str, Any] = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": format_duration(members[0].interval),
        "tests": [each.test for each in members],
    }
    (folder / "rules.yml").write_text(as_yaml(members[0].rules), encoding="utf-8")
    (folder / "test.yml").write_text(as_yaml(document), encoding="utf-8")
    return tool.test_rules(promtool, folder / "test.yml") is None
