# SPDX-License-Identifier: Apache-2.0
"""The whole page, character by character, from answers like those of the official description."""

import json
from pathlib import Path

import pytest

from openai_exporter.usage.service import UsageService

from .scraping import Now, service
from .serving import answering

DATA = Path(__file__).parent / "testdata"
NOW = 1795253400.0  # 2026-11-21T09:30:00Z
MORE = """
  usage:
    completions: {group_by: [project_id, model, batch, service_tier]}
    images: {group_by: [project_id, size, source]}
    web_search_calls: {group_by: [model]}
    vector_stores: {group_by: [project_id]}
  series_limit: 2
"""
TAIL = """
budgets:
- {name: all, limit_usd: 100}
- {name: per-model, each: model, limit_usd: 5, period: day, warn_ratio: 0.5}
"""


async def page(usage: UsageService, *, openmetrics: bool = False) -> str:
    return (await usage.page()).body(openmetrics=openmetrics).decode()


@pytest.mark.parametrize("form", ["text", "openmetrics"])
async def test_the_page_is_this_one(form: str) -> None:
    documents = json.loads((DATA / "api.json").read_text())
    with answering(documents) as url:
        usage = service(url, Now(NOW), more=MORE, tail=TAIL)
        found = await page(usage, openmetrics=form == "openmetrics")
        await usage.close()
    assert (DATA / f"usage.{form}").read_text() == found
