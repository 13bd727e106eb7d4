# SPDX-License-Identifier: Apache-2.0
"""Every query of every panel against a real Prometheus: it parses, and has data where data is due."""

import re
from collections import Counter
from collections.abc import Iterable

import pytest

from tests.dashboards.asking import ask_all, empty, linked_ids, refused
from tests.dashboards.conftest import END, OUTAGE, World
from tests.dashboards.data.tsdb import Server
from tests.dashboards.grafana import Range, Values, ask, choices, step_of
from tests.dashboards.pages import Json, Page, Panel, pages

pytestmark = pytest.mark.stack

MOST_LINES = 12
QUIET_WHEN_WELL = {
    "overview / Firing alerts": "no alert fires",
    "exporter / Failed calls B": "the folder of the counters is in order",
    "exporter / Rejected requests B": "every name is known",
}
"""Panels that are rightly empty while all is well, and why."""
QUIET_IN_AN_OUTAGE = {
    "exporter / Rejected requests B": "an outage of the API refuses nothing at the exporter",
    "exporter / Failed calls B": "the folder of the counters is in order",
}
RARELY = {
    "usage / Tokens by model B": "few models: each has its own colour, and there are no others",
    "usage / Tokens by project B": "few projects: each has its own colour, and there are no others",
    "overview / Next model shutdown B": "the list of models is young",
    "slo / SLO by probe G": "nothing burns, so no end is in sight",
    "slo / SLI A": "the objective is missed",
    "slo / SLI B": "the objective is met",
    **{
        f"{tile} {line}": "one line is within the budget, the other is over it"
        for tile in (
            "overview / Spent today",
            "overview / Month to date",
            "overview / Forecast",
            "costs / Today",
            "costs / This month",
            "costs / Forecast",
        )
        for line in "AB"
    },
    "costs / Cost per day": "a range of hours",
    "costs / Cost per day, by project": "a range of hours",
    "usage / Cost per day, estimated and billed": "a range of hours",
}
"""Single queries that may be empty while their panel is not, and why."""
NO_DATA = Range(0, 6 * 3600)
each_page = pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)


def _page(name: str) -> Page:
    return next(page for page in pages() if page.name == name)


def _panel(page: Page, title: str) -> Panel:
    return next(panel for panel in page.panels if panel.title == title)


def _unexpected(names: Iterable[str], *allowed: dict[str, str]) -> list[str]:
    known = set().union(*allowed, RARELY)
    return [name for name in names if name not in known and name.rpartition(" ")[0] not in known]


@each_page
def test_every_panel_has_data_while_all_is_well(page: Page, world: World) -> None:
    asked = ask_all(world.server, page, world.healthy)

    print(f"{page.name}: {len(asked)} queries answered")
    assert refused(asked) == []
    assert _unexpected(empty(asked), QUIET_WHEN_WELL) == []


@each_page
def test_every_panel_has_data_in_an_outage(page: Page, world: World) -> None:
    asked = ask_all(world.server, page, world.outage)

    print(f"{page.name}: {len(asked)} queries answered")
    assert refused(asked) == []
    assert _unexpected(empty(asked), QUIET_IN_AN_OUTAGE) == []


@each_page
def test_chosen_values_reach_the_queries(page: Page, world: World) -> None:
    """Two values, as Grafana escapes them, of each variable at a time, the others at All."""
    offered = choices(world.server, page, world.outage)

    assert all(offered.values()), offered
    for name, values in offered.items():
        asked = ask_all(world.server, page, world.outage, {name: values[:2]})
        assert refused(asked) == []
        assert len(empty(asked)) < len(asked)


@each_page
def test_with_nothing_recorded_every_query_is_still_answered(page: Page, nothing: Server) -> None:
    asked = ask_all(nothing, page, NO_DATA)

    assert refused(asked) == []
    # Where none of something is zero, the query says so itself.
    assert [each.name for each in asked if each.has_data and "vector(0)" not in each.target["expr"]] == []


@each_page
def test_tables_and_timelines_say_in_a_row_why_they_are_empty(page: Page, nothing: Server) -> None:
    for panel in page.panels:
        if panel.kind == "state-timeline" or (panel.kind == "table" and len(panel.targets) > 1):
            (row,) = ask(nothing, page, panel, panel.targets[0], NO_DATA, {})["data"]["result"]
            (why,) = row["metric"].values()
            assert re.fullmatch(r"(No[tn]?|Unknown:) .{4,25}", why), panel


@each_page
def test_charts_stay_readable_with_many_keys(page: Page, crowd: tuple[Server, Range]) -> None:
    server, when = crowd
    asked = ask_all(server, page, when)
    lines: Counter[str] = Counter()
    for each in asked:
        if each.panel.kind not in ("table", "heatmap", "stat"):
            lines[str(each.panel)] += len(each.rows)

    assert refused(asked) == []
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


