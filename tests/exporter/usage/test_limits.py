# SPDX-License-Identifier: Apache-2.0
"""Limits: what is set, in dollars; nothing where nothing is set."""

import json
import urllib.request
from collections import defaultdict
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from openai_exporter.config.load import parse_config
from openai_exporter.errors import ConfigError
from openai_exporter.metrics import Metric, usage as metrics
from openai_exporter.usage.limits import limited_as, undated
from openai_simulator.testing import SimulatorControl
from tests.exporter.usage.conftest import Make
from tests.exporter.usage.scraping import ADMIN_KEY, Now, Scrape, document, of, scrape, service, up
from tests.exporter.usage.serving import answering

# Limits: what is set, in dollars; nothing where nothing is set.

MORE = "  usage: {}\n  costs: null\n  names: false\n"


def limit(cents: object, currency: object = "USD", status: object = "inactive") -> dict[str, Any]:
    return {"threshold_amount": cents, "currency": currency, "enforcement": {"status": status}}


def listed(*items: dict[str, Any], more: bool = False) -> dict[str, Any]:
    return {"object": "list", "data": list(items), "has_more": more}


async def read(documents: dict[str, Any]) -> tuple[Scrape, str]:
    """(a scrape, the error of the dataset) of an API with these documents, and empty lists else."""
    with answering({"/spend_alerts": listed(), "/projects": listed()} | documents) as url:
        usage = service(url, Now(), more=MORE)
        found = scrape(await usage.page())
        await usage.close()
    assert {"limits"} == up(found).keys()
    return found, usage.summary().datasets[0].error


async def test_nothing_is_exposed_where_nothing_is_set() -> None:
    found, error = await read({})
    assert "" == error
    assert not of(found, metrics.SPEND_LIMIT)
    assert not of(found, metrics.SPEND_LIMIT_ENFORCING)


@pytest.mark.parametrize(("status", "enforcing"), [("enforcing", 1.0), ("inactive", 0.0), ("a new word", 0.0)])
async def test_a_limit_is_in_dollars_and_says_whether_it_blocks(status: str, enforcing: float) -> None:
    found, _ = await read({"/spend_limit": limit(12_345, status=status)})
    labels = (("scope", "organization"),)
    assert {labels: 123.45} == of(found, metrics.SPEND_LIMIT)
    assert {labels: enforcing} == of(found, metrics.SPEND_LIMIT_ENFORCING)


async def test_a_limit_in_another_currency_is_not_shown_as_dollars() -> None:
    found, error = await read({"/spend_limit": limit(100, currency="EUR")})
    assert ({}, "") == (of(found, metrics.SPEND_LIMIT), error)


async def test_a_project_that_is_archived_meanwhile_is_left_out() -> None:
    found, error = await read(
        {
            "/projects": listed({"id": "gone"}, {"id": "p"}),
            "/projects/p/spend_alerts": listed({"id": "a", "threshold_amount": 5, "currency": "USD"}),
            "/projects/p/rate_limits": listed({"id": "r", "model": "m", "max_requests_per_1_minute": 3}),
        }
    )
    assert "" == error
    assert {(("model", "m"), ("project_id", "p")): 3.0} == of(found, metrics.PROJECT_RPM)
    assert {} == of(found, metrics.PROJECT_TPM)


