# SPDX-License-Identifier: Apache-2.0
"""Recent probe results, for people; failures are kept longer than successes."""

from collections import deque
from dataclasses import dataclass

from openai_exporter.model import ProbeAnswer


@dataclass(frozen=True, slots=True)
class Entry:
    """One result and the number it is found by."""

    id: int
    answer: ProbeAnswer


class History:
    """Keeps the last `limit` results, and as many failures that have left them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._recent: deque[Entry] = deque()
        self._failures: deque[Entry] = deque(maxlen=limit)
        self._next = 1

    def add(self, answer: ProbeAnswer) -> Entry:
        """Keep a result."""
        entry = Entry(self._next, answer)
        self._next += 1
        self._recent.append(entry)
        self._trim()
        return entry

    def recent(self) -> tuple[Entry, ...]:
        """What is kept, newest first."""
        return (*reversed(self._recent), *reversed(self._failures))

    def get(self, number: int) -> Entry | None:
        """The entry of that number, None when it is gone."""
        return next((entry for entry in self.recent() if entry.id == number), None)

    def resize(self, limit: int) -> None:
        """Keep another number of results from now on."""
        self._limit = limit
        self._failures = deque(self._failures, maxlen=limit)
        self._trim()

    def _trim(self) -> None:
        while len(self._recent) > self._limit:
            gone = self._recent.popleft()
            if not gone.answer.result.success:
                self._failures.append(gone)