def test_an_alias_of_a_model_also_selects_its_snapshots(world: World) -> None:
    page = _page("usage")
    panel = _panel(page, "Models")
    answer = ask(world.server, page, panel, panel.targets[0], world.healthy, {"model": ["gpt-6-luna"]})

    assert ["gpt-6-luna-2026-05-12"] == [row["metric"]["model"] for row in answer["data"]["result"]]


def test_a_project_is_chosen_by_name_and_queried_by_id(world: World) -> None:
    assert "proj_search" in choices(world.server, _page("usage"), world.healthy)["project"]


def test_the_lines_of_a_stack_and_all_others_add_up_to_the_total(crowd: tuple[Server, Range]) -> None:
    server, when = crowd
    page = _page("usage")

    def last(title: str) -> float:
        panel = _panel(page, title)
        answers = [ask(server, page, panel, target, when, {}) for target in panel.targets]
        return sum(float(row["values"][-1][1]) for answer in answers for row in answer["data"]["result"])

    assert last("Tokens by model") == pytest.approx(last("Total tokens"), rel=1e-6)
    assert last("Tokens by project") == pytest.approx(last("Total tokens"), rel=1e-6)


def _of(page: str, title: str) -> tuple[Page, Panel]:
    document = _page(page)
    return document, _panel(document, title)


def _total(server: Server, when: Range, page: str, title: str, values: Values | None = None) -> float:
    """The sum of all points of a chart or tile of bars."""
    document, panel = _of(page, title)
    answers = [ask(server, document, panel, target, when, values or {}) for target in panel.targets]
    rows = [row for answer in answers for row in answer["data"]["result"]]
    return sum(float(value) for row in rows for _, value in row["values"])


@pytest.mark.parametrize(
    ("tile", "charts"),
    [
        ("Tokens", ("Total tokens", "Input and output tokens", "Tokens by model", "Tokens by project")),
        ("Requests", ("Requests per hour",)),
    ],
)
def test_the_bars_of_charts_add_up_to_their_tile(
    crowd: tuple[Server, Range], tile: str, charts: tuple[str, ...]
) -> None:
    server, when = crowd
    whole = _total(server, when, "usage", tile)
    for chart in charts:
        assert _total(server, when, "usage", chart) == pytest.approx(whole) != 0, chart


def test_the_last_bar_is_the_running_step(crowd: tuple[Server, Range]) -> None:
    document, panel = _of("usage", "Requests per hour")
    server, whole = crowd
    when = Range(whole.start, whole.end - 1800)
    answer = ask(server, document, panel, panel.targets[0], when, {})

    assert answer["data"]["result"][0]["values"][-1][0] == when.end - when.end % 3600


def test_bars_of_bad_events_begin_with_their_hour_and_the_running_one_shows(world: World) -> None:
    """The outage began forty minutes before the end, at twenty minutes past: its first bar is of that hour."""
    document, panel = _of("slo", "Bad events")
    week = Range(world.outage.end - 4 * 86400, world.outage.end - 60)
    rows = ask(world.server, document, panel, panel.targets[0], week, {"slo": "availability"})["data"]["result"]
    stamps = sorted({int(time) for row in rows if row["metric"].get("model") for time, value in row["values"]})
    step, _ = step_of(panel, panel.targets[0], week)

    assert (step, panel.defaults["custom"]["barAlignment"]) == (3600, 1)
    assert {stamp % 3600 for stamp in stamps} == {0}
    assert stamps[-1] == OUTAGE // 3600 * 3600 == world.outage.end - 3600


@pytest.mark.parametrize(
    ("page", "title"),
    [
        ("usage", "Tokens by model"),
        ("usage", "Tokens by project"),
        ("usage", "API keys"),
        ("costs", "Top spenders"),
        ("costs", "This month by project"),
        ("costs", "This month by API key"),
    ],
)
def test_a_link_leads_to_the_usage_of_what_was_clicked(crowd: tuple[Server, Range], page: str, title: str) -> None:
    document, panel = _of(page, title)
    server, when = crowd
    ids = linked_ids(server, document, panel, when)

    assert ids
    for name, value in ids:
        assert _total(server, when, "usage", "Requests", {name: [value]}) > 0, (name, value)


@pytest.mark.parametrize("title", ["API keys", "Tokens by project"])
def test_people_read_names_where_queries_use_ids(crowd: tuple[Server, Range], title: str) -> None:
    document, panel = _of("usage", title)
    server, when = crowd
    target = panel.targets[0]
    rows = ask(server, document, panel, target, when, {})["data"]["result"]
    names = {row["metric"][label] for row in rows for label in ("api_key", "project") if label in row["metric"]}

    assert names
    assert not [name for name in names if name.startswith(("key_", "proj_"))]


