# SPDX-License-Identifier: Apache-2.0
"""The simulated clock against a real one that the test moves."""

import time

import pytest

from openai_simulator.clock import SimClock


class Real:
    """A monotonic clock in the test's hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def real() -> Real:
    return Real()


def test_time_passes_at_the_chosen_speed(real: Real) -> None:
    clock = SimClock(1_000.0, 60.0, real)
    real.now += 2
    assert clock.now() == 1_120.0


def test_a_jump_keeps_the_speed(real: Real) -> None:
    clock = SimClock(1_000.0, 2.0, real)
    clock.set(5_000)
    clock.advance(-100)
    real.now += 1
    assert clock.now() == 4_902.0


def test_a_new_speed_does_not_move_the_present(real: Real) -> None:
    clock = SimClock(1_000.0, 10.0, real)
    real.now += 5
    clock.speed = 0
    real.now += 5
    assert (clock.now(), clock.speed) == (1_050.0, 0.0)


def test_without_a_start_it_is_now() -> None:
    assert SimClock().now() == pytest.approx(time.time(), abs=1)


@pytest.mark.parametrize("speed", [-1.0, float("inf"), float("nan")])
def test_a_speed_that_makes_no_sense_is_refused(real: Real, speed: float) -> None:
    clock = SimClock(0, 1, real)
    with pytest.raises(ValueError, match="speed must be a finite number of at least 0"):
        clock.speed = speed
    with pytest.raises(ValueError, match="speed must be"):
        SimClock(0, speed, real)
