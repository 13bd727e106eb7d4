# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema of the configuration, and the message for each error that pydantic finds."""

import copy
import functools
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from openai_exporter.config.base import DURATION_SCHEMA, WORDS, FieldError, format_duration, listing, nearest
from openai_exporter.config.document import Document, Place
from openai_exporter.config.organization import GROUPABLE
from openai_exporter.config.root import Config
from openai_exporter.config.secret import looks_like_key, names_a_secret, shown
from openai_exporter.errors import Problem

# The JSON Schema of the configuration, and what it says of one place in it.

Node = dict[str, Any]

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


def node_at(path: Place) -> Node:
    """The schema of the value at a path, references followed and null left out; empty when unknown."""
    node = resolved(_schema())
    for part in path:
        node = resolved(_step(node, part))
    return node


def keys_at(path: Place) -> list[str]:
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


# What a person reads for a mistake that pydantic found: the value, what is allowed, the remedy.

_KEY = "[key]"
_ABSENT = object()


def problems(error: ValidationError, document: Document) -> list[Problem]:
    """Every mistake, in file order."""
    return [document.problem(path, message) for path, message in mistakes(error, document).items()]


def mistakes(error: ValidationError, document: Document) -> dict[Place, str]:
    """What is said of each place, in file order; what stands under an unknown key is left out."""
    found = error.errors(include_url=False, include_input=False)
    paths = [tuple(each["loc"]) for each in found]
    unknown = dict.fromkeys(path[:-1] for path in paths if path[-1:] == (_KEY,))
    parents = {path[:-1] for path in paths}
    places = {path: _wrong_key(path) for path in unknown}
    for each, path in zip(found, paths, strict=True):
        below_unknown = any(path[:end] in unknown for end in range(1, len(path) + 1))
        # A list counts as too short, too, when an entry of it is wrong: one message is enough.
        if not below_unknown and not (each["type"] == "too_short" and path in parents):
            where, message = _message(dict(each), path, document)
            places.setdefault(where, message)
    return {path: places[path] for path in sorted(places, key=document.line)}


def _message(each: dict[str, Any], path: Place, document: Document) -> tuple[Place, str]:
    """Where the mistake is and what is said of it."""
    if each["type"] == "extra_forbidden":
        return path, _wrong_key(path)
    if each["type"] == "missing":
        return path, f"is missing; must be {words(node_at(path))}"
    own = each.get("ctx", {}).get("error")
    if isinstance(own, FieldError):
        path = (*path, *own.path)
    value = _value_at(document.data, path)
    if own is not None and value is not None:
        scalar = value is not _ABSENT and not isinstance(value, dict | list)
        return path, f"{document.shown(path, value)}: {own}" if scalar else str(own)
    if each["type"] == "finite_number":
        return path, f"{document.shown(path, value)}: must be a finite number"
    return path, _must_be(node_at(path), path, value, document)


def _value_at(data: Any, path: Place) -> Any:
    for part in path:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return _ABSENT
    return data


def _wrong_key(path: Place) -> str:
    """For a key that may not stand there, or a name that is not well formed."""
    key, parent = str(path[-1]), node_at(path[:-1])
    allowed = keys_of(parent)
    if not allowed:
        return f"{shown(key)}: must be {words(resolved(parent.get('propertyNames', {})))}"
    secret = [name for name in allowed if name.endswith(("key_file", "key_env"))]
    if secret and names_a_secret(key):
        return f"unknown key {shown(key)}; a key never stands in this file: use {' or '.join(secret)}"
    hint = nearest(key, allowed) or _below(key, path, allowed)
    return f"unknown key {shown(key)}; {hint}allowed: {listing(allowed)}"


def _below(key: str, path: Place, allowed: list[str]) -> str:
    for name in allowed:
        if key in keys_at((*path[:-1], name)):
            return f"it belongs under {name}; "
    return ""


def _must_be(node: Node, path: Place, value: Any, document: Document) -> str:
    expected = f"must be {words(node)}"
    if value is None:
        return f"is empty (null); {expected}; give a value or remove the key"
    if isinstance(value, dict):
        more = "; put '- ' before each entry" if node.get("type") == "array" else ""
        return f"{expected}, not a mapping{more}"
    if isinstance(value, list):
        return expected if node.get("type") == "array" else f"{expected}, not a list"
    written = document.shown(path, value)
    return f"{written}: {expected}{_remedy(node, value, written)}"


def _remedy(node: Node, value: Any, written: str) -> str:
    if "enum" in node and isinstance(value, str):
        hint = nearest(value, node["enum"]).rstrip()
        return f"; {hint}" if hint else ""
    if isinstance(value, str) and looks_like_key(value):
        return "; a key never stands in this file"
    kind = node.get("type")
    if kind == "string" and not isinstance(value, str):
        return f"; put it in quotes: '{written}'"
    if kind == "string" and len(value) > 60:
        return f"; it has {len(value)} characters"
    if kind == "array":
        return f"; write [{written}]" if resolved(node.get("items", {})).get("type") != "object" else ""
    if kind in ("integer", "number") and isinstance(value, str) and value.strip().lstrip("-").isdigit():
        return "; remove the quotes"
    return ""
