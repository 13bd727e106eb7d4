# SPDX-License-Identifier: Apache-2.0
"""Whether Prometheus 2.42 and 3 both accept a PromQL expression, for machines without promtool."""

import math
import re
from collections.abc import Iterator
from typing import Any

import promql_parser

from openai_exporter.config.base import compiled
from openai_exporter.config.secret import printable
from openai_exporter.metrics import RENAMED_VALUES

SCALAR, VECTOR, MATRIX, STRING = "scalar", "instant vector", "range vector", "string"

# The parser recurses, and the process dies where its stack ends: an operator or bracket takes up to 2 KiB of 8 MiB.
LONGEST = 20_000
_MOST_OPERATORS = 1000
_DEEPEST = 60

# Those that Prometheus 2.42 and 3 both know without a feature flag.
_FUNCTIONS = """
    abs absent absent_over_time acos acosh asin asinh atan atanh avg_over_time ceil changes clamp clamp_max clamp_min
    cos cosh count_over_time day_of_month day_of_week day_of_year days_in_month deg delta deriv exp floor
    histogram_count histogram_fraction histogram_quantile histogram_sum hour idelta increase irate label_join
    label_replace last_over_time ln log10 log2 max_over_time min_over_time minute month pi predict_linear
    present_over_time quantile_over_time rad rate resets round scalar sgn sin sinh sort sort_desc sqrt
    stddev_over_time stdvar_over_time sum_over_time tan tanh time timestamp vector year
"""
_KNOWN = frozenset(_FUNCTIONS.split())
_NEWER_FUNCTIONS = {
    **dict.fromkeys(("histogram_stddev", "histogram_stdvar"), "2.47"),
    **dict.fromkeys(("mad_over_time", "sort_by_label", "sort_by_label_desc"), "2.49, behind a feature flag"),
    "histogram_avg": "2.51",
    **dict.fromkeys(("limitk", "limit_ratio"), "2.54, behind a feature flag"),
    "info": "2.55, behind a feature flag",
    "double_exponential_smoothing": "3.0, behind a feature flag",
    **dict.fromkeys(
        ("ts_of_last_over_time", "ts_of_max_over_time", "ts_of_min_over_time"), "3.5, behind a feature flag"
    ),
    "ts_of_first_over_time": "3.7, behind a feature flag",
    "histogram_quantiles": "3.11, behind a feature flag",
    **dict.fromkeys(("start", "end", "range", "step"), "3.12, behind a feature flag"),
    **dict.fromkeys(("min_of", "max_of"), "3.13, behind a feature flag"),
    "first_over_time": "3.14",
    "start_timestamp": "3.14, behind a feature flag",
}
"""Function or aggregation -> the Prometheus that has it."""

_LITERAL = re.compile(r"""(?s)"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`|(\#[^\n]*)""")
_PLUS = re.compile(rf"{_LITERAL.pattern}|\+")
_OPERATOR = re.compile(r"[-+*/%^<>=(\[{]|\b(?:and|or|unless|atan2)\b", re.IGNORECASE)
_NUMBER = re.compile(r"(?<![\w.])\d[\d.]*(?:e[-+]?\d+)?", re.IGNORECASE)
_DURATION = r"(?:\d+(?:ms|[smhdwy]))+"
_WITH_DURATION = re.compile(rf"\[[^\]]*\]|\boffset\s*(?:[-+]\s*)?{_DURATION}", re.IGNORECASE)
_NEWER_SYNTAX = (
    (
        rf"(?:\[|\[[^\]]*:|\boffset\s*[-+]|\boffset(?=\s))\s*(?!{_DURATION}\b)[\d.]",
        "a range or offset without its unit",
        "3",
    ),
    (r'\{(?:[^}]*,)?\s*""\s*[,}=!]', "a name in quotes", "3"),
    (r'\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*""', "a name in quotes", "3"),
    (r"\bfill(?:_left|_right)?\s*\(", "fill", "3.10, behind a feature flag"),
)
"""What the parser takes and Prometheus 2.42 does not, as it stands in an expression without texts and comments."""


class PromQLError(ValueError):
    """The expression is not accepted; the message says why."""


def check(expression: str) -> str:
    """The type of an expression: `scalar`, `instant vector`, `range vector` or `string`.

    Raises:
        PromQLError: Prometheus would refuse it, or may.
    """
    bare = _LITERAL.sub(lambda match: " " if match[1] else '""', expression)
    if len(expression) > LONGEST:
        raise PromQLError(f"is longer than {LONGEST} characters")
    if sum(1 for _ in _OPERATOR.finditer(bare)) > _MOST_OPERATORS:
        raise PromQLError(f"has more than {_MOST_OPERATORS} operators and brackets")
    try:
        # The parser drops a plus before anything; a minus goes where a plus does, and is checked.
        root = promql_parser.parse(_PLUS.sub(lambda match: "-" if match[0] == "+" else match[0], expression))
    except ValueError as error:
        raise PromQLError("is not UTF-8 text" if isinstance(error, UnicodeError) else _one_line(str(error))) from None
    _check_syntax(bare)
    for node in _nodes(root):
        _check_node(node)
    return _type_of(root)


