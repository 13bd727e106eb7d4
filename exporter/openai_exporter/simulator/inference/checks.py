# SPDX-License-Identifier: Apache-2.0
"""Checking a request's members against a table, with the API's own refusals. Knows no endpoint."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from openai_exporter.simulator.errors import (
    ApiError,
    invalid_type,
    invalid_value,
    missing_parameter,
)

_NAMES = {
    "string": "a string",
    "integer": "an integer",
    "number": "a decimal",
    "boolean": "a boolean",
    "array": "an array",
    "object": "an object",
}


@dataclass(frozen=True, slots=True)
class Member:
    """What a member may be: JSON types, range of numbers or lengths, allowed words, null."""

    types: tuple[str, ...]
    least: float | None = None
    most: float | None = None
    words: tuple[str, ...] = ()
    null: bool = True
    required: bool = False


Table = Mapping[str, Member]


def check(body: Mapping[str, Any], table: Table) -> None:
    """Raise the API's 400 for the first member that is missing, unknown, of a wrong type or out of range."""
    for name, member in table.items():
        if member.required and name not in body:
            raise missing_parameter(name)
    for name, value in body.items():
        member_or_none = table.get(name)
        if member_or_none is None:
            raise ApiError(400, f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
        _check_member(name, value, member_or_none)


def _check_member(name: str, value: Any, member: Member) -> None:
    if value is None and member.null and not member.required:
        return
    if not any(_is(kind, value) for kind in member.types):
        raise invalid_type(name, " or ".join(_NAMES[kind] for kind in member.types), value)
    if member.words and isinstance(value, str) and value not in member.words:
        raise invalid_value(name, value, ", ".join(f"'{word}'" for word in member.words))
    size = len(value) if isinstance(value, str | list) else value
    if member.least is not None and _is("number", size) and size < member.least:
        raise _bound(name, value, "below_min", f"at least {member.least:g}")
    if member.most is not None and _is("number", size) and size > member.most:
        raise _bound(name, value, "above_max", f"at most {member.most:g}")


def _is(kind: str, value: Any) -> bool:
    match kind:
        case "string":
            return isinstance(value, str)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "boolean":
            return isinstance(value, bool)
        case "array":
            return isinstance(value, list)
    return isinstance(value, dict)


def _bound(name: str, value: Any, ending: str, expected: str) -> ApiError:
    """Too small, too large; too short or too long for texts and arrays."""
    kind = "string" if isinstance(value, str) else "array" if isinstance(value, list) else None
    if kind is None:
        what = "integer" if isinstance(value, int) else "decimal"
        message = f"Invalid '{name}': {what} {ending.replace('_', ' ')} value."
        message += f" Expected {expected}, got {value}."
        return ApiError(400, message, param=name, code=f"{what}_{ending}_value")
    message = f"Invalid '{name}': {kind} {ending.replace('_', ' ')} length."
    message += f" Expected {expected}, got {len(value)}."
    return ApiError(400, message, param=name, code=f"{kind}_{ending}_length")
