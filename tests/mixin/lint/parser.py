# SPDX-License-Identifier: Apache-2.0
"""A PromQL parser for what rules and dashboards of this project use; @ is not among it."""

import re
from functools import cache
from typing import NoReturn

from .nodes import Aggregate, Binary, Call, Matcher, Matching, Node, Number, Selector

AGGREGATIONS = frozenset(
    ["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar", "topk", "bottomk", "quantile", "count_values"]
)
_PRECEDENCE = (("or",), ("and", "unless"), ("==", "!=", ">", "<", ">=", "<="), ("+", "-"), ("*", "/", "%"), ("^",))
_TOKEN = re.compile(
    r"""\s*(?:\#[^\n]*\n\s*)*(?:
      (?P<duration>\d+(?:ms|[smhdwy])(?:\d+(?:ms|[smhdwy]))*)
    | (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<name>[A-Za-z_:][A-Za-z0-9_:]*|\$__[a-z_]+)
    | (?P<op>==|!=|>=|<=|=~|!~|[-+*/%^><=(){}\[\],])
    )""",
    re.VERBOSE,
)
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}


class PromQLError(Exception):
    """The expression is no PromQL that this parser knows; the message shows the place."""


@cache
def parse(text: str) -> Node:
    """The expression as a tree.

    Raises:
        PromQLError: it does not parse.
    """
    return _Parser(text).whole()


def seconds(duration: str) -> float:
    """`1h30m` in seconds."""
    return sum(float(n) * _UNITS[unit] for n, unit in re.findall(r"(\d+)(ms|[smhdwy])", duration))


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0

    def whole(self) -> Node:
        node = self._binary(0)
        if self._kind:
            self._fail("operator or end")
        return node

    @property
    def _kind(self) -> str:
        return self._tokens[self._at][0]

    @property
    def _text(self) -> str:
        return self._tokens[self._at][1]

    def _fail(self, wanted: str) -> NoReturn:
        before = " ".join(text for _, text in self._tokens[: self._at])
        raise PromQLError(f"expected {wanted}, found {self._text or 'the end'!r} after {before[-60:]!r}")

    def _take(self, text: str) -> bool:
        if self._kind in ("op", "name") and self._text == text:
            self._at += 1
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._take(text):
            self._fail(repr(text))

    def _next(self, kind: str) -> str:
        if self._kind != kind:
            self._fail(kind)
        self._at += 1
        return self._tokens[self._at - 1][1]

    def _binary(self, level: int) -> Node:
        if level == len(_PRECEDENCE):
            return self._unary()
        left = self._binary(level + 1)
        while self._kind and self._text in _PRECEDENCE[level]:
            op = self._text
            self._at += 1
            returns_bool = self._take("bool")
            matching = self._matching()
            left = Binary(op, left, self._binary(level + 1), matching, returns_bool)
        return left

    def _matching(self) -> Matching | None:
        if self._text not in ("on", "ignoring"):
            return None
        on = self._next("name") == "on"
        labels = self._labels()
        if self._text not in ("group_left", "group_right"):
            return Matching(on, labels)
        group = self._next("name")
        return Matching(on, labels, group, self._labels() if self._text == "(" else ())

    def _labels(self) -> tuple[str, ...]:
        self._expect("(")
        found = []
        while not self._take(")"):
            found.append(self._next("name"))
            self._take(",")
        return tuple(found)

    def _unary(self) -> Node:
        if self._take("-"):
            return Binary("*", Number(-1), self._unary())
        if self._take("("):
            node = self._binary(0)
            self._expect(")")
            self._reach()
            return node
        if self._kind == "number":
            return Number(float(self._next("number")))
        if self._kind == "string":
            return Number(text=self._next("string")[1:-1])
        return self._named()

    def _named(self) -> Node:
        name = self._next("name") if self._kind == "name" else ""
        if name in ("Inf", "NaN"):
            return Number(float(name))
        if name in AGGREGATIONS:
            return self._aggregate(name)
        if name and self._text == "(":
            call = Call(name, self._arguments())
            self._reach()  # of a subquery
            return call
        if not name and self._text != "{":
            self._fail("an expression")
        return self._selector(name)

    def _aggregate(self, op: str) -> Node:
        labels, without = self._grouping()
        args = self._arguments()
        if not labels and not without:
            labels, without = self._grouping()
        return Aggregate(op, labels, without, args)

    def _grouping(self) -> tuple[tuple[str, ...], bool]:
        if self._take("by"):
            return self._labels(), False
        if self._take("without"):
            return self._labels(), True
        return (), False

    def _arguments(self) -> tuple[Node, ...]:
        self._expect("(")
        found: list[Node] = []
        while not self._take(")"):
            found.append(self._binary(0))
            if self._text != ")":
                self._expect(",")
        return tuple(found)

    def _selector(self, metric: str) -> Selector:
        matchers = []
        if self._take("{"):
            while not self._take("}"):
                label, op, value = self._next("name"), self._next("op"), self._next("string")
                matchers.append(Matcher(label, op, value[1:-1]))
                self._take(",")
        reach = self._reach()
        offset = self._duration() if self._take("offset") else 0.0
        return Selector(metric, tuple(matchers), reach, offset)

    def _reach(self) -> float | None:
        if not self._take("["):
            return None
        reach = self._duration()
        if self._text.startswith(":"):  # a subquery; its step is no matter here
            self._at += 1
        self._expect("]")
        return reach

    def _duration(self) -> float:
        if self._kind == "name" and self._text.startswith("$__"):
            self._at += 1
            return 0.0
        return seconds(self._next("duration"))


def _tokens(text: str) -> list[tuple[str, str]]:
    found = []
    at = 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise PromQLError(f"unreadable at {text[at : at + 20]!r}")
        found.append((match.lastgroup or "", match[match.lastgroup or 0]))
        at = match.end()
    return [*found, ("", "")]
