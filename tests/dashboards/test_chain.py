# SPDX-License-Identifier: Apache-2.0
"""The pages on what the real exporter says of the simulator, through a real Prometheus with our rules."""

import time
from collections import Counter

import pytest

from tests.dashboards.asking import Asked, ask_all, empty, linked_ids, refused
from tests.dashboards.conftest import Chain
from tests.dashboards.grafana import ask, choices, expression
from tests.dashboards.pages import Page, Panel, pages

pytestmark = pytest.mark.stack

SAMPLES = 8
"""Of every target before the pages are asked."""
DEADLINE = 300.0
_BUCKETS = "target_model_endpoint:openai_api_latency_seconds_bucket:growth5m"
PROBES_GROW = f"count(last_over_time({_BUCKETS}[1h] offset 10s)) > 0"
USAGE_GROWS = "count(last_over_time(key_user_model:openai_usage_requests:growth10m[1h] offset 10s)) > 0"
"""What is recorded at a pace of its own is there, a step of the charts ago."""
ALL_SUCCEED = "min(max_over_time(probe_success[1m])) == 1"
"""Each probe did within a minute: on a busy machine they hardly do all at once."""
MOST_LINES = 12
QUIET = {
    "nothing fails or burns": (
        "Firing alerts",
        "Next model shutdown B",
        "Failed calls",
        "Rejected requests",
        "slo / SLO by probe G",
        "slo / SLI",
        "overview / Spent today",
        "overview / Month to date",
        "overview / Forecast",
        "costs / Today",
        "costs / This month",
        "costs / Forecast",
    ),
    "has a bar for each day": ("Cost per day",),
    "is compared with days that are not there": ("band", "expected range", "by hour of day"),
    "needs usage that grows, which takes minutes": (
        "overview / Tokens",
        "Top spenders",
        "models / Shutdown dates C",
        "usage / Models",
        "usage / Cached",
        "Input per request",
        "Output per input",
        "Cached input ratio",
    ),
    "so few that each has its own colour, and there are no others": ("Tokens by model B", "Tokens by project B"),
    "no probed model retires": ("Next model shutdown", "Retiring models in use"),
    "the simulated organization does not use it, or the configuration does not read it": (
        "Images",
        "TTS chars",
        "STT audio",
        "Tool calls",
        "Vector stores",
    ),
    "an answer of one token has no pace": ("Output tokens per second", "Inter-token latency"),
    "the storage folder is in order": ("exporter / Failed calls B",),
    "what came late is not known of a month before the exporter ran": ("Last month as the API reports it B",),
    "the busiest minutes are read after some minutes": ("Project limits C", "Project limits D"),
    "plain HTTP has no certificate": ("probes / Latest results G",),
}
"""Why a panel may be empty on data that is seconds old, and parts of such panels' titles."""


@pytest.fixture(scope="module")
def settled(chain: Chain) -> Chain:
    _wait(chain, f"{ALL_SUCCEED} and {USAGE_GROWS}")
    return chain


def _wait(chain: Chain, state: str, samples: int = SAMPLES) -> None:
    """Until every target has its samples and the state is reached."""
    scraped = f"min(count_over_time(up[5m])) >= {samples} and min(max_over_time(up[1m])) == 1"
    wanted = f"{scraped} and {PROBES_GROW} and {state}"
    end = time.monotonic() + DEADLINE
    while not chain.server.ask("/api/v1/query", query=wanted)["data"]["result"]:
        assert time.monotonic() < end, f"{wanted}: not within {DEADLINE} s"
        time.sleep(0.5)


def _ask(chain: Chain) -> list[Asked]:
    """Every query of every page, none refused."""
    when = chain.so_far
    asked = [each for page in pages() for each in ask_all(chain.server, page, when)]
    print(f"{len(asked)} queries answered")
    assert refused(asked) == []
    return asked


def _unexpected(asked: list[Asked]) -> list[str]:
    quiet = [part for parts in QUIET.values() for part in parts]
    return [name for name in empty(asked) if not any(part in name for part in quiet)]


def _stay_empty(chain: Chain, asked: list[Asked], names: list[str]) -> list[str]:
    """Those of the queries that have no data later, either: on a busy machine a scrape may be late."""
    waiting, end = set(names), time.monotonic() + DEADLINE
    while waiting and time.monotonic() < end:
        time.sleep(1)
        for each in asked:
            if each.name in waiting:
                page = next(page for page in pages() if page.name == each.panel.page)
                answer = ask(chain.server, page, each.panel, each.target, chain.so_far, {})
                waiting -= {each.name} if Asked(each.panel, each.target, answer).has_data else set()
    return sorted(waiting)