async def test_lists_are_read_page_by_page() -> None:
    found, _ = await read(
        {
            "/spend_alerts": listed({"id": "a", "threshold_amount": 1, "currency": "USD"}, more=True),
            "/spend_alerts a": listed({"id": "b", "threshold_amount": 2, "currency": "USD"}),
        }
    )
    assert {0.01, 0.02} == set(of(found, metrics.SPEND_ALERT_THRESHOLD).values())


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        ({"/spend_limit": limit("a lot")}, "spend_limit: threshold_amount: expected a whole number from 0 to 1e+15"),
        ({"/spend_limit": limit(-1)}, "spend_limit: threshold_amount: expected a whole number from 0 to 1e+15"),
        ({"/spend_limit": limit(None)}, "spend_limit: threshold_amount: is missing"),
        ({"/spend_limit": limit(5, currency=7)}, "spend_limit: currency: expected a string or null, got 7"),
        (
            {"/spend_limit": {"threshold_amount": 5, "enforcement": "on"}},
            "spend_limit: enforcement: expected an object or null",
        ),
        ({"/spend_alerts": {"data": "x"}}, "spend_alerts: data: expected an array, got 'x'"),
        ({"/spend_alerts": listed({"id": 5})}, "spend_alerts: expected an object with an id, got {'id': 5}"),
        (
            {"/spend_alerts": listed({"id": "a", "threshold_amount": 1}, more=True),
             "/spend_alerts a": listed({"id": "a", "threshold_amount": 1}, more=True)},
            "spend_alerts: the list comes back to 'a'",
        ),
        ({"/projects": {"data": None}}, "projects: data: expected an array, got None"),
    ],
    ids=["cents", "negative", "none", "currency", "enforcement", "data", "id", "loop", "projects"],
)  # fmt: skip
async def test_another_form_is_named_and_leaves_the_others_as_they_are(documents: dict[str, Any], message: str) -> None:
    others = {
        "/spend_limit": limit(100),
        "/spend_alerts": listed({"id": "a", "threshold_amount": 5, "currency": "USD"}),
        "/projects": listed({"id": "p"}),
        "/projects/p/spend_alerts": listed(),
        "/projects/p/rate_limits": listed({"id": "r", "model": "m", "max_requests_per_1_minute": 3}),
    }
    found, error = await read(others | documents)
    assert error.startswith(f"/organization/{message}")
    assert {"limits": 0.0} == up(found)
    shown = {"/spend_limit": metrics.SPEND_LIMIT, "/spend_alerts": metrics.SPEND_ALERT_THRESHOLD,
             "/projects": metrics.PROJECT_RPM}  # fmt: skip
    assert {path: path not in documents for path in shown} == {path: bool(of(found, shown[path])) for path in shown}


async def test_an_odd_entry_is_skipped_and_counted() -> None:
    found, error = await read(
        {
            "/spend_alerts": listed({"id": "a", "threshold_amount": "many"}, {"id": "b", "threshold_amount": "700"}),
            "/projects": listed({"id": "p"}),
            "/projects/p/spend_alerts": listed(),
            "/projects/p/rate_limits": listed(
                {"id": "1", "model": "m", "max_requests_per_1_minute": 3.0, "max_tokens_per_1_minute": "40"},
                {"id": "2", "model": "n", "max_requests_per_1_minute": 3, "max_tokens_per_1_minute": 10**18},
                {"id": "3", "model": None, "max_requests_per_1_minute": 3},
            ),
        }
    )
    assert ("", 1.0, {7.0}) == (error, up(found)["limits"], set(of(found, metrics.SPEND_ALERT_THRESHOLD).values()))
    labels = (("model", "m"), ("project_id", "p"))
    assert ({labels: 3.0}, {labels: 40.0}) == (of(found, metrics.PROJECT_RPM), of(found, metrics.PROJECT_TPM))
    skipped = {dict(series)["list"]: value for series, value in of(found, metrics.SKIPPED_ENTRIES).items()}
    assert {"spend_alerts": 1, "rate_limits": 2, "projects": 0} == skipped


@pytest.mark.parametrize("status", [400, 403, 500])
@pytest.mark.parametrize("kind", ["spend_limit", "spend_alerts", "rate_limits"])
async def test_a_list_that_is_refused_leaves_the_others_and_keeps_what_it_said(
    make: Make, simulator: SimulatorControl, now: Now, kind: str, status: int
) -> None:
    usage = make(more="  usage: {}\n  costs: null\n")
    whole = limits_of(scrape(await usage.page()))
    for path in (f"/v1/organization/{kind}", f"/v1/organization/projects/*/{kind}"):
        simulator.fault("status", path=path, status=status)
    fresh = make(more=MORE)
    found = scrape(await fresh.page())
    gone = {"spend_limit": SPEND, "spend_alerts": ALERTS, "rate_limits": RATES}[kind]
    assert {name: {} if name in gone else samples for name, samples in whole.items()} == limits_of(found)
    assert 0.0 == up(found)["limits"]
    now.advance(1000)
    later = scrape(await usage.page())
    assert (whole, 0.0) == (limits_of(later), up(later)["limits"])


