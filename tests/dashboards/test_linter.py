# SPDX-License-Identifier: Apache-2.0
"""The rules of Grafana's dashboard-linter, restated; each exclusion has its reason."""

import re

import pytest

from openai_exporter.metrics import CATALOGUE, Kind
from tests.dashboards.pages import Page, Panel, drawn, failing, pages
from tests.dashboards.test_names import plain
from tests.mixin.lint.nodes import Call, Selector, walk
from tests.mixin.lint.parser import parse

EXCLUDED = {
    "template-job-rule": "The selector of the mixin says which jobs are ours; people choose targets instead.",
    "template-instance-rule": "An instance is a replica of the exporter; all replicas show the same figures.",
    "target-job-rule": "See template-job-rule; every selector carries the mixin's own job matcher.",
    "target-instance-rule": "See template-instance-rule; replicas are joined before they are summed.",
    "panel-units-rule": "Overrides of a few columns use time:..., a custom date format that the fixed list lacks.",
    "target-counter-agg-rule": "Some counters are month-to-date sums by design; COUNTERS_AS_THEY_ARE names them.",
}
"""The rules that do not hold; title, description, data source and targets are held in test_structure.py."""
COUNTERS_AS_THEY_ARE = {
    "openai_usage_estimated_cost_usd_total": "the sum since the first of the month, compared with the month's bill",
    "openai_usage_input_tokens_total": "ranks models, projects, keys and users by this month; splits input in savings",
    "openai_usage_input_cached_tokens_total": "the savings of this month",
    "openai_usage_requests_total": "only its label sets are read, to name what has no name",
    "openai_usage_unpriced_tokens_total": "the tokens of this month that the estimate lacks",
    "openai_exporter_upstream_calls_total": "ranks the APIs that are called",
    "openai_api_requests_total": "ranks the probed models",
}
"""Counters that may be read without rate or increase, and why."""

each_page = pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)


@each_page
def test_template_datasource_rule(page: Page) -> None:
    found = [each for each in page.variables.values() if each["type"] == "datasource"]

    assert [("datasource", "Data source", "prometheus")] == [(v["name"], v["label"], v["query"]) for v in found]


@each_page
def test_template_on_time_change_reload_rule(page: Page) -> None:
    assert all(each["refresh"] == 2 for each in page.variables.values() if each["type"] == "query")


@each_page
def test_template_label_promql_rule(page: Page) -> None:
    for variable in page.variables.values():
        if variable["type"] == "query":
            assert re.match(r"(label_values|query_result)\(.*\)$", variable["query"])


@each_page
def test_variables_have_labels_and_all_matches_series_without_the_label(page: Page) -> None:
    for variable in page.variables.values():
        assert variable["label"]
        if variable["type"] == "query":
            assert (variable["multi"], variable["includeAll"], variable["allValue"]) == (True, True, ".*")


def test_target_rate_interval_rule() -> None:
    def holds(panel: Panel) -> bool:
        bare = [re.sub(r'"[^"]*"', '""', target["expr"]) for target in panel.targets]
        reaches = [reach for text in bare for reach in re.findall(r"\bi?rate\([^\[]*\[([^\]]+)\]", text)]
        return set(reaches) <= {"$__rate_interval"}

    assert failing(holds, drawn()) == []


def test_target_promql_rule_and_target_counter_agg_rule() -> None:
    for panel in drawn():
        for target in panel.targets:
            assert _bare_counters(plain(target["expr"])) <= set(COUNTERS_AS_THEY_ARE), panel


def _bare_counters(text: str) -> set[str]:
    """Counters that are read other than by rate or increase."""
    tree = parse(text)
    calls = [each for each in walk(tree) if isinstance(each, Call) and each.name in ("rate", "increase")]
    counted = {part.metric for call in calls for part in walk(call) if isinstance(part, Selector)}
    read = {each.metric for each in walk(tree) if isinstance(each, Selector)} - counted
    return {name for name in read if name in CATALOGUE and CATALOGUE[name].kind is Kind.COUNTER}


def test_every_exclusion_has_a_reason() -> None:
    assert all(len(reason) > 20 for reason in [*EXCLUDED.values(), *COUNTERS_AS_THEY_ARE.values()])
