# SPDX-License-Identifier: Apache-2.0
"""YAML 1.2 to plain data with the line of each value; duplicate keys are errors, aliases are bounded."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import yaml

from openai_exporter.config.secret import MASK, looks_like_key, mask_keys, shown
from openai_exporter.errors import ConfigError, Problem

Place = tuple[str | int, ...]
"""A path in a document, such as `("targets", 0, "name")`."""

MAX_VALUES = 25_000
"""Keys and values that a file may hold, and values once its aliases are written out: decoding them is slow."""
_TOO_MANY = f"holds more than {MAX_VALUES} keys and values, aliases written out; make it smaller"
_PLAIN = re.compile(r"[\w-]+")


@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake in a document.

    Attributes:
        path: where it is.
        message: what is wrong and what is allowed.
        value: the scalar that is wrong, None when the message names it.
        first: the other place that it clashes with, None when there is none.
    """

    path: Place
    message: str
    value: Any = None
    first: Place | None = None


class Document:
    """Decoded YAML.

    Attributes:
        data: dicts with text keys, lists and scalars; None when the text holds nothing.
    """

    def __init__(self, text: str, name: str) -> None:
        """Decode `text`; `name` is shown in errors.

        Raises:
            ConfigError: not YAML, or a mapping has a key twice.
        """
        self.name = name
        self._lines: dict[Place, int] = {}
        self._written: dict[Place, str] = {}
        self._problems: dict[Problem, None] = {}
        self._open: set[int] = set()
        self._count = 0
        self.data = self._decode(text)
        if self._problems:
            raise ConfigError(list(self._problems))

    def place(self, path: Place) -> str:
        """`file:line: targets[0].name` of a path, or of its nearest parent that stands in the file."""
        line = self.line(path)
        file = f"{self.name}:{line}" if line else self.name
        return f"{file}: {dotted(path)}" if path else file

    def line(self, path: Place) -> int:
        """The line of a path, or of its nearest parent that stands in the file; 0 when there is none."""
        return next((self._lines[path[:end]] for end in range(len(path), -1, -1) if path[:end] in self._lines), 0)

    def problem(self, path: Place, message: str) -> Problem:
        """A mistake at a path; whatever in it has the form of a key is masked."""
        return Problem(mask_keys(self.place(path)), mask_keys(message))

    def problems(self, findings: Iterable[Finding]) -> list[Problem]:
        """Mistakes in file order, with the value and the other place of each."""
        problems = []
        for finding in sorted(findings, key=lambda finding: self.line(finding.path)):
            message = finding.message
            if finding.value is not None:
                message = f"{self.shown(finding.path, finding.value)}: {message}"
            if finding.first is not None:
                message += f"; first on line {self.line(finding.first)} ({dotted(finding.first)})"
            problems.append(self.problem(finding.path, message))
        return problems

    def shown(self, path: Place, value: object) -> str:
        """A scalar as the file writes it (`1.10`, not `1.1`), cut and masked."""
        if isinstance(value, int | float) and not isinstance(value, bool):
            return shown(self._written.get(path, value)).strip("'")
        return shown(value)

    def _decode(self, text: str) -> Any:
        try:
            node = _Loader(text).get_single_node()
        except yaml.YAMLError as error:
            line, message = _explain(error, text)
            place = f"{self.name}:{line}" if line else self.name
            raise ConfigError([Problem(place, mask_keys(message))]) from None
        return None if node is None else self._build(node, ())

    def _build(self, node: yaml.Node, path: Place) -> Any:
        self._lines.setdefault(path, node.start_mark.line + 1)
        self._count += 1
        if self._count > MAX_VALUES:
            raise ConfigError([Problem(self.name, _TOO_MANY)])
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if id(node) in self._open:
            self._report(path, "an alias refers to the value that holds it; write it out", node)
            return None
        if node.tag not in COLLECTIONS:
            self._report(path, _unknown_tag(node), node)
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
            return [self._build(child, (*path, index)) for index, child in enumerate(node.value)]
        finally:
            self._open.discard(id(node))

    def _scalar(self, node: yaml.ScalarNode, path: Place) -> Any:
        self._written.setdefault(path, str(node.value))
        try:
            return _scalar_value(node)
        except ValueError as error:
            self._report(path, str(error), node)
            return None

    def _mapping(self, node: yaml.MappingNode, path: Place) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, child in node.value:
            if key_node.tag != MERGE:
                self._entry(data, key_node, child, path)
        for key_node, child in node.value:
            if key_node.tag == MERGE:
                for source in child.value if isinstance(child, yaml.SequenceNode) else [child]:
                    self._merge(data, source, path)
        return data

    def _entry(self, data: dict[str, Any], key_node: yaml.Node, child: yaml.Node, path: Place) -> None:
        key = key_node.value if isinstance(key_node, yaml.ScalarNode) else ""
        if not key:
            self._report(path, "has a key that is no word; a key is text before a colon", key_node)
            return
        place = (*path, key)
        if key in data:
            text = f"duplicate key; first on line {self._lines[place]}, remove one"
            self._report(place, text, key_node)
            return
        self._lines[place] = key_node.start_mark.line + 1
        data[key] = self._build(child, place)

    def _merge(self, data: dict[str, Any], source: yaml.Node, path: Place) -> None:
        if not isinstance(source, yaml.MappingNode):
            self._report(path, "<< takes a mapping, such as *alias, or a list of them", source)
            return
        for key, value in self._build(source, path).items():
            data.setdefault(key, value)

    def _report(self, path: Place, message: str, node: yaml.Node) -> None:
        place = f"{self.name}:{node.start_mark.line + 1}"
        place = f"{place}: {dotted(path)}" if path else place
        self._problems[Problem(mask_keys(place), mask_keys(message))] = None


