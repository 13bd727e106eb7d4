# SPDX-License-Identifier: Apache-2.0
"""A wrong setting fails to compile, with a sentence that says what to do."""

import re

import pytest

from tests.mixin.bundle import errors_of, mixin
from tests.mixin.lint.parser import parse

ROW = "{ severity: 'critical', long: '1h', short: '5m', factor: 14.4, 'for': '2m', minBad: 5 }"


def slo(more: str) -> str:
    return f"{{ slo+: {{ {more} }} }}"


def burn(change: str) -> str:
    return slo(f"burn: [{ROW} + {{ {change} }}]")


REFUSED = {
    "an alert that can never fire": (
        slo("availability+: { objectives: [{ objective: 0.93 }] }"),
        "objective 0.93, windows 1h and 5m: can never fire, as 14.4 times the error budget exceeds all events; "
        "raise the objective above 0.9306 or lower the factor",
    ),
    "the same for latency": (
        slo("latency+: { objectives: [{ match: { model: 'x' }, objective: 0.9 }, { objective: 0.95 }] }"),
        "slo.latency, objective 0.9, windows 1h and 5m: can never fire",
    ),
    "an objective of everything": (
        slo("availability+: { objectives: [{ objective: 1 }] }"),
        "an objective lies between 0 and 1",
    ),
    "a guard above the probes of its window": (
        burn("minBad: 61"),
        "can never fire, as minBad 61 is above the 60 probes of the long window",
    ),
    "a page after two bad probes": (
        burn("minBad: 2"),
        "one or two bad probes could page; minBad must be at least 3 for severity critical",
    ),
    "probes too rare for the short window": (
        "{ probeInterval: '300s' }",
        "the short window holds fewer than 5 probes at probeInterval 300s; probe more often or lengthen it",
    ),
    "an outage proven by two bad probes": (
        "{ thresholds+: { targetDown+: { minBad: 2 } } }",
        "thresholds.targetDown.minBad 2: must be at least 3, or one or two bad probes could page",
    ),
    "windows the wrong way round": (
        burn("long: '5m', short: '1h'"),
        "the short window must be shorter than the long one",
    ),
    "a window beyond the period": (burn("long: '60d', short: '5d'"), "the long window exceeds the period 30d"),
    "a period beyond the retention": (
        "{ retention: '15d' }",
        "the period 30d exceeds the retention 15d; keep data longer or shorten the period",
    ),
    "no words for a duration": (
        burn("long: '1 hour'"),
        'duration "1 hour": write one whole number and one of d, h, m, s',
    ),
    "an unknown severity": (
        "{ thresholds+: { modelRetires: [{ days: 7, severity: 'fatal' }] } }",
        'OpenAIModelRetiring: severity "fatal" is unknown; allowed: critical, warning, info, none',
    ),
}
UNKNOWN = {
    "a misspelt setting": ("{ selectr: 'x' }", '_config: selectr: unknown setting; did you mean "selector"?'),
    "another case": ("{ grafanaURL: 'x' }", '_config: grafanaURL: unknown setting; did you mean "grafanaUrl"?'),
    "a long word": (
        "{ alertmanagr+: { channels+: {} } }",
        'alertmanagr: unknown setting; did you mean "alertmanager"?',
    ),
    "a misspelt threshold": ("{ thresholds+: { certificateDay: 3 } }", 'did you mean "certificateDays"?'),
    "a misspelt service level": (
        "{ slo+: { availabilty+: {} } }",
        'slo.availabilty: unknown setting; did you mean "avail',
    ),
    "a misspelt channel list": (
        "{ alertmanager+: { chanels+: {} } }",
        'chanels: unknown setting; did you mean "channels"?',
    ),
    "a misspelt audience": (
        "{ alertmanager+: { audiences+: { pages: [] } } }",
        'pages: unknown setting; did you mean "page"?',
    ),
    "a key of an entry": (
        slo("latency+: { bounds: [{ bond: 3 }, { bound: 5 }] }"),
        'slo.latency.bounds[0].bond: unknown setting; did you mean "bound"?',
    ),
    "nothing that is near": (
        "{ thresholds+: { budget+: { zzz: 3 } } }",
        "budget.zzz: unknown setting; allowed: for, full",
    ),
    "an object in place of a part of it": (
        "{ slo: { availability: { objectives: [{ objective: 0.999 }], pages: true } } }",
        "slo.burn: is missing; write `slo+:` to change a part of it and keep the rest",
    ),
    "a threshold that is nothing": (
        "{ thresholds+: { probeSpendUsd: null } }",
        "thresholds.probeSpendUsd: must be a number, not null; disabledAlerts leaves out an alert",
    ),
    "a number as text": ("{ timeScale: '1' }", "timeScale: must be a number, not string"),
    "an alert that does not exist": (
        "{ disabledAlerts: ['OpenAIKeyUnusd'] }",
        'disabledAlerts: no alert "OpenAIKeyUnusd"; did you mean "OpenAIKeyUnused"?',
    ),
    "a severity of no alert": ("{ severities: { KeyUnused: 'info' } }", 'severities: no alert "KeyUnused"'),
    "a severity that does not exist": (
        "{ severities: { OpenAIKeyUnused: 'page' } }",
        "severities.OpenAIKeyUnused: must be one of critical, warning, info, none",
    ),
}
REFUSED_RULES = {
    "a pattern without a last resort": (
        slo("availability+: { objectives: [{ match: { model: 'x' }, objective: 0.99 }] }"),
        "slo.availability.objectives: the last entry must have no match, so that every series has a value",
    ),
    "no bounds": (slo("latency+: { bounds: [] }"), "slo.latency.bounds: the list is empty"),
    "anomalies that look back too far": (
        "{ anomaly+: { days: 40 } }",
        "anomaly.days 40: the comparison needs one day more than that, but retention is 40d",
    ),
    "a baseline of one day": ("{ anomaly+: { minDays: 1 } }", "anomaly.minDays 1: needs at least 2"),
}


