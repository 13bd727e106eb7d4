# SPDX-License-Identifier: Apache-2.0
"""The books of one usage endpoint: readings in, counters that never fall within a month out. No input, no output.

A counter is the sum of its buckets since the first of the month. What is final is kept as one sum per
series; what may still change is replaced whole by each reading, and the difference moves the figures:
upwards the counter, downwards the corrections. So at any time, for each field, counter - corrections is
what the API says. Usage of the month before that arrives after that month's end is not added to the new
month, whose counters begin at 0; the costs of the month before are still read.
"""

from collections.abc import Iterable, Iterator
from operator import sub

from openai_exporter.usage.draft import Draft
from openai_exporter.usage.fold import Fold, Labels, Rows, Values, accumulate
from openai_exporter.usage.kept import Kept
from openai_exporter.usage.window import DAY, Plan, month_start, since, whole_month


class VanishedError(ValueError):
    """A reading without a single bucket, where buckets with usage are known: not to be believed."""


class Ledger:
    """The figures of one endpoint and month.

    Attributes:
        month: start of the month, 0 before the first reading.
        totals: the counters, by series.
        corrections: what the API took back, by field.
        newest: start of the newest bucket with usage; None when there was none.
        fresh: series that are new, and are exposed as 0 until that has been seen.
        complete: whether the whole month was read, and not only restored.
    """

    def __init__(self, width: int, fold: Fold) -> None:
        self.month = 0
        self.totals: Rows = {}
        self.corrections: list[int] = [0] * width
        self.newest: int | None = None
        self._zero: Values = (0,) * width
        self._fold = fold
        self._closed_until = 0
        self._today = 0
        self.complete = False
        self._settled: tuple[Rows, Rows] = ({}, {})
        self._open: tuple[Rows, Rows] = ({}, {})
        self.fresh: set[Labels] = set()

    def plan(self, now: float, settle: float, *, audit: bool) -> Plan:
        """What to read next; `audit` asks for the whole month."""
        now = self._not_back(now)
        if audit or not self.complete or month_start(now) != self.month or now < self._closed_until:
            return whole_month(now, settle)
        return since(self._closed_until, now, settle)

    def draft(self, plan: Plan, now: float) -> Draft:
        """An empty reading for a plan."""
        return Draft(plan, self._not_back(now))

    def commit(self, draft: Draft, *, seen: bool, preferred: frozenset[Labels] | None = None) -> None:
        """Take over a reading.

        Args:
            draft: a complete reading.
            seen: whether the figures as they were have been exposed since the last commit.
            preferred: the largest series of the month before, if that was looked up just now.

        Raises:
            VanishedError: the reading has no bucket at all, but figures for its time are known.
        """
        rolled = draft.month != self.month
        whole = rolled or draft.start == draft.month
        old = () if rolled else (*self._settled, *self._open) if whole else self._open
        if not draft.buckets and any(old):
            raise VanishedError("the answer has no buckets where it had some before")
        first = not self.month
        if rolled:
            self._roll(draft.month, preferred)
        if preferred is not None:
            self._fold.preferred = preferred
        known = set(self.totals)
        self._fold.apply(draft.parts(), self.totals, draft.first)
        self._move(old, draft.parts())
        self._keep(draft, whole)
        shown_before = set() if seen else self.fresh
        self.fresh = set() if first else (set(self.totals) - known) | shown_before
        if rolled and not first:
            self.fresh = set(self.totals)

    def counters(self) -> Iterator[tuple[Labels, Values]]:
        """Each series with what is to be exposed: 0 once for one that is new, then its counter."""
        for labels, values in self.totals.items():
            yield labels, self._zero if labels in self.fresh else values

    def books(self) -> Rows:
        """What the API says, by series."""
        return merged((*self._settled, *self._open))

    def today(self) -> Rows:
        """What the API says of the running day, by series."""
        return merged((self._settled[1], self._open[1]))

    def restore(self, kept: Kept) -> None:
        """Take over kept figures; the next reading is of the whole month and is compared with them."""
        self.month = kept.month
        self.totals = kept.totals
        self.corrections = list(kept.corrections)
        self.fresh = set(kept.fresh)
        self._settled = (kept.books, {})

    def _not_back(self, now: float) -> float:
        """The servers' clocks differ a little; do not go back to a month that has just ended."""
        return float(self.month) if 0 < self.month - now <= DAY else now

    def in_use(self) -> list[Labels]:
        """Series that have counted anything."""
        return [labels for labels, values in self.totals.items() if any(values)]

    def _roll(self, month: int, preferred: frozenset[Labels] | None) -> None:
        """Begin a month: series that were in use show 0, all others are forgotten."""
        kept = (each for each in self.in_use() if preferred is None or each in preferred)
        self.totals = dict.fromkeys(kept, self._zero)
        self.corrections = [0] * len(self._zero)
        self.month = month
        self._today = 0
        self._settled, self._open = ({}, {}), ({}, {})
        self._fold.restart()

    def _move(self, old: tuple[Rows, ...], new: tuple[Rows, ...]) -> None:
        """Move the counters and corrections by the difference of two readings."""
        for labels in dict.fromkeys(labels for rows in (*old, *new) for labels in rows):
            before, after = self._sum(old, labels), self._sum(new, labels)
            if before == after and labels in self.totals:
                continue
            change = tuple(map(sub, after, before))
            rise = change if min(change) >= 0 else tuple(max(0, each) for each in change)
            accumulate(self.totals, labels, rise)
            if change != rise:
                fall = map(sub, rise, change)
                self.corrections = [sum(pair) for pair in zip(self.corrections, fall, strict=True)]

    def _sum(self, parts: tuple[Rows, ...], labels: Labels) -> Values:
        found = [rows[labels] for rows in parts if labels in rows]
        if len(found) == 1:
            return found[0]
        return tuple(map(sum, zip(*found, strict=True))) if found else self._zero

    def _keep(self, draft: Draft, whole: bool) -> None:
        if whole:
            self._settled = draft.settled
        else:
            if draft.today > self._today:
                self._settled = (merged(self._settled), {})
            for kept, more in zip(self._settled, draft.settled, strict=True):
                for labels, values in more.items():
                    accumulate(kept, labels, values)
        self._open = draft.open
        self._today = draft.today
        self._closed_until = draft.closes
        self.complete = True
        if draft.newest is not None:
            self.newest = draft.newest if whole else max(draft.newest, self.newest or 0)


def merged(parts: Iterable[Rows]) -> Rows:
    """The sum of several sets of rows."""
    total: Rows = {}
    for rows in parts:
        for labels, values in rows.items():
            accumulate(total, labels, values)
    return total
