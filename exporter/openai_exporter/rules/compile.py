# SPDX-License-Identifier: Apache-2.0
"""Thresholds to Prometheus rule groups, as plain data: alerts, their names and their texts."""

from typing import Any

from openai_exporter.config.base import format_duration
from openai_exporter.rules.measures import MEASURES, Kind, Measure, Query, format_amount, parse_amount
from openai_exporter.rules.thresholds import (
    SCOPES,
    Settings,
    Threshold,
    ThresholdFile,
    alert_name,
    events_of,
    matcher,
    matcher_of_others,
)

Group = dict[str, Any]
Rule = dict[str, Any]

GROUP_PREFIX = "openai-user-"
NO_DATA = "OpenAIThresholdMatchesNothing"
NO_DATA_FOR = "1h"
_TEAMS = {"cost": "finops"}
_TEAM = "platform"

_ORDER = {">": "above", ">=": "at or above", "<": "below", "<=": "at or below"}
_SUBJECTS = {
    "probe": "of {{ $labels.module }} on {{ $labels.target }}{{ with $labels.model }} ({{ . }}){{ end }}",
    "organization": "of organization {{ $labels.organization }}",
    "target": "on {{ $labels.target }}",
}
_LONGEST = 86_400
"""Seconds above which a latency can only be that of probes without an answer."""


def groups(file: ThresholdFile) -> list[Group]:
    """One group per metric in the file's order, then one that watches for thresholds that select nothing."""
    enabled = [each for each in file.thresholds if each.enabled]
    names = dict.fromkeys(each.metric for each in enabled)
    compiled: list[Group] = [
        {
            "name": GROUP_PREFIX + name.replace("_", "-"),
            "rules": [alert(each, file.settings) for each in enabled if each.metric == name],
        }
        for name in names
    ]
    scoped = [each for each in enabled if any(getattr(each, key) for key in SCOPES)]
    if scoped:
        rules = [_no_data(each, file.settings) for each in scoped]
        compiled.append({"name": f"{GROUP_PREFIX}data", "rules": rules})
    return compiled


def alert(threshold: Threshold, settings: Settings) -> Rule:
    """The alerting rule of a threshold."""
    measure = MEASURES[threshold.metric]
    query = _query_of(threshold, settings)
    rule: Rule = {"alert": alert_name(threshold.name), "expr": measure.expression(query)}
    if threshold.hold:
        rule["for"] = format_duration(threshold.hold)
    limited = f"{_ORDER[threshold.operator]} {format_amount(measure.kind, query.limit)}"
    runbook = settings.runbook_url.replace("%s", measure.runbook)
    return rule | {
        "labels": {
            "severity": threshold.severity,
            "team": _team(threshold, measure),
            "category": measure.category,
            "threshold_metric": measure.name,
        },
        "annotations": {
            "summary": threshold.summary or f"{measure.title} is {limited}.",
            "description": threshold.description or _description(threshold, measure, query, limited),
            "runbook_url": threshold.runbook_url or runbook,
            "dashboard_url": _dashboard(measure, settings),
        },
    }


def _no_data(threshold: Threshold, settings: Settings) -> Rule:
    """Fires while there is data, yet none that the threshold selects: a name is misspelt, or is probed no more."""
    measure = MEASURES[threshold.metric]
    query = _query_of(threshold, settings)
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
            "dashboard_url": _panel(measure, settings),
        },
    }


def _query_of(threshold: Threshold, settings: Settings) -> Query:
    """What the expression is built from."""
    measure = MEASURES[threshold.metric]
    scope = {measure.scope[key]: names for key in SCOPES if (names := getattr(threshold, key)) is not None}
    others = [matcher_of_others(measure.scope["model"], threshold.not_model)] if threshold.not_model else []
    return Query(
        selector=settings.selector.strip().rstrip(",").rstrip(),
        scope=(*(matcher(label, patterns) for label, patterns in scope.items()), *others),
        by=tuple(scope),
        operator=threshold.operator,
        limit=parse_amount(measure.kind, threshold.threshold),
        window=threshold.window or measure.window,
        interval=settings.interval,
        min_events=events_of(threshold, settings),
    )


def _dashboard(measure: Measure, settings: Settings) -> str:
    """A link to the dashboard, with what the alert is about chosen there."""
    chosen = [name for name in ("target", "model", "organization") if name in measure.labels]
    variables = "".join(
        f"{{{{ with $labels.{name} }}}}&var-{name}={{{{ . | urlquery }}}}{{{{ end }}}}" for name in chosen
    )
    return _panel(measure, settings) + variables


def _panel(measure: Measure, settings: Settings) -> str:
    return f"{settings.grafana_url}/d/{measure.dashboard}?from=now-6h&to=now&viewPanel={measure.panel}"


def _team(threshold: Threshold, measure: Measure) -> str:
    return threshold.team or _TEAMS.get(measure.category, _TEAM)


def _description(threshold: Threshold, measure: Measure, query: Query, limited: str) -> str:
    """Names the series, the value and the limit."""
    if threshold.hold:
        limited += f" for {format_duration(threshold.hold)}"
    over = "" if measure.fixed_window else f" over {format_duration(query.window)}"
    return f"{measure.title} {_subject(threshold, measure)} is {_value(measure)}{over}; it alerts {limited}."


def _subject(threshold: Threshold, measure: Measure) -> str:
    if not measure.is_usage:
        limit_type = "for {{ $labels.limit_type }} " if "limit_type" in measure.labels else ""
        return limit_type + _SUBJECTS["probe"]
    text = _SUBJECTS["organization" if "organization" in measure.labels else "target"]
    for key in ("project", "model"):
        if getattr(threshold, key) is not None:
            text += f", {key} {{{{ $labels.{measure.scope[key]} }}}}"
    return text


def _value(measure: Measure) -> str:
    if measure.kind is Kind.SECONDS:
        seconds = "{{ $value | humanizeDuration }}"
        if measure.name == "mean_latency":
            return seconds
        late = "beyond the deadline of the probes"
        return f"{{{{ if gt $value {_LONGEST}.0 }}}}{late}{{{{ else }}}}{seconds}{{{{ end }}}}"
    if measure.kind is Kind.RATIO:
        return "{{ $value | humanizePercentage }}"
    if measure.kind is Kind.USD:
        return '{{ printf "%.2f" $value }} USD'
    return f"{{{{ $value | humanize }}}} {measure.kind.value}"
