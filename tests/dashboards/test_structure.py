# SPDX-License-Identifier: Apache-2.0
"""What holds for every page and every panel."""

import json
import re
from collections import Counter
from itertools import combinations

import pytest

from openai_exporter.probe.judge import OUTCOMES
from tests.dashboards.grafana import Range, step_of
from tests.dashboards.pages import (
    DATASOURCE,
    GENERATED,
    ROOT,
    Json,
    Page,
    Panel,
    config,
    drawn,
    expressions,
    failing,
    pages,
    panels,
)
from tests.mixin.bundle import mixin

MOST_QUERIES = 48
MOST_OPEN = 20
_LETTERS = {4: 10, 5: 14, 6: 20}
"""Columns of a panel to letters that its head has room for beside an open menu in a window of 1280 pixels."""

each_page = pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)


def test_the_seven_pages_have_the_uids_that_alerts_link_to() -> None:
    assert config()["dashboards"] == {page.name: page.json["uid"] for page in pages()}


@each_page
def test_a_page_is_classic_json_that_grafana_11_to_13_provision(page: Page) -> None:
    document = page.json

    assert document["schemaVersion"] == 37
    assert document["id"] is None
    assert document["editable"] is False
    assert "__inputs" not in document
    assert isinstance(document["refresh"], str)
    assert document["title"].startswith("OpenAI / ")
    assert document["description"]
    assert all("pluginVersion" not in panel for panel in page.placed)


@each_page
def test_ids_of_panels_are_unique(page: Page) -> None:
    ids = [panel["id"] for panel in page.placed]

    assert list(range(1, len(ids) + 1)) == ids


@each_page
def test_titles_of_panels_are_unique(page: Page) -> None:
    titles = [panel.title for panel in page.panels]

    assert sorted(set(titles)) == sorted(titles)


def _grids(page: Page) -> list[list[Json]]:
    """What shares a grid: the page as it opens, and each collapsed row."""
    return [page.json["panels"], *(row["panels"] for row in page.json["panels"] if row.get("panels"))]


def _overlap(one: Json, other: Json) -> bool:
    a, b = one["gridPos"], other["gridPos"]
    beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
    below = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
    return not (beside or below)


@each_page
def test_no_panel_overlaps_another_or_leaves_the_grid(page: Page) -> None:
    for placed in _grids(page):
        assert [] == [(a["title"], b["title"]) for a, b in combinations(placed, 2) if _overlap(a, b)]
        assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in placed)


@each_page
def test_every_line_of_panels_is_as_wide_as_the_page(page: Page) -> None:
    for placed in _grids(page):
        widths: Counter[int] = Counter()
        for panel in placed:
            widths[panel["gridPos"]["y"]] += panel["gridPos"]["w"]

        assert {24} == set(widths.values())


@each_page
def test_at_most_twenty_panels_are_open(page: Page) -> None:
    assert sum(panel["type"] != "row" for panel in page.json["panels"]) <= MOST_OPEN


def test_collapsed_rows_hold_their_panels_and_open_ones_none() -> None:
    for row in (each for page in pages() for each in page.json["panels"] if each["type"] == "row"):
        assert row["collapsed"] is bool(row["panels"]), row["title"]


def test_a_panel_has_a_title_and_a_description() -> None:
    def described(panel: Panel) -> bool:
        text: str = panel.json["description"]
        return bool(panel.title.strip()) and len(text) > 15 and text.endswith(".")

    assert failing(described, panels()) == []


def test_the_title_of_a_narrow_panel_fits_its_head() -> None:
    assert failing(lambda panel: len(panel.title) <= _LETTERS.get(panel.json["gridPos"]["w"], 99), panels()) == []


def _always_draws(panel: Panel) -> bool:
    return all("vector(0)" in target["expr"] for target in panel.targets)


def test_a_panel_has_a_unit_and_says_why_it_is_empty() -> None:
    assert failing(lambda panel: bool(panel.defaults["unit"]), drawn()) == []
    assert failing(lambda panel: bool(panel.defaults.get("noValue")) or _always_draws(panel), drawn()) == []


