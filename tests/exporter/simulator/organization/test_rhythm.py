# SPDX-License-Identifier: Apache-2.0
"""The rising function behind all seeded usage."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openai_exporter.simulator.organization.rhythm import HABITS, Rhythm
from openai_exporter.simulator.organization.seed import DAY, FOUNDED

LATEST = FOUNDED + 5 * 365 * DAY
MOMENTS = st.floats(FOUNDED - DAY, LATEST)
RHYTHMS = {habit: Rhythm(3, habit, 0) for habit in HABITS}


@given(habit=st.sampled_from(sorted(HABITS)), first=MOMENTS, second=MOMENTS)
def test_activity_never_falls(habit: str, first: float, second: float) -> None:
    early, late = sorted((first, second))
    assert RHYTHMS[habit].at(early) <= RHYTHMS[habit].at(late)


@given(habit=st.sampled_from(sorted(HABITS)), hour=st.integers(0, 5 * 365 * 24))
def test_the_end_of_an_hour_is_the_start_of_the_next(habit: str, hour: int) -> None:
    end = FOUNDED + hour * 3600
    rhythm = RHYTHMS[habit]
    assert rhythm.at(end - 0.001) == pytest.approx(rhythm.at(end), abs=1e-5)
    assert rhythm.at(end - 0.001) <= rhythm.at(end)


def test_nothing_happens_before_the_founding() -> None:
    assert RHYTHMS["steady"].at(FOUNDED - 1) == 0


def test_the_past_does_not_depend_on_what_was_asked_before() -> None:
    moment = FOUNDED + 400 * DAY + 12_345.6
    asked = Rhythm(3, "office", 1)
    asked.at(LATEST)
    assert Rhythm(3, "office", 1).at(moment) == asked.at(moment)


def test_office_days_are_busy_and_its_nights_and_weekends_are_not() -> None:
    monday = FOUNDED + 1000 * DAY - (1000 + 6) % 7 * DAY
    rhythm = RHYTHMS["office"]
    noon, night = (rhythm.at(monday + h * 3600 + 3600) - rhythm.at(monday + h * 3600) for h in (11, 3))
    week = [rhythm.at(monday + day * DAY + DAY) - rhythm.at(monday + day * DAY) for day in range(7)]
    assert noon > 10 * night
    assert min(week[:5]) > max(week[5:])


def test_activity_grows_over_the_years() -> None:
    rhythm = RHYTHMS["steady"]
    first, fourth = (rhythm.at(FOUNDED + n * 365 * DAY) for n in (1, 4))
    third = rhythm.at(FOUNDED + 3 * 365 * DAY)
    assert fourth - third > 1.5 * first
