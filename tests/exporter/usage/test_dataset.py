# SPDX-License-Identifier: Apache-2.0
"""A long reading lets others pass, goes on where it stopped, and begins anew after a failure."""

from collections.abc import Iterator

import pytest

from openai_exporter.usage.dataset import Walk


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_it_goes_on_in_portions() -> None:
    clock, done = Clock(), []

    def steps() -> Iterator[None]:
        for number in range(7):
            clock.seconds += 4
            done.append(number)
            yield

    walk = Walk(10, clock)
    finished = [walk.go(steps) for _ in range(3)]
    assert ([False, False, True], [0, 1, 2, 3, 4, 5, 6]) == (finished, done)
    assert not walk.go(steps)
    assert [0, 1, 2] == done[7:]


def test_a_failure_begins_it_anew() -> None:
    clock, begun = Clock(), []

    def steps() -> Iterator[None]:
        begun.append(clock())
        yield
        raise RuntimeError

    walk = Walk(10, clock)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            walk.go(steps)
    assert 2 == len(begun)
