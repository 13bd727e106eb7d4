# SPDX-License-Identifier: Apache-2.0
"""YAML text to plain data, remembering on which line each value stands; duplicate keys are errors.

Anchors, aliases and merge keys (`<<`) work; each alias is written out, within a bound.
"""

import re
from typing import Any

import yaml

from openai_exporter.config.masking import MASK, looks_like_key, mask_keys, shown
from openai_exporter.config.yaml_core import COLLECTIONS, MERGE, compose, explain, scalar, unknown_tag
from openai_exporter.errors import ConfigError, Problem

Path = tuple[str | int, ...]

MAX_VALUES = 50_000
"""Values that a file may hold once its aliases are written out."""
_PLAIN = re.compile(r"[\w-]+")


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
        self._lines: dict[Path, int] = {}
        self._written: dict[Path, str] = {}
        self._problems: dict[Problem, None] = {}
        self._open: set[int] = set()
        self._count = 0
        self.data = self._decode(text)
        if self._problems:
            raise ConfigError(list(self._problems))

    def place(self, path: Path) -> str:
        """`file:line: targets[0].name` of a path, or of its nearest parent that stands in the file."""
        line = self.line(path)
        file = f"{self.name}:{line}" if line else self.name
        return f"{file}: {dotted(path)}" if path else file

    def line(self, path: Path) -> int:
        """The line of a path, or of its nearest parent that stands in the file; 0 when there is none."""
        return next(
            (self._lines[path[:end]] for end in range(len(path), -1, -1) if path[:end] in self._lines), 0
        )

    def problem(self, path: Path, message: str) -> Problem:
        """A mistake at a path; whatever in it has the form of a key is masked."""
        return Problem(mask_keys(self.place(path)), mask_keys(message))

    def shown(self, path: Path, value: object) -> str:
        """A scalar as the file writes it (`1.10`, not `1.1`), cut and masked."""
        if isinstance(value, int | float) and not isinstance(value, bool):
            return shown(self._written.get(path, value)).strip("'")
        return shown(value)

    def _decode(self, text: str) -> Any:
        try:
            node = compose(text)
        except yaml.YAMLError as error:
            line, message = explain(error, text)
            place = f"{self.name}:{line}" if line else self.name
            raise ConfigError([Problem(place, mask_keys(message))]) from None
        return None if node is None else self._build(node, ())

    def _build(self, node: yaml.Node, path: Path) -> Any:
        self._lines.setdefault(path, node.start_mark.line + 1)
        self._count += 1
        if self._count > MAX_VALUES:
            text = f"holds more than {MAX_VALUES} values once its aliases are written out; make it smaller"
            raise ConfigError([Problem(self.name, text)])
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if id(node) in self._open:
            self._report(path, "an alias refers to the value that holds it; write it out", node)
            return None
        if node.tag not in COLLECTIONS:
            self._report(path, unknown_tag(node), node)
        self._open.add(id(node))
        try:
            return self._collection(node, path)
        finally:
            self._open.discard(id(node))

    def _collection(self, node: yaml.Node, path: Path) -> Any:
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        return [self._build(child, (*path, index)) for index, child in enumerate(node.value)]

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        self._written.setdefault(path, str(node.value))
        try:
            return scalar(node)
        except ValueError as error:
            self._report(path, str(error), node)
            return None

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, child in node.value:
            if key_node.tag != MERGE:
                self._entry(data, key_node, child, path)
        for key_node, child in node.value:
            if key_node.tag == MERGE:
                for source in child.value if isinstance(child, yaml.SequenceNode) else [child]:
                    self._merge(data, source, path)
        return data

    def _entry(self, data: dict[str, Any], key_node: yaml.Node, child: yaml.Node, path: Path) -> None:
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

    def _merge(self, data: dict[str, Any], source: yaml.Node, path: Path) -> None:
        if not isinstance(source, yaml.MappingNode):
            self._report(path, "<< takes a mapping, such as *alias, or a list of them", source)
            return
        for key, value in self._build(source, path).items():
            data.setdefault(key, value)

    def _report(self, path: Path, message: str, node: yaml.Node) -> None:
        place = f"{self.name}:{node.start_mark.line + 1}"
        place = f"{place}: {dotted(path)}" if path else place
        self._problems[Problem(mask_keys(place), mask_keys(message))] = None


def dotted(path: Path) -> str:
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