def check_matchers(text: str) -> None:
    """Check label matchers as they stand in every selector of the rules.

    Raises:
        PromQLError: they are not matchers alone, or cannot stand in the query of a notification.
    """
    check(f"present_over_time(up{{{text}}}[1m])")
    if "`" in text:
        raise PromQLError("write texts in double quotes, not between backticks")


_MATCHER = re.compile(r"""\b(?:outcome|error_type|reason|dataset)\s*(?:!=|=~|!~|=)\s*(["'`])(.*?)\1""")


def renamed_value(expression: str) -> str | None:
    """A sentence on the first matcher of the exporter's metrics that has only the earlier spelling of a value."""
    for match in _MATCHER.finditer(expression) if "openai" in expression else ():
        values = match[2].split("|")
        for earlier in values:
            name = RENAMED_VALUES.get(earlier)
            if name is not None and name not in values:
                return f"{match[0][:60]}: {earlier} was renamed to {name}"
    return None


def _one_line(message: str) -> str:
    if message == "invalid promql query":
        return "is not valid PromQL"
    return printable(" ".join(message.split())[:150])


def _check_syntax(bare: str) -> None:
    for pattern, what, version in _NEWER_SYNTAX:
        if re.search(pattern, bare, re.IGNORECASE):
            raise PromQLError(f"{what} needs Prometheus {version}; rules here load in 2.42 too")
    if re.search(rf"(?<![\w.:]){_DURATION}(?![\w.:])", _WITH_DURATION.sub(" ", bare)):
        raise PromQLError("a duration as a number needs Prometheus 3; rules here load in 2.42 too")
    large = next((number for number in _NUMBER.findall(bare) if math.isinf(float(number))), None)
    if large:
        raise PromQLError(f"number {large[:40]} is too large")


def _nodes(root: Any) -> Iterator[Any]:
    """Every part of an expression; raises PromQLError when one is nested too deeply."""
    waiting = [(root, 0)]
    while waiting:
        node, depth = waiting.pop()
        if depth > _DEEPEST:
            raise PromQLError(f"is nested deeper than {_DEEPEST} levels")
        yield node
        parts = [getattr(node, name, None) for name in ("lhs", "rhs", "expr", "param", "vector_selector")]
        deeper = depth + (not isinstance(node, promql_parser.BinaryExpr))
        waiting += [(part, deeper) for part in (*parts, *getattr(node, "args", ())) if part is not None]


def _check_node(node: Any) -> None:
    if isinstance(node, promql_parser.Call | promql_parser.AggregateExpr):
        name = node.func.name if isinstance(node, promql_parser.Call) else str(node.op)
        if name in _NEWER_FUNCTIONS or (isinstance(node, promql_parser.Call) and name not in _KNOWN):
            version = _NEWER_FUNCTIONS.get(name, "newer than 2.42")
            raise PromQLError(f"function {name} needs Prometheus {version}; rules here load in 2.42 too")
    if isinstance(node, promql_parser.VectorSelector):
        if node.matchers.or_matchers:
            raise PromQLError("or between label matchers is not PromQL")
        for matcher in node.matchers.matchers:
            _check_matcher(matcher)


def _check_matcher(matcher: promql_parser.Matcher) -> None:
    if matcher.op in (promql_parser.MatchOp.Re, promql_parser.MatchOp.NotRe):
        if "(?<" in matcher.value:
            raise PromQLError(f"regular expression {matcher.value[:60]!r}: write (?P<name> in place of (?<name>")
        try:
            compiled(matcher.value)
        except ValueError as error:
            raise PromQLError(f"regular expression {matcher.value[:60]!r}: {error}"[:150]) from None


_TYPES = {
    promql_parser.NumberLiteral: SCALAR,
    promql_parser.StringLiteral: STRING,
    promql_parser.VectorSelector: VECTOR,
    promql_parser.AggregateExpr: VECTOR,
    promql_parser.MatrixSelector: MATRIX,
    promql_parser.SubqueryExpr: MATRIX,
}


def _type_of(root: Any) -> str:
    """The type of the whole; an operation with an instant vector is one, too."""
    types, waiting = set(), [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, promql_parser.BinaryExpr):
            waiting += [node.lhs, node.rhs]
        elif isinstance(node, promql_parser.ParenExpr | promql_parser.UnaryExpr):
            waiting.append(node.expr)
        elif isinstance(node, promql_parser.Call):
            types.add(SCALAR if node.func.return_type == promql_parser.ValueType.Scalar else VECTOR)
        else:
            types.add(_TYPES[type(node)])
    return VECTOR if VECTOR in types else types.pop()
