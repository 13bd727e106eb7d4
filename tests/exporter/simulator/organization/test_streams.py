# SPDX-License-Identifier: Apache-2.0
"""Who uses the API for what."""

import resource
import time

from openai_exporter.simulator.organization.flows import Flows
from openai_exporter.simulator.organization.operations import OPERATIONS
from openai_exporter.simulator.organization.seed import roster
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
