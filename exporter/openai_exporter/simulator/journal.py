# SPDX-License-Identifier: Apache-2.0
"""What really happened to each request, in CLOCK_MONOTONIC seconds, to check a client's figures by.

The stamps compare with `time.monotonic()` of any process on the host. Keeps the last requests only.
"""

from collections import Counter, OrderedDict
from dataclasses import asdict, dataclass
from typing import Any

KEPT = 20_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One request: `received` when its last byte arrived, the others when bytes went to the socket."""

    request_id: str
    path: str
    model: str | None
    status: int | None
    faults: tuple[str, ...]
    received: float
    first_byte: float | None
    first_token: float | None
    tokens: tuple[float, ...]
    done: float


class Journal:
    """The last `kept` requests by request id, and counts of all of them."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self.counts: Counter[tuple[str, str, int | None]] = Counter()

    def record(self, entry: Entry, method: str) -> None:
        """Add a finished request."""
        self._entries[entry.request_id] = entry
        if len(self._entries) > self._kept:
            self._entries.popitem(last=False)
        self.counts[method, entry.path, entry.status] += 1

    def find(self, request_id: str) -> Entry | None:
        """The request of that id, if it is still kept."""
        return self._entries.get(request_id)

    def since(self, moment: float) -> list[Entry]:
        """The kept requests that ended at or after `moment` (monotonic seconds)."""
        return [entry for entry in self._entries.values() if entry.done >= moment]

    def summary(self) -> list[dict[str, Any]]:
        """Calls per method, path and status; status null when the connection ended before one was sent."""
        return [
            {"method": method, "path": path, "status": status, "count": count}
            for (method, path, status), count in sorted(self.counts.items(), key=str)
        ]


def as_json(entry: Entry) -> dict[str, Any]:
    """The entry as `GET /_simulator/journal` shows it."""
    return asdict(entry)
