# SPDX-License-Identifier: Apache-2.0
"""When a dataset is due, and how its last reads went. Reads nothing itself."""

from collections.abc import Iterable
from dataclasses import dataclass

from openai_exporter.exposition import Family
from openai_exporter.metrics import usage as metrics

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
