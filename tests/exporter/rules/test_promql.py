# SPDX-License-Identifier: Apache-2.0
"""The check of PromQL against tables, against promtool on thousands of broken expressions, and at its limits."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from openai_exporter.rules.promql import PromQLError, check

from .prometheus import needs_promtool, refused

GOOD = [
    "up", "up == 0", "1 == bool 1", "-1 ^ 2", "2 ^ -1 ^ 3", "a * -b", "sum(a) by (b)", "sum by (b,) (a)", "sum by () (a)",
    "rate(a[5m])", "rate(a[5m:1m])", "max_over_time((a + b)[5m:1m] offset 5m)", "rate(a[5m] offset -5m @ 100)",
    "a @ end() offset 1m", "{a=\"b\"}", "a{}", "a{b=\"c\",}", "a{b='c\"d'}", r'a{b=~"c\\d"}', "{__name__=\"x\"}",
    "a and on(b) c", "a / on(b) group_left(c,d) e", "a / ignoring(b) group_right() e", "a > bool b", "vector(1)",
    "scalar(a) + 1", "clamp(a, 1, 2)", "round(a)", "round(a, 5)", 'label_join(a, "x", ",")',
    'label_join(a, "x", ",", "b", "c")', 'label_replace(a,"x","$1","y","(.*)")', "hour()", "hour(a)", "topk(5, a)",
    'count_values("x", a)', "histogram_quantile(0.9, sum by (le) (rate(a_bucket[5m])))", 'absent(a{b="c"})', "+Inf",
    "NaN + a", "0x1F + 1e3 + .5 + 5.", "a # comment\n+ b", "SUM(a) BY (b)", "a AND b OR c UNLESS d", "a atan2 b",
    "min_over_time(sum(a)[5m:])", 'a:b:c{d="e"}', ":x", "a @ -5.5", "pi() * a", "a > 1 > 2", "a - - b", "`abc`",
    'a{b=~"(?i)x(?:y)[a-z]{2,3}"}', "a{on=\"x\"}", "sum by (on) (a)", "sum + offset", "rate(rate(a[5m])[10m:])",
]  # fmt: skip
BAD = [
    "", "1 == 1", "sum by (b)(a) by (c)", "rate(a)", "rate((a+b)[5m])", "a offset 1m offset 1m", "(a) offset 1m",
    '{a=~".*"}', "{}", "a{,}", r'a{b="c\d"}', 'a{b=~"(?=x)"}', 'a{b=~"("}', 'foo{__name__="x"}', "a and 1",
    "a and on(b) group_left c", "a / on(b) group_left(b) e", "a + bool b", "vector(a)", "clamp(a, 1)", "round(a, 1, 2)",
    'label_join(a, "x")', "topk(a, 5)", "topk(a)", '-"foo"', "-a[5m]", "a +", "(a", "a)", "a b", 'a{b="c}', "a{b==c}",
    "foo(a)", "a[0s]", "a[5]", "a[5m5m]", "a[30m1h]", "a{b:c=\"d\"}", "sum(a,)", "rate(a[5m],)", "()", "sum()",
    "a @ b", "@", "a[5m] + 1", "5 m", "a == 5m", "2 ^ a[5m]", "a[5m:1m][5m:1m]", "1e400", "on", 'a{b=~"a{1001}"}',
    'a{b=~"(a{500}){500}"}', 'a{b=~"[[:lpha:]]"}', "é", "a{b=~\"x++\"}", "a or 1", "c UNLESS 0", "-" * 100 + "a",
    "(" * 100 + "a" + ")" * 100, "a + " * 10_000 + "a",
]  # fmt: skip
ONLY_IN_3 = ("a[5]", "a == 5m")
"""What Prometheus 3 takes and 2.42 does not; ours must load in both."""
PIECES = [
    *("(", ")", "{", "}", "[", "]", ",", "5m", "1", "up", "by", "on", "bool", "offset", "@", "-", "+", "^", "or"),
    *(" and ", "==", "=~", "=", '"x"', "'", '"', "\\", "rate", "sum", "(a)", "[5m]", "[5m:1m]", "ignoring(b)"),
    *("group_left", " ", "a", "time()", ":", "unless", "#", "\n", "inf", "start()", "0", "é", "*"),
]


@pytest.mark.parametrize("expression", GOOD)
def test_what_prometheus_accepts_is_accepted(expression: str) -> None:
    assert check(expression) in ("scalar", "instant vector", "range vector", "string")


@pytest.mark.parametrize("expression", BAD, ids=lambda text: repr(text[:30]))
def test_what_prometheus_refuses_is_refused_in_one_line(expression: str) -> None:
    with pytest.raises(PromQLError) as caught:
        check(expression)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("histogram_avg(a)", "function histogram_avg needs Prometheus 2.51; rules here load in 2.42 too"),
        ("sum(info(a))", "function info needs Prometheus 2.55, behind a feature flag; rules here load in 2.42 too"),
        ("limitk(1, a)", "function limitk needs Prometheus 2.54, behind a feature flag; rules here load in 2.42 too"),
        ("first_over_time(a[5m])", "function first_over_time needs Prometheus 3.14; rules here load in 2.42 too"),
        ("start()", "function start needs Prometheus 3.12, behind a feature flag; rules here load in 2.42 too"),
        ("a / on (b) fill(0) c", "fill needs Prometheus 3.10, behind a feature flag; rules here load in 2.42 too"),
        ("a offset 5", "a range or offset without its unit needs Prometheus 3; rules here load in 2.42 too"),
        ("a[5m:60]", "a range or offset without its unit needs Prometheus 3; rules here load in 2.42 too"),
        ("a > 5m", "a duration as a number needs Prometheus 3; rules here load in 2.42 too"),
        ('{"a.b"}', "a name in quotes needs Prometheus 3; rules here load in 2.42 too"),
        ('a{b="c", "d.e"="f"}', "a name in quotes needs Prometheus 3; rules here load in 2.42 too"),
        ('sum by (b, "c.d") (a)', "a name in quotes needs Prometheus 3; rules here load in 2.42 too"),
        ('a{b="c" or d="e"}', "or between label matchers is not PromQL"),
        ('a{b!~"x++"}', "regular expression 'x++': bad repetition operator: ++"),
        ('a{b=~"(?<n>x)"}', "regular expression '(?<n>x)': write (?P<name> in place of (?<name>"),
        ("foo(a)", "unknown function with name 'foo'"),
        ("a +", "is not valid PromQL"),
        ("rate(+a[5m])", "unary expression only allowed on expressions of type scalar or vector, got: matrix"),
    ],
)  # fmt: skip
def test_what_an_old_prometheus_does_not_know_is_named_with_the_version_that_does(expression: str, said: str) -> None:
    with pytest.raises(PromQLError) as caught:
        check(expression)
    assert said == str(caught.value)


@pytest.mark.parametrize(
    "made",
    [
        '"-" * n + "a"',
        '"(" * n + "a" + ")" * n',
        '"a+" * n + "a"',
        '"2^" * n + "2"',
        '"abs(" * n + "a" + ")" * n',
        '"a and " * n + "a"',
        '"sum by (" + "b," * n + ") (a)"',
        """'a{' + 'b="c",' * n + '}'""",
        "'(' * n",
    ],
)
def test_no_expression_ends_the_process(made: str) -> None:
    """The parser recurses: alone it dies of 8,500 signs or 4,200 sums on a stack of 8 MiB."""
    program = (
        "from openai_exporter.rules.promql import PromQLError, check\n"
        "for n in (900, 3000, 9000, 40_000):\n"
        f"    try:\n        check({made})\n    except PromQLError:\n        pass"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=600)

    assert (0, "") == (done.returncode, done.stderr)


@needs_promtool
@pytest.mark.stack
def test_promtool_agrees_with_both_tables(tmp_path: Path) -> None:
    good = [text for text in GOOD if check(text) in ("scalar", "instant vector")]
    bad = [text for text in BAD if text and len(text) < 90 and text not in ONLY_IN_3]

    found = refused(tmp_path, [{"record": "a:b:c", "expr": text} for text in (*good, *bad)])

    assert [False] * len(good) + [True] * len(bad) == found


@needs_promtool
@pytest.mark.stack
def test_no_broken_expression_is_taken_that_promtool_refuses(tmp_path: Path) -> None:
    draw = random.Random(2026)
    broken = [_broken(draw) for _ in range(3000)]
    taken = [text for text in broken if _taken(text)]

    found = refused(tmp_path, [{"record": "a:b:c", "expr": text} for text in taken])

    assert len(taken) > 200
    assert [text for text, bad in zip(taken, found, strict=True) if bad] == []


def _taken(text: str) -> bool:
    try:
        return bool(text.strip()) and bool(check(text))
    except PromQLError:
        return False


def _broken(draw: random.Random) -> str:
    """An expression with one to three random edits."""
    text = draw.choice(GOOD + [each for each in BAD if len(each) < 90])
    for _ in range(draw.randint(1, 3)):
        start = draw.randint(0, len(text))
        end = min(len(text), start + draw.randint(0, 3))
        piece = draw.choice(["", *PIECES])
        text = text[:start] + piece + text[end:]
    return text
