# SPDX-License-Identifier: Apache-2.0
"""Reads an expression by recursive descent and returns its type; builds no tree, as nobody here needs one."""

from openai_exporter.rules.promql.functions import AGGREGATIONS, FUNCTIONS, MATRIX, SCALAR, STRING, VECTOR
from openai_exporter.rules.promql.selectors import bracket, label_names, modifiers, selector
from openai_exporter.rules.promql.stream import Stream
from openai_exporter.rules.promql.tokens import PromQLError

_PRECEDENCE = (
    ("or",),
    ("and", "unless"),
    ("==", "!=", ">", "<", ">=", "<="),
    ("+", "-"),
    ("*", "/", "%", "atan2"),
    ("^",),
)
_COMPARISONS, _SETS = _PRECEDENCE[2], ("and", "or", "unless")
_UNARY = 4
_NUMBERS = ("inf", "nan")
_NO_METRIC = ("bool", "on", "ignoring", "group_left", "group_right", "group", "atan2")
_DEEPEST = 60


def check(expression: str) -> str:
    """The type of an expression: `scalar`, `instant vector`, `range vector` or `string`.

    Raises:
        PromQLError: Prometheus would refuse it, or may.
    """
    reader = _Reader(Stream(expression))
    found = reader.binary(0)
    if reader.stream.kind != "end":
        reader.stream.fail("an operator or the end")
    return found


def _a(kind: str) -> str:
    return f"an {kind}" if kind == VECTOR else f"a {kind}"


