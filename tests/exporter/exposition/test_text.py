# SPDX-License-Identifier: Apache-2.0
"""Pages read back as what they were made of, with prometheus_client's parsers as the judge."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families as parse_text

from openai_exporter.exposition import Family, encode, family, fixed
from openai_exporter.exposition.text import number
from openai_exporter.metrics import Kind, Metric, Page, probe, usage

from .families import expected, families, parse_openmetrics, read

TESTDATA = Path(__file__).parent / "testdata"


def sample_page() -> list[Family]:
    tokens = Family(probe.TOKENS)
    tokens.add(12, "input")
    tokens.add(3.0, "output")
    requests = Family(usage.REQUESTS)
    requests.add(1234567, "completions", "proj_1", "", "", 'gpt "5" \\ mini', "false", "", "")
    requests.add(1e16, "completions", "proj_2", "key_1", "user-1", "two\nlines", "true", "flex", "")
    cost = Family(usage.ESTIMATED_COST)
    cost.add(0.1 + 0.2, "completions", *[""] * 7)
    cost.add(1e-07, "embeddings", *[""] * 7)
    odd = Metric("openai_odd", Kind.GAUGE, Page.PROBE, 'A "quoted" \\ text\nof two lines.', ("which",))
    values = Family(odd, [((str(value),), value) for value in (math.nan, math.inf, -math.inf, -2.5, 0.0)])
    return [family(probe.SUCCESS, True), family(probe.COST, None), tokens, requests, cost, values]


@pytest.mark.parametrize("openmetrics", [False, True])
def test_a_family_that_is_written_once_reads_as_any_other(openmetrics: bool) -> None:
    samples = [(("one",), 1.0), (('t"wo',), 0.0), (("three",), 2.5)]
    once, other = fixed(probe.OUTCOME, samples), Family(probe.OUTCOME, list(samples))
    before, after = family(probe.SUCCESS, True), family(probe.COST, 0.5)
    pages = [encode([before, each, after], openmetrics=openmetrics) for each in (once, once, other)]
    assert pages[0] == pages[1] == pages[2]
    assert b'openai_probe_outcome{outcome="t\\"wo"} 0' in pages[0]


@pytest.mark.parametrize(("name", "openmetrics"), [("page.prom", False), ("page.openmetrics", True)])
def test_a_page_is_written_exactly_so(name: str, openmetrics: bool) -> None:
    assert (TESTDATA / name).read_bytes() == encode(sample_page(), openmetrics=openmetrics)


@given(families())
def test_text_reads_back(found: list[Family]) -> None:
    page = encode(found).decode()
    assert read(parse_text(page)) == pytest.approx(expected(found), rel=0, abs=0, nan_ok=True)


@given(families())
def test_openmetrics_reads_back(found: list[Family]) -> None:
    page = encode(found, openmetrics=True).decode()
    parsed = parse_openmetrics(page)
    assert read(parsed) == pytest.approx(expected(found), rel=0, abs=0, nan_ok=True)
    kinds = {each.metric.name.removesuffix("_total"): str(each.metric.kind) for each in found if each.samples}
    assert {each.name: each.type for each in parsed} == kinds


def test_a_page_without_samples_is_empty() -> None:
    assert encode([Family(probe.TOKENS), family(probe.COST, None)]) == b""
    assert encode([], openmetrics=True) == b"# EOF\n"


def test_families_of_one_metric_become_one() -> None:
    first, other, second = Family(probe.TOKENS), family(probe.SUCCESS, 1), Family(probe.TOKENS)
    first.add(1, "input")
    second.add(2, "output")
    page = encode([first, other, second]).decode()
    assert page.count("# TYPE openai_probe_tokens gauge") == 1
    assert len(read(parse_text(page))) == 3
    assert len(read(parse_openmetrics(encode([first, other, second], openmetrics=True).decode()))) == 3


def test_a_sample_with_too_few_labels_is_refused() -> None:
    found = Family(probe.TOKENS)
    with pytest.raises(ValueError, match=r"openai_probe_tokens takes the labels \('direction',\), got \(\)"):
        found.add(1)
    found.samples.append(((), 1))
    with pytest.raises(ValueError, match="zip"):
        encode([found])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (3.0, "3"),
        (-3.0, "-3"),
        (0.1, "0.1"),
        (1e15, "1000000000000000"),
        (1e16, "1e+16"),
        (5e-324, "5e-324"),
        (2**53 + 1, "9007199254740993"),
        (True, "1"),
        (False, "0"),
        (math.nan, "NaN"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
    ],
)
def test_a_number_has_its_shortest_exact_form(value: float, text: str) -> None:
    assert text == number(value)


@given(st.floats(allow_nan=False))
def test_a_number_reads_back_exactly(value: float) -> None:
    assert value == float(number(value))
