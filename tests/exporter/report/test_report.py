# SPDX-License-Identifier: Apache-2.0
"""Reports against the simulator's books, to the cent and in every form; periods; what is in no sum."""

import csv
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from openai_exporter.cli.main import main
from openai_exporter.config import Config, load_config
from openai_exporter.errors import UpstreamError
from openai_exporter.report.documents import UNKNOWN, cents
from openai_exporter.report.report import (
    Book,
    By,
    PeriodError,
    Totals,
    format_date,
    parse_period,
    read_costs,
    usage_reads,
)
from openai_exporter.report.source import Restart, Source, TakeCosts, TakeUsage
from openai_exporter.usage.ledger import Range
from openai_exporter.usage.rows import OPERATIONS, CostRow
from openai_simulator.testing import SimulatorControl
from tests.exporter.report.commands import ADMIN_KEY, bill, done, october, run, spent, total, unix, usage
from tests.exporter.usage.serving import answering

OCTOBER = (unix("2026-10-01"), unix("2026-11-01"))
SEPTEMBER = (unix("2026-09-01"), unix("2026-10-01"))
DIMENSIONS = {"project": "project_id", "key": "api_key_id", "user": "user_id", "line_item": "line_item"}


def of_october(simulator: SimulatorControl, by: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        done(run(simulator, "report", "--period", "2026-10", "--by", by, "--format", "json"))
    )
    return found


def billed(parts: list[dict[str, Any]]) -> dict[str, Decimal]:
    return {each["id"]: Decimal(each["billed_usd"]) for each in parts if Decimal(each["billed_usd"])}


@pytest.mark.parametrize("by", DIMENSIONS)
def test_billed_costs_equal_the_books(simulator: SimulatorControl, by: str) -> None:
    books = bill(simulator, *OCTOBER)
    found = of_october(simulator, by)

    expected = {id: usd for id, usd in spent(books, DIMENSIONS[by]).items() if usd}
    assert len(expected) > 3
    assert expected == billed(found["parts"])
    assert spent(books)[""] == Decimal(found["total"]["billed_usd"])
    assert spent(bill(simulator, *SEPTEMBER))[""] == Decimal(found["total"]["before"]["billed_usd"])


@pytest.mark.parametrize("by", ["model", "project", "key", "user"])
def test_usage_equals_the_books_and_parts_add_up(simulator: SimulatorControl, by: str) -> None:
    rows = usage(simulator, *OCTOBER)
    found = of_october(simulator, by)

    for name, field in {"requests": "num_model_requests"}.items() | {
        (each, each) for each in ("input_tokens", "input_cached_tokens", "output_tokens")
    }:
        expected = total(rows, field)
        assert expected == found["total"][name] == sum(part[name] for part in found["parts"]), name
        assert expected == sum(day[name] for day in found["days"])
    assert 31 == len(found["days"])
    assert sum(billed(found["parts"]).values()) == Decimal(found["total"]["billed_usd"])


def test_models_have_the_costs_of_their_line_items(simulator: SimulatorControl) -> None:
    books = bill(simulator, *OCTOBER)
    found = billed(of_october(simulator, "model")["parts"])

    model = "gpt-5.4-2026-03-05"
    own = [row for row in books if row["line_item"].startswith(f"{model}, ")]
    assert spent(own)[""] == found[model]
    assert spent(books, "line_item")["web search tool calls"] == found["web search tool calls"]


UNLISTED = {"gpt-image-2-2026-04-21", "web search tool calls", "ft:gpt-5.4-nano-2026-03-17:acme:triage:Bq7"}


