# SPDX-License-Identifier: Apache-2.0
"""Selectors, and what may follow one: a range, an offset, a point in time."""

import math
import re
import warnings

from openai_exporter.rules.promql.stream import Stream
from openai_exporter.rules.promql.tokens import PromQLError, value_of

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
