# SPDX-License-Identifier: Apache-2.0
"""Whether a PromQL expression is one that Prometheus 2.42 and 3 both accept, for machines without promtool."""

import math
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NoReturn

# The functions and aggregations that Prometheus 2.42 and 3 both know without a feature flag.

SCALAR, VECTOR, MATRIX, STRING = "scalar", "instant vector", "range vector", "string"

AGGREGATIONS: Mapping[str, str | None] = {
    **dict.fromkeys(("sum", "avg", "count", "min", "max", "group", "stddev", "stdvar"), None),
    **dict.fromkeys(("topk", "bottomk", "quantile"), SCALAR),
    "count_values": STRING,
}
"""Name -> type of the parameter before the vector, None when there is none."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Types of the arguments; `optional` of the last ones may be left out, with `repeats` the last may come again."""

    arguments: tuple[str, ...]
    returns: str = VECTOR
    optional: int = 0
    repeats: bool = False


_OVER_TIME = (
    "absent_over_time avg_over_time changes count_over_time delta deriv idelta increase irate last_over_time "
    "max_over_time min_over_time present_over_time rate resets stddev_over_time stdvar_over_time sum_over_time"
)
_OF_VECTOR = (
    "abs absent acos acosh asin asinh atan atanh ceil cos cosh deg exp floor histogram_count histogram_sum ln log10 "
    "log2 rad sgn sin sinh sort sort_desc sqrt tan tanh timestamp"
)
_OF_TIME = "day_of_month day_of_week day_of_year days_in_month hour minute month year"

FUNCTIONS: Mapping[str, Signature] = {
    **{name: Signature((MATRIX,)) for name in _OVER_TIME.split()},
    **{name: Signature((VECTOR,)) for name in _OF_VECTOR.split()},
    **{name: Signature((VECTOR,), optional=1) for name in _OF_TIME.split()},
    "clamp": Signature((VECTOR, SCALAR, SCALAR)),
    "clamp_max": Signature((VECTOR, SCALAR)),
    "clamp_min": Signature((VECTOR, SCALAR)),
    "histogram_fraction": Signature((SCALAR, SCALAR, VECTOR)),
    "histogram_quantile": Signature((SCALAR, VECTOR)),
    "label_join": Signature((VECTOR, STRING, STRING, STRING), optional=1, repeats=True),
    "label_replace": Signature((VECTOR, STRING, STRING, STRING, STRING)),
    "pi": Signature((), SCALAR),
    "predict_linear": Signature((MATRIX, SCALAR)),
    "quantile_over_time": Signature((SCALAR, MATRIX)),
    "round": Signature((VECTOR, SCALAR), optional=1),
    "scalar": Signature((VECTOR,), SCALAR),
    "time": Signature((), SCALAR),
    "vector": Signature((SCALAR,)),
}

# PromQL text to tokens.

_TOKEN = re.compile(
    r"""
      (?P<space>[ \t\r\n]+|\#[^\n]*)
    | (?P<duration>(?=\d)(?:\d+y)?(?:\d+w)?(?:\d+d)?(?:\d+h)?(?:\d+m(?!s))?(?:\d+s)?(?:\d+ms)?(?![\w.]))
    | (?P<number>(?:0[xX][0-9a-fA-F]+|(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)(?![\w.]))
    | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)
    | (?P<name>:?[A-Za-z_][A-Za-z0-9_:]*)
    | (?P<op>==|!=|>=|<=|=~|!~|[-+*/%^><=(){}\[\],:@])
    """,
    re.VERBOSE,
)
_ESCAPE = re.compile(
    r"""\\(?:[abfnrtv\\"']|[0-3][0-7]{2}|x[0-9a-fA-F]{2}|u(?![dD][89a-fA-F])[0-9a-fA-F]{4}|U000[0-9a-fA-F]{5}|U0010[0-9a-fA-F]{4})"""
)
_ANY_ESCAPE = re.compile(r"\\.", re.DOTALL)
LONGEST = 20_000


