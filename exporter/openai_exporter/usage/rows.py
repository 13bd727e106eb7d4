# SPDX-License-Identifier: Apache-2.0
"""One result of a usage bucket, decoded strictly: labels and whole numbers. Unknown fields are ignored."""

from collections.abc import Callable, Mapping
from typing import Any

from openai_exporter.usage.fold import Labels, Values
from openai_exporter.usage.jsontext import MalformedError
from openai_exporter.usage.operations import Operation

MOST = 10**15
"""Figures beyond this are taken for a fault; it keeps sums and costs within what is exact everywhere."""

_WHOLE = {int}

Cost = Callable[[Mapping[str, Any], int], tuple[int, ...]]


class RowDecoder:
    """Turns results of one endpoint into rows.

    Args:
        group_by: dimensions, in the order of the labels.
        cost: from a result and its bucket's start to the columns that are computed.

    Attributes:
        negative: results with a figure below 0 since `begin`.
        example: the first of these, for a person.
    """

    def __init__(self, operation: Operation, group_by: tuple[str, ...], cost: Cost) -> None:
        self._group_by = group_by
        self._sources = tuple((each.source, each.required) for each in operation.sources)
        self._names = tuple(each.source for each in operation.sources)
        self._cost = cost
        self._known: dict[Labels, Labels] = {}
        self.negative = 0
        self.example = ""

    def begin(self) -> None:
        """Begin a reading."""
        self.negative, self.example = 0, ""

    def decode(self, result: Any, start: int) -> tuple[Labels, Values]:
        """Labels and values of one result.

        Raises:
            MalformedError: names the field.
        """
        if not isinstance(result, dict):
            raise MalformedError(f"expected an object, got {shown(result)}")
        # Most dimensions are text, and most figures there and sound: what is not is looked at one by one.
        get = result.get
        labels = tuple(
            [found if type(found := get(name)) is str else label(result, name) for name in self._group_by]
        )
        values: tuple[Any, ...] = tuple(map(get, self._names))
        if set(map(type, values)) != _WHOLE or min(values) < 0 or max(values) > MOST:
            values = tuple([whole(result, name, required) for name, required in self._sources])
            if values and min(values) < 0:
                self._note(start, labels, values)
        return self._known.setdefault(labels, labels), values + self._cost(result, start)

    def _note(self, start: int, labels: Labels, values: Values) -> None:
        self.negative += 1
        if not self.example:
            figures = {
                name: value for (name, _), value in zip(self._sources, values, strict=True) if value < 0
            }
            named = dict(zip(self._group_by, labels, strict=True))
            self.example = f"bucket {start} of {named}: {figures}"


def label(result: Mapping[str, Any], name: str) -> str:
    """A dimension as a label value; null and absent are empty."""
    found = result.get(name)
    if type(found) is str:
        return found
    if found is None:
        return ""
    if isinstance(found, bool):
        return "true" if found else "false"
    raise MalformedError(f"{name}: expected a string or null, got {shown(found)}")


def whole(result: Mapping[str, Any], name: str, required: bool = False) -> int:
    """A whole number; null and absent are 0 where the field is optional."""
    found = result.get(name)
    if type(found) is int and -MOST <= found <= MOST:
        return found
    if found is None and not required:
        return 0
    if found is None:
        raise MalformedError(f"{name}: is missing")
    raise MalformedError(f"{name}: expected a whole number of at most {MOST:.0e}, got {shown(found)}")


def shown(value: object) -> str:
    """A value as errors show it."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
