# SPDX-License-Identifier: Apache-2.0
"""GET /api/v1/usage: the books as JSON over a real socket, without a call per request."""

import csv
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest

from openai_exporter.report import api
from openai_exporter.report.api import Choice, Reading
from openai_exporter.report.report import COUNTS, Book, Totals
from openai_simulator.testing import SimulatorControl
from tests.exporter.report.commands import NOW, bill, spent, total, unix, usage
from tests.exporter.web.exporters import Exporter, running

DAY = 86_400
TODAY = unix("2026-11-19")
FIGURES = {
    "billed_usd", "list_price_usd", *COUNTS, "output_per_input", "cached_share", "tokens_per_request",
}  # fmt: skip


@pytest.fixture(scope="module")
def exporter(shared_simulator: SimulatorControl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exporter]:
    shared_simulator.clock(now=NOW)
    own = {"base_url": shared_simulator.api_url, "names": False, "limits": False}
    config = {
        "organizations": [
            {"name": "acme", "admin_key_env": "TEST_ADMIN_KEY", **own},
            {"name": "broken", "admin_key_env": "TEST_KEY", **own},
        ],
        "budgets": [{"name": "all", "organization": "acme", "limit_usd": 10000}],
    }
    with running(tmp_path_factory.mktemp("exporter"), config) as found:
        yield found


def read(exporter: Exporter, name: str, more: str = "") -> dict[str, Any]:
    answer = exporter.get(f"/api/v1/usage/{name}?organization=acme{more}")
    assert 200 == answer.status, answer.text
    assert answer.headers["content-type"] == "application/json"
    found: dict[str, Any] = answer.json()
    assert ("acme", "2026-11-19T09:00:00Z", None) == (found["organization"], found["as_of"], found["error"])
    return found


def agrees(simulator: SimulatorControl, found: dict[str, Any], start: int, end: int) -> None:
    """Whether figures equal the books of [start, end)."""
    rows = usage(simulator, start, min(end, unix(NOW)))
    assert found.keys() >= FIGURES
    assert spent(bill(simulator, start, end))[""] == Decimal(found["billed_usd"])
    assert total(rows, "num_model_requests") == found["requests"]
    for name in ("input_tokens", "input_cached_tokens", "output_tokens"):
        assert total(rows, name) == found[name]


def test_days_equal_the_books(simulator: SimulatorControl, exporter: Exporter) -> None:
    days = read(exporter, "daily", "&days=40")["days"]

    assert 40 == len(days)
    assert ("2026-11-19", False) == (days[0]["date"], days[0]["complete"])
    assert ("2026-10-11", True) == (days[39]["date"], days[39]["complete"])
    for place in (0, 1, 39):
        agrees(simulator, days[place], TODAY - place * DAY, TODAY - place * DAY + DAY)


def test_months_equal_the_books(simulator: SimulatorControl, exporter: Exporter) -> None:
    months = read(exporter, "monthly")["months"]

    assert ["2026-11", "2026-10", "2026-09", "2026-08"] == [each["month"] for each in months]
    assert [False, True, True, True] == [each["complete"] for each in months]
    agrees(simulator, months[0], unix("2026-11-01"), TODAY + DAY)
    agrees(simulator, months[1], unix("2026-10-01"), unix("2026-11-01"))


def test_the_dashboard_is_the_present_and_its_models_add_up(simulator: SimulatorControl, exporter: Exporter) -> None:
    exporter.get("/usage?organization=acme")
    found = read(exporter, "dashboard")

    agrees(simulator, found["today"], TODAY, TODAY + DAY)
    agrees(simulator, found["yesterday"], TODAY - DAY, TODAY)
    agrees(simulator, found["month_to_date"], unix("2026-11-01"), TODAY + DAY)
    agrees(simulator, found["previous_month"], unix("2026-10-01"), unix("2026-11-01"))
    month = found["month_to_date"]
    assert Decimal(month["billed_usd"]) == sum(Decimal(each["billed_usd"]) for each in found["models"])
    assert month["input_tokens"] == sum(each["input_tokens"] for each in found["models"])
    assert Decimal(found["forecast"]["month_end_usd"]) > Decimal(month["billed_usd"])
    [budget] = found["budgets"]
    assert Decimal(month["billed_usd"]) == Decimal(budget["spent_usd"])


