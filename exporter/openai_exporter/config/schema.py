# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema of a file, and from it the message for each error that pydantic finds in the file."""

import copy
import functools
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from openai_exporter.config import base, root, sections
from openai_exporter.config.document import Document, Place
from openai_exporter.config.secret import looks_like_key, names_a_secret, shown
from openai_exporter.errors import Problem

Node = dict[str, Any]

SCHEMA_ID = "urn:openai-exporter:schema:configuration"
_KEY = "[key]"
"""What pydantic appends to the path of a key that may not stand there."""
_ABSENT = object()


def schema_document() -> Node:
    """The published JSON Schema (draft 2020-12): a new dict at each call."""
    return schema_head(SCHEMA_ID, copy.deepcopy(_schema()), "openai-exporter configuration")


def schema_head(identifier: str, schema: Node, title: str) -> Node:
    """A JSON Schema as it is published."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": identifier}
    return {**head, **schema, "title": title}


@functools.cache
def _schema() -> Node:
    schema: Node = _tidy(root.Config.model_json_schema())
    usage = schema["$defs"]["Organization"]["properties"]["usage"]
    each = schema["$defs"].pop("Usage")
    del usage["propertyNames"]
    usage["additionalProperties"] = False
    usage["properties"] = {name: _grouped_by(each, dimensions) for name, dimensions in sections.GROUPABLE.items()}
    return schema


def _tidy(node: Any) -> Any:
    """Without generated titles; defaults of durations in their written form."""
    if isinstance(node, list):
        return [_tidy(each) for each in node]
    if not isinstance(node, dict):
        return node
    tidied = {key: _tidy(value) for key, value in node.items() if key != "title" or not isinstance(value, str)}
    if _is_duration(node) and isinstance(node.get("default"), float):
        tidied["default"] = base.format_duration(node["default"])
    return tidied


def _grouped_by(usage: Node, dimensions: Sequence[str]) -> Node:
    """How a usage endpoint is read, with the dimensions that it knows."""
    own = copy.deepcopy(usage)
    own["properties"]["group_by"]["items"]["enum"] = list(dimensions)
    return own


@functools.cache
def config_shape() -> "Shape":
    """What a configuration must look like; a price file is one with prices only."""
    return Shape(_schema())


def _is_duration(node: Node) -> bool:
    return bool(node.get("anyOf", [None])[-1] == base.DURATION_SCHEMA["anyOf"][-1])


class Shape:
    """What a file must look like, and what a person reads where it does not."""

    def __init__(self, schema: Node, must_be: Mapping[str, str] | None = None) -> None:
        """`must_be` says of a key what its value must be, where the schema says it less well; of "" for the file."""
        self._schema = schema
        self._must_be = must_be or {}

    def node_at(self, path: Place) -> Node:
        """The schema of the value at a path, references followed and null left out; empty when unknown."""
        node = self.resolved(self._schema)
        for part in path:
            extra = node.get("additionalProperties")
            if isinstance(part, int):
                node = self.resolved(node.get("items", {}))
            else:
                known = extra if isinstance(extra, dict) else node.get("properties", {}).get(part)
                node = self.resolved(known or {})
        return node

    def resolved(self, node: Node) -> Node:
        """The node that a reference, or the alternative to null, points to."""
        options = [option for option in node.get("anyOf", []) if option.get("type") != "null"]
        if len(options) == 1:
            node = options[0]
        if "$ref" in node:
            return self.resolved(self._schema["$defs"][node["$ref"].rpartition("/")[2]])
        return node

    def words(self, node: Node) -> str:
        """What a value must be, as a noun: `a whole number from 1 to 10000`."""
        if _is_duration(node):
            return base.WORDS[base.DURATION_SCHEMA["anyOf"][-1]["pattern"]]
        if "enum" in node:
            return f"one of {', '.join(node['enum'])}"
        if "const" in node:
            return str(node["const"])
        kind = node.get("type")
        if kind == "object":
            keys = self._keys_of(node)
            return f"a mapping with keys of {', '.join(keys)}" if keys else "a mapping of names to values"
        if kind == "array":
            allowed = self.resolved(node.get("items", {})).get("enum")
            known = f" of {', '.join(allowed)}" if allowed else ""
            return f"a list{known}{' with at least one entry' if node.get('minItems') else ''}"
        if kind in ("integer", "number"):
            return f"a {'whole ' if kind == 'integer' else ''}number{_bounds(node)}"
        return "true or false" if kind == "boolean" else _text(node)

    def problems(self, error: ValidationError, document: Document) -> list[Problem]:
        """Every mistake, in file order."""
        return [document.problem(path, message) for path, message in self.mistakes(error, document).items()]

    def mistakes(self, error: ValidationError, document: Document) -> dict[Place, str]:
        """What is said of each place, in file order; what stands under an unknown key is left out."""
        errors = error.errors(include_url=False, include_input=False)
        paths = [tuple(detail["loc"]) for detail in errors]
        unknown = {
            path[:-1]: detail.get("ctx", {}).get("error")
            for detail, path in zip(errors, paths, strict=True)
            if path[-1:] == (_KEY,)
        }
        above = {path[:end] for path in paths for end in range(len(path))}
        places = {
            path: f"{shown(str(path[-1]))}: {own}" if own else self._wrong_key(path) for path, own in unknown.items()
        }
        for detail, path in zip(errors, paths, strict=True):
            below_unknown = any(path[:end] in unknown for end in range(1, len(path) + 1))
            # A list counts as too short, too, when something in an entry of it is wrong: one message is enough.
            if not below_unknown and not (detail["type"] == "too_short" and path in above):
                own = detail.get("ctx", {}).get("error")
                for each in (own, *own.others) if isinstance(own, base.FieldError) else (own,):
                    where, message = self._message(detail["type"], each, path, document)
                    places.setdefault(where, message)
        return {path: places[path] for path in sorted(places, key=document.line)}

    def _message(self, kind: str, own: Exception | None, path: Place, document: Document) -> tuple[Place, str]:
        """Where the mistake is and what is said of it; `own` is that of a check of ours."""
        if kind == "extra_forbidden":
            return path, self._wrong_key(path)
        if kind == "missing":
            return path, f"is missing; must be {self._words_at(path)}"
        if isinstance(own, base.FieldError):
            path = (*path, *own.path)
        where, value = path, _value_at(document.data, path)
        if value is _ABSENT and path and isinstance(path[-1], int):
            # A single value stands for a list of one.
            where, value = path[:-1], _value_at(document.data, path[:-1])
        if own is not None and value is not None:
            scalar = value is not _ABSENT and not isinstance(value, dict | list)
            return where, f"{document.shown(where, value)}: {own}" if scalar else str(own)
        if kind == "finite_number":
            return where, f"{document.shown(where, value)}: must be a finite number"
        return where, self._must_be_said(path, value, document.shown(where, value))

    def _words_at(self, path: Place) -> str:
        node = self.node_at(path)
        key = next((part for part in reversed(path) if isinstance(part, str)), "")
        is_entry = bool(path) and isinstance(path[-1], int) and node.get("type") == "object"
        return self.words(node) if is_entry or key not in self._must_be else self._must_be[key]

    def _must_be_said(self, path: Place, value: Any, written: str) -> str:
        node, expected = self.node_at(path), f"must be {self._words_at(path)}"
        if value is None:
            return f"is empty (null); {expected}; give a value or remove the key"
        if isinstance(value, dict):
            more = "; put '- ' before each entry" if node.get("type") == "array" else ""
            return f"{expected}, not a mapping{more}"
        if isinstance(value, list):
            if len(value) > node.get("maxItems", len(value)):
                return f"has {len(value)} entries; {expected}"
            return expected if node.get("type") == "array" else f"{expected}, not a list"
        return f"{written}: {expected}{self._remedy(node, value, written)}"

    def _remedy(self, node: Node, value: Any, written: str) -> str:
        if "enum" in node and isinstance(value, str):
            hint = base.nearest(value, node["enum"]).rstrip()
            return f"; {hint}" if hint else ""
        if isinstance(value, str) and looks_like_key(value):
            return "; a key never stands in this file"
        kind = node.get("type")
        if kind == "string" and not isinstance(value, str):
            return f"; put it in quotes: '{written}'"
        if kind == "string" and len(value) > 60:
            return f"; it has {len(value)} characters"
        if kind == "array":
            is_list_of_values = self.resolved(node.get("items", {})).get("type") != "object"
            return f"; write [{written}]" if is_list_of_values else ""
        if kind in ("integer", "number") and isinstance(value, str) and value.strip().lstrip("-").isdigit():
            return "; remove the quotes"
        return ""

    def _wrong_key(self, path: Place) -> str:
        """For a key that may not stand there, or a name that is not well formed."""
        key, parent = str(path[-1]), self.node_at(path[:-1])
        allowed = self._keys_of(parent)
        if not allowed:
            return f"{shown(key)}: must be {self.words(self.resolved(parent.get('propertyNames', {})))}"
        secret = [name for name in allowed if name.endswith(("key_file", "key_env"))]
        if secret and names_a_secret(key):
            return f"unknown key {shown(key)}; a key never stands in this file: use {' or '.join(secret)}"
        section = next((name for name in allowed if key in self._keys_of(self.node_at((*path[:-1], name)))), None)
        return base.unknown_key(key, allowed, f"it belongs under {section}; " if section else "")

    def _keys_of(self, node: Node) -> list[str]:
        """The keys that a mapping may have; empty when any may stand there."""
        names = self.resolved(node.get("propertyNames", {})).get("enum")
        return list(names or node.get("properties", {}))


def _text(node: Node) -> str:
    if "pattern" in node:
        return base.WORDS[node["pattern"]]
    if "maxLength" not in node:
        return "text"
    low, high = node.get("minLength"), node["maxLength"]
    return f"text of {low} to {high} characters" if low else f"text of at most {high} characters"


def _bounds(node: Node) -> str:
    low, above, high = node.get("minimum"), node.get("exclusiveMinimum"), node.get("maximum")
    if low is not None and high is not None:
        return f" from {low} to {high}"
    lower = f" of at least {low}" if low is not None else f" above {above}" if above is not None else ""
    return lower + (f" and at most {high}" if high is not None else "")


def _value_at(data: Any, path: Place) -> Any:
    for part in path:
        try:
            data = data[part] if not isinstance(data, str) else _ABSENT
        except (KeyError, IndexError, TypeError):
            return _ABSENT
    return data
