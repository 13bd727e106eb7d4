# SPDX-License-Identifier: Apache-2.0
"""Examples: the values they stand for, promtool's notation, and that a wrong one is found."""

import pytest
from hypothesis import given, strategies as st

from openai_exporter.rules.examples import encoded, failures
from openai_exporter.rules.measures import MEASURES
from openai_exporter.rules.thresholds import Example, parse_thresholds, problem_of, steps
from tests.exporter.rules.documents import document
from tests.exporter.rules.prometheus import PROMTOOL, needs_promtool


@pytest.mark.parametrize(
    ("metric", "values", "expected"),
    [
        ("p95_latency", ("1s x2", "800ms", "timeout", "none x2"), [1.0, 1.0, 0.8, "timeout", "none", "none"]),
        ("error_rate", ("ok x2", "fail"), ["ok", "ok", "fail"]),
        ("headroom", ("5%", 0.5), [0.05, 0.5]),
        ("tokens_per_hour", ("2M x2",), [2e6, 2e6]),
    ],
)
def test_values_are_one_per_probe(metric: str, values: tuple[str, ...], expected: list[object]) -> None:
    assert expected == steps(Example(values=values, fires=True), MEASURES[metric], 9)


def test_a_single_value_lasts() -> None:
    assert steps(Example(value="5s", fires=True), MEASURES["p95_latency"], 4) == [5.0] * 4


@pytest.mark.parametrize(
    ("metric", "example", "said"),
    [
        ("error_rate", {"value": "5%"}, "'5%': must be one of ok, fail, none, such as [ok x5, fail x3]"),
        ("headroom", {"value": "fail"}, "'fail': must be a share such as 5% or 0.05; or one of none"),
        ("p95_latency", {"values": ["1s x9999", "1s x9999"]}, "stands for more than 10000 probes; make it shorter"),
        ("p95_latency", {}, "needs value (one that lasts) or values (one per probe), not both"),
    ],
)
def test_an_example_that_says_nothing_is_refused(metric: str, example: dict[str, object], said: str) -> None:
    found = problem_of(Example.model_validate({**example, "fires": True}), MEASURES[metric])

    assert found is not None
    assert said == found[1]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0], "1.0"),
        ([1.0] * 4, "1.0+0x3"),
        ([0.0, 2.0, 4.0, 4.0], "0.0+2x2 4.0"),
        ([1.0, None, None, 2.0], "1.0 stale _x1 2.0"),
        ([None, None, 1.0], "_x2 1.0"),
        ([1.0, None], "1.0 stale"),
    ],
)
def test_runs_are_written_in_short(values: list[float | None], expected: str) -> None:
    assert expected == encoded(values)


@given(st.lists(st.one_of(st.none(), st.integers(0, 5).map(float)), max_size=30))
def test_what_is_written_stands_for_the_values(values: list[float | None]) -> None:
    assert values == _decoded(encoded(values))


def _decoded(text: str) -> list[float | None]:
    """promtool's reading of its notation."""
    found: list[float | None] = []
    for part in text.split():
        start, _, times = part.partition("x")
        if start in ("_", "stale"):
            found += [None] * int(times or 1)
            continue
        first, _, step = start.partition("+") if "+" in start else start.rpartition("-")
        sign = 1.0 if "+" in start else -1.0
        if not times:
            found.append(float(start))
            continue
        found += [float(first) + sign * float(step) * number for number in range(int(times) + 1)]
    return found


@needs_promtool
@pytest.mark.stack
def test_an_example_that_does_not_hold_is_found_among_those_that_do() -> None:
    right, wrong = {"value": "6s", "fires": True}, {"value": "4s", "fires": True}
    file = parse_thresholds(
        document({"examples": [right]}, {"examples": [right, wrong, right]}, {"examples": [wrong | {"fires": False}]}),
        "t.yml",
    )

    assert failures(file, PROMTOOL) == [(1, 1)]


@needs_promtool
@pytest.mark.stack
def test_examples_run_whatever_the_selector_names_and_scope(tmp_path: object) -> None:
    entry = {
        "model": ["gpt-5.4*", "x"], "target": "*", "endpoint": "responses", "enabled": False,
        "examples": [{"value": "6s", "fires": True}, {"value": "5s", "fires": False}],
    }  # fmt: skip
    file = parse_thresholds(document(entry, selector='cluster="eu", job="ai"', interval="15s"), "t.yml")

    assert failures(file, PROMTOOL) == []
