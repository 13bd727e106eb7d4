# SPDX-License-Identifier: Apache-2.0
"""Estimated beside billed cost: the same days, the same models, and nothing of the bill left out."""

from datetime import datetime

import pytest

from openai_exporter.metrics import Metric, usage as metrics
from openai_exporter.usage.drift import model_of
from openai_simulator.testing import SimulatorControl
from tests.exporter.usage.conftest import Make
from tests.exporter.usage.scraping import Now, Scrape, of, one, scrape, service, up
from tests.exporter.usage.serving import answering

PRICED = ("completions", "decisions", "embeddings", "moderations", "audio_speeches", "audio_transcriptions")
MORE = "  usage:\n" + "".join(f"    {name}: {{group_by: [model]}}\n" for name in PRICED)
FINE_TUNED = "ft:gpt-5.4-nano-2026-03-17:acme:triage:Bq7"
DRIFT_DAY = int(datetime.fromisoformat("2026-11-18T00:00:00+00:00").timestamp())


def by_model(found: Scrape, metric: Metric, window: str) -> dict[str, float]:
    return {
        named["model"]: usd for labels, usd in of(found, metric).items() if (named := dict(labels))["window"] == window
    }


async def test_the_estimate_of_settled_days_equals_the_bill_of_every_listed_model(make: Make) -> None:
    found = scrape(await make(more=MORE).page())
    assert one(found, metrics.DRIFT_DAY) == DRIFT_DAY
    for window in ("day", "month"):
        estimated = by_model(found, metrics.DRIFT_ESTIMATED, window)
        billed = by_model(found, metrics.DRIFT_BILLED, window)
        assert len(billed) > 10
        # What has no price has no estimate: 0 would say that it is free.
        assert billed.pop(FINE_TUNED) > 0
        assert estimated.keys() == billed.keys()
        assert billed == pytest.approx(estimated, abs=1e-9)


async def test_what_is_billed_is_matched_or_named(make: Make, simulator: SimulatorControl) -> None:
    found = scrape(await make(more=MORE).page())
    shown = sum(by_model(found, metrics.DRIFT_BILLED, "month").values())
    rest = {
        dict(labels)["line_item"]: usd
        for labels, usd in of(found, metrics.DRIFT_UNMATCHED).items()
        if ("window", "month") in labels
    }
    assert "web search tool calls" in rest
    month = float(simulator.state()["books"]["billed_cost_usd"]["arrived"]["month_to_date"])
    assert 0 < shown + sum(rest.values()) < month
    simulator.clock(now="2026-12-03T00:30:00Z")
    again = scrape(await make(more=MORE).page())
    whole = simulator.state()["books"]["billed_cost_usd"]["arrived"]["previous_month"]
    total = sum(
        usd
        for metric in (metrics.DRIFT_BILLED, metrics.DRIFT_UNMATCHED)
        for labels, usd in of(again, metric).items()
        if ("window", "month") in labels
    )
    assert total == pytest.approx(float(whole))


async def test_it_is_read_every_six_hours_and_keeps_its_figures_when_that_fails(
    make: Make, simulator: SimulatorControl, now: Now
) -> None:
    usage = make(more=MORE)
    before = scrape(await usage.page())
    simulator.fault("status", path="/v1/organization/costs", status=500)
    now.advance(3600)
    await usage.page()
    assert up(scrape(await usage.page()))["cost_drift"] == 1
    now.advance(5 * 3600)
    after = scrape(await usage.page())
    assert up(after)["cost_drift"] == 0
    assert of(before, metrics.DRIFT_BILLED) == of(after, metrics.DRIFT_BILLED)


async def test_it_can_be_turned_off_and_needs_costs(make: Make) -> None:
    for more in ("  cost_drift: null\n", "  costs: null\n"):
        found = scrape(await make(more=more).page())
        assert "cost_drift" not in up(found)
        assert not of(found, metrics.DRIFT_DAY)


async def test_credits_and_other_currencies_are_not_costs_of_a_model() -> None:
    def bucket(*results: object) -> object:
        return {"data": [{"start_time": DRIFT_DAY, "end_time": DRIFT_DAY + 86_400, "results": list(results)}]}

    def cost(value: object, line_item: object, currency: str = "usd") -> object:
        return {"amount": {"value": value, "currency": currency}, "line_item": line_item}

    usage_row = {
        "model": "gpt-6-luna", "num_model_requests": 1, "input_tokens": 1_000, "output_tokens": 0,
    }  # fmt: skip
    documents = {
        "/usage/completions": bucket(usage_row),
        "/usage/embeddings": bucket(),
        "/costs": bucket(
            cost("0.25", "gpt-6-luna, input"),
            cost("-0.05", "gpt-6-luna, input"),
            cost("-7", "credit"),
            cost("9", "gpt-6-luna, output", "eur"),
            cost("1", None),
            cost("2", "gpt-6-luna, images"),
        ),
    }
    with answering(documents) as url:
        usage = service(url, Now(), more="  names: false\n  limits: false\n")
        found = scrape(await usage.page())
        await usage.close()
    assert by_model(found, metrics.DRIFT_BILLED, "day") == pytest.approx({"gpt-6-luna": 0.20})
    assert by_model(found, metrics.DRIFT_ESTIMATED, "day") == pytest.approx({"gpt-6-luna": 0.0001})
    rest = {dict(labels).get("line_item", ""): usd for labels, usd in of(found, metrics.DRIFT_UNMATCHED).items()}
    assert rest == {"credit": -7.0, "": 1.0, "gpt-6-luna, images": 2.0}


MODELS = (
    "gpt-5.4-2026-03-05",
    "gpt-5-mini-2025-08-07",
    "gpt-5-mini-2026-01-01",
    "gpt-6-luna",
    "ft:x:acme::1",
)


@pytest.mark.parametrize(
    ("line_item", "model"),
    [
        ("gpt-5.4-2026-03-05, cached input", "gpt-5.4-2026-03-05"),
        ("gpt-6-luna, input_tokens", "gpt-6-luna"),
        ("gpt-6-luna, output, priority", "gpt-6-luna"),
        ("ft:x:acme::1, output", "ft:x:acme::1"),
        ("gpt-5.4, input", "gpt-5.4-2026-03-05"),
        ("gpt-5-mini, input", None),
        ("gpt-6-luna", None),
        ("gpt-6-luna, images", "gpt-6-luna"),
        ("web search tool calls", None),
        ("", None),
    ],
)
def test_a_line_item_is_for_the_model_that_it_begins_with(line_item: str, model: str | None) -> None:
    assert model_of(line_item, MODELS) == model