SPEND = {metrics.SPEND_LIMIT.name, metrics.SPEND_LIMIT_ENFORCING.name}
ALERTS = {metrics.SPEND_ALERT_THRESHOLD.name}
RATES = {metrics.PROJECT_RPM.name, metrics.PROJECT_TPM.name}


def limits_of(found: Scrape) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """All limits, by the name of their metric."""
    each = (metrics.SPEND_LIMIT, metrics.SPEND_LIMIT_ENFORCING, metrics.SPEND_ALERT_THRESHOLD, metrics.PROJECT_RPM)
    return {metric.name: of(found, metric) for metric in (*each, metrics.PROJECT_TPM)}


# The peak minute: what the simulator's minutes hold, by the model that the rate limit names.

PEAK_MORE = """
  usage:
    completions: {group_by: [model]}
    embeddings: {group_by: []}
    images: {group_by: [model]}
  peak_usage: {window: 2h}
"""
NOW = int(datetime.fromisoformat("2026-11-21T09:40:00+00:00").timestamp())


def by_key(found: Scrape, metric: Metric) -> dict[tuple[str, str], float]:
    return {
        (named.get("project_id", ""), named["model"]): value
        for labels, value in of(found, metric).items()
        if (named := dict(labels))
    }


def minutes(simulator: SimulatorControl, operation: str) -> list[dict[str, Any]]:
    """The buckets of the window, as the API gives them."""
    url = (
        f"{simulator.api_url}/organization/usage/{operation}?start_time={NOW - 7200}&bucket_width=1m"
        "&limit=1440&group_by=project_id&group_by=model"
    )
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {ADMIN_KEY}"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as reply:
        return list(json.load(reply)["data"])


async def test_the_peak_is_the_largest_sum_of_a_minute(make: Make, simulator: SimulatorControl) -> None:
    sums: dict[tuple[int, str, str], list[int]] = defaultdict(lambda: [0, 0])
    for operation in ("completions", "embeddings"):
        for bucket in minutes(simulator, operation):
            for row in bucket["results"]:
                model = row["model"].split(":")[1] if row["model"].startswith("ft:") else row["model"]
                parts = model.rsplit("-", 3)
                alias = parts[0] if len(parts) == 4 and parts[1].isdigit() else model
                each = sums[bucket["start_time"], row["project_id"], alias]
                each[0] += row["num_model_requests"]
                each[1] += row["input_tokens"] + row.get("output_tokens", 0)
    expected: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for (_, project, model), (requests, tokens) in sums.items():
        most = expected[project, model]
        most[:] = [max(most[0], requests), max(most[1], tokens)]
    found = scrape(await make(more=PEAK_MORE).page())
    assert expected
    assert by_key(found, metrics.PEAK_RPM) == {key: each[0] for key, each in expected.items()}
    assert by_key(found, metrics.PEAK_TPM) == {key: each[1] for key, each in expected.items()}


async def test_every_peak_of_a_limited_model_joins_its_limit(make: Make) -> None:
    found = scrape(await make(more=PEAK_MORE).page())
    limits, peaks = by_key(found, metrics.PROJECT_TPM), by_key(found, metrics.PEAK_TPM)
    assert len(peaks.keys() & limits.keys()) > 5
    assert all("-20" not in model for _, model in peaks)


async def test_it_is_read_only_where_asked_for_and_with_one_page_per_endpoint(
    make: Make, simulator: SimulatorControl
) -> None:
    assert "peak_usage" not in up(scrape(await make(more="").page()))
    found = scrape(await make(more=PEAK_MORE).page())
    assert of(found, metrics.REFRESH_CALLS)[("dataset", "peak_usage"),] == 2


