# SPDX-License-Identifier: Apache-2.0
"""The ledger of real calls."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openai_exporter.simulator.calls import Call, Identity
from openai_exporter.simulator.organization.flows import Totals
from openai_exporter.simulator.organization.operations import OPERATIONS
from openai_exporter.simulator.organization.recorded import RecordedCalls
from openai_exporter.simulator.organization.sizetable import ALL_ROWS

ME = Identity("proj_a", "key_a", "user-a")
CALLS = st.lists(
    st.builds(
        Call,
        time=st.integers(0, 1000).map(float),
        operation=st.just("completions"),
        model=st.sampled_from(["m1", "m2"]),
        identity=st.just(ME),
        input_tokens=st.integers(20, 500),
        input_cached_tokens=st.integers(0, 10),
        input_cache_write_tokens=st.integers(0, 10),
        output_tokens=st.integers(0, 300),
    ),
    max_size=80,
)


def ledger(calls: list[Call]) -> RecordedCalls:
    recorded = RecordedCalls()
    for call in calls:
        recorded.record(call)
    recorded.enter()
    return recorded


def totals(
    recorded: RecordedCalls, operation: str, start: float, end: float, mask: int = ALL_ROWS
) -> list[int]:
    found: Totals = {}
    recorded.add(operation, mask, start, end, lambda _labels: 0, found)
    return list(OPERATIONS[operation].render(found.get(0, [0] * len(OPERATIONS[operation].parts))))


@given(calls=CALLS, edges=st.tuples(st.integers(0, 1001), st.integers(0, 1001)))
def test_a_range_has_the_calls_of_its_time(calls: list[Call], edges: tuple[int, int]) -> None:
    start, end = sorted(edges)
    inside = [call for call in calls if start <= call.time < end]
    got = dict(
        zip(OPERATIONS["completions"].fields, totals(ledger(calls), "completions", start, end), strict=True)
    )
    assert got["num_model_requests"] == len(inside)
    assert got["input_tokens"] == sum(call.input_tokens for call in inside)
    assert got["input_cached_tokens"] == sum(call.input_cached_tokens for call in inside)
    assert got["output_tokens"] == sum(call.output_tokens for call in inside)


@given(calls=CALLS, mask=st.integers(0, ALL_ROWS))
def test_classes_of_calls_add_up_to_all(calls: list[Call], mask: int) -> None:
    recorded = ledger(calls)
    inside, outside = (totals(recorded, "completions", 0, 2000, m) for m in (mask, ALL_ROWS & ~mask))
    assert totals(recorded, "completions", 0, 2000) == [a + b for a, b in zip(inside, outside, strict=True)]


def test_calls_may_come_out_of_order() -> None:
    calls = [Call(float(n), "embeddings", "m", ME, input_tokens=n) for n in range(50)]
    shuffled = random.Random(3).sample(calls, len(calls))
    assert totals(ledger(shuffled), "embeddings", 10, 20) == [10, sum(range(10, 20))]


@pytest.mark.parametrize(
    "call",
    [
        Call(1.0, "images", "gpt-image-2", ME, images=3, size="1024x1024", source="image.generation"),
        Call(1.0, "audio_speeches", "tts-1", ME, characters=3),
        Call(1.0, "audio_transcriptions", "gpt-transcribe", ME, seconds=3),
        Call(1.0, "moderations", "omni-moderation-2024-09-26", ME, input_tokens=3),
    ],
    ids=lambda call: str(call.operation),
)
def test_every_kind_of_call_is_counted(call: Call) -> None:
    assert totals(ledger([call]), call.operation, 0, 2) == [1, 3]


@pytest.mark.parametrize(
    "figures",
    [
        {"input_tokens": 5, "input_cached_tokens": 6},
        {"input_tokens": 5, "input_cached_tokens": 3, "input_cache_write_tokens": 3},
        {"output_tokens": 1, "output_audio_tokens": 2},
    ],
    ids=["cached", "cache-write", "audio"],
)
def test_token_counts_that_do_not_add_up_are_refused(figures: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="token counts do not add up"):
        RecordedCalls().record(Call(1.0, "completions", "m", ME, **figures))  # type: ignore[arg-type]


def test_the_last_use_of_a_key_is_that_before_the_present() -> None:
    recorded = ledger([Call(float(n), "completions", "m", ME) for n in (5, 9, 30)])
    assert recorded.last_use("key_a", 20) == 9
    assert recorded.last_use("key_a", 1) is None
    assert recorded.last_use("key_b", 20) is None
