# SPDX-License-Identifier: Apache-2.0
"""YAML text to a tree of nodes, with the plain types of YAML 1.2.

PyYAML alone follows YAML 1.1, where `no` is false, `010` is 8 and `2024-10-21` is a date object. Editors and
Prometheus see text, 10 and text there, and so does this module.
"""

import re
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

MAX_DEPTH = 40
"""Levels of nesting; the configuration itself has eight."""

_TAG = "tag:yaml.org,2002:"
MERGE = _TAG + "merge"
COLLECTIONS = (_TAG + "map", _TAG + "seq")
_BOOLEANS = {"true": True, "false": False}
_SPECIAL = {".inf": float("inf"), "+.inf": float("inf"), "-.inf": float("-inf"), ".nan": float("nan")}
_DIGITS = 100


class _Loader(Reader, Scanner, Parser, Composer, BaseResolver):
    """Composes nodes; the tags of plain scalars are those of YAML 1.2's core schema, and `<<`."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """As PyYAML's, within the bound on nesting."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(None, None, f"nested deeper than {MAX_DEPTH} levels", mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


for _name, _pattern, _first in (
    ("bool", r"(?:true|True|TRUE|false|False|FALSE)\Z", "tTfF"),
    ("null", r"(?:~|null|Null|NULL|)\Z", ["~", "n", "N", ""]),
    ("int", r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z", "-+.0123456789"),
    ("float", r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z", "-+."),
    ("merge", r"<<\Z", "<"),
):
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(_pattern), list(_first))


def compose(text: str) -> yaml.Node | None:
    """The root node; None of an empty text.

    Raises:
        yaml.YAMLError: not YAML, or nested too deeply.
    """
    return _Loader(text).get_single_node()


def scalar(node: yaml.ScalarNode) -> Any:
    """The value of a scalar: text, bool, int, float or None.

    Raises:
        ValueError: the tag is unknown, or its value does not fit it.
    """
    kind, text = node.tag.removeprefix(_TAG), str(node.value)
    if kind in ("str", "merge"):
        return text
    if kind == "null":
        return None
    if kind == "bool" and text.lower() in _BOOLEANS:
        return _BOOLEANS[text.lower()]
    if kind in ("int", "float"):
        return _number(kind, text)
    raise ValueError(unknown_tag(node))


def unknown_tag(node: yaml.Node) -> str:
    """What is said of a value whose tag is none of the plain ones."""
    tag = node.tag.replace(_TAG, "!!")
    return f"has the tag {tag}; tags have no meaning here, remove it (keys: api_key_file or api_key_env)"


def _number(kind: str, text: str) -> int | float:
    if len(text) > _DIGITS:
        raise ValueError(f"has a number of more than {_DIGITS} digits; shorten it, or quote it if it is text")
    try:
        if kind == "int":
            return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
        return _SPECIAL[text.lower()] if text.lower() in _SPECIAL else float(text)
    except ValueError:
        raise ValueError(f"is tagged !!{kind} but is no such number; remove the tag") from None


_REMEDIES = (
    ("found character '\\t'", "has a tab; indent and separate with spaces"),
    ("that cannot start any token", "has text that starts with a reserved character; quote the text"),
    (
        "mapping values are not allowed",
        "has a colon where none can be; quote text that holds ': ', or mend the indentation",
    ),
    ("could not find expected ':'", "has a line without a colon, or a quote that is not closed"),
    ("found unexpected end of stream", "has a quote that is not closed"),
    ("expected <block end>", "is not indented evenly: entries of one list or mapping start in one column"),
    ("expected ',' or ']'", "has a list in [ ] that is not closed, or lacks a comma"),
    ("expected ',' or '}'", "has a mapping in { } that is not closed, or lacks a comma"),
    ("expected the node content", "has a bracket or brace that is not closed, or a value is missing"),
    ("found undefined alias", "uses an alias (*name) whose anchor (&name) does not come before it"),
    ("found duplicate anchor", "defines one anchor (&name) twice"),
    ("but found another document", "holds a second document (---); keep one"),
    ("found unknown escape", "has an unknown escape in double quotes; use single quotes, as for patterns"),
    ("nested deeper", f"is nested deeper than {MAX_DEPTH} levels; make it flatter"),
)


def explain(error: yaml.YAMLError, text: str) -> tuple[int, str]:
    """The line (from 1) of a syntax error and what is wrong there; 0 when the line is not known."""
    if isinstance(error, yaml.reader.ReaderError):
        code = error.character if isinstance(error.character, int) else ord(error.character[:1] or "\0")
        line = text.count("\n", 0, error.position) + 1
        return line, f"has the control character U+{code:04X}; remove it"
    problem = str(getattr(error, "problem", None) or error)
    mark = getattr(error, "problem_mark", None)
    if "end of stream" in problem or "stream end" in problem:
        mark = getattr(error, "context_mark", None) or mark
    remedy = next((words for sign, words in _REMEDIES if sign in problem), f"is not valid YAML: {problem}")
    return mark.line + 1 if mark else 0, remedy