def test_what_has_no_list_price_is_not_shown_as_free(simulator: SimulatorControl) -> None:
    parts = {part["id"]: part for part in of_october(simulator, "model")["parts"]}
    assert {None} == {parts[id]["list_price_usd"] for id in UNLISTED}
    assert Decimal(parts["gpt-6-luna"]["list_price_usd"]) > 0
    assert Decimal(0) == Totals(Decimal(0), 0, {"requests": 3, "input_tokens": 5}).list_price

    command = ("report", "--period", "2026-10", "--by", "model", "--format")
    rows = {row["id"]: row for row in csv.DictReader(io.StringIO(done(run(simulator, *command, "csv"))))}
    assert {""} == {rows[id]["list_price_usd"] for id in UNLISTED}
    lines = done(run(simulator, *command, "markdown")).splitlines()
    place = next(line for line in lines if line.startswith("| Model |")).split(" | ").index("List price")
    shown = {line.split(" | ")[0].removeprefix("| "): line.split(" | ") for line in lines if line[:2] == "| "}
    assert UNKNOWN == shown["web search tool calls"][place]
    assert "$" == shown["gpt-6-luna"][place][0]


def test_two_projects_of_one_name_are_told_apart_by_their_ids() -> None:
    cells = {("2026-10-05", f"proj_{cost}"): Totals(Decimal(cost)) for cost in (1, 2, 3)}
    report = october(cells, lambda id: "Search" if id != "proj_3" else "Chat")
    assert ["Chat", "Search (proj_2)", "Search (proj_1)"] == [part.name for part in report.parts]


def test_shown_parts_add_up_to_the_shown_total_to_the_cent(simulator: SimulatorControl) -> None:
    lines = done(
        run(simulator, "report", "--period", "2026-10", "--by", "line_item", "--format", "markdown")
    ).splitlines()
    start = lines.index("| Line item | Billed | Share | Before | Change |".replace("_", r"\_")) + 2
    end = next(place for place in range(start, len(lines)) if lines[place].startswith("| **Total**"))
    shown = [Decimal(line.split(" | ")[1].replace("$", "").replace(",", "")) for line in lines[start:end]]

    expected = cents(spent(bill(simulator, *OCTOBER))[""])
    assert expected == sum(shown, Decimal(0))
    assert f"**${expected:,}**" in lines[end]


def test_csv_has_every_digit_and_its_parts_are_its_total(simulator: SimulatorControl) -> None:
    text = done(run(simulator, "report", "--period", "2026-10", "--by", "project", "--format", "csv"))
    *parts, whole = list(csv.DictReader(io.StringIO(text)))

    assert "total" == whole["row"]
    assert {"part"} == {row["row"] for row in parts}
    assert spent(bill(simulator, *OCTOBER))[""] == Decimal(whole["billed_usd"])
    for name in ("billed_usd", "billed_usd_before", "requests", "input_tokens", "output_tokens"):
        assert sum(Decimal(row[name]) for row in parts) == Decimal(whole[name])
    assert "Search" in {row["name"] for row in parts}


def test_a_csv_file_opens_in_excel_with_its_names_and_a_pipe_gets_plain_text(
    simulator: SimulatorControl, tmp_path: Path
) -> None:
    output = tmp_path / "users.csv"
    command = ("report", "--period", "2026-10", "--by", "user", "--format", "csv")
    done(run(simulator, *command, "-o", str(output)))
    written = output.read_bytes()

    assert 0o600 == output.stat().st_mode & 0o777
    assert written.startswith("\N{BYTE ORDER MARK}row,organization,".encode())
    assert any(len(name) != len(name.encode()) for name in written.decode().split(","))
    assert done(run(simulator, *command)) == written.decode("utf-8-sig").replace("\r\n", "\n")


FOCUS_UNITS = {"Tokens", "1000 Tokens", "Characters", "Images", "Seconds", "Minutes", "Hours", "GiB-Hours", "Units"}
"""FOCUS's unit format: plural, capitals, a hyphen in between."""


