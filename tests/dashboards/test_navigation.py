# SPDX-License-Identifier: Apache-2.0
"""Variables, links and annotations: how people get from one page to what explains it."""

import re

import pytest

from openai_exporter.report.api import FILTERS
from tests.dashboards.pages import DATASOURCE, Page, config, expressions, pages, strings, variables_in

_PAGE_LINK = re.compile(r"/d/([\w-]+)(?:\?(.*))?")
each_page = pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)


@each_page
def test_variables_and_annotations_ask_the_chosen_data_source(page: Page) -> None:
    queried = [each for each in page.variables.values() if each["type"] == "query"]

    assert next(iter(page.variables)) == "datasource"
    assert all(each["datasource"] == DATASOURCE for each in [*queried, *page.annotations])


@each_page
def test_every_variable_that_is_used_is_on_the_page_and_the_other_way_round(page: Page) -> None:
    queries = [text for _, text in expressions(page)]
    own = [each["query"] for each in page.variables.values() if each["type"] == "query"]
    used = set().union(*(variables_in(text) for text in [*queries, *own]))

    assert used | {"datasource"} == set(page.variables)


@each_page
def test_variables_depend_only_on_those_before_them(page: Page) -> None:
    before = {"datasource"}
    for name, variable in page.variables.items():
        assert variables_in(variable["query"]) <= before, name
        before.add(name)


@each_page
def test_links_lead_to_pages_that_exist_and_set_variables_that_these_have(page: Page) -> None:
    known = {each.json["uid"]: each for each in pages()}
    for text in strings(page.json):
        for uid, query in _PAGE_LINK.findall(text):
            assert uid in known
            assert set(re.findall(r"var-(\w+)=", query)) <= set(known[uid].variables)


@each_page
def test_links_of_values_keep_the_data_source_and_encode_what_they_hand_over(page: Page) -> None:
    """A model such as `vendor/a+b&c` would else become another, and end the variable."""
    for panel in page.panels:
        for url in strings(panel.json["fieldConfig"] if panel.kind != "text" else {}):
            if url.startswith("/d/"):
                handed = re.findall(r"var-\w+=\$\{([^}]+)\}", url)
                assert "${datasource:queryparam}" in url or "${__all_variables}" in url, panel
                assert all(each.endswith(":percentencode") for each in handed), url


@each_page
def test_the_head_of_a_page_leads_to_all_others_and_keeps_time_and_variables(page: Page) -> None:
    menu, *_ = page.json["links"]

    assert ("dashboards", True, True, True) == (menu["type"], menu["asDropdown"], menu["keepTime"], menu["includeVars"])
    assert all(set(menu["tags"]) <= set(other.json["tags"]) for other in pages())


@pytest.mark.parametrize("name", ["usage", "costs"])
def test_usage_and_costs_lead_to_the_api_with_the_same_range_and_variables(name: str) -> None:
    [page] = [each for each in pages() if each.name == name]
    _, *links = page.json["links"]

    assert ["CSV", "JSON"] == [each["title"] for each in links]
    for link in links:
        root, _, query = link["url"].partition("?")
        assert "http://localhost:9985/api/v1/usage/daily" == root
        parameters = dict(part.split("=") for part in query.split("&"))
        assert ("${__from}", "${__to}") == (parameters.pop("from"), parameters.pop("to"))
        assert ("csv" if link["title"] == "CSV" else None) == parameters.pop("format", None)
        assert parameters.keys() <= {"organization", *FILTERS}
        assert {f"${{{each}:csv}}" for each in page.variables if each != "datasource"} == {*parameters.values()}


@each_page
def test_alerts_are_drawn_as_one_region_for_each_name_and_incidents_where_they_concern_the_page(page: Page) -> None:
    names = [each["name"] for each in page.annotations]
    warnings = [] if page.name == "overview" else ["Warnings"]
    incidents = ["Provider incidents"] if page.name in ("overview", "probes", "slo") else []

    assert ["Critical alerts", *warnings, *incidents] == names
    assert all(
        each["expr"].startswith(("max by (alertname) (ALERTS{", "max(openai_status_inc")) for each in page.annotations
    )


def test_the_runbook_of_a_firing_alert_is_one_click_away() -> None:
    overview = next(page for page in pages() if page.name == "overview")
    firing = next(panel for panel in overview.panels if panel.title == "Firing alerts")

    assert config()["runbookUrlPattern"] % "${__value.raw}" in set(strings(firing.overrides))
