# SPDX-License-Identifier: Apache-2.0
"""Figures below 0: counters do not fall, what is taken back is a correction, and the rows are counted and logged."""

from datetime import datetime
from typing import Any

import pytest

from openai_exporter.metrics import usage as metrics

from .scraping import Now, one, scrape, service
from .serving import answering

HOUR = int(datetime.fromisoformat("2026-11-21T09:00:00+00:00").timestamp())
MORE = """
  usage: {completions: {group_by: [model]}}
  costs: null
  names: false
  limits: false
"""


def documents(*rows: tuple[str, int]) -> dict[str, Any]:
    results = [
        {"model": model, "num_model_requests": 1, "input_tokens": tokens, "output_tokens": 0} for model, tokens in rows
    ]
    empty: dict[str, Any] = {"data": [{"start_time": HOUR - 3600, "end_time": HOUR, "results": []}]}
    hour = {"start_time": HOUR, "end_time": HOUR + 3600, "results": results}
    return {"/usage/completions 1h": {"data": [hour]}, "/usage/completions 1d": empty}


async def test_a_row_below_zero_is_a_correction_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    now = Now(HOUR + 1800)
    served = documents(("gpt-6-luna", 500))
    with answering(served) as url:
        usage = service(url, now, more=MORE)
        before = scrape(await usage.page())
        served |= documents(("gpt-6-luna", 500), ("gpt-6-luna", -200), ("gpt-6-sol", -50))
        for _ in range(3):
            now.advance(60)
            after = scrape(await usage.page())
        await usage.close()
    assert one(before, metrics.NEGATIVE_ROWS, operation="completions") == 0
    assert one(after, metrics.NEGATIVE_ROWS, operation="completions") == 2
    luna = {"operation": "completions", "model": "gpt-6-luna"}
    assert one(after, metrics.INPUT_TOKENS, **luna) == one(before, metrics.INPUT_TOKENS, **luna) == 500
    assert one(after, metrics.INPUT_TOKENS, operation="completions", model="gpt-6-sol") == 0
    assert one(after, metrics.CORRECTIONS, operation="completions", field="input_tokens") == 250
    told = [each.getMessage() for each in caplog.records if "below 0" in each.getMessage()]
    assert told == [
        f"organization acme: completions has 2 rows with values below 0, such as bucket {HOUR} of "
        "{'model': 'gpt-6-luna'}: {'input_tokens': -200}"
    ]
