# SPDX-License-Identifier: Apache-2.0
"""Rounding that loses no cent, and names that are no markup."""

import re
from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from openai_exporter.report import data, documents
from openai_exporter.report.report import Totals
from tests.exporter.report.commands import october, one_project

AMOUNTS = st.lists(st.decimals(-(10**6), 10**6, places=9, allow_nan=False, allow_infinity=False), max_size=40)


@given(AMOUNTS)
def test_rounded_parts_add_up_to_the_rounded_total(parts: list[Decimal]) -> None:
    shown = documents.apportioned(parts)

    assert documents.cents(sum(parts, Decimal(0))) == sum(shown, Decimal(0))
    assert all(abs(part - each) < documents.CENT for part, each in zip(parts, shown, strict=True))


def test_figures_are_shown_as_people_write_them() -> None:
    assert "-$1,234.57" == documents.dollars(Decimal("-1234.565"))
    assert "$0.00" == documents.dollars(Decimal("-0.001"))
    assert "\N{EN DASH}" == documents.dollars(None)
    assert "12.3 %" == documents.percent(0.1234)


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
