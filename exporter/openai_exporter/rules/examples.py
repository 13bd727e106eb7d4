# SPDX-License-Identifier: Apache-2.0
"""Examples of thresholds.yml: the series they stand for, as promtool's test files, and their run."""

import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from openai_exporter.config.base import format_duration
from openai_exporter.metrics import probe as m
from openai_exporter.rules import rule_file
from openai_exporter.rules.compile import alert
from openai_exporter.rules.measures import MEASURES, PROBE_LABELS, Measure
from openai_exporter.rules.thresholds import Example, Settings, Step, Threshold, ThresholdFile, an_instance, steps

_FIXED = {"job": "openai", "instance": "exporter:9985"}
_LABELS = _FIXED | {
    "target": "openai", "module": "chat", "endpoint": "chat", "model": "gpt-x", "provider": "openai",
    "organization": "acme", "project_id": "proj_x",
}  # fmt: skip

Column = list[float | None]
"""The values of one series, None where there is no sample."""

_DURATIONS = {"none": None, "timeout": 9.5}
_QUICK = 0.2
_HEADROOM = 1000.0


def failures(file: ThresholdFile, promtool: str) -> list[tuple[int, int]]:
    """Index of threshold and example of each that does not hold, those of disabled thresholds too.

    Raises:
        StartError: promtool cannot be run.
    """
    # The selector is about where the exporter runs, which an example says nothing of.
    settings = file.settings.model_copy(update={"selector": f'job="{_FIXED["job"]}"'})
    failed: list[tuple[int, int]] = []
    with tempfile.TemporaryDirectory(prefix="openai-exporter-rules-") as folder:
        for index, threshold in enumerate(file.thresholds):
            rule = alert(threshold, settings)
            rules = rule_file.as_yaml({"groups": [{"name": "example", "rules": [rule]}]})
            (Path(folder) / "rules.yml").write_text(rules, encoding="utf-8")
            tests = [_test(threshold, example, rule["alert"], settings) for example in threshold.examples]
            if tests and not _passes(tests, Path(folder), promtool):
                failed += [
                    (index, number) for number, test in enumerate(tests) if not _passes([test], Path(folder), promtool)
                ]
    return failed


def _passes(tests: Sequence[dict[str, Any]], folder: Path, promtool: str) -> bool:
    document = {"rule_files": ["rules.yml"], "evaluation_interval": tests[0]["interval"], "tests": tests}
    (folder / "test.yml").write_text(rule_file.as_yaml(document), encoding="utf-8")
    return rule_file.test_rules(promtool, folder / "test.yml")


def _test(threshold: Threshold, example: Example, name: str, settings: Settings) -> dict[str, Any]:
    measure = MEASURES[threshold.metric]
    values = steps(example, measure, _lasting(threshold, measure, settings))
    end = format_duration(len(values) * settings.interval)
    firing = f'max_over_time(ALERTS{{alertname="{name}", alertstate="firing"}}[{end}])'
    return {
        "interval": format_duration(settings.interval),
        "input_series": [
            {"series": f"{metric}{{{', '.join(part for part in (_labels(threshold, measure), more) if part)}}}"}
            | {"values": encoded(column)}
            for (metric, more), column in columns(measure, values, settings.interval).items()
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
    names = [*PROBE_LABELS, "instance"] if not measure.is_usage else [*measure.scope.values(), *_FIXED]
    chosen = dict(_LABELS)
    for key, label in measure.scope.items():
        patterns = getattr(threshold, key)
        if patterns is not None:
            chosen[label] = an_instance(patterns[0])
    return ", ".join(f'{label}="{chosen[label]}"' for label in dict.fromkeys(names))


def columns(measure: Measure, values: Sequence[Step], interval: float) -> dict[tuple[str, str], Column]:
    """(metric, more labels) -> values, as the exporter would expose them at these steps."""
    if measure.is_usage:
        return _usage(measure, values, interval)
    if measure.name == "headroom":
        return {
            (m.RATE_LIMIT_REMAINING.name, 'limit_type="requests"'): _numbers(values, lambda value: value * _HEADROOM),
            (m.RATE_LIMIT_LIMIT.name, 'limit_type="requests"'): _numbers(values, lambda value: _HEADROOM),
        }
    return _probes(measure, values)


def _numbers(values: Sequence[Step], of: Callable[[float], float]) -> Column:
    return [None if isinstance(value, str) else of(value) for value in values]


def _probes(measure: Measure, values: Sequence[Step]) -> dict[tuple[str, str], Column]:
    good: Column = [None if value == "none" else float(value not in ("fail", "timeout")) for value in values]
    late = "timeout_first_token" if measure.name == "time_to_first_token" else "timeout_total"
    series: dict[tuple[str, str], Column] = {
        (m.SUCCESS.name, ""): good,
        (m.AVAILABILITY_GOOD.name, ""): good,
        (m.AVAILABILITY_VALID.name, ""): [None if value == "none" else 1.0 for value in values],
        (m.OUTCOME.name, f'outcome="{late}"'): [None if v == "none" else float(v == "timeout") for v in values],
        (m.DURATION.name, ""): [_DURATIONS.get(v, _QUICK) if isinstance(v, str) else v for v in values],
    }
    return {(measure.base, ""): _numbers(values, float)} | series


def _usage(measure: Measure, values: Sequence[Step], interval: float) -> dict[tuple[str, str], Column]:
    if measure.fixed_window:
        return {(measure.base, 'window="today"' if measure.name == "cost_per_day" else ""): _numbers(values, float)}
    period = 86_400.0 if measure.name == "probe_cost_per_day" else 3600.0
    total, counter = 0.0, Column()
    for value in values:
        total += 0.0 if isinstance(value, str) else value * interval / period
        counter.append(None if isinstance(value, str) else total)
    return {(measure.base, ""): counter}


def encoded(values: Column) -> str:
    """A series in promtool's notation, runs of equal values or equal differences in short."""
    parts: list[str] = []
    at = 0
    while at < len(values):
        value = values[at]
        end = at + 1
        if value is None:
            while end < len(values) and values[end] is None:
                end += 1
            gap = end - at - (at > 0)
            parts += (["stale"] if at else []) + ([f"_x{gap}"] if gap else [])
            at = end
            continue
        following = values[end] if end < len(values) else None
        difference = 0.0 if following is None else following - value
        while end < len(values) and _is_next(values[end], value + difference * (end - at)):
            end += 1
        parts.append(f"{value!r}{difference:+.17g}x{end - at - 1}" if end - at > 1 else f"{value!r}")
        at = end
    return " ".join(parts)


def _is_next(value: float | None, expected: float) -> bool:
    return value is not None and math.isclose(value, expected, rel_tol=1e-9, abs_tol=1e-12)
