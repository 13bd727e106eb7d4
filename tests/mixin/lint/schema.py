# SPDX-License-Identifier: Apache-2.0
"""Which metrics exist and which labels their series carry: the exporter's catalogue, and what Prometheus adds."""

from collections.abc import Mapping
from dataclasses import dataclass

from openai_exporter.metrics import CATALOGUE, Kind, Page

from .nodes import Matcher, Selector

SCRAPE = frozenset({"job", "instance", "cluster"})
TARGET_LABELS: Mapping[Page, frozenset[str]] = {
    Page.PROBE: SCRAPE | {"target", "module", "model", "endpoint", "provider"},
    Page.USAGE: SCRAPE | {"organization"},
    Page.STATUS: SCRAPE | {"status_page"},
    Page.METRICS: SCRAPE,
}
"""Labels that service discovery gives to the targets of each page."""

FOREIGN: Mapping[str, frozenset[str]] = {
    "process_start_time_seconds": SCRAPE,
    "prometheus_rule_evaluation_failures_total": SCRAPE | {"rule_group"},
    "alertmanager_notifications_failed_total": SCRAPE | {"integration"},
    "ALERTS": frozenset().union(*TARGET_LABELS.values(), {"alertname", "alertstate", "severity", "slo", "dataset"}),
    "ALERTS_FOR_STATE": frozenset().union(*TARGET_LABELS.values(), {"alertname", "severity"}),
}
"""Metrics that rules read though the exporter does not define them."""

GAUGE_LIKE: Mapping[str, str] = {
    "openai_usage_estimated_cost_usd_total": "a month-to-date sum by design, compared with the bill of the month"
}
"""Counters that may be read without rate or increase, and why."""


@dataclass(frozen=True, slots=True)
class Series:
    """What is known of a metric: its labels, and whether it only goes up."""

    labels: frozenset[str]
    counter: bool


def _exposed() -> dict[str, Series]:
    found = {}
    for metric in CATALOGUE.values():
        labels = TARGET_LABELS[metric.page] | set(metric.labels)
        if metric.kind is Kind.HISTOGRAM:
            found[f"{metric.name}_bucket"] = Series(labels | {"le"}, counter=True)
            for suffix in ("count", "sum"):
                found[f"{metric.name}_{suffix}"] = Series(labels, counter=True)
        else:
            found[metric.name] = Series(labels, metric.kind is Kind.COUNTER)
    for name, labels in FOREIGN.items():
        found[name] = Series(labels, name.endswith("_total"))
    return found


EXPOSED: Mapping[str, Series] = _exposed()


def up_labels(selector: Selector) -> frozenset[str]:
    """Labels of `up`, which every target has; a matcher such as `module!=""` tells the page."""
    for page, labels in TARGET_LABELS.items():
        if page is not Page.METRICS and any(_needs(each, labels - SCRAPE) for each in selector.matchers):
            return labels
    return frozenset().union(*TARGET_LABELS.values())


def _needs(matcher: Matcher, labels: frozenset[str]) -> bool:
    present = (matcher.op, matcher.value) == ("!=", "") or (matcher.op == "=" and matcher.value != "")
    return present and matcher.label in labels
