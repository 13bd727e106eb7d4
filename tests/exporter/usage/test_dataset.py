# SPDX-License-Identifier: Apache-2.0
"""A long reading lets others pass, is continued where it stopped, and starts anew after a failure."""

from collections.abc import Callable, Iterator
from typing import cast

import pytest

from openai_exporter.client.organization import Calls
from openai_exporter.errors import UpstreamError
from openai_exporter.usage.pages import Lists, ListsDataset

CALLS = cast("Calls", None)


class Slow(ListsDataset):
    """A dataset whose pages take four seconds."""

    name = "slow"
    interval = 60.0

    def __init__(self, pages: int, last: Callable[[], None] = lambda: None) -> None:
        self.seconds = 0.0
        self.monotonic = lambda: self.seconds
        self.done: list[int] = []
        self._pages = pages
        self._last = last

    def pages(self, lists: Lists) -> Iterator[None]:
        for number in range(self._pages):
            self.seconds += 4
            self.done.append(number)
            yield
        self._last()


def test_it_is_read_in_portions() -> None:
    slow = Slow(7)
    finished = [slow.read(CALLS, seen=True) for _ in range(3)]
    assert ([False, False, True], [0, 1, 2, 3, 4, 5, 6]) == (finished, slow.done)
    assert not slow.read(CALLS, seen=True)
    assert [0, 1, 2] == slow.done[7:]


def test_a_failure_starts_it_anew() -> None:
    def fail() -> None:
        raise UpstreamError("HTTP 401", api="slow", reason="auth")

    slow = Slow(1, fail)
    for _ in range(2):
        with pytest.raises(UpstreamError, match="HTTP 401"):
            slow.read(CALLS, seen=True)
    assert [0, 0] == slow.done
