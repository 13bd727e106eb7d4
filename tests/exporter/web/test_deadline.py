# SPDX-License-Identifier: Apache-2.0
"""What is left of a scrape's time."""

import time

import pytest

from openai_exporter.web.deadline import ARRIVED, HEADER, scrape_limit, time_left


@pytest.mark.parametrize(
    ("announced", "limit"), [("10", 9.5), ("0.5", None), ("0.2", None), ("1e1", 9.5)], ids=str
)
def test_the_announced_timeout_less_the_offset(announced: str, limit: float | None) -> None:
    assert scrape_limit({HEADER: announced}, 0.5) == limit


@pytest.mark.parametrize("announced", ["", "ten", "-1", "0", "inf", "nan"])
def test_what_is_no_number_of_seconds_is_refused(announced: str) -> None:
    with pytest.raises(ValueError, match="is not a number of seconds above zero"):
        scrape_limit({HEADER: announced}, 0.5)


def test_time_spent_waiting_for_a_turn_is_taken_off() -> None:
    arrived = time.monotonic() - 4
    left = time_left({ARRIVED: arrived}, {HEADER: "10"}, 0.5)
    assert left is not None
    assert 5.0 < left <= 5.5


def test_a_request_that_waited_too_long_has_no_time_left() -> None:
    assert time_left({ARRIVED: time.monotonic() - 20}, {HEADER: "10"}, 0.5) == 0.0


def test_without_an_announced_timeout_waiting_takes_nothing_off() -> None:
    assert time_left({ARRIVED: time.monotonic() - 4}, {}, 0.5) is None
