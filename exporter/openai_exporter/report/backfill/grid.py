# SPDX-License-Identifier: Apache-2.0
"""The times at which samples are written. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Grid:
    """Multiples of `step` seconds from `start` to `end`, and `end` itself; Unix seconds.

    Attributes:
        also: one more time, where it lies between the two.
    """

    start: int
    end: int
    step: int
    also: int | None = None

    def after(self, low: int, high: int) -> Iterator[int]:
        """Times in (low, high]: for what is known at the end of a bucket."""
        yield from self._times(low + 1, high)

    def from_on(self, low: int, high: int) -> Iterator[int]:
        """Times in [low, high), with the very end: for what is known during a day."""
        yield from self._times(low, high - 1)

    def _times(self, first: int, last: int) -> Iterator[int]:
        first, last = max(first, self.start), min(last, self.end)
        if self.also is None or not first <= self.also <= last:
            yield from self._multiples(first, last)
        else:
            yield from (moment for moment in self._multiples(first, self.also) if moment != self.also)
            yield self.also
            yield from self._multiples(self.also + 1, last)

    def _multiples(self, first: int, last: int) -> Iterator[int]:
        begin = -(-first // self.step) * self.step
        moment = begin - self.step
        for moment in range(begin, last + 1, self.step):
            yield moment
        if last == self.end >= first and moment != last:
            yield last
