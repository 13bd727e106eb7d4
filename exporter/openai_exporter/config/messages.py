# SPDX-License-Identifier: Apache-2.0
"""What a person reads for a mistake that pydantic found: the value, what is allowed, the remedy."""

from typing import Any

from pydantic import ValidationError

from openai_exporter.config.base import FieldError
from openai_exporter.config.document import Document, Path
from openai_exporter.config.masking import looks_like_key, names_a_secret, shown
from openai_exporter.config.schema import Node, keys_at, keys_of, node_at, resolved, words
from openai_exporter.config.suggestion import listing, nearest
from openai_exporter.errors import Problem

_KEY = "[key]"
_ABSENT = object()


def problems(error: ValidationError, document: Document) -> list[Problem]:
    """Every mistake, in file order."""
    return [document.problem(path, message) for path, message in mistakes(error, document).items()]


def mistakes(error: ValidationError, document: Document) -> dict[Path, str]:
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


def _message(each: dict[str, Any], path: Path, document: Document) -> tuple[Path, str]:
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


def _value_at(data: Any, path: Path) -> Any:
    for part in path:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return _ABSENT
    return data


def _wrong_key(path: Path) -> str:
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


def _below(key: str, path: Path, allowed: list[str]) -> str:
    for name in allowed:
        if key in keys_at((*path[:-1], name)):
            return f"it belongs under {name}; "
    return ""


def _must_be(node: Node, path: Path, value: Any, document: Document) -> str:
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
