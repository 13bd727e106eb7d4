# SPDX-License-Identifier: Apache-2.0
"""Metrics of a provider's public status page (`/status`)."""

from openai_exporter.metrics.metric import Kind, Metric, Page


def _gauge(name: str, text: str, *labels: str) -> Metric:
    return Metric(name, Kind.GAUGE, Page.STATUS, text, labels)


UP = _gauge(
    "openai_status_up",
    "Whether the last read of the status page succeeded; the rest shows the last good read, shared by scrapes.",
)
COMPONENT = _gauge(
    "openai_status_component",
    "State set: 1 for the component's present state, 0 for every other one.",
    "component_id",
    "component",
    "state",
)
INCIDENT = _gauge("openai_status_incident", "Unresolved incidents by impact.", "impact")
FETCHED = _gauge("openai_status_last_success_timestamp_seconds", "Unix time at which the page was last read.")
