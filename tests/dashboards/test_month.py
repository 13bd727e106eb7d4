# SPDX-License-Identifier: Apache-2.0
"""The month of data that `python -m bench dashboards` asks has all that range queries read."""

from bench import month
from tests.dashboards.pages import pages
from tests.dashboards.test_names import plain
from tests.mixin.lint.nodes import selectors
from tests.mixin.lint.parser import parse


def test_what_range_queries_read_is_there_over_the_whole_month() -> None:
    made = {family.name: family.seconds for part in month.families() for family in part}
    read = {
        selector.metric
        for page in pages()
        for panel in page.panels
        for target in panel.targets
        if not target["instant"]
        for selector in selectors(parse(plain(target["expr"])))
    }
    # Only their last values, which rank and name; none at all, for exemplars or while all keys and users are chosen.
    ends = {
        "openai_usage_input_tokens_total", "openai_usage_requests_total", "openai_costs_month_to_date_usd",
        "budget:openai_budget_spent_per_limit:ratio", "budget:openai_budget_forecast_per_limit:ratio",
        "openai_api_latency_seconds_bucket", "key_user_model:openai_usage_tokens:growth10m",
        "key_user_model:openai_usage_requests:growth10m", "key_user_model:openai_usage_estimated_cost_usd:growth10m",
    }  # fmt: skip

    assert {name for name in read - ends if made.get(name, 0) < month.DAYS * month.DAY} == set()


def test_the_month_has_the_usage_series_that_it_says() -> None:
    assert len(month.USAGE) * len(month.COLUMNS) >= 100_000
