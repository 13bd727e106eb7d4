# SPDX-License-Identifier: Apache-2.0
"""What a dataset is: something of an organization that is read on its own schedule and fails on its own."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from openai_exporter.client.organization import Calls
from openai_exporter.exposition import Family
from openai_exporter.metrics import usage as metrics
from openai_exporter.prices.listed import PriceTable
from openai_exporter.usage.window import ApiClock

# What a dataset is: something of an organization that is read on its own schedule and fails on its own.


@dataclass(frozen=True, slots=True)
class Context:
    """What the datasets of one organization share.

    Attributes:
        clock: the API's time.
        prices: the price table, loaded at its first use.
        pause: to be called often in long loops, so that other threads get their turn.
    """

    clock: ApiClock
    prices: Callable[[], PriceTable]
    pause: Callable[[], None]


class Dataset(Protocol):
    """One dataset.

    Attributes:
        name: value of label `dataset`, and of label `api` in the call counters.
        interval: least seconds between two reads.
    """

    name: str
    interval: float

    def read(self, calls: Calls, *, seen: bool) -> bool:
        """Read it anew; what was read before stays until all of it is there.

        Args:
            seen: whether the figures as they are have been exposed.

        Returns:
            Whether it is complete; False when it goes on in the next refresh, so as not to hold up others.

        Raises:
            UpstreamError: nothing was taken over.
        """
        ...

    def adopt(self, other: "Dataset") -> bool:
        """Take over what another one of the same name has read, if it fits this configuration."""
        ...

    def families(self) -> Iterator[Family]:
        """What it exposes; nothing before the first successful read."""
        ...


# When a dataset is due, and how its last reads went. Reads nothing itself.

_FIRST_PAUSE = 60.0
_LONGEST_PAUSE = 300.0


@dataclass(frozen=True, slots=True)
class DatasetState:
    """How a dataset is, for people.

    Attributes:
        up: whether the last read succeeded; None before the first.
        last_success: Unix seconds, None when there was none.
        error: one sentence, empty when the last read succeeded.
        reason: the word of the failure, empty when the last read succeeded.
        duration: seconds of the last read.
        calls: API calls of the last read.
        failures: failed reads since the last success.
    """

    name: str
    up: bool | None = None
    last_success: float | None = None
    error: str = ""
    reason: str = ""
    duration: float = 0.0
    calls: int = 0
    failures: int = 0


def unread(since: Iterable[tuple[str, float]]) -> Family:
    """Datasets that were never read, with the time since when they are waited for."""
    return Family(metrics.UNREAD_SINCE, [((name,), seconds) for name, seconds in since])


def due_at(started: float, interval: float, failures: int) -> float:
    """When to read again: after the interval less a little (scrapes are not exact), soon after a failure."""
    if failures:
        return started + min(min(interval, _FIRST_PAUSE) * 2.0 ** min(failures - 1, 10), _LONGEST_PAUSE)
    return started + interval - min(2.0, interval * 0.05)


# The figures of an organization for the landing page. Plain data.


@dataclass(frozen=True, slots=True)
class BudgetState:
    """One budget in its running period.

    Attributes:
        scope, id: `organization` and empty, or such as `project` and its id.
        title: the name of what the id is of; empty where that is not known.
        spent_usd: None while unknown.
        basis: `billed` or `estimated`.
    """

    name: str
    scope: str
    id: str
    period: str
    basis: str
    limit_usd: Decimal
    warn_ratio: float
    spent_usd: Decimal | None
    title: str = ""

    @property
    def whose(self) -> str:
        """Whose budget it is, by name where that is known: `project Search`, `organization`."""
        return f"{self.scope} {self.title or self.id}".strip()

    @property
    def ratio(self) -> float | None:
        """The share of the limit that is spent; None while unknown."""
        return None if self.spent_usd is None else float(self.spent_usd / self.limit_usd)


@dataclass(frozen=True, slots=True)
class UsageSummary:
    """An organization as of its last reads; None is unknown.

    Attributes:
        month_to_date_usd, today_usd, yesterday_usd, previous_month_usd: billed.
        estimated_usd: list price of this month's usage.
        requests, input_tokens, output_tokens: this month.
        datasets: how each is.
        waiting: seconds for which the API asked not to be called.
    """

    organization: str
    month_to_date_usd: Decimal | None = None
    today_usd: Decimal | None = None
    yesterday_usd: Decimal | None = None
    previous_month_usd: Decimal | None = None
    estimated_usd: Decimal | None = None
    requests: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    datasets: tuple[DatasetState, ...] = ()
    budgets: tuple[BudgetState, ...] = ()
    waiting: float = 0.0


# Long readings in portions: an organization with many projects needs many calls, and usage must not wait for them.

PORTION = 10.0
"""Seconds after which a reading lets the others pass."""


class Walk:
    """A reading that goes on where it stopped."""

    def __init__(self, portion: float = PORTION, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._portion = portion
        self._monotonic = monotonic
        self._steps: Iterator[None] | None = None

    def go(self, begin: Callable[[], Iterator[None]]) -> bool:
        """Go on, or begin; True when it came to its end. A failure ends it, the next call begins anew."""
        steps, self._steps = self._steps or begin(), None
        end = self._monotonic() + self._portion
        for _ in steps:
            if self._monotonic() > end:
                self._steps = steps
                return False
        return True