def test_focus_has_one_row_per_charge_and_names_projects(simulator: SimulatorControl) -> None:
    text = done(run(simulator, "report", "--period", "2026-10", "--format", "focus"))
    rows = list(csv.DictReader(io.StringIO(text)))

    books = bill(simulator, *OCTOBER)
    assert spent(books)[""] == sum(Decimal(row["BilledCost"]) for row in rows)
    assert spent(books, "project_id") == {
        id: sum(Decimal(row["BilledCost"]) for row in rows if row["SubAccountId"] == id)
        for id in spent(books, "project_id")
    }
    credits = [row for row in rows if row["ChargeCategory"] == "Credit"]
    assert credits
    assert all(Decimal(row["BilledCost"]) < 0 for row in credits)
    assert {("USD", "2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z")} == {
        (row["BillingCurrency"], row["BillingPeriodStart"], row["BillingPeriodEnd"]) for row in rows
    }
    assert {("AI and Machine Learning", "Generative AI")} == {
        (row["ServiceCategory"], row["ServiceSubcategory"]) for row in rows
    }
    units = {row["ConsumedUnit"] for row in rows}
    assert {"Tokens", "Characters", "Seconds", "Images", "GiB-Hours", "Units"} <= units <= {*FOCUS_UNITS, ""}


def test_the_month_so_far_has_a_forecast_from_its_days(simulator: SimulatorControl) -> None:
    found = json.loads(done(run(simulator, "report", "--format", "json")))

    per_day = [spent(bill(simulator, day, day + 86_400)).get("", Decimal(0)) for day in november()]
    # It is the 19th, 9:00: of the 11th 15 hours count, the days to the 17th whole, and of the 18th 9 hours.
    week = sum(per_day[11:17], Decimal(0)) + (15 * per_day[10] + 9 * per_day[17]) / 24
    expected = sum(per_day) + week / 7 * (11 * 24 + 15) / 24
    assert f"{expected:.2f}" == found["forecast"]["month_end_usd"]
    assert sum(per_day) == Decimal(found["forecast"]["month_to_date_usd"])
    assert ["Today is not over and is compared with full days."] == found["notes"][:1]


def november() -> range:
    return range(unix("2026-11-01"), unix("2026-11-20"), 86_400)


def test_budgets_are_in_it(simulator: SimulatorControl, tmp_path: Path) -> None:
    config = tmp_path / "exporter.yml"
    config.write_text(
        f"organizations: [{{name: acme, base_url: '{simulator.api_url}', admin_key_env: OPENAI_ADMIN_KEY}}]\n"
        "budgets: [{name: all, limit_usd: 10000}]\n"
    )
    found = json.loads(done(run(simulator, "report", "--config.file", str(config), "--format", "json")))

    [budget] = found["budgets"]
    spent_so_far = spent(bill(simulator, unix("2026-11-01"), unix("2026-11-20")))[""]
    assert ("all", "billed", spent_so_far) == (budget["budget"], budget["basis"], Decimal(budget["spent_usd"]))
    assert 10_000 - spent_so_far == Decimal(budget["remaining_usd"])


def test_budgets_have_the_names_of_whom_they_bound(simulator: SimulatorControl, tmp_path: Path) -> None:
    config = tmp_path / "exporter.yml"
    config.write_text(
        f"organizations: [{{name: acme, base_url: {simulator.api_url}, admin_key_env: OPENAI_ADMIN_KEY}}]\n"
        "budgets: [{name: projects, each: project_id, limit_usd: 10000}]\n"
    )
    command = ("report", "--config.file", str(config), "--by", "model", "--format")
    found = json.loads(done(run(simulator, *command, "json")))
    projects = json.loads(done(run(simulator, "report", "--by", "project", "--format", "json")))
    names = {each["id"]: each["name"] for each in projects["parts"] if each["id"]}
    budgets = {each["id"]: each["name"] for each in found["budgets"]}
    assert len(budgets) > 2
    assert budgets.items() <= names.items()
    assert not budgets.items() & {(id, id) for id in budgets}
    shown = done(run(simulator, *command, "markdown"))
    for name in budgets.values():
        assert f"projects (project {name}, month, billed)" in shown.replace("\\", "")


def test_html_is_one_file_with_charts_and_no_script(simulator: SimulatorControl, tmp_path: Path) -> None:
    output = tmp_path / "october.html"
    done(run(simulator, "report", "--period", "2026-10", "--format", "html", "-o", str(output)))
    page = output.read_text()

    assert 31 * 3 == page.count("<rect ")
    assert f"{cents(spent(bill(simulator, *OCTOBER))['']):,}" in page
    assert "<script" not in page
    assert "http://" not in page
    assert "https://" not in page


