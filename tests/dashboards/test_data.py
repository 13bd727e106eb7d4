# SPDX-License-Identifier: Apache-2.0
"""The made-up data covers the catalogue and can be, so that an empty panel is the panel's own fault."""

from collections import Counter

import pytest

from openai_exporter.metrics import CATALOGUE, own, usage
from tests.dashboards.data import scenarios
from tests.dashboards.data.organization import Organization, large_organization, small_organization
from tests.dashboards.data.rules import levels, needed
from tests.dashboards.data.series import Series
from tests.dashboards.data.timeline import HOUR, Timeline
from tests.mixin.bundle import alert_rules

_END = 1_795_000_000
_WHEN = Timeline(_END - 2 * HOUR, _END, _END - HOUR)
_OUTAGE = _END - 600
_MONTH = 1_793_491_200
_FIRST_HOURS = Timeline(_MONTH + 7200, _MONTH + 7500, _MONTH + 7200)
"""A few moments of a month that is young: its counters are made hour by hour."""


@pytest.fixture(scope="module")
def small() -> list[Series]:
    return list(scenarios.all_series(small_organization(), _WHEN, _OUTAGE))


def test_every_metric_of_the_catalogue_has_a_series(small: list[Series]) -> None:
    names = {each.name for each in small} | {each.name.rpartition("_")[0] for each in small}

    # Only there until the first refresh has ended, and in the Compose stack.
    stack = {own.STACK_INFO.name, own.STACK_PROBLEMS.name, own.SIMULATED_WITH_REAL_KEY.name}
    assert set(CATALOGUE) - {usage.UNREAD_SINCE.name} - stack <= names


@pytest.mark.parametrize("organization", [small_organization(), large_organization()], ids=["small", "large"])
def test_no_series_is_written_twice(organization: Organization) -> None:
    found = scenarios.all_series(organization, _FIRST_HOURS, _FIRST_HOURS.end - 120)
    seen = Counter((each.name, tuple(sorted(each.labels.items()))) for each in found)

    assert [key for key, times in seen.items() if times > 1] == []


def test_every_series_has_a_value_or_a_gap_for_each_moment(small: list[Series]) -> None:
    assert {len(each.values) for each in small} == {_WHEN.length}


def test_alerts_are_some_that_the_rules_can_raise(small: list[Series]) -> None:
    raised = {each.labels["alertname"] for each in small if each.name == "ALERTS"}

    assert raised <= {rule["alert"] for rule in alert_rules()}


def test_a_month_counter_starts_anew_on_the_first() -> None:
    values = Timeline(_MONTH - 240, _MONTH + 120, _MONTH).month_counter(lambda hour: 3600.0)

    # The sample before midnight holds a month of one event a second, those after it a minute each.
    assert values == [31 * 86400 - 240, 0.0, 60.0, 120.0]


def test_rules_are_filled_in_after_those_they_need() -> None:
    groups = [{"name": "g", "rules": [{"record": "a:b:c", "expr": "a:x:y + 1"}, {"record": "a:x:y", "expr": "up"}]}]

    assert [["a:x:y"], ["a:b:c"]] == [[rule["record"] for rule in level] for level in levels(groups)]
    assert [["a:x:y"]] == [[rule["record"] for rule in group["rules"]] for group in needed(groups, {"a:x:y"})]
