# SPDX-License-Identifier: Apache-2.0
"""What a spreadsheet must not run."""

import csv
import io
from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from openai_exporter.report import data
from tests.exporter.report.commands import one_project

_ASCII = ("=1+1", "+1", "-1", "@sum", "\t=1", "  =1", "\r=1")
_WIDE = ("\uff1d1", "\uff0b1", "\uff0d1", "\uff20sum", "\ufe661", "\u207a1", "\u22121")
_AFTER_SPACE = ("\xa0=1", "\u3000\uff1d1", "\u200b=1", "\ufeff=1", "\u202e=1")


@pytest.mark.parametrize("text", [*_ASCII, *_WIDE, *_AFTER_SPACE], ids=ascii)
def test_text_that_looks_like_a_formula_is_quoted(text: str) -> None:
    assert data.cell(text).startswith("'")


@pytest.mark.parametrize("text", ["gpt-6", "a=1", "\uff21", "1 - 2", ""])
def test_other_text_is_as_it_was(text: str) -> None:
    assert data.cell(text) == text


def test_numbers_stay_numbers() -> None:
    assert ["-1.005", "0.25", "3", ""] == [data.cell(each) for each in (Decimal("-1.0050"), 0.25, 3, None)]


@given(st.text(max_size=40))
def test_any_name_is_one_cell_that_runs_nothing(name: str) -> None:
    part, _ = list(csv.DictReader(io.StringIO(data.render_csv(one_project(name)))))

    assert "-1.005" == part["billed_usd"]
    assert not part["name"].lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n"))


@given(st.text(max_size=40))
def test_any_name_is_text_in_json(name: str) -> None:
    assert '"-1.005"' in data.render_json(one_project(name))
