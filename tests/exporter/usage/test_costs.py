# SPDX-License-Identifier: Apache-2.0
"""Estimated beside billed cost: the same days, the same models, and nothing of the bill left out."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from openai_exporter.metrics import usage as metrics
from openai_exporter.metrics.metric import Metric
from openai_exporter.usage.costs import Bill, Sums, largest, total
from openai_exporter.usage.rows import MalformedError, decoded
from openai_exporter.usage.window import DAY, day_start
from openai_simulator.testing import SimulatorControl
from tests.exporter.usage.conftest import Make
from tests.exporter.usage.scraping import Now, Scrape, of, one, scrape, service, up
from tests.exporter.usage.serving import answering

# Costs: exact sums over two months, whatever form the amounts have.

NOW = datetime.fromisoformat("2026-11-21T09:30:00+00:00").timestamp()
TODAY = day_start(NOW)


def cost(value: Any, project: str | None = "p", item: str | None = "tokens", currency: str = "usd") -> Any:
    return {"amount": {"value": value, "currency": currency}, "project_id": project, "line_item": item}


def bill(*days: tuple[int, list[Any]]) -> Bill:
    made = Bill(NOW, ("project_id", "line_item"))
    for start, results in days:
        made.add(start, [decoded(result, made.group_by) for result in results])
    return made


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0.0042", "0.0042"),
        (Decimal("0.0042"), "0.0042"),
        (0.06, "0.06"),
        (3, "3"),
        ("-12.5", "-12.5"),
        ("1e-7", "1E-7"),
        (" 2.50 ", "2.50"),
        ("0.123456789012345678901234", "0.123456789012345678901234"),
    ],
    ids=repr,
)
def test_amounts_may_be_numbers_or_strings(value: Any, expected: str) -> None:
    assert Decimal(expected) == total(bill((TODAY, [cost(value)])).month)


@pytest.mark.parametrize("value", ["", "abc", "NaN", "1,5", None, True, [], {}, "9" * 30, 10**13], ids=repr)
def test_what_is_no_amount_is_refused_by_name(value: Any) -> None:
    with pytest.raises(MalformedError, match=r"^amount\.value: expected an amount"):
        bill((TODAY, [cost(value)]))


def test_days_fall_into_today_yesterday_this_month_and_the_month_before() -> None:
    first = TODAY - 20 * DAY
    made = bill(
        (first - 32 * DAY, [cost("1000")]),
        (first - 31 * DAY, [cost("100")]),
        (first - DAY, [cost("10")]),
        (first, [cost("1")]),
        (TODAY - DAY, [cost("0.1")]),
        (TODAY, [cost("0.01")]),
    )
    assert Decimal("110") == made.previous_month
    assert Decimal("1.11") == total(made.month)
    assert (Decimal("0.1"), Decimal("0.01")) == (total(made.yesterday), total(made.today))


def test_yesterday_may_lie_in_the_month_before() -> None:
    made = Bill(datetime.fromisoformat("2026-12-01T00:10:00+00:00").timestamp(), ())
    made.add(day_start(made.now) - DAY, [decoded(cost("5"), ())])
    assert (Decimal(5), Decimal(5), Decimal(0)) == (
        total(made.yesterday),
        made.previous_month,
        total(made.month),
    )


def test_what_the_month_before_had_shows_zero_until_it_costs_something() -> None:
    made = bill((TODAY - 30 * DAY, [cost("5", item="old")]), (TODAY, [cost("1", item="new")]))
    assert {("p", "old"): Decimal(0), ("p", "new"): Decimal(1)} == made.month


def test_credits_lower_the_sum() -> None:
    made = bill((TODAY, [cost("5"), cost("-2", None, "credit")]))
    assert (Decimal(3), Decimal(-2)) == (total(made.month), made.month["", "credit"])


def test_other_currencies_are_counted_and_never_added() -> None:
    made = bill((TODAY, [cost("5"), cost("7", currency="eur"), cost("8", currency="EUR")]))
    assert (Decimal(5), {"eur": 2}) == (total(made.month), made.skipped)


def test_ten_cents_ten_times_are_a_dollar() -> None:
    assert Decimal(1) == total(bill((TODAY, [cost(0.1)] * 10)).month)


def test_the_largest_keep_their_labels() -> None:
    sums: Sums = {("a",): Decimal(5), ("b",): Decimal(-7), ("c",): Decimal(1), ("d",): Decimal(2)}
    assert {("b",): Decimal(-7), ("a",): Decimal(5), ("other",): Decimal(3)} == largest(sums, 2)
    assert sums == largest(sums, 4)


def test_sums_by_one_dimension() -> None:
    made = bill((TODAY, [cost("1", "p", "x"), cost("2", "p", "y"), cost("4", "q", "x")]))
    assert {"p": Decimal(3), "q": Decimal(4)} == made.by("project_id", period="day")


# Estimated beside billed cost: the same days, the same models, and nothing of the bill left out.

PRICED = ("completions", "decisions", "embeddings", "moderations", "audio_speeches", "audio_transcriptions")
MORE = "  usage:\n" + "".join(f"    {name}: {{group_by: [model]}}\n" for name in PRICED)
FINE_TUNED = "ft:gpt-5.4-nano-2026-03-17:acme:triage:Bq7"
DRIFT_DAY = int(datetime.fromisoformat("2026-11-18T00:00:00+00:00").timestamp())


def by_model(found: Scrape, metric: Metric, window: str) -> dict[str, float]:
    return {
        named["model"]: usd
        for labels, usd in of(found, metric).items()
        if (named := dict(labels))["window"] == window
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
    rest = {
        dict(labels).get("line_item", ""): usd for labels, usd in of(found, metrics.DRIFT_UNMATCHED).items()
    }
    assert rest == {"credit": -7.0, "": 1.0, "gpt-6-luna, images": 2.0}
