# SPDX-License-Identifier: Apache-2.0
"""The peak minute: what the simulator's minutes hold, by the model that the rate limit names."""

import json
import urllib.request
from collections import defaultdict
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from openai_exporter.config.load import parse_config
from openai_exporter.errors import ConfigError
from openai_exporter.metrics import usage as metrics
from openai_exporter.metrics.metric import Metric
from openai_exporter.simulator.testing import SimulatorControl

from .conftest import Make
from .scraping import ADMIN_KEY, Now, Scrape, document, of, scrape, service, up
from .serving import answering

MORE = """
  usage:
    completions: {group_by: [model]}
    embeddings: {group_by: []}
    images: {group_by: [model]}
  peak_minute: {window: 2h}
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
    found = scrape(await make(more=MORE).page())
    assert expected
    assert by_key(found, metrics.PEAK_RPM) == {key: each[0] for key, each in expected.items()}
    assert by_key(found, metrics.PEAK_TPM) == {key: each[1] for key, each in expected.items()}


async def test_every_peak_of_a_limited_model_joins_its_limit(make: Make) -> None:
    found = scrape(await make(more=MORE).page())
    limits, peaks = by_key(found, metrics.PROJECT_TPM), by_key(found, metrics.PEAK_TPM)
    assert len(peaks.keys() & limits.keys()) > 5
    assert all("-20" not in model for _, model in peaks)


async def test_it_is_read_only_where_asked_for_and_with_one_page_per_endpoint(
    make: Make, simulator: SimulatorControl
) -> None:
    assert "peak_minute" not in up(scrape(await make(more="").page()))
    found = scrape(await make(more=MORE).page())
    assert of(found, metrics.REFRESH_CALLS)[("dataset", "peak_minute"),] == 2


def listed(*items: object) -> object:
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
        bucket(
            NOW - 600, row("gpt-5.4-2026-03-05", 3), row("gpt-5.4-2026-05-05", 4), row("own-2026-01-01", 1)
        ),
        bucket(NOW - 540, row("gpt-5.4-2026-03-05", 6)),
    ]
    limit = {"max_requests_per_1_minute": 100, "max_tokens_per_1_minute": 1000}
    documents = {
        "/usage/completions 1m": {"data": buckets},
        "/usage/completions": {"data": []},
        "/projects": listed({"id": "p"}),
        "/spend_alerts": listed(),
        "/projects/p/spend_alerts": listed(),
        "/projects/p/rate_limits": listed(
            {"id": "1", "model": "gpt-5.4", **limit}, {"id": "2", "model": "own-2026-01-01", **limit}
        ),
    }
    more = "  usage: {completions: {group_by: []}}\n  costs: null\n  names: false\n  peak_minute: {}\n"
    with answering(documents) as url:
        usage = service(url, Now(), more=more)
        found = scrape(await usage.page())
        await usage.close()
    assert by_key(found, metrics.PEAK_RPM) == {("p", "gpt-5.4"): 7, ("p", "own-2026-01-01"): 1}
    assert by_key(found, metrics.PEAK_TPM) == {("p", "gpt-5.4"): 77, ("p", "own-2026-01-01"): 11}


def test_a_window_longer_than_six_hours_is_refused() -> None:
    text = document("https://api.openai.com/v1", "  peak_minute: {window: 7h}\n")
    with pytest.raises(
        ConfigError, match=r"organizations\[0\]\.peak_minute\.window: '7h': must be at most 6h"
    ):
        parse_config(text, "test", {"KEY": ADMIN_KEY}, Path())
