# SPDX-License-Identifier: Apache-2.0
"""Who uses the API for what."""

import resource
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openai_simulator.organization.flows import Flows
from openai_simulator.organization.operations import OPERATIONS
from openai_simulator.organization.seed import DAY, FOUNDED, SeededSize, roster
from openai_simulator.organization.streams import HABITS, Rhythm, StreamBuilder

# The rising function behind all seeded usage.

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


# Who uses the API for what.

SIZE = SeededSize()
BUILT = StreamBuilder(7, roster(7, SIZE)).build(SIZE)


def test_there_are_as_many_streams_as_asked_for() -> None:
    assert sum(len(streams.labels) for streams in BUILT.values()) == 60


def test_every_operation_that_is_a_flow_is_used() -> None:
    unused = [name for name, streams in BUILT.items() if not streams.labels]
    assert unused == [name for name, operation in OPERATIONS.items() if operation.level]


def test_no_two_streams_of_keys_have_the_same_labels() -> None:
    of_keys = [streams for streams in BUILT.values() if "api_key_id" in streams.operation.dimensions]
    for streams in of_keys:
        assert len(set(streams.labels)) == len(streams.labels)


def test_an_unused_key_has_no_streams() -> None:
    unused = {key.id for key in roster(7, SIZE).keys if not key.used}
    seen = {label for streams in BUILT.values() for labels in streams.labels for label in labels}
    assert unused
    assert not unused & seen


def test_batches_and_several_service_tiers_are_in_use() -> None:
    labels = BUILT["completions"].labels
    assert {one[4] for one in labels} == {True, False}
    assert {"default", "flex", "priority"} <= {one[5] for one in labels}


def test_a_hundred_thousand_streams_are_built_in_seconds_and_little_memory() -> None:
    size = SeededSize.with_streams(100_000)
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    flows = Flows(1, roster(1, size), size)
    assert time.process_time() - began < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150 * 1024
    assert len(flows.labels("completions")) > 30_000


def test_a_key_that_expired_before_a_model_came_up_was_never_used_for_it() -> None:
    """Its course would end before it begins, and what lies between would be usage below 0."""
    size = SeededSize.with_streams(5_000)
    members = roster(7, size)
    builder = StreamBuilder(7, members)
    built = builder.build(size)
    assert all(course.since <= course.until for course in builder.courses)
    never = {place for place, course in enumerate(builder.courses) if course.since == course.until}
    assert never
    gone = {key.id for key in members.keys if key.expiry == "expired"} | {
        key.id
        for key in members.keys
        if next(project for project in members.projects if project.id == key.project_id).archived_at
    }
    keys = {
        labels[streams.operation.dimensions.index("api_key_id")]
        for streams in built.values()
        if "api_key_id" in streams.operation.dimensions
        for labels, place in zip(streams.labels, streams.courses, strict=True)
        if place in never
    }
    assert keys
    assert keys <= gone


def test_no_stream_of_an_expired_key_has_usage_below_zero() -> None:
    size = SeededSize.with_streams(600)
    flows = Flows(7, roster(7, size), size)
    for name in OPERATIONS:
        groups = range(len(flows.labels(name)))
        for start in range(FOUNDED, FOUNDED + 1460 * DAY, 20 * DAY):
            found: dict[int, list[int]] = {}
            flows.add(name, -1, start, start + 20 * DAY, groups, found)
            assert all(min(figures) >= 0 for figures in found.values())
