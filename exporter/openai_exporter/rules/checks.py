# SPDX-License-Identifier: Apache-2.0
"""The checks of thresholds.yml that need more than one key: an alert must be able to fire, and to stay silent."""

import re
from collections.abc import Iterator, Sequence

from openai_exporter.config.base import format_duration, repeated
from openai_exporter.config.document import Finding, Place
from openai_exporter.rules.compile import alert_name
from openai_exporter.rules.examples import problem_of as example_problem
from openai_exporter.rules.measures import MEASURES, Measure
from openai_exporter.rules.promql import PromQLError, check
from openai_exporter.rules.quantity import parse, show
from openai_exporter.rules.schema import MUST_BE, SCOPES, Settings, Threshold, ThresholdFile

LONGEST = 15 * 86_400.0
"""Seconds that Prometheus keeps data by default."""
LOOKBACK = 300.0
"""Seconds for which Prometheus takes a sample for present by default."""


def cross_check(file: ThresholdFile) -> Iterator[Finding]:
    """Yield every mistake that one key alone cannot show."""
    yield from _settings(file.settings)
    yield from _unique(file)
    for index, threshold in enumerate(file.thresholds):
        measure = MEASURES[threshold.metric]
        place: Place = ("thresholds", index)
        yield from _limit(place, threshold, measure)
        yield from _scope(place, threshold, measure)
        yield from _window(place, threshold, measure, file.settings)
        yield from _texts(place, threshold, measure)
        for number, example in enumerate(threshold.examples):
            key, problem = example_problem(example, measure) or ("", "")
            if problem:
                yield Finding((*place, "examples", number, *([key] if key else [])), problem)


def _labels_of(threshold: Threshold, measure: Measure) -> tuple[str, ...]:
    """Labels that the alert carries."""
    named = [measure.scope[key] for key in SCOPES if getattr(threshold, key) is not None and key in measure.scope]
    return tuple(dict.fromkeys((*measure.labels, *named, "severity", "team", "category")))


def _settings(settings: Settings) -> Iterator[Finding]:
    try:
        check(f"up{{{settings.selector}}}")
    except PromQLError as error:
        yield Finding(("settings", "selector"), f"must be {MUST_BE['selector']}: {error}", settings.selector)
    if settings.interval > LOOKBACK:
        text = f"must be at most {format_duration(LOOKBACK)}; Prometheus takes an older sample for gone"
        yield Finding(("settings", "interval"), text, format_duration(settings.interval))


def _unique(file: ThresholdFile) -> Iterator[Finding]:
    keys = [(alert_name(threshold.name), threshold.severity) for threshold in file.thresholds]
    for index, first in repeated(keys):
        alert, severity = keys[index]
        text = f"is alert {alert} with severity {severity} again; give it another name or severity"
        name = file.thresholds[index].name
        yield Finding(("thresholds", index, "name"), text, name, ("thresholds", first, "name"))


def _limit(place: Place, threshold: Threshold, measure: Measure) -> Iterator[Finding]:
    if threshold.operator not in measure.operators:
        text = f"metric {measure.name} takes {' or '.join(measure.operators)}"
        yield Finding((*place, "operator"), text, threshold.operator)
        return
    try:
        limit = parse(measure.kind, threshold.threshold)
    except ValueError as error:
        yield Finding((*place, "threshold"), str(error), threshold.threshold)
        return
    never, always = _verdict(threshold.operator, limit, measure.most)
    if never or always:
        comparison = f"{measure.name} {threshold.operator} {show(measure.kind, limit)}"
        text = f"{comparison} is {'never' if never else 'always'} true"
        yield Finding((*place, "threshold"), f"{text}; choose another limit", threshold.threshold)


def _verdict(operator: str, limit: float, most: float | None) -> tuple[bool, bool]:
    """Whether a value from 0 to `most` never, or always, fulfils the comparison."""
    low = {">": False, ">=": limit <= 0, "<": limit > 0, "<=": True}[operator]
    top = float("inf") if most is None else most
    high = {">": top > limit, ">=": top >= limit, "<": top < limit, "<=": top <= limit}[operator]
    return not low and not high, low and high


def _scope(place: Place, threshold: Threshold, measure: Measure) -> Iterator[Finding]:
    for key in SCOPES:
        if getattr(threshold, key) is not None and key not in measure.scope:
            text = f"metric {measure.name} is not known by {key}; allowed: {', '.join(measure.scope)}"
            yield Finding((*place, key), text)


def _window(place: Place, threshold: Threshold, measure: Measure, settings: Settings) -> Iterator[Finding]:
    if threshold.min_events is not None and not measure.counts_probes:
        yield Finding((*place, "min_events"), f"is not for metric {measure.name}, which counts no probes; remove it")
    if threshold.hold > LONGEST:
        yield Finding((*place, "for"), "must be at most 15d", format_duration(threshold.hold))
    if threshold.window is not None and measure.fixed_window:
        yield Finding((*place, "window"), f"is not for metric {measure.name}: {measure.fixed_window}; remove it")
        return
    window = threshold.window or measure.window
    events = (threshold.min_events or settings.min_events) if measure.counts_probes else 2
    least = max(2, events) * settings.interval
    if window < least:
        text = (
            f"must be at least {format_duration(least)}, {max(2, events)} probes at the interval of "
            f"{format_duration(settings.interval)}; else the alert can never fire"
        )
        yield Finding((*place, "window"), text, format_duration(window))
    if window > LONGEST:
        yield Finding((*place, "window"), "must be at most 15d, which Prometheus keeps", format_duration(window))


def _texts(place: Place, threshold: Threshold, measure: Measure) -> Iterator[Finding]:
    labels = _labels_of(threshold, measure)
    for key in ("summary", "description", "runbook_url"):
        text = getattr(threshold, key)
        if text is None:
            continue
        if not text.strip() or (key == "summary" and "\n" in text.strip()):
            yield Finding((*place, key), f"must be {'one line of text' if key == 'summary' else 'text'}", text)
        elif problem := _template_problem(text, labels):
            yield Finding((*place, key), problem)


# A few forms of `{{ ... }}` that surely work, checked against the labels of the alert.
_ACTION = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_HUMANIZE = r"humanize|humanize1024|humanizeDuration|humanizePercentage"
_VALUE = re.compile(rf'\s*(?:\$value(?:\s*\|\s*(?:{_HUMANIZE}))?|printf\s+"%\.[0-9]f"\s+\$value)\s*')
_LABEL = re.compile(r"\s*\$labels\.([A-Za-z_][A-Za-z0-9_]*)\s*")
_FORMS = "$value, $value | humanize, humanizeDuration or humanizePercentage, and $labels.NAME"


def _template_problem(text: str, labels: Sequence[str]) -> str | None:
    """What is wrong with a text whose alert carries these labels; None when it is fine."""
    rest = _ACTION.sub("", text)
    if "{{" in rest or "}}" in rest:
        return "has {{ without }}, or the reverse; write both, or neither"
    for action in _ACTION.findall(text):
        label = _LABEL.fullmatch(action)
        if label and label[1] not in labels:
            return f"names label {label[1]}, which the alert does not carry; it carries {', '.join(labels)}"
        if not label and not _VALUE.fullmatch(action):
            return f"has {{{{{action[:40]}}}}}; allowed between braces: {_FORMS}"
    return None
