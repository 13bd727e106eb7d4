# SPDX-License-Identifier: Apache-2.0
"""Examples of thresholds.yml: the series they stand for, as promtool's test files, and their run."""

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from openai_exporter.config.base import format_duration
from openai_exporter.metrics import probe as m, usage as u
from openai_exporter.rules import rule_file
from openai_exporter.rules.compile import alert
from openai_exporter.rules.measures import MEASURES, PROBE_LABELS, Measure
from openai_exporter.rules.thresholds import Example, Settings, Step, Threshold, ThresholdFile, an_instance, steps

_LABELS = {
    "target": "openai",
    "endpoint": "chat",
    "model": "gpt-x",
    "organization": "acme",
    "project_id": "proj_x",
}
_FIXED = {"job": "openai", "instance": "exporter:9985"}


Column = list[float | None]
"""The values of one series, None where there is no sample."""

_DEADLINE, _QUICK = 9.5, 0.2
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
    document = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": tests[0]["interval"],
        "tests": tests,
    }
    (folder / "test.yml").write_text(rule_file.as_yaml(document), encoding="utf-8")
    return rule_file.test_rules(promtool, folder / "test.yml")


def _test(threshold: Threshold, example: Example, name: str, settings: Settings) -> dict[str, Any]:
    measure = MEASURES[threshold.metric]
    found = steps(example, measure, _lasting(threshold, measure, settings))
    end = format_duration(len(found) * settings.interval)
    firing = f'max_over_time(ALERTS{{alertname="{name}", alertstate="firing"}}[{end}])'
    return {
        "interval": format_duration(settings.interval),
        "input_series": [
            {"series": f"{metric}{{{', '.join(part for part in (_labels(threshold, measure), more) if part)}}}"}
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


def columns(measure: Measure, found: Sequence[Step], interval: float) -> dict[tuple[str, str], Column]:
    """(metric, more labels) -> values, as the exporter would expose them at these steps."""
    if measure.is_usage:
        return _usage(measure, found, interval)
    if measure.name == "headroom":
        amounts = _numbers(found, lambda value: value * _HEADROOM)
        limits = _numbers(found, lambda value: _HEADROOM)
        return {
            (m.RATE_LIMIT_REMAINING.name, 'limit_type="requests"'): amounts,
            (m.RATE_LIMIT_LIMIT.name, 'limit_type="requests"'): limits,
        }
    return _probes(measure, found)


def _numbers(found: Sequence[Step], of: Callable[[float], float | None]) -> Column:
    return [None if isinstance(step, str) else of(step) for step in found]


def _probes(measure: Measure, found: Sequence[Step]) -> dict[tuple[str, str], Column]:
    good = [None if step == "none" else float(step not in ("fail", "timeout")) for step in found]
    scraped: Column = [None if step == "none" else 1.0 for step in found]
    late = "timeout_first_token" if measure.name == "time_to_first_token" else "timeout_total"
    value = {
        "time_to_first_token": m.TIME_TO_FIRST_TOKEN.name,
        "tokens_per_second": m.OUTPUT_TOKENS_PER_SECOND.name,
    }.get(measure.name, m.DURATION.name)
    made: dict[tuple[str, str], Column] = {
        (m.SUCCESS.name, ""): list(good),
        (m.AVAILABILITY_GOOD.name, ""): list(good),
        (m.AVAILABILITY_VALID.name, ""): scraped,
        (m.OUTCOME.name, f'outcome="{late}"'): [None if step == "none" else float(step == "timeout") for step in found],
        (m.DURATION.name, ""): [_duration(step) for step in found],
    }
    return made | {(value, ""): _numbers(found, float) if value != m.DURATION.name else made[value, ""]}


def _duration(step: Step) -> float | None:
    if isinstance(step, str):
        return {"none": None, "timeout": _DEADLINE}.get(step, _QUICK)
    return step


_COUNTERS: Mapping[str, str] = {
    "requests_per_hour": u.REQUESTS.name,
    # All of it as input: some operations have no other tokens.
    "tokens_per_hour": u.INPUT_TOKENS.name,
    "cost_per_hour": u.ESTIMATED_COST.name,
    "probe_cost_per_day": m.PROBE_COST_TOTAL.name,
}
_LEVELS = {"cost_per_day": (u.COSTS_DAY.name, 'window="today"'), "cost_per_month": (u.COSTS_MONTH.name, "")}


def _usage(measure: Measure, found: Sequence[Step], interval: float) -> dict[tuple[str, str], Column]:
    if measure.name in _LEVELS:
        return {_LEVELS[measure.name]: _numbers(found, float)}
    period = 86_400.0 if measure.name == "probe_cost_per_day" else 3600.0
    total, counter = 0.0, Column()
    for step in found:
        total += 0.0 if isinstance(step, str) else step * interval / period
        counter.append(None if isinstance(step, str) else total)
    return {(_COUNTERS[measure.name], ""): counter}


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