class PromQLError(ValueError):
    """The expression is not accepted; the message names the place in it."""


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of an expression; `kind` is duration, number, string, name, op or end."""

    kind: str
    text: str
    at: int


def tokens(text: str) -> Iterator[Token]:
    """All tokens, white space and comments left out; ends with one of kind `end`.

    Raises:
        PromQLError: a character that starts no token, or a string with an unknown escape.
    """
    if len(text) > LONGEST:
        raise PromQLError(f"is longer than {LONGEST} characters")
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.end() == at:
            raise PromQLError(f"unexpected {text[at : at + 20]!r}{_hint(text[at])}")
        kind = match.lastgroup or ""
        if kind == "string":
            _check_escapes(match[0])
        if kind == "number" and not match[0].lower().startswith("0x") and math.isinf(float(match[0])):
            raise PromQLError(f"number {match[0][:40]} is too large")
        if kind != "space":
            yield Token(kind, match[0], at)
        at = match.end()
    yield Token("end", "the end", at)


def _hint(sign: str) -> str:
    return "; a quote is not closed" if sign in "\"'`" else ""


def _check_escapes(literal: str) -> None:
    if literal[0] == "`":
        return
    for escape in _ANY_ESCAPE.finditer(literal[1:-1]):
        whole = _ESCAPE.match(literal[1:-1], escape.start())
        other_quote = {"'": '"', '"': "'"}[literal[0]]
        if whole is None or escape[0] == f"\\{other_quote}":
            raise PromQLError(f"unknown escape {escape[0]!r} in {literal[:40]}; write a backslash twice")


def value_of(literal: str) -> str:
    """The text of a string literal; escapes other than of quotes and backslashes are left as they are."""
    body = literal[1:-1]
    return body if literal[0] == "`" else re.sub(r"\\([\\\"'])", r"\1", body)


# A stream of tokens with one token of look-ahead.


class Stream:
    """The tokens of an expression, read one after the other."""

    def __init__(self, expression: str) -> None:
        """Raises PromQLError for what is no token."""
        self._tokens = list(tokens(expression))
        self._next = 0

    @property
    def _token(self) -> Token:
        return self._tokens[self._next]

    @property
    def kind(self) -> str:
        """Kind of the next token."""
        return self._token.kind

    @property
    def text(self) -> str:
        """The next token as it is written."""
        return self._token.text

    @property
    def word(self) -> str:
        """The next token in lower case, for keywords and operators."""
        return self._token.text.lower()

    def take(self) -> str:
        """Go on; returns the token that was next."""
        found = self._token.text
        self._next = min(self._next + 1, len(self._tokens) - 1)
        return found

    def takes(self, *texts: str) -> bool:
        """Go on if the next token is one of these."""
        if self.text not in texts:
            return False
        self.take()
        return True

    def expect(self, text: str) -> None:
        """Go on past this token; PromQLError when another one is next."""
        if not self.takes(text):
            self.fail(f"'{text}'")

    def duration(self) -> None:
        """Go on past a duration above zero."""
        if self.kind != "duration" or not any(sign in "123456789" for sign in self.text):
            self.fail("a duration such as 5m")
        self.take()

    def fail(self, wanted: str) -> NoReturn:
        """Raise PromQLError: something else is next."""
        raise PromQLError(f"character {self._token.at + 1}: expected {wanted}, found {self.text[:40]}")


# Selectors, and what may follow one: a range, an offset, a point in time.

_OPERATORS = ("=", "!=", "=~", "!~")
# Python's re and Go's RE2 differ: what only one of them knows, or each in its own way, is refused.
_NOT_RE2 = re.compile(
    r"\(\?(?!:|P<|[ims]+[:)])|\[\[?:|[*+?}]\+|\\(?:[0-9EGHJKLMNOPQRTUVXYZceghijklmopquyz]|[^\x00-\x7f]|x(?![0-9a-fA-F]{2}))"
)
_REPEAT = re.compile(r"\{([0-9]*),?([0-9]*)\}")
_MOST_REPEATS = 1000


def selector(stream: Stream, name: str) -> None:
    """Read the matchers after a metric's name, which may be empty."""
    matches_empty = not name
    if not stream.takes("{"):
        return
    while stream.text != "}":
        label, is_empty = _matcher(stream)
        if label == "__name__" and name:
            raise PromQLError(f"the name is given twice: {name} and __name__")
        matches_empty = matches_empty and is_empty
        if stream.text != "}":
            stream.expect(",")
    stream.expect("}")
    if matches_empty:
        raise PromQLError("a selector without a name needs a matcher that the empty text does not fulfil")


def _matcher(stream: Stream) -> tuple[str, bool]:
    """The label, and whether the empty text fulfils the matcher."""
    if stream.kind != "name" or ":" in stream.text:
        stream.fail("a label name")
    label = stream.take()
    if stream.text not in _OPERATORS:
        stream.fail(f"one of {' '.join(_OPERATORS)}")
    operator = stream.take()
    if stream.kind != "string":
        stream.fail("a text in quotes")
    value = value_of(stream.take())
    if operator in ("=", "!="):
        return label, (value == "") == (operator == "=")
    return label, bool(_compiled(value).fullmatch("")) == (operator == "=~")


def _compiled(pattern: str) -> re.Pattern[str]:
    counts = [max(int(low or 0), int(high or 0), 1) for low, high in _REPEAT.findall(pattern)]
    if _NOT_RE2.search(pattern) or math.prod(counts) > _MOST_REPEATS:
        text = (
            "is not surely one of RE2: leave out look-around, back-references, class names and large repeats"
        )
        raise PromQLError(f"regular expression {pattern[:60]!r} {text}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise PromQLError(f"regular expression {pattern[:60]!r}: {error}") from None


def label_names(stream: Stream) -> list[str]:
    """Read a parenthesised list of label names, which may end with a comma."""
    stream.expect("(")
    found = []
    while stream.text != ")":
        if stream.kind != "name" or ":" in stream.text:
            stream.fail("a label name")
        found.append(stream.take())
        if stream.text != ")":
            stream.expect(",")
    stream.expect(")")
    return found


def modifiers(stream: Stream) -> bool:
    """Read offset and @, each once at most and in any order; whether there was one."""
    seen: set[str] = set()
    while stream.word in ("offset", "@"):
        word = stream.word
        if word in seen:
            raise PromQLError(f"{word} is given twice")
        seen.add(stream.take().lower())
        _shift(stream, word)
    return bool(seen)


def _shift(stream: Stream, word: str) -> None:
    if word == "offset":
        stream.takes("-", "+")
        stream.duration()
    elif stream.word in ("start", "end"):
        stream.take()
        stream.expect("(")
        stream.expect(")")
    else:
        stream.takes("-", "+")
        if stream.kind != "number":
            stream.fail("a time in seconds, start() or end()")
        stream.take()


def bracket(stream: Stream, *, after_selector: bool) -> None:
    """Read the inside of a range or subquery, up to its bracket."""
    stream.duration()
    if stream.takes(":"):
        if stream.text != "]":
            stream.duration()
    elif not after_selector:
        raise PromQLError("a range of an expression; write a subquery, such as [5m:1m]")
    stream.expect("]")


# Reads an expression by recursive descent and returns its type; builds no tree, as nobody here needs one.

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


# Whether a PromQL expression is one that Prometheus 2.42 and 3 both accept, for machines without promtool.
# It reads the whole grammar and checks types, as a rule file with one bad expression keeps Prometheus from starting.

__all__ = ["PromQLError", "check"]
