# SPDX-License-Identifier: Apache-2.0
"""What happened to alerts since the demo began: pending, firing, page delivered, resolved. Asks nobody itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PENDING, FIRING = "pending", "firing"
_STYLES = {PENDING: "yellow", FIRING: "bold red"}


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    Attributes:
        at: seconds since the demo began.
        style: rich's.
    """

    at: float
    text: str
    style: str = ""


class Timeline:
    """Turns what is now into what has changed."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._states: Mapping[str, str] = {}
        self._last_page = 0

    def note(self, at: float, text: str, style: str = "bold cyan") -> None:
        """Something that the demo did."""
        self.events.append(Event(at, text, style))

    def update(
        self, at: float, states: Mapping[str, str] | None, pages: Sequence[Mapping[str, Any]]
    ) -> list[Event]:
        """The events since the last update.

        Args:
            states: name of each alert that is active -> `pending` or `firing`; None while that is not known.
            pages: what page-sink lists, in any order.
        """
        before = len(self.events)
        states = self._states if states is None else states
        for name in sorted({*self._states, *states}):
            old, new = self._states.get(name), states.get(name)
            if new is not None and new != old:
                self.events.append(Event(at, f"{name} {new}", _STYLES.get(new, "")))
            elif new is None and old == FIRING:
                self.events.append(Event(at, f"{name} fires no more", "green"))
            elif new is None:
                self.events.append(Event(at, f"{name} did not last", "dim"))
        self._states = dict(states)
        for page in sorted(pages, key=lambda each: int(each["id"])):
            if int(page["id"]) > self._last_page:
                self._last_page = int(page["id"])
                self.events.append(_delivered(at, page))
        return self.events[before:]


def _delivered(at: float, page: Mapping[str, Any]) -> Event:
    count = len(page["alerts"])
    alerts = f"{count} alert" if count == 1 else f"{count} alerts"
    if page["status"] == "resolved":
        return Event(at, f"page delivered: {page['title']} resolved ({alerts})", "bold green")
    return Event(at, f"page delivered: {page['severity']} {page['title']} ({alerts})", "bold red")
