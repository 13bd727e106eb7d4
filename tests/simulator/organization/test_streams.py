# SPDX-License-Identifier: Apache-2.0
"""Who uses the API for what, and the requests of streams over time."""

import resource
import time

import pytest

from openai_simulator.organization.operations import OPERATIONS
from openai_simulator.organization.seed import DAY, FOUNDED, OrganizationSize, roster
from openai_simulator.organization.streams import SeededUsage, StreamBuilder, Totals
from openai_simulator.organization.traffic import ALL_ROWS
from tests.simulator.organization.conftest import NOW, sized, sized_for

SIZE = sized()
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
    size = sized_for(100_000)
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    flows = SeededUsage(1, roster(1, size), size)
    assert time.process_time() - began < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150 * 1024
    assert len(flows.labels("completions")) > 30_000


def test_a_key_that_expired_before_a_model_came_up_was_never_used_for_it() -> None:
    """Its course would end before it begins, and what lies between would be usage below 0."""
    size = sized_for(5_000)
    members = roster(7, size)
    builder = StreamBuilder(7, members)
    built = builder.build(size)
    assert all(course.since <= course.until for course in builder.activities)
    never = {place for place, course in enumerate(builder.activities) if course.since == course.until}
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
        for labels, place in zip(streams.labels, streams.activities, strict=True)
        if place in never
    }
    assert keys
    assert keys <= gone


def test_no_stream_of_an_expired_key_has_usage_below_zero() -> None:
    size = sized_for(600)
    flows = SeededUsage(7, roster(7, size), size)
    for name in OPERATIONS:
        groups = range(len(flows.labels(name)))
        for start in range(FOUNDED, FOUNDED + 1460 * DAY, 20 * DAY):
            found: dict[int, list[int]] = {}
            flows.add(name, -1, start, start + 20 * DAY, groups, found)
            assert all(min(figures) >= 0 for figures in found.values())


# Requests of streams over time.


def new_flows(size: OrganizationSize) -> SeededUsage:
    return SeededUsage(7, roster(7, size), size)


FLOWS = new_flows(sized())


def requests(flows: SeededUsage, operation: str, start: float, end: float) -> dict[int, int]:
    """Requests of each stream that made any."""
    found: Totals = {}
    flows.add(operation, ALL_ROWS, start, end, range(len(flows.labels(operation))), found)
    return {stream: values[0] for stream, values in found.items()}


def test_rare_streams_of_one_rhythm_do_not_all_strike_together() -> None:
    flows = new_flows(sized_for(20_000))
    newest = len(flows.labels("embeddings")) - 1
    weeks = [requests(flows, "embeddings", NOW - n * 7 * DAY, NOW - (n - 1) * 7 * DAY) for n in range(1, 8)]
    rare = [{stream for stream in week if stream > newest // 2} for week in weeks]
    counts = sorted(map(len, rare))
    assert counts[0] > 0.6 * counts[-1] > 0


def test_a_group_of_minus_one_is_left_out() -> None:
    found: Totals = {}
    count = len(FLOWS.labels("embeddings"))
    FLOWS.add("embeddings", ALL_ROWS, NOW - DAY, NOW, [-1] * (count - 1) + [5], found)
    assert [5] == [*found]


@pytest.mark.parametrize("operation", [name for name, entry in OPERATIONS.items() if not entry.level])
def test_the_last_request_is_where_the_count_last_rose(operation: str) -> None:
    for stream in range(len(FLOWS.labels(operation))):
        last = FLOWS.last_request(operation, stream, NOW, NOW - 30 * DAY)
        if last is None:
            assert stream not in requests(FLOWS, operation, NOW - 30 * DAY, NOW)
        else:
            assert requests(FLOWS, operation, last - 1, last + 1).get(stream, 0) >= 1
            assert stream not in requests(FLOWS, operation, last + 1, NOW)


def test_streams_of_a_model_end_when_the_organization_left_it() -> None:
    labels = new_flows(sized(streams=400)).labels("completions")
    flows = new_flows(sized(streams=400))
    old = {stream for stream, label in enumerate(labels) if label[3] in ("gpt-4-0613", "gpt-3.5-turbo-0125")}
    assert old
    assert not old & requests(flows, "completions", NOW - 30 * DAY, NOW).keys()
    assert old & requests(flows, "completions", NOW - 500 * DAY, NOW - 470 * DAY).keys()


def test_an_organization_without_streams_is_idle() -> None:
    assert new_flows(sized(streams=0)).idle
    assert not FLOWS.idle
