# SPDX-License-Identifier: Apache-2.0
"""What a spreadsheet must not run, and Markdown not take for markup."""

import csv
import io
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openai_exporter.report import data, page, tables
from openai_exporter.report.book import Book, Tally
from openai_exporter.report.dates import period
from openai_exporter.report.report import Report, made
from tests.exporter.report.commands import unix

DAY = unix("2026-10-05")
EVIL = '=HYPERLINK("http://x")|<script>alert(1)</script>\n| `x` | [red]'


def report(name: str) -> Report:
    """One project of that name, with a credit."""
    counts = {"requests": 2, "input_tokens": 10, "output_tokens": 5}
    book = Book("project", {(DAY, "proj_1"): Tally(Decimal("-1.005"), 10**12, counts)}, billed=True)
    return made(book, "acme", period("2026-10", DAY + 40 * 86_400), DAY + 40 * 86_400, lambda id: name, ())


def test_two_of_one_name_are_told_apart() -> None:
    cells = {(DAY, f"proj_{each}"): Tally(Decimal(each)) for each in (1, 2, 3)}
    later = DAY + 40 * 86_400
    found = made(
        Book("project", cells, billed=True),
        "acme",
        period("2026-10", later),
        later,
        lambda id: "Search" if id != "proj_3" else "Chat",
        (),
    )
    assert ["Chat", "Search (proj_2)", "Search (proj_1)"] == [part.name for part in found.parts]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@sum", "\t=1", "  =1", "\r=1"])
def test_text_that_looks_like_a_formula_is_quoted(text: str) -> None:
    assert data.cell(text).startswith("'")


def test_numbers_stay_numbers() -> None:
    assert ["-1.005", "0.25", "3", ""] == [data.cell(each) for each in (Decimal("-1.0050"), 0.25, 3, None)]


@given(st.text(max_size=40))
def test_any_name_is_one_cell_that_runs_nothing(name: str) -> None:
    part, _ = list(csv.DictReader(io.StringIO(data.render_csv(report(name)))))

    assert "-1.005" == part["billed_usd"]
    assert not part["name"].lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n"))


@given(st.text(max_size=40))
def test_any_name_can_be_shown_in_every_form(name: str) -> None:
    found = report(name)

    assert "-$1.01" in tables.render_terminal(found)
    assert '"-1.005"' in data.render_json(found)
    rows = [line for line in tables.render_markdown(found).splitlines() if line.startswith("|")]
    assert {12} == {line.replace(r"\|", "").count("|") - 1 for line in rows[:4]}


def test_a_hostile_name_is_text_on_the_page() -> None:
    found = page.render(report(EVIL))

    assert "<script" not in found
    assert "&lt;script&gt;" in found
    assert page.render(report("x")).count("<rect ") == found.count("<rect ")


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [("0", "2", "new"), ("-1", "2", "\N{EN DASH}"), ("0", "0", "\N{EN DASH}"), ("1", "2", r"+100.0 %")],
)
def test_only_what_was_not_there_before_is_new(before: str, now: str, expected: str) -> None:
    cells = {(DAY - 30 * 86_400, "proj_1"): Tally(Decimal(before)), (DAY, "proj_1"): Tally(Decimal(now))}
    book = Book("project", cells, billed=True)
    later = DAY + 40 * 86_400
    [row] = [
        line
        for line in tables.render_markdown(
            made(book, "acme", period("2026-10", later), later, lambda id: "", ())
        ).splitlines()
        if line.startswith(r"| proj\_1") and line.count(" | ") > 5
    ]

    assert expected == row.split(" | ")[4]
