# SPDX-License-Identifier: Apache-2.0
"""Each check of the linter finds what it is for, and says nothing of a rule that is right."""

from typing import Any

import pytest

from .checks import Context
from .files import lint

RECORDED = dict.fromkeys(("probe:x:sum", "probe:x:growth5m"), frozenset({"job", "target"}))
GOOD: dict[str, Any] = {
    "alert": "OpenAIGood",
    "expr": "max without (instance) (openai_usage_up) == 0",
    "for": "5m",
    "labels": {"severity": "warning"},
    "annotations": {
        "summary": "It is right.",
        "description": "{{ $labels.dataset }} of {{ $labels.organization }}.",
        "runbook_url": "https://example.org/r",
        "dashboard_url": "https://example.org/d",
    },
}


def found(rule: dict[str, Any], interval: str = "1m") -> list[str]:
    files = {"f.yml": {"groups": [{"name": "g", "interval": interval, "rules": [rule]}]}}
    return [each.split(": ", 1)[1] for each in lint(files, Context(RECORDED))]


def alert(expr: str, **more: Any) -> dict[str, Any]:
    notes = GOOD["annotations"] | {"description": "Plain."}
    return GOOD | {"expr": expr, "annotations": notes} | more


def noted(**notes: str) -> dict[str, Any]:
    return GOOD | {"annotations": GOOD["annotations"] | notes}


FAULTS = {
    "a metric that does not exist": (
        alert("openai_nonsense > 1"),
        "openai_nonsense: no such metric or recorded series",
    ),
    "a matcher on a label that is not there": (
        alert('openai_usage_up{module="x"} == 0'),
        "openai_usage_up: has no label module, which a matcher names",
    ),
    "a label that no series has": (
        alert("sum by (organisation) (openai_usage_up) == 0"),
        "sum by (organisation): the series have no such label",
    ),
    "without a label that is gone already": (
        alert("max without (instance) (max without (instance) (openai_usage_up)) == 0"),
        "max without (instance): the series have no such label",
    ),
    "a join that can never match": (
        alert("openai_usage_up * openai_status_up > 0"),
        "*: can never match, as only one side has dataset, organization, status_page",
    ),
    "a join on a label that one side lacks": (
        alert("openai_usage_up * on (dataset) group_left () openai_status_up > 0"),
        "* on (dataset): one side has no such label",
    ),
    "a label that the other side cannot give": (
        alert("openai_usage_up * on (job) group_left (project) max by (job) (openai_project_info) > 0"),
        "group_left (project): the other side has no such label",
    ),
    "a text with a label that the result lacks": (
        noted(description="{{ $labels.target }} is down."),
        "description: names label target, which the result does not carry",
    ),
    "an alert without comparison": (
        alert("max without (instance) (openai_usage_up)"),
        "compares with nothing, so it fires whenever the series exist",
    ),
    "a comparison that filters nothing": (
        alert("openai_usage_up == bool 0"),
        "compares with nothing, so it fires whenever the series exist",
    ),
    "no for": ({key: value for key, value in GOOD.items() if key != "for"}, "has no `for`"),
    "absent with a short for": (alert("absent(up)", **{"for": "1m"}), "uses absent() with a `for` below two scrapes"),
    "no runbook": (noted(runbook_url=""), "annotation runbook_url is missing"),
    "a summary that changes": (
        noted(summary="{{ $labels.dataset }} is old."),
        "summary must be a fixed sentence that ends with a full stop",
    ),
    "an unknown severity": (GOOD | {"labels": {"severity": "page"}}, "severity 'page' is unknown"),
    "a value in a label": (
        GOOD | {"labels": {"severity": "info", "age": "{{ $value }}"}},
        "label age changes with the value, so the alert never settles",
    ),
    "a ratio as a bare number": (
        alert("probe:x:sum / (probe:x:sum > 0) > 1", annotations=GOOD["annotations"] | {"description": "{{ $value }}"}),
        "description shows a ratio without humanize",
    ),
    "rate of a gauge": (alert("rate(openai_usage_up[5m]) > 0"), "rate(openai_usage_up): is no counter"),
    "rate of a sum": (alert("rate(sum(openai_usage_up)) > 0"), "rate of something that is no counter"),
    "a range of one scrape": (
        alert("increase(openai_api_errors_total[1m]) > 0"),
        "increase(openai_api_errors_total): the range is below two scrapes",
    ),
    "a bare counter": (
        alert("openai_api_errors_total > 5"),
        "openai_api_errors_total: is a counter and needs rate or increase",
    ),
    "growth without a range": (
        alert("sum by (job) (probe:x:growth5m) > 0"),
        "probe:x:growth5m: is growth and needs a range",
    ),
    "further back than the retention": (
        alert("max_over_time(openai_usage_up[30d] offset 20d) > 0"),
        "openai_usage_up: reaches further back than the retention",
    ),
    "a regex that is none": (
        alert('openai_usage_up{dataset=~"costs"} == 0'),
        "openai_usage_up: dataset=~ needs no regex",
    ),
    "an anchor": (alert('openai_usage_up{dataset=~"^co.*"} == 0'), "openai_usage_up: regexes are anchored already"),
    "a mean of ratios": (
        alert("avg by (job) (probe:x:sum / (probe:x:sum > 0)) > 1"),
        "a sum or mean of ratios; sum both parts, then divide",
    ),
    "a division by what may be zero": (
        alert("probe:x:sum / probe:x:sum > 1"),
        "divides by what may be zero; filter it with > 0",
    ),
    "a function behind a flag": (
        alert("mad_over_time(openai_usage_up[5m]) > 1"),
        "mad_over_time(): is not known to be in Prometheus 2.42 and 3 without a flag",
    ),
    "a name without levels": (
        {"record": "openai_x", "expr": "openai_usage_up"},
        "a recorded series is named level:metric:operations",
    ),
    "an alert with a foreign name": (GOOD | {"alert": "TooSlow"}, "an alert is named OpenAI and words in CamelCase"),
    "no PromQL": (alert("sum by ("), "expected name, found 'the end' after 'sum by ('"),
}


def test_a_good_rule_is_left_alone() -> None:
    assert found(GOOD) == []


@pytest.mark.parametrize(("rule", "sentence"), FAULTS.values(), ids=FAULTS)
def test_finds(rule: dict[str, Any], sentence: str) -> None:
    assert sentence in found(rule)


def test_the_same_rule_twice_is_found() -> None:
    files = {"f.yml": {"groups": [{"name": "g", "rules": [GOOD, GOOD]}]}}

    assert lint(files) == ["OpenAIGood: defined 2 times with the same labels"]


def test_two_groups_of_one_name_are_found() -> None:
    group = {"name": "g", "rules": [GOOD]}

    assert "g: 2 groups have this name" in lint({"f.yml": {"groups": [group, group]}})


def test_a_group_that_is_evaluated_too_rarely_is_found() -> None:
    assert "interval of five minutes or more leaves gaps" in found(GOOD, interval="5m")


def test_growth_may_be_taken_every_five_minutes_and_takes_differences_itself() -> None:
    growth = {"record": "probe:x:growth5m", "expr": "openai_api_errors_total - openai_api_errors_total offset 5m"}

    assert found(growth, interval="5m") == []
