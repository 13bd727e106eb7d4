# SPDX-License-Identifier: Apache-2.0
"""When usage arrives: which requests are visible as of a time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from openai_simulator.organization.seed import generator

# What single requests amount to: a repeating table of request sizes whose sums over any range are exact and cheap.

PERIOD = 64  # a stream's request number n has the size of row n % PERIOD
ALL_ROWS = (1 << PERIOD) - 1
Sums = tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]


class SizeTable:
    """Sizes of the requests of a stream: PERIOD rows of the operation's parts, repeated for ever."""

    def __init__(self, rows: list[tuple[int, ...]]) -> None:
        self._rows = rows
        self._sums: dict[int, Sums] = {}

    def sums(self, mask: int) -> Sums:
        """(sum of one period, sums of its first r rows), counting only the rows whose bit is set in `mask`."""
        known = self._sums.get(mask)
        if known is None:
            known = self._sums[mask] = self._summed(mask)
        return known

    def between(self, first: int, last: int, mask: int = ALL_ROWS) -> list[int]:
        """The parts of requests number `first` to `last`, exclusive."""
        period, prefix = self.sums(mask)
        rounds_before, begin = divmod(first, PERIOD)
        rounds, end = divmod(last, PERIOD)
        rounds -= rounds_before
        rows = zip(period, prefix[begin], prefix[end], strict=True)
        return [rounds * whole + upto - before for whole, before, upto in rows]

    def _summed(self, mask: int) -> Sums:
        running = (0,) * len(self._rows[0])
        prefix = [running]
        for place, row in enumerate(self._rows):
            if mask >> place & 1:
                running = tuple(a + b for a, b in zip(running, row, strict=True))
            prefix.append(running)
        return running, tuple(prefix)


def size_table(
    seed: int, shape: str, parts: tuple[str, ...], means: Mapping[str, float], variant: int
) -> SizeTable:
    """A table for `parts`: each request counts 1 in the first part; the others scatter around their mean.

    A mean below 1 is the share of requests that have one unit of the part.
    """
    rng = generator(seed, "sizes", shape, variant)
    rows = []
    for _ in range(PERIOD):
        length = min(rng.lognormvariate(0.0, 0.55), 6.0)
        sizes = [means.get(part, 0.0) * (0.6 + 0.8 * rng.random()) * length for part in parts[1:]]
        floors = [1 if means.get(part, 0.0) >= 1 else 0 for part in parts[1:]]
        counted = (_whole(size, rng.random()) for size in sizes)
        rows.append((1, *(max(floor, size) for floor, size in zip(floors, counted, strict=True))))
    return SizeTable(rows)


def _whole(size: float, luck: float) -> int:
    return int(size) if size >= 1 else int(luck < size)


# When figures arrive: which requests are visible as of a time. Counts nothing itself.

_CLASS_SIZES = (30, 16, 10, 4, 2, 1, 1)  # of 64 requests; the last four come as late revisions
# In units of `late_seconds`: at the default 600 s most usage is there after ten minutes, the last
# stragglers after four hours; costs begin after an hour and settle within two days.
_USAGE_DELAYS = (0.25, 0.5, 0.75, 1.0, 3.0, 9.0, 24.0)
_COST_DELAYS = (6.0, 12.0, 24.0, 48.0, 96.0, 180.0, 264.0)
_STEPS_PER_LATE = 60


def _masks(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """The rows of a size table in each class, scattered by a step that is coprime to the period."""
    masks, place = [], 11
    for size in sizes:
        mask = 0
        for _ in range(size):
            mask |= 1 << place % PERIOD
            place += 27
        masks.append(mask)
    return tuple(masks)


_CLASSES = _masks(_CLASS_SIZES)


def _shed(share: float) -> int:
    """The rows that a downward revision drops: `share` of them, scattered over all classes."""
    count = round(share * PERIOD)
    return sum(1 << (place * 37 + 5) % PERIOD for place in range(count))


@dataclass(frozen=True, slots=True)
class Window:
    """The requests of the rows in `mask` with start <= time < end."""

    mask: int
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class View:
    """What can be seen of the books; equal `stamp`s see the same.

    What lies before `settled` is seen in full and stays as it is; `shed` are rows that were revised away.
    """

    windows: tuple[Window, ...]
    stamp: tuple[object, ...]
    now: float
    settled: float
    shed: int = 0

    @property
    def newest(self) -> float:
        """The time up to which anything is seen."""
        return max(window.end for window in self.windows)

    def ranges(self, start: float, end: float) -> Iterator[tuple[int, float, float]]:
        """(mask, from, to) of what is seen of [start, end): stretches of time that do not overlap, in order."""
        edges = {start, end}
        for window in self.windows:
            edges.update(edge for edge in (window.start, window.end) if start < edge < end)
        ordered = sorted(edges)
        for low, high in pairwise(ordered):
            mask = 0
            for window in self.windows:
                if window.start <= low and high <= window.end:
                    mask |= window.mask
            if mask:
                yield mask, low, high


def truth(now: float) -> View:
    """Everything that happened before `now`."""
    return View((Window(ALL_ROWS, float("-inf"), now),), ("truth", now), now, now)


@dataclass(frozen=True, slots=True)
class Lateness:
    """The delays of one kind of data, in seconds per class of requests."""

    delays: tuple[float, ...]
    step: float

    @classmethod
    def of_usage(cls, late_seconds: float) -> "Lateness":
        """Usage: the newest minutes fill over `late_seconds`, stragglers come up to 24 times later."""
        return cls(tuple(delay * late_seconds for delay in _USAGE_DELAYS), late_seconds / _STEPS_PER_LATE)

    @classmethod
    def of_costs(cls, late_seconds: float) -> "Lateness":
        """Costs: much later than usage, and revised for two days at the default of 600 s."""
        return cls(tuple(delay * late_seconds for delay in _COST_DELAYS), late_seconds / _STEPS_PER_LATE)

    @property
    def longest(self) -> float:
        """Seconds after which a request is certainly visible."""
        return self.delays[-1]

    def view(self, now: float, shrunk_to: float = 1.0) -> View:
        """What has arrived by `now`; `shrunk_to` is the share left of what lies before the running hour."""
        now = now - now % self.step if self.step else now
        shed = _shed(1.0 - shrunk_to)
        closed = now - now % 3600
        windows = []
        for mask, delay in zip(_CLASSES, self.delays, strict=True):
            windows.append(Window(mask & ~shed, float("-inf"), now - delay))
            if mask & shed:
                windows.append(Window(mask & shed, closed, now - delay))
        settled = now - self.longest
        return View(
            tuple(windows), ("arrived", now, shed), now, min(settled, closed) if shed else settled, shed
        )