def peak_listed(*items: object) -> object:
    return {"object": "list", "data": list(items), "has_more": False}


async def test_snapshots_of_one_alias_are_summed_by_the_minute_before_the_peak_is_taken() -> None:
    def row(model: str, requests: int) -> dict[str, object]:
        return {
            "project_id": "p", "model": model, "num_model_requests": requests,
            "input_tokens": 10 * requests, "output_tokens": requests,
        }  # fmt: skip

    def bucket(start: int, *rows: object) -> dict[str, object]:
        return {"start_time": start, "end_time": start + 60, "results": list(rows)}

    buckets = [
        bucket(NOW - 600, row("gpt-5.4-2026-03-05", 3), row("gpt-5.4-2026-05-05", 4), row("own-2026-01-01", 1)),
        bucket(NOW - 540, row("gpt-5.4-2026-03-05", 6)),
    ]
    limit = {"max_requests_per_1_minute": 100, "max_tokens_per_1_minute": 1000}
    documents = {
        "/usage/completions 1m": {"data": buckets},
        "/usage/completions": {"data": []},
        "/projects": peak_listed({"id": "p"}),
        "/spend_alerts": peak_listed(),
        "/projects/p/spend_alerts": peak_listed(),
        "/projects/p/rate_limits": peak_listed(
            {"id": "1", "model": "gpt-5.4", **limit}, {"id": "2", "model": "own-2026-01-01", **limit}
        ),
    }
    more = "  usage: {completions: {group_by: []}}\n  costs: null\n  names: false\n  peak_usage: {}\n"
    with answering(documents) as url:
        usage = service(url, Now(), more=more)
        found = scrape(await usage.page())
        await usage.close()
    assert by_key(found, metrics.PEAK_RPM) == {("p", "gpt-5.4"): 7, ("p", "own-2026-01-01"): 1}
    assert by_key(found, metrics.PEAK_TPM) == {("p", "gpt-5.4"): 77, ("p", "own-2026-01-01"): 11}


def test_a_window_longer_than_six_hours_is_refused() -> None:
    text = document("https://api.openai.com/v1", "  peak_usage: {window: 7h}\n")
    with pytest.raises(ConfigError, match=r"organizations\[0\]\.peak_usage\.window: '7h': must be at most 6h"):
        parse_config(text, "test", {"KEY": ADMIN_KEY}, Path())


# Snapshots and fine-tuned models have the limits of what they are made of.


@pytest.mark.parametrize(
    ("model", "alias"),
    [
        ("gpt-5.4-2026-03-05", "gpt-5.4"),
        ("gpt-5.4", "gpt-5.4"),
        ("gpt-4-0613", "gpt-4-0613"),
        ("text-embedding-3-small", "text-embedding-3-small"),
    ],
)
def test_the_alias_of_a_snapshot_is_its_name_without_the_date(model: str, alias: str) -> None:
    assert undated(model) == alias


@pytest.mark.parametrize(
    ("model", "known", "limit"),
    [
        ("gpt-5.4-2026-03-05", {"gpt-5.4"}, "gpt-5.4"),
        ("gpt-5.4-2026-03-05", {"gpt-5.4", "gpt-5.4-2026-03-05"}, "gpt-5.4-2026-03-05"),
        ("gpt-5.4-2026-03-05", (), "gpt-5.4"),
        ("gpt-4-0613", {"gpt-4"}, "gpt-4"),
        ("gpt-4-0613", (), "gpt-4-0613"),
        ("omni-moderation-2024-09-26", {"omni-moderation-latest"}, "omni-moderation-latest"),
        ("ft:gpt-5.4-nano-2026-03-17:acme:triage:Bq7", {"gpt-5.4-nano"}, "gpt-5.4-nano"),
        ("ft:gpt-5.4-nano-2026-03-17:acme::Bq7", (), "gpt-5.4-nano"),
        ("", (), ""),
    ],
)
def test_a_model_is_held_to_the_limit_of_what_it_is_made_of(model: str, known: set[str], limit: str) -> None:
    assert limited_as(model, known) == limit
