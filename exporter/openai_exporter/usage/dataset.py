# SPDX-License-Identifier: Apache-2.0
"""What a dataset is: something of an organization that is read on its own schedule and fails on its own."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from openai_exporter.client.organization import Calls, Doubt
from openai_exporter.exposition import Family
from openai_exporter.metrics import usage as metrics
from openai_exporter.prices import PriceTable
from openai_exporter.usage.ledger import covers

log = logging.getLogger(__name__)

_RESOLUTION = 1.5
"""Differences below this are the header's one-second resolution and the way of the answer."""
_BOUND = 900.0
"""Differences up to this are clocks that are not exact: such a Date is believed at once."""


class ApiClock:
    """The API's clock, learned from header Date: months and days of usage are those of the API, not of this machine.

    Where a Date and our clock differ, one of them is wrong. The one that is nearer to the last time that was known
    is believed; if that is ours, the Date is believed when several answers repeat it.

    Attributes:
        offset: seconds that the API's clock is ahead of ours; None before the first answer that was believed.
        doubt: answers whose Date was not believed.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._last: float | None = None
        self._doubted = 0.0
        self.offset: float | None = None
        self.doubt = Doubt()

    def now(self) -> float:
        """The API's time in Unix seconds, as far as it is known."""
        offset = self.offset or 0.0
        return self._now() + (offset if abs(offset) > _RESOLUTION else 0.0)

    @property
    def certain(self) -> bool:
        """Whether our clock or a Date was believed so far."""
        return self.offset is not None or not self.doubt

    def observe(self, date: float | None) -> None:
        """Take note of the Date of an answer that has just arrived."""
        if date is None:
            return
        now = self._now()
        offset = date + 0.5 - now
        if min(abs(offset), abs(offset - (self.offset or 0.0))) <= _BOUND or self._jumped(date):
            self._believe(offset, date)
            return
        same = abs(offset - self._doubted) <= _BOUND
        self._doubted = offset
        if self.doubt.repeated(now, same=same):
            order = "ahead of" if offset > 0 else "behind"
            text = "the API's clock (header Date) is %.0f s %s this machine's; it is followed now"
            log.warning(text, abs(offset), order)
            self._believe(offset, date)

    def adopt(self, other: "ApiClock") -> None:
        """Go on with what another one knows."""
        self.offset, self._last, self.doubt, self._doubted = other.offset, other._last, other.doubt, other._doubted

    def _jumped(self, date: float) -> bool:
        """Whether our clock is farther from the last time that was known than `date` is."""
        return self._last is not None and abs(date - self._last) < abs(self.now() - self._last)

    def _believe(self, offset: float, date: float) -> None:
        self.offset, self._last = offset, date
        self.doubt.clear()
        self.doubt.patient = True


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


class Dataset(ABC):
    """One dataset.

    Attributes:
        name: value of label `dataset`, and of label `api` in the call counters.
        interval: least seconds between two reads.
        shape: what must be equal in another one for its data to be of use here.
        data: as last read; None before, or what stands for nothing.
    """

    name: str
    interval: float
    shape: object = None
    data: Any = None

    @abstractmethod
    def read(self, calls: Calls, *, seen: bool) -> bool:
        """Read it anew; what was read before stays until all of it is there.

        Args:
            seen: whether the figures as they are have been exposed.

        Returns:
            Whether it is complete; False when it is continued in the next refresh, so as not to hold up others.

        Raises:
            UpstreamError: nothing was taken over.
        """

    def adopt(self, other: "Dataset") -> bool:
        """Take over what another one of the same name has read, if it fits this configuration."""
        if type(other) is not type(self) or other.shape != self.shape:
            return False
        self.data = other.data
        return True

    @property
    def outdated(self) -> bool:
        """Whether it is to be read before its interval is over."""
        return False

    @abstractmethod
    def families(self) -> Iterator[Family]:
        """What it exposes; nothing before the first successful read."""


@dataclass(frozen=True, slots=True)
class DatasetState:
    """When a dataset was read, and how that went.

    Attributes:
        since: Unix seconds since which it is waited for.
        started: Unix seconds at the start of the last complete read; None when it is to be read at once.
        up: whether the last read succeeded; None before the first.
        last_success: Unix seconds, None when there was none.
        error: one sentence, empty when the last read succeeded.
        reason: the word of the failure, empty when the last read succeeded.
        duration: seconds of the last read.
        calls: API calls of the last read.
        failures: failed reads since the last success.
        partial: whether the last read failed in part, and the rest was taken over.
    """

    name: str
    since: float = 0.0
    started: float | None = None
    up: bool | None = None
    last_success: float | None = None
    error: str = ""
    reason: str = ""
    duration: float = 0.0
    calls: int = 0
    failures: int = 0
    partial: bool = False


def unread(since: Iterable[tuple[str, float]]) -> Family:
    """Datasets that were never read, with the time since when they are waited for."""
    return Family(metrics.UNREAD_SINCE, [((name,), seconds) for name, seconds in since])


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
    """An organization as of its last reads, for the landing page; None is unknown.

    Attributes:
        month_to_date_usd, today_usd, yesterday_usd, previous_month_usd: billed.
        credit_usd: prepaid credit that is left, computed.
        estimated_usd: list price of this month's usage.
        requests, input_tokens, output_tokens: this month.
        datasets: how each is.
        waiting: seconds for which the API asked not to be called.
        now: the API's time when it was made.
    """

    organization: str
    month_to_date_usd: Decimal | None = None
    today_usd: Decimal | None = None
    yesterday_usd: Decimal | None = None
    previous_month_usd: Decimal | None = None
    credit_usd: Decimal | None = None
    estimated_usd: Decimal | None = None
    requests: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    datasets: tuple[DatasetState, ...] = ()
    budgets: tuple[BudgetState, ...] = ()
    waiting: float = 0.0
    now: float = 0.0

    def at(self, now: float) -> "UsageSummary":
        """What is still known at this time of the API: a day or a month that began since is unknown."""
        if covers("day", self.now, now):
            return self
        of_month = {"month_to_date_usd", "previous_month_usd", "estimated_usd"}
        of_month |= {"requests", "input_tokens", "output_tokens"}
        turned = not covers("month", self.now, now)
        unknown: dict[str, Any] = dict.fromkeys({"today_usd", "yesterday_usd"} | (of_month if turned else set()))
        budgets = [replace(b, spent_usd=None) if turned or b.period == "day" else b for b in self.budgets]
        return replace(self, budgets=tuple(budgets), **unknown)
