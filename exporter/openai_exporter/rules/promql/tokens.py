# SPDX-License-Identifier: Apache-2.0
"""PromQL text to tokens."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

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