def test_a_figure_says_in_a_few_words_and_without_alarm_why_it_is_missing() -> None:
    for panel in drawn():
        if panel.kind in ("stat", "bargauge", "gauge") and not _always_draws(panel):
            (word,) = (each["options"] for each in panel.defaults["mappings"] if each["type"] == "special")
            result = (word["match"], word["result"]["text"], word["result"]["color"])
            assert ("null+nan", panel.defaults["noValue"], "text") == result, panel
            assert len(panel.defaults["noValue"]) <= (16 if panel.kind == "stat" else 24), panel


def test_no_series_has_the_classic_palette_in_which_red_and_green_are_chance() -> None:
    assert failing(lambda panel: "palette-classic" not in json.dumps(panel.json), panels()) == []


_CONNECTION = {"dns", "connect", "tls", "connection_reset", "truncated"}
_RATE_LIMITS = {"rate_limited", "rate_limited_requests", "rate_limited_tokens", "slow_down"}
_API = {
    "overloaded", "server_error", "edge_error", "stream_error", "empty_response", "malformed", "schema_mismatch",
    "response_too_large",
}  # fmt: skip


def test_a_failure_has_the_color_of_its_class_of_outcome() -> None:
    """Red: the API failed; orange: too slow, or no connection; yellow: rate limits; blue: client-side errors."""
    (panel,) = (panel for panel in panels() if str(panel) == "probes / Failures by type")
    patterns = {
        override["matcher"]["options"].strip("/"): override["properties"][0]["value"] for override in panel.overrides
    }
    shown = {}
    for outcome in OUTCOMES:
        found = {value["fixedColor"] for pattern, value in patterns.items() if re.match(pattern, f"{outcome} 500")}
        assert len(found) < 2, outcome
        shown[outcome] = found.pop() if found else panel.defaults["color"]["fixedColor"]
    colors = {color: {outcome for outcome in shown if shown[outcome] == color} for color in shown.values()}
    slow = {outcome for outcome in OUTCOMES if outcome.startswith("timeout")}

    assert colors["orange"] == slow | _CONNECTION
    assert colors["yellow"] == _RATE_LIMITS
    assert colors["red"] - {"success"} == _API


def test_a_panel_with_a_range_of_its_own_says_so() -> None:
    own = [panel for panel in panels() if "timeFrom" in panel.json]

    assert ["overview / Cost of month"] == [str(panel) for panel in own]
    assert all("last thirty days" in panel.json["description"] for panel in own)


def test_fifteen_minutes_have_fifteen_points_but_for_bars_that_count_events() -> None:
    when = Range(0, 15 * 60)
    for panel in drawn():
        counts = panel.defaults["custom"].get("drawStyle") == "bars" or panel.kind in ("stat", "barchart")
        hourly = panel.page == "usage" and "1h" in {target.get("interval") for target in panel.targets}
        steps = [step_of(panel, target, when)[0] for target in panel.targets if not target["instant"]]
        assert counts or hourly or all(step <= 60 for step in steps), panel


def test_numbers_have_no_tails_of_binary_fractions() -> None:
    files = [*GENERATED.glob("*.json"), *(ROOT / "prometheus" / "rules").glob("*.yml")]
    tails = {file.name: found for file in files if (found := re.findall(r"\d\.\d*(?:0{6}|9{6})\d*", file.read_text()))}

    assert len(files) > 15
    assert tails == {}


def test_a_panel_has_distinct_queries_named_by_letter() -> None:
    for panel in drawn():
        asked = [target["expr"] for target in panel.targets]
        assert asked, panel
        assert len(set(asked)) == len(asked), panel
        assert [chr(ord("A") + n) for n in range(len(asked))] == [target["refId"] for target in panel.targets]


@each_page
def test_no_two_panels_ask_the_same(page: Page) -> None:
    """But for tiles that add up the bars of a chart."""
    asked = [
        json.dumps([(target["expr"], target["instant"], target.get("interval")) for target in panel.targets])
        for panel in page.panels
        if panel.targets and panel.json["options"].get("reduceOptions", {}).get("calcs") != ["sum"]
    ]

    assert len(set(asked)) == len(asked)


