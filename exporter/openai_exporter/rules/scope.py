# SPDX-License-Identifier: Apache-2.0
"""Which series a threshold is about: exact names and `*` patterns to PromQL matchers."""

import re
from collections.abc import Sequence

_SPECIAL = re.compile(r"[.+*?()|\[\]{}^$\\]")
_SIGNS = (".*", ".+", "|", "(", "^", "$", "\\", "[")


def pattern(value: str) -> str:
    """Check a name or a pattern; returns it.

    Raises:
        ValueError: empty, not printable ASCII without spaces, or a regular expression.
    """
    if not 0 < len(value) <= 200 or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("must be a name or a pattern with *, such as gpt-6-luna or gpt-6*, without spaces")
    if any(sign in value for sign in _SIGNS):
        raise ValueError(
            "must be a name or a pattern with *, not a regular expression: * stands for anything, such as gpt-6*; "
            "give several as a list"
        )
    return value


def matcher(label: str, patterns: Sequence[str]) -> str:
    """A label matcher, such as `model=~"gpt-6.*|o5"`; a single plain name needs no regex."""
    if len(patterns) == 1 and "*" not in patterns[0]:
        return f'{label}="{_quoted(patterns[0])}"'
    if len(patterns) == 1 and patterns[0] == "*":
        return f'{label}!=""'
    regexes = ["".join(".*" if part == "*" else _escaped(part) for part in _parts(each)) for each in patterns]
    return f'{label}=~"{_quoted("|".join(regexes))}"'


def an_instance(text: str) -> str:
    """A name that a pattern matches, for examples."""
    return text.replace("*", "x")


def _parts(text: str) -> list[str]:
    return [part for part in re.split(r"(\*)", text) if part]


def _escaped(text: str) -> str:
    return _SPECIAL.sub(lambda match: f"\\{match[0]}", text)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
