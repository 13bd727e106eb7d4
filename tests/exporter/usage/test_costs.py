# SPDX-License-Identifier: Apache-2.0
"""Exact costs over two months, the estimate beside the bill, and whose spend a budget counts."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from openai_exporter.config import Config
from openai_exporter.config.load import parse_config
from openai_exporter.metrics import Metric, usage as metrics
from openai_exporter.usage.costs import Bill, Sums, budget_states, by_project, largest, model_of, pinned, total
from openai_exporter.usage.counters import CounterDataset
from openai_exporter.usage.dataset import BudgetState
from openai_exporter.usage.ledger import DAY, day_start
from openai_exporter.usage.rows import MalformedError, decoded
from openai_exporter.usage.service import budgets_of
from openai_simulator.testing import SimulatorControl
from tests.exporter.usage.conftest import Make
from tests.exporter.usage.scraping import Now, Scrape, asked, of, one, scrape, service, since, up
from tests.exporter.usage.serving import answering

NOW = datetime.fromisoformat("2026-11-21T09:30:00+00:00").timestamp()
TODAY = day_start(NOW)


def cost(value: Any, project: str | None = "p", item: str | None = "tokens", currency: str = "usd") -> Any:
    return {"amount": {"value": value, "currency": currency}, "project_id": project, "line_item": item}


def bill(*days: tuple[int, list[Any]]) -> Bill:
    made = Bill(NOW, ("project_id", "line_item"))
    for start, results in days:
        made.add(start, [decoded(result, made.group_by) for result in results])
    return made


P, Q, R = (("p", "a"), 3), (("p", "b"), 2), (("q", "a"), 4)
BY_PROJECT: dict[str, tuple[list[Any], tuple[str, ...], int, dict[str, int]]] = {
    "each project of the month": ([P, Q], ("project_id", "line_item"), 9, {"p": 5, "q": 0}),
    "credits of no project": ([P, (("", "credit"), -9)], ("project_id", "line_item"), 9, {"p": 3, "q": 0, "": -9}),
    "beyond the limit": ([P, R], ("project_id", "line_item"), 1, {"q": 4, "other": 3}),
    "the same series on a day without them": ([], ("project_id", "line_item"), 1, {"q": 0, "other": 0}),
    "not grouped by project": ([P, R], ("user_id", "line_item"), 9, {"": 7}),
}


@pytest.mark.parametrize(("day", "group_by", "limit", "expected"), BY_PROJECT.values(), ids=list(BY_PROJECT))
def test_a_day_is_billed_by_project(
    day: list[Any], group_by: tuple[str, ...], limit: int, expected: dict[str, int]
) -> None:
    sums = {labels: Decimal(usd) for labels, usd in day}
    month = {("p", "b"): Decimal(1), ("q", "b"): Decimal(8)} | sums
    found = by_project(sums, month, group_by, limit)
    assert expected == found
    assert sum(sums.values()) == sum(found.values())


def test_a_day_without_a_bill_is_0_and_not_unknown() -> None:
    assert by_project({}, {}, ("project_id",), 9) == {"": 0}


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
        ("0E-6176", "0"),
        (Decimal("0E-6176"), "0"),
        ("1.50E+2", "150"),
    ],
    ids=repr,
)
def test_amounts_may_be_numbers_or_strings(value: Any, expected: str) -> None:
    assert Decimal(expected) == total(bill((TODAY, [cost(value)])).month)


@pytest.mark.parametrize("value", ["", "abc", "NaN", "1,5", None, True, [], {}, "9" * 30, 10**13], ids=repr)
def test_what_is_no_amount_is_refused_by_name(value: Any) -> None:
    with pytest.raises(MalformedError, match=r"^amount\.value: expected an amount"):
        bill((TODAY, [cost(value)]))


@pytest.mark.parametrize(
    ("money", "message"),
    [
        ({}, "amount: expected an object, got None"),
        ({"amount": None}, "amount: expected an object, got None"),
        ({"amount": "1.50"}, "amount: expected an object, got '1.50'"),
        ({"amount": {"currency": "usd"}}, "amount.value: expected an amount as a number or a numeric string, got None"),
        ({"amount": {"currency": "eur"}}, "amount.value: expected an amount as a number or a numeric string, got None"),
    ],
    ids=["absent", "null", "bare", "valueless", "valueless-euros"],
)
def test_a_cost_without_an_amount_is_not_nothing(money: dict[str, Any], message: str) -> None:
    with pytest.raises(MalformedError) as found:
        decoded({"line_item": "x"} | money, ())
    assert message == str(found.value)


def test_quantities_are_decoded_only_where_they_are_shown() -> None:
    row = cost("5") | {"quantity": "many", "quantity_unit": 7, "organization_name": []}
    assert Decimal(5) == decoded(row, ()).usd
    with pytest.raises(MalformedError, match="quantity: expected an amount"):
        decoded(row, (), quantities=True)


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
    assert (Decimal(5), Decimal(5), Decimal(0)) == (total(made.yesterday), made.previous_month, total(made.month))


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


@pytest.mark.parametrize("lie", [{"kind": "lost_buckets"}, {"kind": "lost_buckets", "shape": "empty"}])
async def test_a_bill_that_lacks_most_of_what_is_known_is_believed_an_hour_later(
    make: Make, simulator: SimulatorControl, now: Now, lie: dict[str, Any]
) -> None:
    usage = make()
    before = scrape(await usage.page())
    simulator.fault(path="/v1/organization/costs", **lie)
    states = []
    for seconds in (601, 601, 1800, 1300):
        now.advance(seconds)
        simulator.clock(advance=seconds)
        found = scrape(await usage.page())
        states.append((up(found)["costs"], sum(of(found, metrics.COSTS_MONTH).values())))
    month = sum(of(before, metrics.COSTS_MONTH).values())
    assert month > 0
    assert [(0, month)] * 3 + [(1, 0)] == states


async def test_a_bill_that_is_whole_again_was_never_believed(make: Make, simulator: SimulatorControl, now: Now) -> None:
    usage = make()
    before = scrape(await usage.page())
    for _ in range(3):
        simulator.fault("lost_buckets", path="/v1/organization/costs")
        now.advance(3601)
        assert up(scrape(await usage.page()))["costs"] == 0
        simulator.clear()
        now.advance(601)
        assert of(before, metrics.COSTS_MONTH).keys() == of(scrape(await usage.page()), metrics.COSTS_MONTH).keys()


async def test_it_can_be_turned_off_and_needs_costs(make: Make) -> None:
    for more in ("  cost_drift: null\n", "  costs: null\n"):
        found = scrape(await make(more=more).page())
        assert "cost_drift" not in up(found)
        assert not of(found, metrics.DRIFT_DAY)


async def test_credits_and_other_currencies_are_not_costs_of_a_model() -> None:
    def bucket(*results: object) -> object:
        return {"data": [{"start_time": DRIFT_DAY, "end_time": DRIFT_DAY + DAY, "results": list(results)}]}

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


MODELS = ("gpt-5.4-2026-03-05", "gpt-5-mini-2025-08-07", "gpt-5-mini-2026-01-01", "gpt-6-luna", "ft:x:acme::1")


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


# Budgets: whose spend counts, and where it is taken from.


class Endpoint(CounterDataset):
    """A usage endpoint with given estimates."""

    def __init__(self, group_by: tuple[str, ...], **periods: dict[str, dict[str, str]] | None) -> None:
        self.group_by = group_by
        self._periods = periods

    def estimated(self, dimension: str | None, period: str) -> dict[str, Decimal | None] | None:
        found = self._periods.get(period)
        if found is None:
            return None
        return {key: Decimal(usd) if usd else None for key, usd in found[dimension or ""].items()}


ENDPOINTS = (
    Endpoint(
        ("project_id", "api_key_id", "model"),
        month={"": {"": "10"}, "api_key_id": {"k1": "6", "k2": "4"}, "model": {"m1": "10"}},
        day={"": {"": "2"}, "api_key_id": {"k1": "2"}, "model": {"m1": "2"}},
    ),
    Endpoint(("model",), month={"": {"": "1"}, "model": {"m1": "0.5", "m2": "0.5"}}, day={"": {"": "1"}, "model": {}}),
)


def two_projects() -> Bill:
    return bill((TODAY, [cost("3", "p1")]), (TODAY - DAY, [cost("4", "p1"), cost("5", "p2")]))


def config(budgets: str, costs: str = "{}") -> Config:
    text = (
        "organizations:\n- name: acme\n  admin_key_env: KEY\n"
        f"  costs: {costs}\nbudgets:\n- {{name: b, limit_usd: 20, {budgets}}}\n"
    )
    return parse_config(text, "test", {"KEY": "sk-admin-1"}, Path())


def found(budgets: str, costs: str = "{}", *, with_bill: bool = True) -> list[BudgetState]:
    made = config(budgets, costs)
    acme = made.organizations[0]
    return list(budget_states(budgets_of(made, acme), acme, two_projects() if with_bill else None, ENDPOINTS, now=NOW))


CASES = [
    # budget, basis, scope, id, spent
    ("period: month", "billed", [("organization", "", "12")]),
    ("period: day", "billed", [("organization", "", "3")]),
    ("scope: {project: p1}", "billed", [("project", "p1", "7")]),
    ("scope: {project: p1}, period: day", "billed", [("project", "p1", "3")]),
    ("scope: {project: p2}, period: day", "billed", [("project", "p2", "0")]),
    ("scope: {project: p9}", "billed", [("project", "p9", "0")]),
    ("each: project_id", "billed", [("project", "p1", "7"), ("project", "p2", "5")]),
    ("each: project_id, period: day", "billed", [("project", "p1", "3"), ("project", "p2", "0")]),
    ("scope: {key: k2}", "estimated", [("key", "k2", "4")]),
    ("scope: {key: k2}, period: day", "estimated", [("key", "k2", "0")]),
    ("each: api_key_id", "estimated", [("key", "k1", "6"), ("key", "k2", "4")]),
    ("each: model, period: day", "estimated", [("model", "m1", "2"), ("model", "m2", "0")]),
    ("each: model", "estimated", [("model", "m1", "10.5"), ("model", "m2", "0.5")]),
]


@pytest.mark.parametrize(("budget", "basis", "expected"), CASES, ids=[case[0] for case in CASES])
def test_spent_is_billed_where_the_bill_can_tell_and_estimated_elsewhere(
    budget: str, basis: str, expected: list[tuple[str, str, str]]
) -> None:
    rows = [(each.scope, each.id, each.spent_usd) for each in found(budget)]
    assert [(scope, id, Decimal(usd)) for scope, id, usd in expected] == rows
    assert {basis} == {each.basis for each in found(budget)}


def test_without_costs_everything_is_estimated() -> None:
    (only,) = found("period: month", "null")
    assert ("estimated", Decimal(11)) == (only.basis, only.spent_usd)


def test_costs_that_are_not_grouped_by_project_cannot_tell_a_project() -> None:
    (only,) = found("scope: {key: k1}", "{group_by: [line_item]}")
    assert "estimated" == only.basis


def test_what_is_not_known_yet_has_a_limit_but_nothing_spent() -> None:
    (only,) = found("period: month", with_bill=False)
    assert (Decimal(20), None, None) == (only.limit_usd, only.spent_usd, only.ratio)


def test_spend_of_what_has_no_price_is_unknown_and_not_zero() -> None:
    endpoints = (
        Endpoint(("model",), month={"": {"": "3"}, "model": {"listed": "3", "ft:mine": ""}}),
        Endpoint(("model",), month={"": {"": ""}, "model": {"brush": "", "listed": ""}}),
    )
    made = config("each: model")
    acme = made.organizations[0]
    rows = {each.id: each.spent_usd for each in budget_states(made.budgets, acme, None, endpoints, now=NOW)}
    assert rows == {"brush": None, "ft:mine": None, "listed": Decimal(3)}
    whole = config("period: month", "null")
    (only,) = budget_states(whole.budgets, whole.organizations[0], None, endpoints, now=NOW)
    assert only.spent_usd == Decimal(3)
    (only,) = budget_states(whole.budgets, whole.organizations[0], None, endpoints[1:], now=NOW)
    assert only.spent_usd is None


def test_the_ratio_is_of_the_limit() -> None:
    (only,) = found("period: month, warn_ratio: 0.5")
    assert (0.6, 0.5) == (only.ratio, only.warn_ratio)


def test_ids_of_budgets_are_pinned() -> None:
    made = config("scope: {key: k2}")
    assert {"k2"} == pinned(made.budgets)


# What began since the last answer is unknown: yesterday's figure is not today's.

UNKNOWN = "  usage: {completions: {group_by: [model]}}\n  cost_drift: null\n  names: false\n  limits: false\n"
TWO = """
budgets:
- {name: day, period: day, limit_usd: 10}
- {name: month, limit_usd: 10}
- {name: model-day, period: day, scope: {model: gpt-5.4-mini}, limit_usd: 10}
"""
DAYS = {
    metrics.COSTS_DAY.name,
    metrics.COSTS_MONTH.name,
    metrics.COSTS_PREVIOUS_MONTH.name,
    metrics.PREVIOUS_MONTH.name,
}


@pytest.mark.parametrize("status", [None, 429, 500])
@pytest.mark.parametrize("turn", ["2026-11-22T00:00:10Z", "2026-12-01T00:00:10Z"], ids=["day", "month"])
async def test_after_midnight_without_an_answer_today_is_unknown(
    make: Make, simulator: SimulatorControl, now: Now, turn: str, status: int | None
) -> None:
    after = int(datetime.fromisoformat(turn).timestamp())
    now.seconds = simulator.clock(now=datetime.fromtimestamp(after - 100, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    usage = make(more=UNKNOWN, tail=TWO)
    before = scrape(await usage.page())
    if status:
        simulator.fault("status", path="/v1/organization/*", status=status, retry_after=3600)
        now.advance(61)
        before = scrape(await usage.page())
    now.seconds = simulator.clock(now=turn)
    found = scrape(await usage.page())
    of_month = {"month"} if turn.startswith("2026-11") else set()
    spent = {dict(labels)["budget"] for labels in of(found, metrics.BUDGET_SPENT)}
    names, summary = {name for name, _ in found}, usage.summary()
    assert DAYS <= {name for name, _ in before}
    if status is None:
        assert (DAYS | {"day", "month", "model-day"}) == (DAYS & names) | spent
        return
    assert of_month == spent
    assert (DAYS - {metrics.COSTS_DAY.name} if of_month else set()) == DAYS & names
    assert (None, None) == (summary.today_usd, summary.yesterday_usd)
    assert {each.name: each.spent_usd is not None for each in summary.budgets} == {
        "day": False, "month": bool(of_month), "model-day": False
    }  # fmt: skip
    monthly = (summary.month_to_date_usd, summary.previous_month_usd, summary.requests, summary.estimated_usd)
    assert [bool(of_month)] * 4 == [each is not None for each in monthly]


async def test_the_landing_page_says_unknown_though_nobody_scrapes(
    make: Make, simulator: SimulatorControl, now: Now
) -> None:
    usage = make(more=UNKNOWN, tail=TWO)
    await usage.page()
    assert usage.summary().today_usd is not None
    now.seconds = simulator.clock(now="2026-11-22T00:00:00Z")
    summary = usage.summary()
    assert (None, None) == (summary.today_usd, summary.yesterday_usd)
    assert summary.month_to_date_usd is not None


async def test_costs_are_read_as_soon_as_a_day_begins(make: Make, simulator: SimulatorControl, now: Now) -> None:
    now.seconds = simulator.clock(now="2026-11-21T23:59:50Z")
    usage = make(more=f"{UNKNOWN}  refresh_interval: 10m\n", tail=TWO)
    await usage.page()
    before = asked(usage)
    now.seconds = simulator.clock(now="2026-11-22T00:00:10Z")
    found = scrape(await usage.page())
    assert {"completions", "costs"} == since(usage, before).keys()
    assert {"today", "yesterday"} == {dict(labels)["window"] for labels in of(found, metrics.COSTS_DAY)}
