# SPDX-License-Identifier: Apache-2.0
"""Metrics of the exporter itself (`/metrics`)."""

from openai_exporter.model import Kind, Metric, Page


def _gauge(name: str, text: str, *labels: str) -> Metric:
    return Metric(name, Kind.GAUGE, Page.METRICS, text, labels)


def _counter(name: str, text: str, *labels: str) -> Metric:
    return Metric(name, Kind.COUNTER, Page.METRICS, text, labels)


BUILD_INFO = _gauge(
    "openai_exporter_build_info", "Version of the exporter and its runtime.", "version", "python_version"
)
PRICE_TABLE_INFO = _gauge("openai_exporter_price_table_info", "Price table in use.", "source", "version")
CONFIG_RELOAD_SUCCESSFUL = _gauge(
    "openai_exporter_config_last_reload_successful", "Whether the last reload of the configuration succeeded."
)
CONFIG_RELOAD_TIMESTAMP = _gauge(
    "openai_exporter_config_last_reload_success_timestamp_seconds", "Unix time of the last successful reload."
)
UNREADABLE_KEYS = _gauge(
    "openai_exporter_config_unreadable_keys",
    "Keys that could not be read when the configuration was loaded; what needs one of them fails until it is there.",
)
STACK_INFO = _gauge("openai_exporter_stack_info", "Mode of the stack in --stack.file: demo or production.", "mode")
STACK_PROBLEMS = _gauge(
    "openai_exporter_stack_problems",
    "Errors in files and variables of the stack; what was accepted before stays active in their place.",
)
SIMULATED_WITH_REAL_KEY = _gauge(
    "openai_exporter_simulated_with_real_key",
    "Real keys that are configured while the API is simulated: keys that the demo leaves alone, and keys of targets "
    "that a simulator answers.",
)
UPSTREAM_CALLS = _counter(
    "openai_exporter_upstream_calls_total", "Calls to organization and status APIs.", "organization", "api"
)
UPSTREAM_FAILURES = _counter(
    "openai_exporter_upstream_failures_total",
    "Calls to organization and status APIs that failed, by reason.",
    "organization",
    "api",
    "reason",
)
STORAGE_SUCCESSFUL = _gauge(
    "openai_exporter_storage_last_write_successful",
    "Whether counters could be kept in --storage.path after the last refresh; absent when it is empty.",
    "organization",
)
STORAGE_FAILURES = _counter(
    "openai_exporter_storage_failures_total",
    "Failures of --storage.path, by reason; locked: another exporter writes there, newer: a later version did.",
    "organization",
    "reason",
)
PROBES_IN_FLIGHT = _gauge("openai_exporter_probes_in_flight", "Probes that wait for their answer now.")
REQUESTS_REFUSED = _counter(
    "openai_exporter_requests_refused_total",
    "Total number of rejected requests and of closed connections of slow clients, by reason.",
    "reason",
)
UNKNOWN_NAMES = _counter(
    "openai_exporter_unknown_names_total",
    "Requests that named an unknown target, module, model or organization.",
    "kind",
)
