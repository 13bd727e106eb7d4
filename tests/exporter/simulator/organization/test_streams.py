# SPDX-License-Identifier: Apache-2.0
"""Who uses the API for what."""

import resource
import time

from openai_exporter.simulator.organization.flows import Flows
from openai_exporter.simulator.organization.operations import OPERATIONS
from openai_exporter.simulator.organization.seed import DAY, FOUNDED, roster
from openai_exporter.simulator.organization.size import SeededSize
from openai_exporter.simulator.organization.streams import StreamBuilder

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