class _Reader:
    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._depth = 0

    def binary(self, level: int) -> str:
        """An expression whose operators bind at least as tightly as those of `level`."""
        if level == len(_PRECEDENCE):
            return self._postfix()
        if level == _UNARY and self.stream.takes("+", "-"):
            return self._signed()
        left = self.binary(level + 1)
        while self.stream.word in _PRECEDENCE[level]:
            operator = self.stream.take().lower()
            right_binds = level if operator == "^" else level + 1
            left = self._combined(left, operator, right_binds)
        return left

    def _signed(self) -> str:
        self._enter()
        found = self.binary(_UNARY)
        if found not in (SCALAR, VECTOR):
            raise PromQLError(f"a sign before {_a(found)}; it goes before numbers and instant vectors")
        self._depth -= 1
        return found

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise PromQLError(f"is nested deeper than {_DEEPEST} levels")

    def _combined(self, left: str, operator: str, level: int) -> str:
        returns_bool = self._takes_bool()
        if returns_bool and operator not in _COMPARISONS:
            raise PromQLError(f"bool after {operator}; it goes after comparisons")
        matching = self._matching(operator)
        # A sign on the right of ^ binds looser than it on the left, as in 2^-1.
        right = self.binary(min(level, _UNARY) if self.stream.word in ("+", "-") else level)
        both = {left, right}
        if both - {SCALAR, VECTOR}:
            wrong = next(iter(both - {SCALAR, VECTOR}))
            raise PromQLError(f"{operator} of {_a(wrong)}; it takes numbers and instant vectors")
        if SCALAR in both and (operator in _SETS or matching):
            raise PromQLError(f"{matching or operator} needs an instant vector on both sides")
        if both == {SCALAR} and operator in _COMPARISONS and not returns_bool:
            raise PromQLError(f"comparing two numbers needs bool: {operator} bool")
        return VECTOR if VECTOR in both else SCALAR

    def _takes_bool(self) -> bool:
        return self.stream.word == "bool" and bool(self.stream.take())

    def _matching(self, operator: str) -> str:
        if self.stream.word not in ("on", "ignoring"):
            return ""
        word = self.stream.take().lower()
        labels = label_names(self.stream)
        if self.stream.word not in ("group_left", "group_right"):
            return word
        group = self.stream.take().lower()
        if operator in _SETS:
            raise PromQLError(f"{group} after {operator}; set operators match many to many")
        included = label_names(self.stream) if self.stream.text == "(" else []
        twice = set(labels) & set(included)
        if word == "on" and twice:
            raise PromQLError(f"label {min(twice)} is in on() and in {group}(); keep one")
        return word

    def _postfix(self) -> str:
        return self._modified(*self._primary())

    def _primary(self) -> tuple[str, bool]:
        """The type, and whether it is a selector, which alone takes a range."""
        stream = self.stream
        if stream.kind == "string":
            stream.take()
            return STRING, False
        if stream.kind == "number" or (stream.kind == "name" and stream.word in _NUMBERS):
            stream.take()
            return SCALAR, False
        if stream.takes("("):
            self._enter()
            found = self.binary(0)
            self._depth -= 1
            stream.expect(")")
            return found, False
        if stream.text == "{":
            selector(stream, "")
            return VECTOR, True
        if stream.kind != "name":
            stream.fail("a metric, number or function")
        return self._named()

    def _named(self) -> tuple[str, bool]:
        stream = self.stream
        name = stream.take()
        if name.lower() in AGGREGATIONS and (stream.text == "(" or stream.word in ("by", "without")):
            return self._aggregate(name.lower()), False
        if stream.text == "(":
            return self._call(name), False
        if name.lower() in _NO_METRIC:
            raise PromQLError(f"{name} stands where a metric is expected")
        selector(stream, name)
        return VECTOR, True

    def _call(self, name: str) -> str:
        if name not in FUNCTIONS:
            raise PromQLError(f"unknown function {name} (of those in Prometheus 2.42 and 3 without a flag)")
        signature = FUNCTIONS[name]
        given = self._arguments()
        wanted = signature.arguments
        most = len(given) if signature.repeats else len(wanted)
        if not len(wanted) - signature.optional <= len(given) <= most:
            raise PromQLError(f"{name} takes {len(wanted)} arguments, not {len(given)}")
        for index, found in enumerate(given):
            self._expect_type(wanted[min(index, len(wanted) - 1)], found, name)
        return signature.returns

    def _arguments(self) -> list[str]:
        self._enter()
        self.stream.expect("(")
        found: list[str] = []
        while self.stream.text != ")":
            found.append(self.binary(0))
            if self.stream.text != ")":
                self.stream.expect(",")
                if self.stream.text == ")":
                    self.stream.fail("an argument")
        self.stream.expect(")")
        self._depth -= 1
        return found

    def _aggregate(self, name: str) -> str:
        grouped = self._grouping()
        given = self._arguments()
        if not grouped:
            self._grouping()
        parameter = AGGREGATIONS[name]
        wanted = [VECTOR] if parameter is None else [parameter, VECTOR]
        if len(given) != len(wanted):
            raise PromQLError(f"{name} takes {len(wanted)} arguments, not {len(given)}")
        for expected, found in zip(wanted, given, strict=True):
            self._expect_type(expected, found, name)
        return VECTOR

    def _grouping(self) -> bool:
        if self.stream.word not in ("by", "without"):
            return False
        self.stream.take()
        label_names(self.stream)
        return True

    def _expect_type(self, wanted: str, found: str, name: str) -> None:
        if found != wanted:
            raise PromQLError(f"{name} takes {_a(wanted)} here, not {_a(found)}")

    def _modified(self, found: str, is_selector: bool) -> str:
        """Ranges, offset and @ after an expression."""
        shiftable, plain = is_selector, is_selector
        while True:
            if self.stream.word in ("offset", "@"):
                if not shiftable:
                    raise PromQLError(f"{self.stream.word} goes after a selector or a subquery only")
                modifiers(self.stream)
                plain = False
            elif self.stream.takes("["):
                if found != VECTOR:
                    raise PromQLError(f"a range of {_a(found)}; it goes after an instant vector")
                bracket(self.stream, after_selector=plain)
                found, shiftable, plain = MATRIX, True, False
            else:
                return found
