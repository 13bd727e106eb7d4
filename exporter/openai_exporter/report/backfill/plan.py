# SPDX-License-Identifier: Apache-2.0
"""Which queries an import needs: by the day far back, by the hour near its end. Calls nothing."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from openai_exporter.config import Config
from openai_exporter.config.organization import Organization
from openai_exporter.usage.costs import NAME as COSTS
from openai_exporter.usage.operations import OPERATIONS
from openai_exporter.usage.ownprices import version
from openai_exporter.usage.window import (
    DAY,
    HOUR,
    Range,
    day_start,
    hour_start,
    month_start,
    previous_month_start,
)

WIDTHS: Mapping[str, int] = {"1h": HOUR, "1d": DAY}
_PAGES = {"1h": 168, "1d": 31}
_COST_DAYS = 180


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for; a journal of another request is of no use.

    Attributes:
        start: first second, the start of a UTC day.
        end: the end of the last day.
        step: seconds between two samples of a series.
        fine_days: days before the end that are read by the hour.
        labels: added to each series.
        organization: name, address and grouping.
        live_from: when the live series began, None after the end: from then on the rules record growth.
    """

    start: int
    end: int
    step: int
    fine_days: int
    labels: tuple[tuple[str, str], ...]
    organization: Mapping[str, Any]
    live_from: float | None = None

    def document(self) -> dict[str, Any]:
        """What decides which queries are made, as plain data for comparison with a journal."""
        found = asdict(self) | {"labels": [list(each) for each in self.labels]}
        del found["live_from"]  # decides only what is written
        return found


@dataclass(frozen=True, slots=True)
class Step:
    """One query of one dataset."""

    dataset: str
    part: Range

    @property
    def name(self) -> str:
        """The name of its file in the journal."""
        return f"{self.dataset}-{self.part.width}-{self.part.start}"

    @property
    def end(self) -> int:
        """The end of its last bucket."""
        assert self.part.end is not None
        return self.part.end


def identity(config: Config, organization: Organization) -> dict[str, Any]:
    """What of a configuration decides the figures of an organization."""
    return {
        "name": organization.name,
        "base_url": organization.base_url,
        "usage": {name: list(usage.group_by) for name, usage in organization.usage.items()},
        "costs": list(organization.costs.group_by) if organization.costs else None,
        "series_limit": organization.series_limit,
        "prices": version(config.all_prices),
    }


def last_moment(request: Request, now: float) -> int:
    """The time of the last sample: the end asked for, or the last full hour."""
    return min(request.end, hour_start(now))


def steps(organization: Organization, request: Request, end: int) -> tuple[Step, ...]:
    """All queries; a counter begins with its month, so each reads from the start of the month on."""
    month = month_start(request.start)
    fine = min(end, max(month, day_start(end - request.fine_days * DAY)))
    found: list[Step] = []
    for name in organization.usage:
        if name in OPERATIONS:
            found += [Step(name, part) for part in _ranges(month, fine, "1d", _PAGES["1d"])]
            found += [Step(name, part) for part in _ranges(fine, end, "1h", _PAGES["1h"])]
    if organization.costs is not None:
        days = _ranges(previous_month_start(month), day_start(end) + DAY, "1d", _COST_DAYS)
        found += [Step(COSTS, part) for part in days]
    return tuple(found)


def _ranges(start: int, end: int, width: str, limit: int) -> Iterator[Range]:
    size = WIDTHS[width] * limit
    for begin in range(start, end, size):
        yield Range(begin, min(end, begin + size), width, limit)
