# SPDX-License-Identifier: Apache-2.0
"""Prepaid credit: what is left of the credits of the configuration, computed from billed costs.

The API has no endpoint for the credit balance; what is said here is only as complete as the configuration.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from openai_exporter.client.organization import Calls
from openai_exporter.config.base import day_seconds
from openai_exporter.config.sections import Credit, Organization
from openai_exporter.exposition import Family, family
from openai_exporter.metrics import usage as metrics
from openai_exporter.usage import costs, dataset
from openai_exporter.usage.ledger import DAY, Range, day_start
from openai_exporter.usage.pages import Query, read
from openai_exporter.usage.rows import CostRow, decoded

_ZERO = Decimal(0)
_NEVER = 1 << 62
_MEAN_DAYS = 7
_FARTHEST = 3660


@dataclass(frozen=True, slots=True)
class Balance:
    """Prepaid credit of an organization, in USD.

    Attributes:
        remaining: credits less billed costs and what has expired; negative where more was billed.
        expired: credit that was not used before it expired.
        per_day: mean billed cost of the seven days before yesterday, whose costs have mostly arrived.
        exhausted_at: Unix seconds at which nothing is left at that rate; None where that is too far away to tell.
        next_expiry: start of the day on which the next part of what remains expires; None where none does.
    """

    remaining: Decimal
    expired: Decimal
    per_day: Decimal
    exhausted_at: float | None
    next_expiry: int | None


def balance(credits: Sequence[Credit], billed: Mapping[int, Decimal], now: float) -> Balance:
    """What is left now.

    Credit counts from the start of its day (UTC) to the start of the day on which it expires; what expires first is
    used first. What is billed beyond all credit is paid by the next one.

    Args:
        billed: USD by the start of the day.
    """
    today, purse = day_start(now), _Purse()
    for day in range(first_day(credits), today + DAY, DAY):
        purse.begin(day, credits)
        purse.spend(billed.get(day, _ZERO))
    week = [billed.get(today - DAY * number, _ZERO) for number in range(2, 2 + _MEAN_DAYS)]
    per_day = sum(week, _ZERO) / _MEAN_DAYS
    remaining, expiry = purse.remaining, min((day for day, usd in purse.lots.items() if usd > 0), default=_NEVER)
    return Balance(
        remaining,
        purse.expired,
        per_day,
        _exhausted_at(purse, credits, per_day, now),
        None if expiry == _NEVER else expiry,
    )


def first_day(credits: Iterable[Credit]) -> int:
    """The start of the day of the first credit."""
    return min(day_seconds(credit.date) for credit in credits)


class _Purse:
    """Credit by the day on which it expires."""

    def __init__(self) -> None:
        self.lots: dict[int, Decimal] = {}
        self.debt = _ZERO
        self.expired = _ZERO

    @property
    def remaining(self) -> Decimal:
        return sum(self.lots.values(), _ZERO) - self.debt

    def begin(self, day: int, credits: Iterable[Credit]) -> None:
        """Let expire what does on this day, and add the credits that begin."""
        for expiry in [expiry for expiry in self.lots if expiry <= day]:
            self.expired += self.lots.pop(expiry)
        for credit in credits:
            if day_seconds(credit.date) == day:
                expiry = day_seconds(credit.expires) if credit.expires else _NEVER
                self.lots[expiry] = self.lots.get(expiry, _ZERO) + Decimal(str(credit.amount_usd))
        self.spend(_ZERO)

    def spend(self, usd: Decimal) -> None:
        """Take from what expires first; a correction below zero gives back to what lasts longest."""
        owed, self.debt = self.debt + usd, _ZERO
        for expiry in sorted(self.lots):
            taken = min(max(owed, _ZERO), self.lots[expiry])
            self.lots[expiry] -= taken
            owed -= taken
        if owed < 0 and self.lots:
            self.lots[max(self.lots)] -= owed
        else:
            self.debt = owed


def _exhausted_at(purse: _Purse, credits: Sequence[Credit], per_day: Decimal, now: float) -> float | None:
    """When nothing remains, if each day costs the mean; the rest of today its part."""
    if purse.remaining <= 0:
        return now
    if per_day <= 0 and all(credit.expires is None for credit in credits):
        return None
    day, part = day_start(now), Decimal(day_start(now) + DAY - int(now)) / DAY
    for number in range(_FARTHEST):
        cost = max(per_day, _ZERO) * part
        if purse.remaining <= cost:
            return (now if number == 0 else day) + float(purse.remaining / per_day) * DAY
        purse.spend(cost)
        day, part = day + DAY, Decimal(1)
        purse.begin(day, credits)
        if purse.remaining <= 0:
            return float(day)
    return None


class CreditsDataset(dataset.Dataset):
    """Billed costs since the first credit, and the balance.

    Attributes:
        data: billed USD by the start of the day, as last read; None before, and before the first credit.
    """

    name = "credits"
    data: dict[int, Decimal] | None = None

    def __init__(self, organization: Organization, context: dataset.Context) -> None:
        assert organization.costs is not None
        self.interval = organization.costs.refresh_interval
        self.shape = self._credits = organization.credits
        self._context = context

    def read(self, calls: Calls, *, seen: bool) -> bool:
        """Read the costs of each day since the first credit, and of those whose mean is the run rate."""
        first, now = first_day(self._credits), self._context.clock.now()
        if now < first:
            return True  # nothing is prepaid yet
        billed: dict[int, Decimal] = {}

        def decode(result: Any, start: int) -> CostRow:
            return decoded(result, ())

        def add(start: int, rows: Iterable[CostRow]) -> None:
            billed[start] = billed.get(start, _ZERO) + sum((row.usd for row in rows if row.usd is not None), _ZERO)

        start = min(first, day_start(now) - DAY * (1 + _MEAN_DAYS))
        span = Range(start, None, "1d", costs.COST_DAYS)
        read(calls, self._context, Query(costs.PATH, self.name, span), decode, add)
        self.data = billed
        return True

    @property
    def balance(self) -> Balance | None:
        """What is left now; None before costs were read."""
        return None if self.data is None else balance(self._credits, self.data, self._context.clock.now())

    def families(self) -> Iterator[Family]:
        """The balance, and when it is used up or expires."""
        now = self.balance
        if now is None:
            return
        yield family(metrics.CREDIT_BALANCE, float(now.remaining))
        yield family(metrics.CREDIT_EXPIRED, float(now.expired))
        if now.exhausted_at is not None:
            yield family(metrics.CREDIT_EXHAUSTED, now.exhausted_at)
        if now.next_expiry is not None:
            yield family(metrics.CREDIT_EXPIRES, now.next_expiry)
