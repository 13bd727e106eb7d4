# SPDX-License-Identifier: Apache-2.0
"""thresholds.yml to a checked `ThresholdFile`, and the message for each mistake in its shape."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from openai_exporter.config.base import Section, listing, nearest
from openai_exporter.config.document import Document, Place, dotted
from openai_exporter.config.secret import shown
from openai_exporter.errors import ConfigError, Problem
from openai_exporter.rules.checks import Finding, cross_check
from openai_exporter.rules.measures import NAMES
from openai_exporter.rules.schema import MUST_BE, OPERATORS, Example, Settings, Threshold, ThresholdFile

# What a person reads for a mistake in the shape of thresholds.yml: the value, what is allowed, the remedy.

_ABSENT = object()
_CHOICES: Mapping[str, Sequence[str]] = {"metric": NAMES, "severity": ("critical", "warning", "info")}
_QUOTE = "; YAML reads a bare > as the start of a text, write it in quotes: '>'"


def problems(error: ValidationError, document: Document) -> list[Problem]:
    """Every mistake that pydantic found, in file order, one per place."""
    found: dict[Place, str] = {}
    for each in error.errors(include_url=False, include_input=False):
        path = _existing(tuple(each["loc"]), document.data, each["type"])
        if not any(path[:end] in found for end in range(len(path) + 1)):
            found[path] = _message(dict(each), path, document)
    return [document.problem(path, found[path]) for path in sorted(found, key=document.line)]


def keys_at(path: Place) -> list[str]:
    """The keys that a mapping at this path may have."""
    parts = tuple(part for part in path if isinstance(part, str))
    section: dict[tuple[str, ...], type[Section]] = {
        ("settings",): Settings,
        ("thresholds",): Threshold,
        ("thresholds", "examples"): Example,
    }
    fields = section.get(parts, ThresholdFile).model_fields
    return [field.alias or name for name, field in fields.items()]


def _existing(path: Place, data: Any, kind: str) -> Place:
    """The path without an index that the file does not write: a single value stands for a list of one."""
    if kind == "missing" or not path or not isinstance(path[-1], int):
        return path
    return path if _value_at(data, path) is not _ABSENT else path[:-1]


def _value_at(data: Any, path: Place) -> Any:
    for part in path:
        try:
            data = data[part] if not isinstance(data, str) else _ABSENT
        except (KeyError, IndexError, TypeError):
            return _ABSENT
    return data


def _message(each: dict[str, Any], path: Place, document: Document) -> str:
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


def _words(path: Place) -> str:
    if not path:
        return "a mapping; start with `thresholds:`"
    key = next((part for part in reversed(path) if isinstance(part, str)), "")
    if isinstance(path[-1], int) and key in ("thresholds", "examples"):
        return f"a mapping with keys of {listing(keys_at(path))}"
    return MUST_BE.get(key, "another value")


def _remedy(path: Place, value: Any, kind: str, document: Document) -> str:
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


# Files to text, within a bound; what cannot be read is a problem with a remedy, not an exception of the system.

MAX_BYTES = 1 << 20


def read(path: Path, what: str) -> str:
    """The text of a file; `what` says what it should be.

    Raises:
        ConfigError: it cannot be read, is too large or not UTF-8.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ConfigError([Problem(str(path), f"is larger than 1 MiB; this is not {what}")])
        return content.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise ConfigError([Problem(str(path), _unreadable(error))]) from None


def _unreadable(error: OSError | ValueError) -> str:
    if isinstance(error, UnicodeDecodeError):
        line = error.object.count(b"\n", 0, error.start) + 1
        return f"is not UTF-8 text (byte 0x{error.object[error.start]:02x} on line {line}); save it as UTF-8"
    return f"cannot be read: {getattr(error, 'strerror', None) or error}; name an existing file"


# thresholds.yml to a checked `ThresholdFile`.

_EMPTY = "is empty; start with `thresholds:`, or write `thresholds: []` for none"
# What PyYAML says of `operator: >=`.
_BARE_SIGN = "expected chomping or indentation indicators"


def load_thresholds(path: Path) -> ThresholdFile:
    """Decode and check a file of thresholds.

    Raises:
        ConfigError: every mistake at once, each with file, line, path, value and what is allowed.
    """
    return parse_thresholds(read(path, "a file of thresholds"), str(path))


def place_of(path: Path, inner: Place) -> str:
    """`thresholds.yml:12: thresholds[0].examples[1]` of something in a file that has been loaded."""
    return _document(read(path, "a file of thresholds"), str(path)).place(inner)


def parse_thresholds(text: str, name: str) -> ThresholdFile:
    """Decode and check the text of thresholds; `name` is shown in errors.

    Raises:
        ConfigError: as `load_thresholds`.
    """
    document = _document(text, name)
    if document.data is None or document.data == {}:
        raise ConfigError([Problem(name, _EMPTY)])
    try:
        file = ThresholdFile.model_validate(document.data)
    except ValidationError as error:
        raise ConfigError(problems(error, document)) from None
    found = sorted(cross_check(file), key=lambda finding: document.line(finding.path))
    if found:
        raise ConfigError([_problem(finding, document) for finding in found])
    return file


def _document(text: str, name: str) -> Document:
    try:
        return Document(text, name)
    except ConfigError as error:
        raise ConfigError([_quoted(problem) for problem in error.problems]) from None


def _quoted(problem: Problem) -> Problem:
    if _BARE_SIGN not in problem.message:
        return problem
    return Problem(problem.place, "has a bare >= or similar sign; write it in quotes: operator: '>='")


def _problem(finding: Finding, document: Document) -> Problem:
    message = finding.message
    if finding.value is not None:
        message = f"{document.shown(finding.path, finding.value)}: {message}"
    if finding.first is not None:
        message += f"; first on line {document.line(finding.first)} ({dotted(finding.first)})"
    return document.problem(finding.path, message)