def test_every_query_has_data_of_the_real_exporter(settled: Chain) -> None:
    asked = _ask(settled)

    assert _stay_empty(settled, asked, _unexpected(asked)) == []


def _of(page: str, title: str) -> tuple[Page, Panel]:
    document = next(each for each in pages() if each.name == page)
    return document, next(panel for panel in document.panels if panel.title == title)


@pytest.mark.parametrize(
    ("page", "title", "most"),
    [("costs", "Budgets in detail", 1000), ("costs", "Budgets", 10), ("overview", "Budgets", 10)],
)
def test_a_budget_is_named_by_whom_it_bounds(settled: Chain, page: str, title: str, most: int) -> None:
    document, panel = _of(page, title)
    rows = ask(settled.server, document, panel, panel.targets[0], settled.so_far, {})["data"]["result"]
    shown = [(row["metric"]["budget"], row["metric"]["whose"]) for row in rows]
    limits = settled.server.ask("/api/v1/query", query="count(max without (instance) (openai_budget_limit_usd))")

    assert len(shown) == len(set(shown)) == min(most, int(limits["data"]["result"][0]["value"][1]))
    assert "all" in {whose for _, whose in shown}
    assert not [whose for _, whose in shown if whose.startswith(("key_", "proj_", "user-"))]


@pytest.mark.parametrize("title", ["This month by project", "This month by API key"])
def test_a_link_hands_over_ids_that_have_usage(settled: Chain, title: str) -> None:
    document, panel = _of("costs", title)
    ids = linked_ids(settled.server, document, panel, settled.so_far)
    labels = {"project": "project_id", "key": "api_key_id"}

    print(sorted(ids))
    assert ids
    for name, value in ids:
        used = settled.server.ask("/api/v1/query", query=f'openai_usage_requests_total{{{labels[name]}="{value}"}}')
        assert used["data"]["result"], (name, value)


def test_a_chart_of_percentiles_shows_single_probes_with_their_request_ids(settled: Chain) -> None:
    """Grafana asks for the exemplars of the metrics that the query names."""
    (page,) = (page for page in pages() if page.name == "probes")
    (panel,) = (panel for panel in page.panels if panel.title == "Latency")
    (target,) = (target for target in panel.targets if target.get("exemplar"))
    when = settled.so_far
    asked = expression(page, panel, target, when, {})
    answer = settled.server.ask("/api/v1/query_exemplars", query=asked, start=when.start, end=when.end)

    found = [each for series in answer["data"] for each in series["exemplars"]]
    assert found
    assert all(each["labels"]["request_id"] for each in found)


def test_every_variable_offers_what_the_real_exporter_names(settled: Chain) -> None:
    for page in pages():
        offered = choices(settled.server, page, settled.so_far)
        assert all(offered.values()), (page.name, offered)


def test_with_many_keys_every_query_is_answered_and_no_chart_drowns(many_keys: Chain) -> None:
    _wait(many_keys, f"{ALL_SUCCEED} and count(organization:openai_costs_month_to_date_usd:sum) > 0")
    asked = _ask(many_keys)
    lines: Counter[str] = Counter()
    for each in asked:
        if each.panel.kind not in ("table", "heatmap", "stat"):
            lines[str(each.panel)] += len(each.rows)

    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


def test_without_an_organization_the_pages_of_probes_have_data_and_the_others_are_empty(probes_only: Chain) -> None:
    _wait(probes_only, ALL_SUCCEED)
    asked = _ask(probes_only)

    due = [name for name in _unexpected(asked) if name.startswith("probes / ")]
    assert _stay_empty(probes_only, asked, due) == []
    assert [each.name for each in asked if each.panel.page == "usage" and each.has_data] == []


def test_in_an_outage_every_query_is_answered_and_failures_show(settled: Chain) -> None:
    settled.simulator.fault("outage", scope="inference", mode="503")
    _wait(settled, "max(probe_success{module!='models'}) == 0", samples=2 * SAMPLES)
    asked = _ask(settled)

    assert _stay_empty(settled, asked, [name for name in empty(asked) if name == "probes / Each probe A"]) == []