@pytest.mark.parametrize("form", ["table", "csv", "json", "markdown", "html", "focus"])
def test_a_period_without_usage_is_told_as_such(form: str) -> None:
    empty = {"object": "page", "data": [], "has_more": False, "next_page": None}
    paths = ("/usage/completions", "/usage/embeddings", "/costs")
    with answering(dict.fromkeys(paths, empty)) as url:
        env = {"OPENAI_ADMIN_KEY": ADMIN_KEY, "OPENAI_BASE_URL": url}
        command = ("report", "--period", "2026-10", "--format", form)
        found = done(CliRunner().invoke(main, command, env=env))
    if form in ("csv", "focus"):
        assert len(found.splitlines()) == (2 if form == "csv" else 1)
    else:
        assert "The API reports no usage and no costs of this period." in found


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--organization", "umbrella"), "unknown organization 'umbrella'; give --organization with one of: default"),
        (("-o", "/nonexistent/report.csv"), "/nonexistent/report.csv: cannot be written: No such file"),
    ],
)
def test_bad_input_is_one_line_with_the_remedy(
    simulator: SimulatorControl, arguments: tuple[str, ...], message: str
) -> None:
    result = run(simulator, "report", *arguments)

    assert 1 == result.exit_code
    assert message in result.stderr
    assert 1 == len(result.stderr.splitlines())


def test_a_period_in_the_future_is_a_wrong_flag(simulator: SimulatorControl) -> None:
    result = run(simulator, "report", "--period", "2026-12-01..2026-12-02")

    assert 2 == result.exit_code
    assert "is in the future; today is 2026-11-19" in result.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("report", "--period", "fortnight"),
        ("report", "--period", "2026-11-05..2026-11-03"),
        ("report", "--period", "2026-11-05..2026-13-01"),
        ("backfill", "-o", "never.om", "--from", "2026-13-01"),
        ("backfill", "-o", "never.om", "--from", "2026-11-05", "--to", "2026-11-03"),
    ],
)
def test_a_slip_in_a_date_is_told_without_a_key_and_without_a_call(command: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main, command, env={"OPENAI_ADMIN_KEY": "", "OPENAI_API_KEY": ""})
    assert 2 == result.exit_code
    assert any(words in result.stderr for words in ("is not a date such as", "swap them", "'fortnight' is not one of"))


@pytest.mark.parametrize("command", [("report",), ("backfill", "--from", "2026-11-01", "-o", "never.om")])
@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("sk-proj-0123456789abcdef", "only admin keys have; owners make them at"),
        ("", "set OPENAI_API_KEY (probes) or OPENAI_ADMIN_KEY"),
    ],
)
def test_a_wrong_or_missing_key_says_how_to_get_the_right_one(
    simulator: SimulatorControl, command: tuple[str, ...], key: str, message: str
) -> None:
    result = run(simulator, *command, key=key)

    assert 1 == result.exit_code
    assert message in result.stderr
    assert 1 == len(result.stderr.splitlines())
    assert not Path("never.om.parts").exists()


DAY = unix("2026-11-02")
COSTS = [
    CostRow(("gpt-6-luna, input",), Decimal("1.25")),
    CostRow(("gpt-6-luna, output",), Decimal("2.25")),
    CostRow(("web search tool calls",), None, "eur"),
]


class Canned(Source):
    """A source that has the same costs and one row of usage for each query, and fails once before."""

    error: UpstreamError | None = None

    def usage(self, name: str, group_by: tuple[str, ...], part: Range, restart: Restart, take: TakeUsage) -> None:
        columns = [column.name for column in OPERATIONS[name].columns]
        values = tuple(7 if column.startswith("unpriced") else 0 for column in columns)
        labels = tuple("odd-model" if dimension == "model" else "x" for dimension in group_by)
        for _ in range(2):
            restart()
            take(DAY, labels, values)

    def costs(
        self, group_by: tuple[str, ...], part: Range, restart: Restart, take: TakeCosts, *, quantities: bool = False
    ) -> None:
        if self.error is not None:
            raise self.error
        for _ in range(2):
            restart()
            for row in COSTS:
                take(DAY, row)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "exporter.yml"
    path.write_text("organizations: [{name: acme, admin_key_env: KEY, usage: {completions: {group_by: [model]}}}]\n")
    return load_config(path, {"KEY": "sk-admin-0123456789abcdef"})


