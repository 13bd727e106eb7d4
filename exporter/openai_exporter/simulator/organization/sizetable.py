# SPDX-License-Identifier: Apache-2.0
"""What single requests amount to: a repeating table of request sizes whose sums over any range are exact and cheap."""

from collections.abc import Mapping

from openai_exporter.simulator.organization.ids import generator

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
