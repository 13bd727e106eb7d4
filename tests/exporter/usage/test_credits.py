# SPDX-License-Identifier: Apache-2.0
"""The balance of prepaid credit, by hand and against the simulator's books."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner

from openai_exporter.cli.main import main
from openai_exporter.config.sections import Credit
from openai_exporter.usage.credits import balance
from openai_simulator.testing import SimulatorControl, running_simulator

DAY = 86_400


def day(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def credits(*entries: tuple[str, float, str | None]) -> list[Credit]:
    return [Credit(date=date, amount_usd=usd, expires=expires) for date, usd, expires in entries]


def billed(**usd: str) -> dict[int, Decimal]:
    """By day of November 2026: `d3="1.50"`."""
    return {day("2026-11-01") + (int(name[1:]) - 1) * DAY: Decimal(amount) for name, amount in usd.items()}


CASES: Sequence[tuple[str, list[Credit], Mapping[int, Decimal], str, str]] = [
    ("nothing billed", credits(("2026-11-01", 100, None)), {}, "2026-11-05", "100"),
    ("costs of each day since",
     credits(("2026-11-02", 100, None)), billed(d2="1.25", d4="2.50"), "2026-11-05", "96.25"),
    ("costs before the credit do not count",
     credits(("2026-11-03", 100, None)), billed(d1="9", d3="1"), "2026-11-05", "99"),
    ("two credits",
     credits(("2026-11-01", 5, None), ("2026-11-03", 10, None)), billed(d1="1", d4="7"), "2026-11-05", "7"),
    ("what expires first is used first", credits(("2026-11-01", 10, None), ("2026-11-01", 10, "2026-11-04")),
     billed(d2="4", d3="4"), "2026-11-05", "10"),
    ("an expiry takes what is left of it",
     credits(("2026-11-01", 10, "2026-11-03")), billed(d1="4"), "2026-11-05", "0"),
    ("it counts until the day on which it expires", credits(("2026-11-01", 10, "2026-11-05")), billed(d4="4"),
     "2026-11-04", "6"),
    ("more billed than there was", credits(("2026-11-01", 10, None)), billed(d2="12.5"), "2026-11-05", "-2.5"),
    ("the next credit pays what is owed", credits(("2026-11-01", 10, None), ("2026-11-04", 20, None)),
     billed(d2="12.5"), "2026-11-05", "17.5"),
    ("a correction gives back", credits(("2026-11-01", 10, None)), billed(d2="4", d3="-1.5"), "2026-11-05", "7.5"),
    ("a correction pays what is owed", credits(("2026-11-01", 10, None)), billed(d2="12", d3="-1"), "2026-11-05", "-1"),
    ("a credit of tomorrow is not there yet", credits(("2026-11-01", 10, None), ("2026-11-06", 9, None)), {},
     "2026-11-05", "10"),
    ("over the month's end",
     credits(("2026-10-30", 50, None)), {day("2026-10-31"): Decimal("5.01")} | billed(d1="4.99"),
     "2026-11-02", "40"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "given", "costs", "now", "left"), CASES, ids=[row[0] for row in CASES])
def test_what_is_left(name: str, given: list[Credit], costs: Mapping[int, Decimal], now: str, left: str) -> None:
    assert balance(given, costs, day(now) + 3600).remaining == Decimal(left)


def test_it_lasts_as_long_as_the_mean_of_the_seven_days_before_yesterday_says() -> None:
    costs = billed(**{f"d{number}": "10" for number in range(1, 12)}, d12="3")
    left = balance(credits(("2026-11-01", 160, None)), costs, day("2026-11-12"))
    assert (left.remaining, left.per_day) == (Decimal(47), Decimal(10))
    assert left.exhausted_at == day("2026-11-16") + 0.7 * DAY
    assert left.next_expiry is None


def test_credit_that_expires_before_it_is_used_up_lasts_until_then() -> None:
    costs = billed(**{f"d{number}": "10" for number in range(1, 12)})
    left = balance(credits(("2026-11-01", 500, "2026-11-20")), costs, day("2026-11-12"))
    assert left.exhausted_at == day("2026-11-20")
    assert left.next_expiry == day("2026-11-20")
    assert balance(credits(("2026-11-01", 500, None)), {}, day("2026-11-12")).exhausted_at is None
    unused = balance(credits(("2026-11-01", 500, "2026-11-20")), {}, day("2026-11-12"))
    assert unused.exhausted_at == day("2026-11-20")


LASTING = [
    ("exhausted", "{date: 2026-11-01, amount_usd: 5}", "It is exhausted."),
    ("expired", "{date: 2026-11-01, amount_usd: 5000, expires: 2026-11-03}", "It is exhausted."),
    ("of today", "{date: 2026-11-04, amount_usd: 1000}", "At the current run rate it lasts until 2026-11-"),
    ("plenty", "{date: 2026-11-01, amount_usd: 1.0e+12}", "At the current run rate it lasts for years."),
]


@pytest.mark.parametrize(("name", "credit", "says"), LASTING, ids=[row[0] for row in LASTING])
def test_the_report_says_how_long_it_lasts(
    name: str, credit: str, says: str, simulator: SimulatorControl, tmp_path: Path
) -> None:
    path = tmp_path / "exporter.yml"
    head = CONFIGURATION.partition("    credits:")[0].format(url=simulator.api_url)
    path.write_text(f"{head}    credits: [{credit}]\n")
    env = {"OPENAI_ADMIN_KEY": "sk-admin-0123456789abcdef"}
    result = CliRunner().invoke(main, ["report", "--config.file", str(path)], env=env)
    assert f"less billed costs. {says}" in result.output


CONFIGURATION = """\
organizations:
  - name: acme
    base_url: {url}
    admin_key_env: OPENAI_ADMIN_KEY
    credits:
      - {{date: 2026-10-20, amount_usd: 5000}}
      - {{date: 2026-10-25, amount_usd: 100, expires: 2026-10-30}}
      - {{date: 2026-11-01, amount_usd: 1234.56, expires: 2027-11-01}}
