# SPDX-License-Identifier: Apache-2.0
"""Reading event streams in tests, by the book and strictly."""

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its name (None without an `event:` line) and its data."""

    name: str | None
    data: str

    @property
    def json(self) -> Any:
        """The data decoded."""
        return json.loads(self.data)


def events(body: str) -> list[Event]:
    """All events of a complete stream; every line must be one that we know."""
    assert body.endswith("\n\n")
    found = []
    for block in body.removesuffix("\n\n").split("\n\n"):
        name, data = None, []
        for line in block.split("\n"):
            field, _, value = line.partition(": ")
            assert field in ("event", "data", ""), line
            if field == "event":
                name = value
            elif field == "data":
                data.append(value)
        if data:
            found.append(Event(name, "\n".join(data)))
    return found
