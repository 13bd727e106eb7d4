# SPDX-License-Identifier: Apache-2.0
"""Whether Go surely parses the template of a raw rule, for machines without promtool. Runs no template."""

import re
from collections.abc import Iterator

_ACTION = re.compile(r"\{\{(-\s|)(.*?)(\s-|)\}\}", re.DOTALL)
_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<text>"(?:[^"\\\n]|\\[\\"nrt])*"|`[^`]*`)
      | (?P<value>\$[A-Za-z]*(?:\.[A-Za-z_]\w*)*|\.(?:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)?)
      | (?P<number>-?\d{1,15}(?:\.\d{1,15})?)
      | (?P<function>[A-Za-z_]\w*)
      | (?P<sign>[|()])""",
    re.VERBOSE,
)
# Go's own, then those that Prometheus 2.42 and 3 add.
_GO = "and or not eq ne lt le gt ge len index print printf println html js urlquery slice"
_PROMETHEUS = (
    "query first label value sortByLabel strvalue args reReplaceAll safeHtml match title toUpper toLower graphLink "
    "tableLink humanize humanize1024 humanizeDuration humanizePercentage humanizeTimestamp pathPrefix externalURL "
    "parseDuration stripPort stripDomain toTime"
)
_FUNCTIONS = frozenset(f"{_GO} {_PROMETHEUS}".split())
_VARIABLES = ("$", "$labels", "$externalLabels", "$externalURL", "$value")
_OPENING = ("if", "with", "range")


def problem_of(text: str) -> str | None:
    """Why Go may refuse the template; None when it surely parses."""
    if "{{" in _ACTION.sub("", text):
        return "has {{ without }}"
    opened: list[str] = []
    try:
        for match in _ACTION.finditer(text):
            _action(match[2], opened)
    except ValueError as error:
        return f"has {{{{{match[2][:40]}}}}}: {error}"
    return f"has {{{{ {opened[-1]} }}}} without {{{{ end }}}}" if opened else None


def _action(action: str, opened: list[str]) -> None:
    if action.startswith("/*") and action.endswith("*/"):
        return
    word, _, rest = action.strip().partition(" ")
    if word in _OPENING:
        opened.append(word)
        _pipeline(rest)
    elif word in ("end", "else"):
        if not opened:
            raise ValueError(f"{word} without {', '.join(_OPENING)}")
        if word == "end":
            opened.pop()
        if rest.strip():
            raise ValueError(f"{word} stands alone, as far as can be checked without promtool")
        if word == "else" and opened[-1].startswith("else of"):
            raise ValueError("else twice")
        if word == "else":
            opened[-1] = f"else of {opened[-1]}"
    else:
        _pipeline(action)


def _pipeline(text: str) -> None:
    """Commands joined by `|`; every one after the first starts with a function."""
    stages, starts = [0], True
    for kind, token in _tokens(text):
        if token == "(":
            stages.append(0)
            starts = True
            continue
        if kind != "sign":
            _check_operand(kind, token, may_be_value=not (starts and stages[-1]))
            starts = False
            continue
        if starts or (token == ")" and len(stages) == 1):
            raise ValueError(f"unexpected {token}")
        if token == ")":
            stages.pop()
        else:
            stages[-1] += 1
            starts = True
    if starts or len(stages) > 1:
        raise ValueError("a value is missing, or a bracket is not closed")


def _check_operand(kind: str, token: str, *, may_be_value: bool) -> None:
    if kind == "function" and token not in _FUNCTIONS and token not in ("true", "false"):
        raise ValueError(f"unknown function {token}")
    if (kind != "function" or token in ("true", "false")) and not may_be_value:
        raise ValueError(f"{token} after |; a function goes there")
    if token.startswith("$") and token.partition(".")[0] not in _VARIABLES:
        raise ValueError(f"unknown variable {token}; known: {', '.join(_VARIABLES[1:])}")


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at, before = 0, "space"
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ValueError(f"unexpected {text[at : at + 20]!r}")
        kind = match.lastgroup or ""
        if kind not in ("space", "sign") and before not in ("space", "sign"):
            raise ValueError(f"a space is missing before {match[0][:20]}")
        if kind != "space":
            yield kind, match[0]
        before = "sign" if match[0] in ("(", "|") else "closed" if match[0] == ")" else kind
        at = match.end()