"""


@pytest.fixture(scope="module")
def simulator() -> Any:
    with running_simulator(latency_scale=0, late_seconds=0, seed=7, clock="2026-11-04T09:00:00Z", speed=0) as control:
        yield control


def bill(simulator: SimulatorControl, start: int, end: int) -> dict[int, Decimal]:
    """True costs by day until the simulated time."""
    url = f"{simulator.base_url}/_simulator/organization/bill"
    rows = httpx2.get(url, params={"start": start, "end": end}, timeout=30, trust_env=False).json()["data"]
    found: dict[int, Decimal] = {}
    for row in rows:
        found[row["day"]] = found.get(row["day"], Decimal(0)) + Decimal(row["usd"])
    return found


def test_the_report_says_what_is_left_to_the_cent(simulator: SimulatorControl, tmp_path: Path) -> None:
    """Over a month's end, with an expiry and the corrections of the simulated bill."""
    path = tmp_path / "exporter.yml"
    path.write_text(CONFIGURATION.format(url=simulator.api_url))
    env = {"OPENAI_ADMIN_KEY": "sk-admin-0123456789abcdef"}
    result = CliRunner().invoke(main, ["report", "--config.file", str(path)], env=env)
    assert result.exit_code == 0, result.output
    rows = bill(simulator, day("2026-10-20"), int(simulator.clock()))
    spent = sum(rows.values(), Decimal(0))
    early = sum((usd for start, usd in rows.items() if day("2026-10-25") <= start < day("2026-10-30")), Decimal(0))
    expected = Decimal("6334.56") - spent - max(Decimal(0), 100 - early)
    assert f"${expected:,.2f}" in next(line for line in result.output.splitlines() if "Prepaid credit left" in line)
    assert "Prepaid credit is computed: credits of the configuration less billed costs." in result.output


def test_the_run_rate_is_that_of_a_week_also_where_the_credit_is_of_today(
    simulator: SimulatorControl, tmp_path: Path
) -> None:
    path = tmp_path / "exporter.yml"
    text = CONFIGURATION.partition("    credits:")[0] + "    credits: [{{date: 2026-11-0{day}, amount_usd: 5000}}]\n"
    env = {"OPENAI_ADMIN_KEY": "sk-admin-0123456789abcdef"}
    left = []
    for number in (1, 4, 5):
        path.write_text(text.format(url=simulator.api_url, day=number))
        result = CliRunner().invoke(main, ["report", "--config.file", str(path), "--format", "json"], env=env)
        left.append(json.loads(result.stdout).get("credit"))
    assert left[2] is None, "nothing is prepaid before the day of the first credit"
    rates = [float(each["remaining_usd"]) / (day(each["exhausted_at"]) - simulator.clock()) for each in left[:2]]
    assert rates[0] == pytest.approx(rates[1], rel=0.01)


WRONG = [
    ("{date: 2019-12-31, amount_usd: 5}", "credits[0].date: '2019-12-31': must not be before 2020-01-01"),
    ("{date: 2026-11-01, amount_usd: 1.0e+300}", "at most 1000000000000"),
    ("{date: 2026-11-01, amount_usd: 0}", "credits[0].amount_usd"),
    ("{date: 2026-11-01, amount_usd: 10, expires: 2026-11-01}", "must be later than date 2026-11-01"),
    ("{date: 2026-02-30, amount_usd: 10}", "must be a day of the calendar"),
    ("{date: 2026-11-01}", "amount_usd: is missing"),
    ("{date: 2026-11-01, amount: 10}", "did you mean 'amount_usd'?"),
]


@pytest.mark.parametrize(("entry", "says"), WRONG)
def test_a_wrong_credit_is_refused(entry: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "exporter.yml"
    organization = f"organizations:\n  - name: a\n    admin_key_env: K\n    credits: [{entry}]\n"
    path.write_text(organization)
    result = CliRunner().invoke(main, ["check", str(path)], env={"K": "sk-admin-0123456789abcdef"})
    assert (result.exit_code, says in result.output) == (1, True), result.output


def test_credits_without_costs_and_the_key_that_writes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "exporter.yml"
    path.write_text(
        "organizations:\n  - {name: a, admin_key_env: OPENAI_ADMIN_KEY_WRITE}\n"
        "  - {name: b, admin_key_env: K, costs: null, credits: [{date: 2026-11-01, amount_usd: 5}]}\n"
    )
    result = CliRunner().invoke(main, ["check", str(path)], env={"K": "sk-admin-0123456789abcdef"})
    assert "is the key that changes limits; the exporter only reads" in result.output
    assert "need billed costs" in result.output
