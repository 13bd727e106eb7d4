# SPDX-License-Identifier: Apache-2.0
"""Thresholds to Prometheus rule groups, as plain data. Pure."""

from typing import Any

from openai_exporter.config.base import format_duration
from openai_exporter.rules import checks
from openai_exporter.rules.checks import SCOPES
from openai_exporter.rules.measures import MEASURES, Measure, Query
from openai_exporter.rules.quantity import parse
from openai_exporter.rules.schema import Settings, Threshold, ThresholdFile, matcher

Group = dict[str, Any]
Rule = dict[str, Any]

GROUP_PREFIX = "openai-user-"
NO_DATA = "OpenAIThresholdMatchesNothing"
NO_DATA_FOR = "1h"
_TEAMS = {"cost": "finops"}
_TEAM = "platform"


def groups(file: ThresholdFile) -> list[Group]:
    """One group per metric in the file's order, then one that watches for thresholds that select nothing."""
    enabled = [each for each in file.thresholds if each.enabled]
    names = dict.fromkeys(each.metric for each in enabled)
    found: list[Group] = [
        {
            "name": GROUP_PREFIX + name.replace("_", "-"),
            "rules": [alert(each, file.settings) for each in enabled if each.metric == name],
        }
        for name in names
    ]
    scoped = [each for each in enabled if any(getattr(each, key) for key in SCOPES)]
    if scoped:
        rules = [no_data(each, file.settings) for each in scoped]
        found.append({"name": f"{GROUP_PREFIX}data", "rules": rules})
    return found


def alert(threshold: Threshold, settings: Settings) -> Rule:
    """The alerting rule of a threshold."""
    measure = MEASURES[threshold.metric]
    query = query_of(threshold, settings)
    rule: Rule = {"alert": checks.alert_name(threshold.name), "expr": measure.expression(query)}
    if threshold.hold:
        rule["for"] = format_duration(threshold.hold)
    runbook = settings.runbook_url.replace("%s", measure.runbook)
    return rule | {
        "labels": _labels(threshold, measure),
        "annotations": {
            "summary": threshold.summary or checks.summary(threshold, measure, query.limit),
            "description": threshold.description
            or checks.description(threshold, measure, query.limit, query.window),
            "runbook_url": threshold.runbook_url or runbook,
            "dashboard_url": dashboard(measure, settings),
        },
    }


def no_data(threshold: Threshold, settings: Settings) -> Rule:
    """Fires while there is data, yet none that the threshold selects: a name is misspelt, or is probed no more."""
    measure = MEASURES[threshold.metric]
    query = query_of(threshold, settings)
    selected, all_of_it = query.select(measure.base), query.any(measure.base)
    return {
        "alert": NO_DATA,
        "expr": f"absent({selected})\nand on ()\ncount({all_of_it}) > 0\n",
        "for": NO_DATA_FOR,
        "labels": {
            "severity": "warning",
            "team": _team(threshold, measure),
            "category": "exporter",
            "threshold": threshold.name,
            "threshold_severity": threshold.severity,
        },
        "annotations": {
            "summary": "A threshold selects nothing, so it can never alert.",
            "description": f"Threshold {threshold.name} in thresholds.yml matches no series, though {measure.name} has"
            " others; check its names against the configuration.",
            "runbook_url": settings.runbook_url.replace("%s", "OpenAISLOMetricAbsent"),
            "dashboard_url": f"{settings.grafana_url}/d/{measure.dashboard}",
        },
    }


def query_of(threshold: Threshold, settings: Settings) -> Query:
    """What the expression is built from."""
    measure = MEASURES[threshold.metric]
    scope = {measure.scope[key]: found for key in SCOPES if (found := getattr(threshold, key)) is not None}
    return Query(
        selector=settings.selector.strip().rstrip(",").rstrip(),
        scope=tuple(matcher(label, patterns) for label, patterns in scope.items()),
        by=tuple(scope),
        operator=threshold.operator,
        limit=parse(measure.kind, threshold.threshold),
        window=threshold.window or measure.window,
        interval=settings.interval,
        min_events=threshold.min_events or settings.min_events,
    )


def dashboard(measure: Measure, settings: Settings) -> str:
    """A link to the dashboard, with what the alert is about chosen there."""
    chosen = [name for name in ("target", "model", "organization") if name in measure.labels]
    variables = "&".join(f"var-{name}={{{{ $labels.{name} | urlquery }}}}" for name in chosen)
    return f"{settings.grafana_url}/d/{measure.dashboard}?{variables}"


def _labels(threshold: Threshold, measure: Measure) -> dict[str, str]:
    return {
        "severity": threshold.severity,
        "team": _team(threshold, measure),
        "category": measure.category,
        "threshold_metric": measure.name,
    }


def _team(threshold: Threshold, measure: Measure) -> str:
    return threshold.team or _TEAMS.get(measure.category, _TEAM)