@pytest.mark.parametrize("back", [0, 90 * 60], ids=["first hour", "before names were read"])
@pytest.mark.parametrize(
    ("page", "title"),
    [
        ("usage", "Tokens by project"),
        ("usage", "API keys"),
        ("usage", "Users"),
        ("costs", "Top spenders"),
        ("costs", "This month by project"),
        ("costs", "This month by API key"),
    ],
)
def test_names_are_read_on_the_first_day_and_over_the_past(imported: Server, page: str, title: str, back: int) -> None:
    """A service account has no name."""
    rows = _rows(imported, Range(END - back - 3600, END - back), page, title)
    names = {row["metric"][label] for row in rows for label in ("api_key", "project", "user") if label in row["metric"]}

    assert names
    assert not [name for name in names if re.match("key_|proj_|user-(?!svc)", name)]


@pytest.mark.parametrize("title", ["API keys", "Users", "Models", "Tokens by model", "Tokens by project", "Tokens"])
def test_a_panel_shows_the_same_whether_all_are_chosen_or_each(crowd: tuple[Server, Range], title: str) -> None:
    """Each choice reads sums of growth by other labels."""
    server, when = crowd
    document, panel = _of("usage", title)
    every = {}
    for name, label in (("model", "model"), ("project", "project_id"), ("key", "api_key_id"), ("user", "user_id")):
        of = f"count by ({label}) (last_over_time(key_user_model:openai_usage_requests:growth10m[3h]))"
        found = server.ask("/api/v1/query", query=of, time=when.end)["data"]["result"]
        every[name] = [row["metric"][label] for row in found]
    choices = [{}, every, *({name: values} for name, values in every.items())]
    shown = [
        {
            (number, *sorted(row["metric"].items())): float(row.get("value", row.get("values", [0])[-1])[1])
            for number, target in enumerate(panel.targets)
            for row in ask(server, document, panel, target, when, values)["data"]["result"]
        }
        for values in choices
    ]

    assert shown[0]
    for chosen, other in zip(choices[1:], shown[1:], strict=True):
        assert other == pytest.approx(shown[0]), list(chosen)


def test_a_selection_without_usage_shows_no_figure_of_others(crowd: tuple[Server, Range]) -> None:
    server, when = crowd
    for title in ("Tokens", "Requests", "Est. cost", "Total tokens", "Tokens by model", "Tokens by project"):
        total = _total(server, when, "usage", title, {"key": ["key_of_nobody"]})
        assert total == pytest.approx(0, abs=1e-6), title


def _rows(server: Server, when: Range, page: str, title: str) -> list[Json]:
    document, panel = _of(page, title)
    return [row for each in panel.targets for row in ask(server, document, panel, each, when, {})["data"]["result"]]


def test_a_range_of_hours_asks_for_a_day_and_a_month_has_its_days(world: World) -> None:
    long = Range(world.healthy.end - 2 * 86400, world.healthy.end)
    for page, title in (("costs", "Cost per day"), ("usage", "Cost per day, estimated and billed")):
        assert _rows(world.server, world.healthy, page, title) == []
        assert "choose a day or more" in _of(page, title)[1].defaults["noValue"]
        assert all(
            int(time) % 86400 == 0 for row in _rows(world.server, long, page, title) for time, _ in row["values"]
        )


@pytest.mark.parametrize("title", ["Spent today", "Month to date", "Forecast", "Error budget left"])
def test_a_tile_with_a_sparkline_shows_over_two_days_what_is_so_now(world: World, title: str) -> None:
    """The last step of two days began fourteen minutes before."""
    document, panel = _of("overview", title)
    days, minutes = Range(END - 2 * 86400, END - 60), Range(END - 1800, END)
    of_days, of_minutes = (
        {
            row["values"][-1][1]
            for target in panel.targets
            for row in ask(world.server, document, panel, target, when, {})["data"]["result"]
        }
        for when in (days, minutes)
    )

    assert (step_of(panel, panel.targets[0], days)[0], days.end % 900) == (900, 840)
    assert {"NaN"} != of_days == of_minutes


def test_an_amount_over_its_budget_is_a_line_of_its_own(world: World) -> None:
    """Two organizations' amounts would be one; the budget of the first is a month's."""
    _, panel = _of("costs", "Forecast")
    within, over = (target["legendFormat"] for target in panel.targets)
    (red,) = (each for each in panel.overrides if each["matcher"]["options"] == over)

    assert (within, over) == ("within budget", "over budget")
    assert red["properties"][0]["value"]["steps"] == [{"color": "red", "value": None}]
    for title in ("This month", "Forecast"):
        assert len(_rows(world.server, world.healthy, "costs", title)) == 1, title
