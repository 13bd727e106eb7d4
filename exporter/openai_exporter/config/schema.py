# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema of the configuration, and what it says of one place in it."""

import copy
import functools
from collections.abc import Sequence
from typing import Any

from openai_exporter.config.base import DURATION_SCHEMA, WORDS
from openai_exporter.config.duration import format_duration
from openai_exporter.config.organization import GROUPABLE
from openai_exporter.config.root import Config

Node = dict[str, Any]
Path = tuple[str | int, ...]

SCHEMA_ID = "urn:openai-exporter:schema:configuration"


@functools.cache
def _schema() -> Node:
    schema: Node = _tidy(Config.model_json_schema())
    usage = schema["$defs"]["Organization"]["properties"]["usage"]
    each = schema["$defs"].pop("Usage")
    del usage["propertyNames"]
    usage["additionalProperties"] = False
    usage["properties"] = {name: _grouped_by(each, dimensions) for name, dimensions in GROUPABLE.items()}
    return schema


def _tidy(node: Any) -> Any:
    """Without generated titles; defaults of durations in their written form."""
    if isinstance(node, list):
        return [_tidy(each) for each in node]
    if not isinstance(node, dict):
        return node
    tidied = {
        key: _tidy(value) for key, value in node.items() if key != "title" or not isinstance(value, str)
    }
    if is_duration(node) and isinstance(node.get("default"), float):
        tidied["default"] = format_duration(node["default"])
    return tidied


def _grouped_by(usage: Node, dimensions: Sequence[str]) -> Node:
    """How a usage endpoint is read, with the dimensions that it knows."""
    own = copy.deepcopy(usage)
    own["properties"]["group_by"]["items"]["enum"] = list(dimensions)
    return own


def schema_document() -> Node:
    """The published JSON Schema (draft 2020-12): a new dict at each call."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_ID}
    return {**head, **copy.deepcopy(_schema()), "title": "openai-exporter configuration"}


def is_duration(node: Node) -> bool:
    """Whether a node of the schema is a duration."""
    return bool(node.get("anyOf", [None])[-1] == DURATION_SCHEMA["anyOf"][-1])


def node_at(path: Path) -> Node:
    """The schema of the value at a path, references followed and null left out; empty when unknown."""
    node = resolved(_schema())
    for part in path:
        node = resolved(_step(node, part))
    return node


def keys_at(path: Path) -> list[str]:
    """The keys that a mapping at this path may have; empty when any may stand there."""
    return keys_of(node_at(path))


def keys_of(node: Node) -> list[str]:
    """The keys that a mapping may have; empty when any may stand there."""
    names = resolved(node.get("propertyNames", {})).get("enum")
    return list(names or node.get("properties", {}))


def resolved(node: Node) -> Node:
    """The node that a reference, or the alternative to null, points to."""
    options = [each for each in node.get("anyOf", []) if each.get("type") != "null"]
    if len(options) == 1:
        node = options[0]
    if "$ref" in node:
        return resolved(_schema()["$defs"][node["$ref"].rpartition("/")[2]])
    return node


def _step(node: Node, part: str | int) -> Node:
    if isinstance(part, int):
        items: Node = node.get("items", {})
        return items
    extra = node.get("additionalProperties")
    known: Node | None = node.get("properties", {}).get(part)
    return extra if isinstance(extra, dict) else known or {}


def words(node: Node) -> str:
    """What a value must be, as a noun: `a whole number from 1 to 10000`."""
    if is_duration(node):
        return WORDS[DURATION_SCHEMA["anyOf"][-1]["pattern"]]
    if "enum" in node:
        return f"one of {', '.join(node['enum'])}"
    kind = node.get("type")
    if kind == "object":
        keys = keys_of(node)
        return f"a mapping with keys of {', '.join(keys)}" if keys else "a mapping of names to values"
    if kind == "array":
        return _list(node)
    if kind in ("integer", "number"):
        return f"a {'whole ' if kind == 'integer' else ''}number{_bounds(node)}"
    if kind == "boolean":
        return "true or false"
    return _text(node)


def _list(node: Node) -> str:
    allowed = resolved(node.get("items", {})).get("enum")
    known = f" of {', '.join(allowed)}" if allowed else ""
    return f"a list{known}{' with at least one entry' if node.get('minItems') else ''}"


def _text(node: Node) -> str:
    if "pattern" in node:
        return WORDS[node["pattern"]]
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