def dotted(path: Place) -> str:
    """`targets[0].name`; a key that is no word is quoted, one that looks like a secret masked."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif looks_like_key(part):
            text += f".{MASK}" if text else MASK
        elif _PLAIN.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f"[{shown(part)}]"
    return text


# PyYAML alone follows YAML 1.1, where `no` is false, `010` is 8 and `2024-10-21` is a date object. Editors and
# Prometheus see text, 10 and text there, and so does this module.

MAX_DEPTH = 40
"""Levels of nesting; the configuration itself has eight."""

_TAG = "tag:yaml.org,2002:"
MERGE = _TAG + "merge"
COLLECTIONS = (_TAG + "map", _TAG + "seq")
_BOOLEANS = {"true": True, "false": False}
_SPECIAL = {".inf": float("inf"), "+.inf": float("inf"), "-.inf": float("-inf"), ".nan": float("nan")}
_DIGITS = 100


class _Loader(yaml.SafeLoader):
    """Composes nodes; the tags of plain scalars are those of YAML 1.2's core schema, and `<<`."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}  # type: ignore[misc]
    _depth = _count = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """As PyYAML's, within the bounds on nesting and number."""
        self._depth += 1
        self._count += 1
        if self._depth > MAX_DEPTH or self._count > MAX_VALUES:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            problem = "nested deeper" if self._depth > MAX_DEPTH else "too many"
            raise yaml.MarkedYAMLError(None, None, problem, mark)
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


def _scalar_value(node: yaml.ScalarNode) -> Any:
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
    raise ValueError(_unknown_tag(node))


def _unknown_tag(node: yaml.Node) -> str:
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
        "has a colon where none can be; quote text that contains ': ', or fix the indentation",
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
    ("too many", _TOO_MANY),
)


def _explain(error: yaml.YAMLError, text: str) -> tuple[int, str]:
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
    context = getattr(error, "context_mark", None)
    if "expected ',' or" in problem and mark and context and context.line != mark.line:
        remedy += f"; it starts in line {context.line + 1}"
    return mark.line + 1 if mark else 0, remedy
