# SPDX-License-Identifier: Apache-2.0
"""The contract keeps Prometheus' naming rules, and is spelt in one place."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

import openai_exporter
from openai_exporter.config.base import RESERVED_LABELS
from openai_exporter.metrics import CATALOGUE, LABELS, Kind, Metric, Page, own, probe, usage
from openai_exporter.metrics.usage import DIMENSIONS

ALL = list(CATALOGUE.values())
PACKAGE = Path(openai_exporter.__file__).parent

NAME = re.compile(r"(?:openai|probe)(?:_[a-z0-9]+)+")
LABEL = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
NOT_BASE_UNITS = re.compile(
    r"_(?:ms|milliseconds?|micros|minutes|hours|days|kb|mb|kib|mib|percent|percentage|cents)(?:_|$)"
)
# promtool and Prometheus' practices advise against these: too general, or set by the scrape.
FORBIDDEN_LABELS = {
    *("type", "region", "zone", "cluster", "service", "environment", "env", "owner", "customer", "stage"),
    *("le", "quantile", "job", "instance", "date", "name"),
}
UNITS = ("seconds", "bytes", "usd", "tokens")
UNIT_IS_NOT_LAST = {
    # Names of the contract that say after the unit what was done with it.
    *("openai_probe_inter_token_seconds_mean", "openai_probe_inter_token_seconds_max"),
    "openai_probe_token_arrivals",
    *(
        "openai_probe_output_tokens_per_second",
        "openai_project_rate_limit_tokens_per_minute",
        "openai_project_peak_tokens_per_minute",
    ),
}
metrics = pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)


def test_no_name_is_used_twice() -> None:
    values = [value for module in (probe, usage, own) for value in vars(module).values()]
    names = Counter(value.name for value in values if isinstance(value, Metric))
    assert [name for name, count in names.items() if count > 1] == []
    assert len(names) == len(CATALOGUE) > 80


@metrics
def test_a_name_follows_the_rules(metric: Metric) -> None:
    assert NAME.fullmatch(metric.name)
    assert (metric.kind in (Kind.COUNTER, Kind.UNKNOWN)) == metric.name.endswith("_total")
    assert not NOT_BASE_UNITS.search(metric.name)
    assert not re.search(r"_(?:count|sum|bucket|created|gauge|counter|histogram)$", metric.name)
    assert (metric.page is Page.PROBE) or metric.name.startswith("openai_")


@metrics
def test_the_unit_stands_last(metric: Metric) -> None:
    parts = metric.name.removesuffix("_total").split("_")
    if set(parts) & set(UNITS) and metric.name not in UNIT_IS_NOT_LAST:
        assert parts[-1] in UNITS


@metrics
def test_a_moment_is_a_timestamp_in_seconds(metric: Metric) -> None:
    if "timestamp" in metric.name:
        assert metric.name.endswith("_timestamp_seconds")
        assert metric.kind is Kind.GAUGE


@metrics
def test_help_is_one_sentence(metric: Metric) -> None:
    assert re.fullmatch(r"[A-Z][^\n]*[^.\s]\.", metric.help)
    assert not re.search(r"\.\s", metric.help)
    assert len(metric.help) <= 160
    assert '"' not in metric.help


@metrics
def test_labels_are_legal_distinct_and_not_too_general(metric: Metric) -> None:
    assert [name for name in metric.labels if not LABEL.fullmatch(name)] == []
    assert len(set(metric.labels)) == len(metric.labels)
    assert set(metric.labels) & FORBIDDEN_LABELS == set()


@metrics
def test_only_histograms_have_buckets_and_they_rise(metric: Metric) -> None:
    assert bool(metric.buckets) == (metric.kind is Kind.HISTOGRAM)
    assert all(low < high for low, high in pairwise(metric.buckets))
    assert all(0 < bound < float("inf") for bound in metric.buckets)


@pytest.mark.parametrize("page", Page)
def test_no_two_metrics_of_a_page_are_one_family_in_openmetrics(page: Page) -> None:
    found = Counter(metric.name.removesuffix("_total") for metric in ALL if metric.page is page)
    assert [name for name, count in found.items() if count > 1] == []


def test_histograms_are_on_the_page_that_lives_as_long_as_the_process() -> None:
    assert {metric.page for metric in ALL if metric.kind is Kind.HISTOGRAM} == {Page.METRICS}
    assert {metric.kind for metric in ALL if metric.page is Page.PROBE} == {Kind.GAUGE}


def test_the_latency_buckets_hold_the_thresholds_of_objectives() -> None:
    assert {1.0, 2.0, 5.0, 10.0} <= set(probe.LATENCY_BUCKETS)


def test_every_label_is_explained_and_nothing_else_is() -> None:
    assert list(LABELS) == sorted({name for metric in ALL for name in metric.labels})
    assert [name for name, text in LABELS.items() if not text.endswith(".")] == []


def test_labels_of_a_probe_cannot_be_taken_by_the_configuration() -> None:
    carried = {name for metric in ALL if metric.page is Page.PROBE for name in metric.labels}
    assert carried - RESERVED_LABELS == set()


def test_usage_metrics_share_their_dimensions_in_one_order() -> None:
    counters = [metric for metric in ALL if "user_id" in metric.labels and metric.kind is Kind.COUNTER]
    assert len(counters) > 10
    assert {metric.labels[: len(DIMENSIONS)] for metric in counters} == {DIMENSIONS}


def strings(path: Path) -> Iterator[str]:
    """String constants of a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_a_metric_name_is_spelt_in_the_catalogue_and_nowhere_else() -> None:
    others = [path for path in PACKAGE.rglob("*.py") if path.parent.name != "metrics"]
    assert len(others) > 20
    assert [(path.name, text) for path in others for text in strings(path) if text in CATALOGUE] == []