@each_page
def test_a_page_asks_for_few_queries(page: Page) -> None:
    assert sum(len(panel.targets) for panel in page.panels) <= MOST_QUERIES


def test_the_data_source_is_the_page_s_variable() -> None:
    def chosen(panel: Panel) -> bool:
        return all(each["datasource"] == DATASOURCE for each in [panel.json, *panel.targets])

    assert failing(chosen, drawn()) == []


def test_thresholds_start_open_and_rise() -> None:
    for panel in drawn():
        steps = panel.defaults.get("thresholds", {}).get("steps", [{"value": None}])
        values = [step["value"] for step in steps]
        assert values[0] is None, panel
        assert sorted(values[1:]) == values[1:], panel


def test_settings_of_columns_name_headers_that_the_table_has() -> None:
    """An override by name that fits no header would be dead."""
    for panel in drawn():
        if panel.kind == "table":
            organize = next(each for each in panel.json["transformations"] if each["id"] == "organize")
            headers = set(organize["options"]["renameByName"].values())
            named = [o["matcher"]["options"] for o in panel.overrides if o["matcher"]["id"] == "byName"]
            patterns = [o["matcher"]["options"] for o in panel.overrides if o["matcher"]["id"] == "byRegexp"]
            sorts = [each["displayName"] for each in panel.json["options"]["sortBy"]]
            assert set(named) | set(sorts) <= headers, panel
            assert all(any(re.fullmatch(p, header) for header in headers) for p in patterns), panel


def test_a_row_that_says_why_there_is_nothing_leads_nowhere() -> None:
    said = re.compile(r'label_replace\(vector\((?:NaN|4)\), "\w+", "([^"]+)"')
    linking = set()
    for panel in drawn():
        if panel.kind == "table":
            links = {p["id"]: p["value"] for o in panel.overrides for p in o["properties"]}.get("links")
            words = {word for target in panel.targets for word in said.findall(target["expr"])}
            silent = {
                o["matcher"]["options"]["value"]
                for o in panel.overrides
                if (o["matcher"]["id"], o["properties"]) == ("byValue", [{"id": "links", "value": []}])
            }
            assert links is None or words <= silent, panel
            linking |= {str(panel)} if links is not None and words else set()

    assert {"overview / Firing alerts", "slo / SLO by probe", "usage / API keys", "usage / Models"} == linking


def test_what_is_unknown_takes_no_color_of_a_threshold() -> None:
    """Mappings of a column replace those of its table, by which a dash has the color of text."""
    unknown = {"match": "null+nan", "result": {"text": "\N{EN DASH}", "color": "text", "index": 2}}
    columns = [(panel, each) for panel in drawn() for override in panel.overrides for each in override["properties"]]
    own = [(panel, each["value"]) for panel, each in columns if each["id"] == "mappings"]

    assert len(own) > 4
    assert [str(panel) for panel, mappings in own if unknown not in [each["options"] for each in mappings]] == []


def test_settings_of_lines_name_legends_that_the_chart_has() -> None:
    for panel in drawn():
        if panel.kind != "table":
            named = [o["matcher"]["options"] for o in panel.overrides if o["matcher"]["id"] == "byName"]
            legends = {target.get("legendFormat", "") for target in panel.targets}
            assert set(named) <= legends or any("{{" in legend for legend in legends), panel


def test_another_selector_reaches_every_query() -> None:
    rendered = mixin("grafanaDashboards", "{ selector: 'job=\"elsewhere\"' }")
    # Alerts lose the label where their rule aggregates it away, and so does what is in use.
    free = ("ALERTS{", "model:openai_model_in_use:group")
    for name, document in rendered.items():
        for where, text in expressions(Page(name, document)):
            assert 'job="elsewhere"' in text or any(each in text for each in free), where
            assert 'job=~"openai' not in text, where