def test_requests_share_one_reading(simulator: SimulatorControl, exporter: Exporter) -> None:
    read(exporter, "daily")
    before = len(simulator.journal_since())
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda name: read(exporter, name), ["daily", "monthly"] * 8))

    assert 16 == len(answers)
    assert before == len(simulator.journal_since())


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("daily?organization=umbrella", "unknown organization 'umbrella'; configured: acme, broken"),
        ("monthly", "parameter organization is missing; configured: acme, broken"),
        ("daily?organization=acme&days=0", "parameter days: expected a whole number from 1 to 92, got '0'"),
        ("daily?organization=acme&days=ten", "expected a whole number from 1 to 92, got 'ten'"),
        ("dashboard?organization=acme&days=3", "unknown parameter 'days'; allowed: organization"),
        ("daily?organization=acme&organization=broken", "parameter organization takes one value, got 2: acme, broken"),
        ("daily?organization=acme,broken", "unknown organization 'acme,broken'; configured: acme, broken"),
        ("daily?organization=.*", "parameter organization is missing; configured: acme, broken"),
        ("daily?organization=acme&from=2026-11-01&from=2026-11-02", "parameter from takes one value, got 2"),
        ("daily?organization=acme&from=now-7d", "parameter from: expected a date such as 2026-11-21, a time"),
        ("daily?organization=acme&to=2026-02-30", "parameter to: expected a date such as 2026-11-21"),
        ("daily?organization=acme&to=99999999999999", "parameter to: expected a date"),
        ("daily?organization=acme&from=2026-11-02&to=2026-11-01", "2026-11-02 is after parameter to"),
        ("monthly?organization=acme&from=2999-01-01", "2999-01-01 is after the present"),
        ("daily?organization=acme&from=2026-11-02&days=3", "parameters days and from: give one of them"),
        ("daily?organization=acme&operation=images", "unknown operation 'images'; configured of organization acme"),
        ("daily?organization=acme&format=xml", "parameter format: expected json or csv, got 'xml'"),
    ],
)
def test_unknown_names_are_refused_with_what_is_allowed(exporter: Exporter, path: str, message: str) -> None:
    answer = exporter.get(f"/api/v1/usage/{path}")

    assert 400 == answer.status
    assert message in answer.json()["error"]


RANGES = {
    "dates": "from=2026-11-02&to=2026-11-03",
    "times": "from=2026-11-02T09:30:00Z&to=2026-11-03T09:30:00%2B01:00",
    "seconds": f"from={unix('2026-11-02')}&to={unix('2026-11-04')}",
    "milliseconds, as Grafana's": f"from={unix('2026-11-02')}000&to={unix('2026-11-03')}999",
    "days back from the last": "days=2&to=2026-11-03",
}


@pytest.mark.parametrize("query", RANGES.values(), ids=list(RANGES))
def test_a_range_has_the_days_that_it_touches(exporter: Exporter, query: str) -> None:
    assert ["2026-11-03", "2026-11-02"] == [day["date"] for day in read(exporter, "daily", f"&{query}")["days"]]


def test_a_range_that_is_not_read_whole_says_where_to_find_the_rest(exporter: Exporter) -> None:
    found = read(exporter, "daily", "&from=2025-01-01&to=2999-01-01")

    assert ("2026-11-19", "2026-08-01") == (found["days"][0]["date"], found["days"][-1]["date"])
    assert ["Days before 2026-08-01 are not read; `openai-exporter report --period FROM..TO` reads them."] == found[
        "notes"
    ]


def test_a_range_chooses_months_and_models_of_the_dashboard(simulator: SimulatorControl, exporter: Exporter) -> None:
    months = read(exporter, "monthly", "&from=2026-10-31&to=2026-11-01")["months"]
    found = read(exporter, "dashboard", "&from=2026-11-02&to=2026-11-03")

    assert ["2026-11", "2026-10"] == [each["month"] for each in months]
    agrees(simulator, found["range"], unix("2026-11-02"), unix("2026-11-04"))
    assert found["range"]["requests"] == sum(each["requests"] for each in found["models"])


@pytest.mark.parametrize("name", ["project_id", "api_key_id", "user_id", "model"])
def test_a_choice_equals_the_books(simulator: SimulatorControl, exporter: Exporter, name: str) -> None:
    start, end = unix("2026-11-02"), unix("2026-11-04")
    rows = usage(simulator, start, end)
    chosen = sorted({row[name] for row in rows if row[name]})[:2]
    found = read(exporter, "daily", f"&from=2026-11-02&to=2026-11-03&{name}={','.join(chosen)}")
    twice = read(exporter, "daily", f"&from=2026-11-02&to=2026-11-03&{name}={chosen[0]}&{name}={chosen[1]}")

    expected = [row for row in rows if row[name] in chosen]
    assert total(expected, "num_model_requests") == sum(day["requests"] for day in found["days"]) > 0
    assert total(expected, "output_tokens") == sum(day["output_tokens"] for day in found["days"])
    assert found == twice
    if name == "project_id":
        billed = spent([row for row in bill(simulator, start, end) if row[name] in chosen])[""]
        assert billed == sum(Decimal(day["billed_usd"]) for day in found["days"])
    if name == "user_id":
        assert {None} == {day["billed_usd"] for day in found["days"]}
        assert "The API has no costs by operation or user; amounts are list prices of the usage." in found["notes"]