def book(config: Config, by: By, error: UpstreamError | None = None) -> Book:
    with Canned(config, config.organizations[0], {}) as source:
        source.error = error
        made = Book(by)
        for read in usage_reads(made, source, DAY, None):
            read(source)
        read_costs(made, source, DAY, None)
    return made


def test_amounts_in_another_currency_are_in_no_sum_and_counted_once(config: Config) -> None:
    made = book(config, "line_item")

    assert Decimal("3.5") == made.total(DAY, DAY + 1).billed
    assert ["1 rows of costs in eur are in no sum."] == made.notes


def test_usage_without_a_price_names_its_model_and_is_counted_once(config: Config) -> None:
    made = book(config, "model")

    assert {(DAY, "odd-model")} == made.unpriced
    assert 7 == made.groups(DAY, DAY + 1)["odd-model"].count("unpriced_tokens")


@pytest.mark.parametrize("by", ["key", "user"])
def test_costs_that_the_api_does_not_group_so_are_list_prices(config: Config, by: By) -> None:
    made = book(config, by, UpstreamError("HTTP 400", api="costs", reason="bad_request", status=400))

    assert made.total(DAY, DAY + 1).billed is None
    assert [f"The API does not report costs by {by}; amounts are list prices of the usage."] == made.notes


@pytest.mark.parametrize(("by", "status"), [("project", 400), ("key", 500)])
def test_other_failures_of_costs_are_failures(config: Config, by: By, status: int) -> None:
    with pytest.raises(UpstreamError):
        book(config, by, UpstreamError("no", api="costs", reason="bad_request", status=status))


NOW = unix("2026-11-21T09:40:00Z")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("day", ("2026-11-20", "2026-11-20", "2026-11-19", "2026-11-19"), id="last whole day"),
        pytest.param("week", ("2026-11-14", "2026-11-20", "2026-11-07", "2026-11-13"), id="last seven days"),
        pytest.param("month", ("2026-11-01", "2026-11-21", "2026-10-01", "2026-10-21"), id="month so far"),
        pytest.param("2026-02", ("2026-02-01", "2026-02-28", "2026-01-01", "2026-01-31"), id="whole month"),
        pytest.param("2026-11", ("2026-11-01", "2026-11-21", "2026-10-01", "2026-10-21"), id="running month"),
        pytest.param("2026-11-03..2026-11-05", ("2026-11-03", "2026-11-05", "2026-10-31", "2026-11-02"), id="range"),
    ],
)
def test_a_period_and_what_it_is_compared_with(text: str, expected: tuple[str, ...]) -> None:
    found = parse_period(text, NOW)

    assert expected == (found.first, found.last, format_date(found.before_start), format_date(found.before_end - 1))


def test_a_long_month_so_far_is_compared_with_a_short_month_at_most() -> None:
    found = parse_period("month", unix("2026-03-30T12:00:00Z"))

    assert ("2026-02-01", "2026-02-28") == (format_date(found.before_start), format_date(found.before_end - 1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fortnight", "'fortnight' is not one of: day, week, month"),
        ("2026-11-05..2026-11-03", "2026-11-05 is after --period TO 2026-11-03; swap them"),
        ("2026-11-05..2026-11-22", "2026-11-22 is in the future; today is 2026-11-21"),
        ("2026-11-05..2026-11-31", "'2026-11-31' is not a date such as"),
        ("2026-13", "'2026-13' is not a month such as 2026-10"),
        ("1999-01", "is before 2020-01-01"),
        ("2026-W12-1..2026-11-01", "'2026-W12-1' is not a date"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_is_allowed(text: str, message: str) -> None:
    with pytest.raises(PeriodError) as caught:
        parse_period(text, NOW)

    assert message in str(caught.value)
