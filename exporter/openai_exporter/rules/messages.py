# SPDX-License-Identifier: Apache-2.0
"""What a person reads for a mistake in the shape of thresholds.yml: the value, what is allowed, the remedy."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from openai_exporter.config.base import Section
from openai_exporter.config.document import Document, Path
from openai_exporter.config.masking import shown
from openai_exporter.config.suggestion import listing, nearest
from openai_exporter.errors import Problem
from openai_exporter.rules.measures import NAMES
from openai_exporter.rules.schema import MUST_BE, OPERATORS, Example, Settings, Threshold, ThresholdFile

_ABSENT = object()
_CHOICES: Mapping[str, Sequence[str]] = {"metric": NAMES, "severity": ("critical", "warning", "info")}
_QUOTE = "; YAML reads a bare > as the start of a text, write it in quotes: '>'"


def problems(error: ValidationError, document: Document) -> list[Problem]:
    """Every mistake that pydantic found, in file order, one per place."""
    found: dict[Path, str] = {}
    for each in error.errors(include_url=False, include_input=False):
        path = _existing(tuple(each["loc"]), document.data, each["type"])
        if not any(path[:end] in found for end in range(len(path) + 1)):
            found[path] = _message(dict(each), path, document)
    return [document.problem(path, found[path]) for path in sorted(found, key=document.line)]


def keys_at(path: Path) -> list[str]:
    """The keys that a mapping at this path may have."""
    parts = tuple(part for part in path if isinstance(part, str))
    section: dict[tuple[str, ...], type[Section]] = {
        ("settings",): Settings,
        ("thresholds",): Threshold,
        ("thresholds", "examples"): Example,
    }
    fields = section.get(parts, ThresholdFile).model_fields
    return [field.alias or name for name, field in fields.items()]


def _existing(path: Path, data: Any, kind: str) -> Path:
    """The path without an index that the file does not write: a single value stands for a list of one."""
    if kind == "missing" or not path or not isinstance(path[-1], int):
        return path
    return path if _value_at(data, path) is not _ABSENT else path[:-1]


def _value_at(data: Any, path: Path) -> Any:
    for part in path:
        try:
            data = data[part] if not isinstance(data, str) else _ABSENT
        except (KeyError, IndexError, TypeError):
            return _ABSENT
    return data


def _message(each: dict[str, Any], path: Path, document: Document) -> str:
    if each["type"] == "missing":
        return f"is missing; must be {_words(path)}"
    if each["type"] == "extra_forbidden":
        allowed = keys_at(path[:-1])
        key = str(path[-1])
        return f"unknown key {shown(key)}; {nearest(key, allowed)}allowed: {listing(allowed)}"
    value = _value_at(document.data, path)
    expected = f"must be {_words(path)}"
    own = each.get("ctx", {}).get("error")
    if isinstance(own, ValueError) and value is not None and not isinstance(value, dict | list):
        return f"{document.shown(path, value)}: {own}"
    if value is None:
        return f"is empty (null); {expected}; give a value or remove the key"
    if isinstance(value, dict | list):
        return _collection(each["type"], value, expected)
    return f"{document.shown(path, value)}: {expected}{_remedy(path, value, each['type'], document)}"


def _collection(kind: str, value: dict[str, Any] | list[Any], expected: str) -> str:
    if not value:
        return f"is empty; {expected}"
    if kind in ("too_long", "too_short"):
        return f"has {len(value)} entries; {expected}"
    return f"{expected}, not {'a mapping' if isinstance(value, dict) else 'a list'}"


def _words(path: Path) -> str:
    if not path:
        return "a mapping; start with `thresholds:`"
    key = next((part for part in reversed(path) if isinstance(part, str)), "")
    if isinstance(path[-1], int) and key in ("thresholds", "examples"):
        return f"a mapping with keys of {listing(keys_at(path))}"
    return MUST_BE.get(key, "another value")


def _remedy(path: Path, value: Any, kind: str, document: Document) -> str:
    key = str(path[-1]) if path else ""
    if key == "operator":
        return _QUOTE if not str(value).strip() else f"; {_symbol(str(value))}".rstrip("; ")
    if isinstance(value, str):
        hint = nearest(value, _CHOICES.get(key, ())).rstrip()
        long = f"; it has {len(value)} characters" if kind == "string_too_long" else ""
        return f"; {hint}" if hint else long
    if kind == "string_type":
        return f"; put it in quotes: '{document.shown(path, value)}'"
    return ""


def _symbol(text: str) -> str:
    meant = {"gt": ">", "above": ">", "ge": ">=", "=>": ">=", "lt": "<", "below": "<", "le": "<=", "=<": "<="}
    found = meant.get(text.strip().lower(), text.strip() if text.strip() in OPERATORS else "")
    return f"did you mean '{found}'?" if found else ""