def test_an_operation_is_chosen_by_its_name(simulator: SimulatorControl, exporter: Exporter) -> None:
    rows = usage(simulator, unix("2026-11-02"), unix("2026-11-03"), ["embeddings"])
    [day] = read(exporter, "daily", "&from=2026-11-02&to=2026-11-02&operation=embeddings")["days"]

    assert (total(rows, "num_model_requests"), None) == (day["requests"], day["billed_usd"])


@pytest.mark.parametrize("value", ["", ".*", "$__all", "All"])
def test_what_chooses_everything_is_no_choice(exporter: Exporter, value: str) -> None:
    assert read(exporter, "daily", "&days=2") == read(exporter, "daily", f"&days=2&project_id={value}&model={value}")


@pytest.mark.parametrize("name", ["daily", "monthly", "dashboard"])
def test_csv_is_what_json_shows(exporter: Exporter, name: str) -> None:
    document = read(exporter, name)
    answer = exporter.get(f"/api/v1/usage/{name}?organization=acme&format=csv")
    rows = list(csv.DictReader(StringIO(answer.text)))

    assert "text/csv; charset=utf-8" == answer.headers["content-type"]
    assert f"attachment; filename=openai-usage-{name}.csv" == answer.headers["content-disposition"]
    shown = document[{"daily": "days", "monthly": "months", "dashboard": "models"}[name]]
    assert len(shown) == len(rows) > 1
    for row, expected in zip(rows, shown, strict=True):
        assert {"organization", *expected} == row.keys()
        assert ("acme", str(expected["requests"])) == (row["organization"], row["requests"])
        assert (row["billed_usd"] or None) == (expected["billed_usd"] and f"{Decimal(expected['billed_usd']):f}")


def test_there_is_no_other_document(exporter: Exporter) -> None:
    assert 404 == exporter.get("/api/v1/usage/hourly?organization=acme").status
    assert 405 == exporter.send("POST", "/api/v1/usage/daily").status


def test_an_organization_that_cannot_be_read_says_why(exporter: Exporter) -> None:
    answer = exporter.get("/api/v1/usage/daily?organization=broken")

    assert 503 == answer.status
    found = answer.json()
    assert "only admin keys" in found["error"]
    assert ([], None) == (found["days"], found["as_of"])
    assert "sk-test-0123456789abcdef" not in answer.text


# What began since the last reading is unknown.


def known(now: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The documents at a time, of what was read at NOW."""
    book = Book("model", {(TODAY, "m"): Totals(Decimal(3), 0, {"requests": 5})}, billed=True)
    reading = Reading(book, unix("2026-10-01"), unix(NOW), "no answer", unix(now))
    everything = Choice()
    return (
        api.dashboard(reading, "acme", everything, ()),
        api.daily(reading, "acme", everything, 2),
        api.monthly(reading, "acme", everything),
    )


def test_a_day_that_began_since_is_unknown() -> None:
    dashboard, daily, monthly = known("2026-11-20T00:00:00Z")
    assert (None, None) == (dashboard["today"], dashboard["yesterday"])
    assert ("3", "3") == (dashboard["month_to_date"]["billed_usd"], monthly["months"][0]["billed_usd"])
    assert [("2026-11-20", False, None), ("2026-11-19", False, "3")] == [
        (day["date"], day["complete"], day["billed_usd"]) for day in daily["days"]
    ]


def test_a_month_that_began_since_is_unknown() -> None:
    dashboard, _, monthly = known("2026-12-01T00:00:00Z")
    assert {None} == {dashboard[name] for name in ("today", "yesterday", "month_to_date", "previous_month", "forecast")}
    assert [] == dashboard["models"]
    assert [("2026-12", None), ("2026-11", "3"), ("2026-10", "0")] == [
        (month["month"], month["billed_usd"]) for month in monthly["months"]
    ]


def test_a_day_that_runs_is_known() -> None:
    dashboard, daily, _ = known("2026-11-19T23:59:59Z")
    assert ("3", "0") == (dashboard["today"]["billed_usd"], dashboard["yesterday"]["billed_usd"])
    assert ["2026-11-19", "2026-11-18"] == [day["date"] for day in daily["days"]]
