# SPDX-License-Identifier: Apache-2.0
"""Rounding that loses no cent, and names that are no markup."""

import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, strategies as st
from rich.cells import cell_len

from openai_exporter.report import data, documents
from openai_exporter.report.report import Report, Totals
from openai_exporter.usage.dataset import BudgetState
from tests.exporter.report.commands import october, one_project

AMOUNTS = st.lists(st.decimals(-(10**6), 10**6, places=9, allow_nan=False, allow_infinity=False), max_size=40)


@given(AMOUNTS)
def test_rounded_parts_add_up_to_the_rounded_total(parts: list[Decimal]) -> None:
    shown = documents.apportioned(parts)

    assert documents.cents(sum(parts, Decimal(0))) == sum(shown, Decimal(0))
    assert all(abs(part - each) < documents.CENT for part, each in zip(parts, shown, strict=True))


def test_figures_are_shown_as_people_write_them() -> None:
    assert "-$1,234.57" == documents.dollars(Decimal("-1234.565"))
    assert "$0.00" == documents.dollars(Decimal(0))
    assert "<$0.01" == documents.dollars(Decimal("0.004"))
    assert ">-$0.01" == documents.dollars(Decimal("-0.001"))
    assert "\N{EN DASH}" == documents.dollars(None)
    assert "12.3 %" == documents.percent(0.1234)
    assert "0.0 %" == documents.percent(-0.0001)


PROJECTS = {
    "proj_1": "Default project",
    "proj_2": "\u691c\u7d22\u30b5\u30fc\u30d3\u30b9",
    "proj_3": "The project of the team for customer support in Europe, Middle East and Africa, until 2027",
    "proj_4": "red \x1b[31mtext\nin two lines",
    "proj_5": "tiny",
}
AMOUNTS_OF = {"proj_1": "2608.044", "proj_2": "98765432109.87", "proj_3": "120", "proj_4": "-55.5", "proj_5": "0.0004"}
BUDGETS = (
    BudgetState("all", "organization", "", "month", "billed", Decimal(10**12), 0.8, Decimal("98765434782.41")),
    BudgetState("each", "project", "proj_3", "month", "billed", Decimal(100), 0.8, None, PROJECTS["proj_3"]),
)


def all_kinds() -> Report:
    """A report with long and wide names, control characters, and amounts from a fraction of a cent to billions."""
    counts = {"requests": 12_345_678, "input_tokens": 9_876_543_210, "output_tokens": 5}
    usage = {"proj_2": Totals(None, 10**15, counts)}
    cells = {("2026-10-05", id): Totals(Decimal(usd)) for id, usd in AMOUNTS_OF.items()}
    for id, totals in usage.items():
        cells["2026-10-05", id].add(totals)
    report = october(cells, lambda id: PROJECTS[id])
    return replace(report, budgets=BUDGETS, notes=("3 rows of costs in eur are in no sum.", *report.notes))


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 160])
def test_a_terminal_shows_a_report_like_its_golden_text(width: int) -> None:
    golden = Path(__file__).parent / "terminals" / f"{width}.txt"

    assert golden.read_text("utf-8") == documents.render_terminal(all_kinds(), width)


NAMES = st.text(st.characters(categories=["L", "Lo", "N", "P", "Cc", "Cf", "So"]), max_size=60)
USD = st.decimals(-(10**12), 10**14, places=5)


@given(st.integers(1, 200), st.lists(st.tuples(NAMES, USD), min_size=1, max_size=4))
def test_no_terminal_drops_a_name_or_cuts_a_figure(width: int, parts: list[tuple[str, Decimal]]) -> None:
    names = {f"proj_{place}": name for place, (name, _) in enumerate(parts)}
    cells = {("2026-10-05", f"proj_{place}"): Totals(usd) for place, (_, usd) in enumerate(parts)}
    report = october(cells, names.get)  # type: ignore[arg-type]

    shown = documents.render_terminal(report, width)
    [by_project, *_] = documents.view(report).tables
    lines = shown.split("By project\n")[1].split("\n\n")[0].splitlines()
    words = [line.split() for line in lines]
    for row in by_project.rows:
        assert any(line.startswith(row[0]) for line in lines)
        assert any(row[1] in line for line in words)
    single = {cell for row in (by_project.head, *by_project.rows, by_project.foot) for cell in row}
    assert all(cell_len(line) <= width or line.strip() in single for line in lines)


def test_a_terminal_takes_no_style_where_there_is_no_color() -> None:
    assert "\x1b" not in documents.render_terminal(all_kinds(), 80)
    assert "\x1b[1mBy project\x1b[0m" in documents.render_terminal(all_kinds(), 80, color=True)


RENDERERS = {
    "table": documents.render_terminal,
    "markdown": documents.render_markdown,
    "html": documents.render_html,
    "json": data.render_json,
    "csv": data.render_csv,
}


@pytest.mark.parametrize("form", RENDERERS)
@given(name=st.text(st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp", "Lu"]), max_size=20))
def test_no_name_writes_control_characters_or_turns_text(form: str, name: str) -> None:
    made = RENDERERS[form](one_project(f"\x1b]0;x\x07\x9b2J\N{RIGHT-TO-LEFT OVERRIDE}\N{RIGHT-TO-LEFT MARK}{name}"))

    assert not re.findall(r"[^\n\r\x20-\x7e\xa0-\U0010ffff]|[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]", made)
    assert "\r" not in made.replace("\r\n", "")


@given(st.text(max_size=40))
def test_any_name_is_one_cell(name: str) -> None:
    report = one_project(name)

    assert "-$1.01" in documents.render_terminal(report)
    rows = [line for line in documents.render_markdown(report).splitlines() if line.startswith("|")]
    assert {12} == {line.replace(r"\|", "").count("|") - 1 for line in rows[:4]}


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [("0", "2", "new"), ("-1", "2", "\N{EN DASH}"), ("0", "0", "\N{EN DASH}"), ("1", "2", r"+100.0 %")],
)
def test_only_what_was_not_there_before_is_new(before: str, now: str, expected: str) -> None:
    cells = {("2026-09-05", "proj_1"): Totals(Decimal(before)), ("2026-10-05", "proj_1"): Totals(Decimal(now))}
    [row] = [
        line
        for line in documents.render_markdown(october(cells)).splitlines()
        if line.startswith(r"| proj\_1") and line.count(" | ") > 5
    ]

    assert expected == row.split(" | ")[4]


HOSTILE = '=HYPERLINK("http://x")|<script>alert(1)</script>\n| `x` | [red]'


def test_a_hostile_name_is_text_on_the_page() -> None:
    html = documents.render_html(one_project(HOSTILE))

    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert documents.render_html(one_project("x")).count("<rect ") == html.count("<rect ")
