# SPDX-License-Identifier: Apache-2.0
"""The databases that pages are drawn from: healthy with an outage at its end, many keys, and empty."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from tests.dashboards.data.money import freshness_series, money_series
from tests.dashboards.data.organization import Organization, large_organization, small_organization, with_surge
from tests.dashboards.data.probing import probe_series
from tests.dashboards.data.rules import fill_in
from tests.dashboards.data.series import Series
from tests.dashboards.data.service import service_series
from tests.dashboards.data.timeline import DAY, HOUR, Timeline
from tests.dashboards.data.tsdb import load
from tests.dashboards.data.usage import usage_series

NEVER = float("inf")


def timeline(end: int, days: float, fine: int = 10 * HOUR) -> Timeline:
    """`days` up to `end`, the last `fine` seconds of it in full resolution."""
    return Timeline(end - int(days * DAY), end, end - fine)


def all_series(organization: Organization, when: Timeline, outage: float) -> Iterator[Series]:
    """Every series of the catalogue, with an outage from `outage` (Unix seconds) on."""
    return chain(
        usage_series(organization, when),
        money_series(organization, when),
        freshness_series(organization, when, broken_from=outage),
        probe_series(when, outage),
        service_series(when, outage),
    )


def build(folder: Path, when: Timeline, groups: Sequence[Mapping[str, Any]], outage: float = NEVER) -> int:
    """A small organization with its recorded series; returns how many samples."""
    organization = with_surge(small_organization(), outage)
    samples = load(folder, when, all_series(organization, when, outage))
    return samples + fill_in(folder, when, groups)


def build_large(folder: Path, when: Timeline, groups: Sequence[Mapping[str, Any]]) -> int:
    """An organization with many keys; returns how many samples."""
    samples = load(folder, when, all_series(large_organization(), when, NEVER))
    return samples + fill_in(folder, when, groups)