@pytest.mark.parametrize(("settings", "message"), REFUSED.values(), ids=REFUSED)
def test_alerts_refuse(settings: str, message: str) -> None:
    assert message in errors_of(settings)


@pytest.mark.parametrize(("settings", "message"), UNKNOWN.values(), ids=UNKNOWN)
def test_settings_that_change_nothing_are_refused(settings: str, message: str) -> None:
    assert message in errors_of(settings)


def expressions(settings: str) -> list[str]:
    fields = ("prometheusRules", "prometheusAlerts")
    return [rule["expr"] for field in fields for each in mixin(field, settings)["groups"] for rule in each["rules"]]


def test_an_alert_can_be_left_out_or_get_another_severity() -> None:
    settings = "{ disabledAlerts: ['OpenAIKeyUnused'], severities: { OpenAIModelRetiring: 'info' } }"
    rules = [rule for group in mixin("prometheusAlerts", settings)["groups"] for rule in group["rules"]]

    assert "OpenAIKeyUnused" not in {rule["alert"] for rule in rules}
    assert {rule["labels"]["severity"] for rule in rules if rule["alert"] == "OpenAIModelRetiring"} == {"info"}


@pytest.mark.parametrize("selector", ["", 'job="x",', ' job="x", '])
def test_a_selector_may_be_empty_or_end_in_a_comma(selector: str) -> None:
    for expr in expressions(f"{{ selector: '{selector}' }}"):
        parse(expr)
        assert not re.search(r",\s*,", expr)


def test_clusters_are_told_apart_in_every_aggregation_and_join() -> None:
    global_ones = ("on ()", "on (slot)")
    for expr in expressions("{ clusterLabels: 'cluster, region' }"):
        found = [each for each in re.findall(r"\b(?:by|on) \([^)]*\)", expr) if each not in global_ones]
        assert [each for each in found if "(cluster, region" not in each] == []
        assert not re.search(r"\b(?:sum|max|min|count|group|avg)\s*\((?!_)", expr), expr
    assert not [expr for expr in expressions("{ clusterLabels: '' }") if "cluster" in expr]


@pytest.mark.parametrize(("settings", "message"), REFUSED_RULES.values(), ids=REFUSED_RULES)
def test_rules_refuse(settings: str, message: str) -> None:
    assert message in errors_of(settings, "prometheusRules")


def test_every_mistake_is_listed_at_once() -> None:
    found = errors_of(burn("minBad: 2, long: '60d', short: '61d'")).splitlines()

    assert len([line for line in found if line.startswith("slo.availability")]) == 3


def test_slow_probes_are_accepted_with_windows_that_fit() -> None:
    row = "{ severity: 'critical', long: '6h', short: '30m', factor: 6, 'for': '15m', minBad: 3 }"

    assert errors_of(f"{{ probeInterval: '300s', slo+: {{ burn: [{row}] }} }}") == ""


@pytest.mark.parametrize("objective", ["0.9999", "0.999", "0.99", "0.95"])
def test_usual_objectives_are_accepted(objective: str) -> None:
    assert errors_of(slo(f"availability+: {{ objectives: [{{ objective: {objective} }}] }}")) == ""
