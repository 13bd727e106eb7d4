# SPDX-License-Identifier: Apache-2.0
"""How much of the books the API shows now: clock, lateness and faults made a view, and a cache that follows it."""

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import RLock

from openai_exporter.simulator.clock import SimClock
from openai_exporter.simulator.faults import Faults
from openai_exporter.simulator.faults.kinds import LateBuckets, ReviseDown
from openai_exporter.simulator.organization.arrival import Lateness, View
from openai_exporter.simulator.organization.recorded import RecordedCalls
from openai_exporter.simulator.organization.reports import BucketCache


@dataclass(frozen=True, slots=True)
class Reading:
    """The books held open for one request, with a cache of its buckets."""

    view: View
    cache: BucketCache
    version: int

    def cached(self, key: Hashable, end: float, make: Callable[[], bytes]) -> bytes:
        """The encoded bucket `key` that ends at `end`; made again when more of it may have become visible."""
        settled = end <= self.view.settled
        stamp: Hashable = ("settled", self.view.shed) if settled else (self.view.stamp, self.version)
        return self.cache.get(key, stamp, make)


class Sight:
    """Makes views for one kind of data (usage or costs); `lock` guards the books while they are read.

    Views are made on the event loop, where faults come and go; reading may be done by any thread.
    """

    def __init__(
        self, clock: SimClock, faults: Faults, lateness: Lateness, recorded: RecordedCalls, lock: RLock
    ) -> None:
        self._clock = clock
        self._faults = faults
        self._lateness = lateness
        self._recorded = recorded
        self._lock = lock
        self._reached: dict[str, float] = {}
        self._settled = float("-inf")
        self._changes: deque[float] = deque()
        self._cache = BucketCache()

    def look(self, path: str) -> tuple[float, View]:
        """The simulated time, and what a request to `path` sees now."""
        now = self._clock.now()
        return now, self.view(path, now)

    @contextmanager
    def reading(self, view: View) -> Iterator[Reading]:
        """The books as `view` sees them; nobody else reads or writes them meanwhile."""
        with self._lock:
            self._recorded.enter()
            while self._changes:
                if self._changes.popleft() < self._settled:
                    self._cache.clear()
            self._settled = max(self._settled, view.settled)
            yield Reading(view, self._cache, self._recorded.version)

    def view(self, path: str, now: float) -> View:
        """What a request to `path` sees at `now`, with the faults that are in force."""
        late = self._faults.first(path, LateBuckets)
        revised = self._faults.first(path, ReviseDown)
        reached = min(self._reached.get(path, float("-inf")), now)
        seen = now if late is None else max(reached, now - late.by_seconds)  # what came does not leave
        self._reached[path] = seen
        return self._lateness.view(seen, 1.0 if revised is None else revised.factor)

    def changed(self, since: float) -> None:
        """The books change from `since` on; settled buckets that may hold it are made anew. Never waits."""
        self._changes.append(since)
