# SPDX-License-Identifier: Apache-2.0
"""The PromQL parser."""

import pytest

from tests.mixin.bundle import rule_files

from .files import rules_of
from .nodes import Aggregate, Binary, Call, Matcher, Matching, Number, Selector, selectors
from .parser import PromQLError, parse, seconds

PARSED = {
    "metric": Selector("metric"),
    'm{a="b", c=~"d|e"}': Selector("m", (Matcher("a", "=", "b"), Matcher("c", "=~", "d|e"))),
    "m[1h30m] offset 1d": Selector("m", (), 5400, 86400),
    "level:metric:ratio5m": Selector("level:metric:ratio5m"),
    "rate(m[5m])": Call("rate", (Selector("m", (), 300),)),
    "sum by (a, b) (m)": Aggregate("sum", ("a", "b"), False, (Selector("m"),)),
    "sum(m) without (a)": Aggregate("sum", ("a",), True, (Selector("m"),)),
    "topk(3, m)": Aggregate("topk", (), False, (Number(3), Selector("m"))),
    "a > bool 2.5": Binary(">", Selector("a"), Number(2.5), returns_bool=True),
    "a and b > 1": Binary("and", Selector("a"), Binary(">", Selector("b"), Number(1))),
    "a + b * 2": Binary("+", Selector("a"), Binary("*", Selector("b"), Number(2))),
    "a - b - c": Binary("-", Binary("-", Selector("a"), Selector("b")), Selector("c")),
    "(a or b) unless c": Binary("unless", Binary("or", Selector("a"), Selector("b")), Selector("c")),
    "a * on (x) group_left (y) b": Binary(
        "*", Selector("a"), Selector("b"), Matching(True, ("x",), "group_left", ("y",))
    ),
    "a unless ignoring (x) b": Binary("unless", Selector("a"), Selector("b"), Matching(False, ("x",))),
    "-a": Binary("*", Number(-1), Selector("a")),
    'label_replace(a, "x", "$1", "y", "(.*)")': Call(
        "label_replace", (Selector("a"), Number(text="x"), Number(text="$1"), Number(text="y"), Number(text="(.*)"))
    ),
    "rate(m[$__rate_interval])": Call("rate", (Selector("m", (), 0.0),)),
}


@pytest.mark.parametrize(("text", "tree"), PARSED.items(), ids=PARSED)
def test_parses(text: str, tree: object) -> None:
    assert tree == parse(text)


@pytest.mark.parametrize(
    "text", ["", "a +", "sum by (a", "m{a=b}", "m{a=", "a b", "rate(m[5])", "m[5m", "f(,)", "a ? b"]
)
def test_refuses(text: str) -> None:
    with pytest.raises(PromQLError):
        parse(text)


@pytest.mark.parametrize(("text", "expected"), [("90s", 90), ("1h30m", 5400), ("30d", 2592000), ("1w", 604800)])
def test_durations(text: str, expected: float) -> None:
    assert expected == seconds(text)


def test_every_rule_of_the_bundle_parses_and_reads_something() -> None:
    empty = [rule for _, rule in rules_of(rule_files()) if not selectors(parse(rule["expr"]))]

    assert {rule.get("alert") or rule["record"] for rule in empty} == {
        "Watchdog",
        "global:openai_month_elapsed:ratio",
        "global:openai_weekend:bool",
    }
