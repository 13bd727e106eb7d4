# SPDX-License-Identifier: Apache-2.0
"""Requests of streams over time."""

import pytest

from openai_simulator.organization.arrival import ALL_ROWS
from openai_simulator.organization.flows import Flows, Totals
from openai_simulator.organization.operations import OPERATIONS
from openai_simulator.organization.seed import SeededSize, roster

NOW = 1795251600.0
DAY = 86_400


def new_flows(size: SeededSize) -> Flows:
    return Flows(7, roster(7, size), size)


FLOWS = new_flows(SeededSize())


def requests(flows: Flows, operation: str, start: float, end: float) -> dict[int, int]:
    """Requests of each stream that made any."""
    found: Totals = {}
    flows.add(operation, ALL_ROWS, start, end, range(len(flows.labels(operation))), found)
    return {stream: values[0] for stream, values in found.items()}


def test_rare_streams_of_one_rhythm_do_not_all_strike_together() -> None:
    flows = new_flows(SeededSize.with_streams(20_000))
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
    labels = new_flows(SeededSize(streams=400)).labels("completions")
    flows = new_flows(SeededSize(streams=400))
    old = {stream for stream, label in enumerate(labels) if label[3] in ("gpt-4-0613", "gpt-3.5-turbo-0125")}
    assert old
    assert not old & requests(flows, "completions", NOW - 30 * DAY, NOW).keys()
    assert old & requests(flows, "completions", NOW - 500 * DAY, NOW - 470 * DAY).keys()


def test_an_organization_without_streams_is_idle() -> None:
    assert new_flows(SeededSize(streams=0)).idle
    assert not FLOWS.idle
