# SPDX-License-Identifier: Apache-2.0
"""What the landing page says of a status page."""

from dataclasses import dataclass

from openai_exporter.status.reading import Component, Incident
from openai_exporter.status.service import StatusSummary
from openai_exporter.web import words
from openai_exporter.web.probeview import OLD, OLD_INTERVALS


@dataclass(frozen=True, slots=True)
class StatusView:
    """One status page.

    Attributes:
        troubled: components that are not operational.
        state: `good`, `bad` or `none`, for the colour of `headline`.
    """

    name: str
    url: str
    read: bool
    age: str
    error: str
    total: int
    troubled: tuple[Component, ...]
    incidents: tuple[Incident, ...]
    state: str
    headline: str


def status_view(summary: StatusSummary, now: float, interval: float = 0.0) -> StatusView:
    """The view of a page as it was last read; `interval` in seconds says what is old."""
    troubled = tuple(each for each in summary.components if each.state != "operational")
    read = summary.read_at is not None
    old = read and now - (summary.read_at or now) > OLD + OLD_INTERVALS * interval
    state = "none" if not read or old else "bad" if troubled or summary.incidents else "good"
    return StatusView(
        summary.name,
        summary.url,
        read,
        f"read {words.ago(summary.read_at, now)}{', not scraped since' if old else ''}"
        if read
        else "not read yet",
        summary.error if read or summary.tried else "",
        len(summary.components),
        troubled,
        summary.incidents,
        state,
        _headline(read, len(troubled), len(summary.incidents)),
    )


def _headline(read: bool, troubled: int, incidents: int) -> str:
    if not read:
        return "unknown"
    if incidents:
        return f"{incidents} incident{'s' if incidents > 1 else ''}"
    return f"{troubled} not operational" if troubled else "operational"
