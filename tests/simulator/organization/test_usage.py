# SPDX-License-Identifier: Apache-2.0
"""The usage records: what is visible when, recorded calls, and that the same usage adds up however it is read."""

import random
import time
from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import given, settings, strategies as st

from openai_simulator.organization.operations import COMPLETION_PARTS, OPERATIONS
from openai_simulator.organization.seed import FOUNDED, roster
from openai_simulator.organization.streams import SeededUsage, Totals, VectorStores
from openai_simulator.organization.traffic import ALL_ROWS, PERIOD
from openai_simulator.organization.usage import (
    Call,
    Identity,
    Lateness,
    RecordedCalls,
    Selection,
    UsageRecords,
    View,
    truth,
)
from tests.simulator.organization.conftest import DAY, sized

NOW = 1795251600.0
MIDNIGHT = 1795219200
NAMES = sorted(name for name, operation in OPERATIONS.items() if not operation.level)
LATENESS = Lateness.of_usage(600)


def new_books(seed: int = 7, streams: int = 60) -> UsageRecords:
    size = sized(streams=streams)
    people = roster(seed, size)
    recorded = RecordedCalls()
    for number in range(500):
        me = Identity(people.projects[0].id, people.keys[0].id, people.users[0].id)
        call = Call(NOW - number * 300, "completions", "gpt-6-luna", me, input_tokens=10, output_tokens=number)
        recorded.record(call)
    recorded.enter()
    return UsageRecords(SeededUsage(seed, people, size), VectorStores(seed, people, size), recorded)


BOOKS = new_books()
GROUPINGS = st.frozensets(st.sampled_from(OPERATIONS["completions"].dimensions))


def added(
    books: UsageRecords, operation: str, start: float, end: float, view: View, group_by: frozenset[str]
) -> list[int]:
    rows = books.totals(Selection.of(operation, group_by), start, end, view)
    parts = [values for _, values in rows]
    width = len(OPERATIONS[operation].parts)
    return [sum(column) for column in zip(*parts, strict=True)] if parts else [0] * width


@settings(max_examples=60, deadline=None)
@given(
    operation=st.sampled_from(NAMES),
    back=st.integers(0, 400),
    count=st.integers(1, 120),
    width=st.sampled_from([60, 3600, 7200]),
    shrunk=st.sampled_from([1.0, 0.6]),
    asked=st.floats(0, 2 * DAY),
)
def test_narrow_buckets_add_up_to_wide_ones(
    operation: str, back: int, count: int, width: int, shrunk: float, asked: float
) -> None:
    end = MIDNIGHT + DAY - back * 3600
    start = end - count * width
    view = LATENESS.view(NOW + asked, shrunk)
    pieces = [added(BOOKS, operation, at, at + width, view, frozenset()) for at in range(start, end, width)]
    assert added(BOOKS, operation, start, end, view, frozenset()) == [sum(c) for c in zip(*pieces, strict=True)]


@settings(max_examples=60, deadline=None)
@given(first=GROUPINGS, second=GROUPINGS, back=st.integers(0, 40))
def test_every_grouping_adds_up_to_the_same(first: frozenset[str], second: frozenset[str], back: int) -> None:
    start, view = MIDNIGHT - back * DAY, LATENESS.view(NOW)
    by_first, by_second = (added(BOOKS, "completions", start, start + DAY, view, by) for by in (first, second))
    assert by_first == by_second


@settings(max_examples=60, deadline=None)
@given(operation=st.sampled_from(NAMES), back=st.integers(0, 48), earlier=st.floats(0, 9000))
def test_what_has_arrived_grows_and_never_exceeds_the_truth(operation: str, back: int, earlier: float) -> None:
    start = MIDNIGHT + 9 * 3600 - back * 3600
    views = (LATENESS.view(NOW - earlier), LATENESS.view(NOW), truth(NOW))
    sooner, later, all_ = (added(BOOKS, operation, start, start + 3600, view, frozenset()) for view in views)
    assert all(a <= b <= c for a, b, c in zip(sooner, later, all_, strict=True))


def test_the_running_hour_is_partial_and_an_hour_of_yesterday_is_complete() -> None:
    view, true = LATENESS.view(NOW), truth(NOW)
    newest, old = (
        [added(BOOKS, "completions", start, start + 3600, seen, frozenset())[0] for seen in (view, true)]
        for start in (NOW - 3600, NOW - DAY)
    )
    assert 0 < newest[0] < newest[1]
    assert old[0] == old[1] > 0


def test_a_closed_bucket_still_grows_by_stragglers() -> None:
    start = NOW - 3 * 3600
    views = (LATENESS.view(NOW), LATENESS.view(NOW + 3 * 3600))
    now, later = (added(BOOKS, "completions", start, start + 3600, view, frozenset())[0] for view in views)
    assert 0.9 * later < now < later


@settings(max_examples=30, deadline=None)
@given(moment=st.floats(FOUNDED, NOW), width=st.floats(60, 40 * DAY))
def test_another_process_reads_the_same_books(moment: float, width: float) -> None:
    view, everything = truth(moment + width), frozenset(OPERATIONS["completions"].dimensions)
    selection = Selection.of("completions", everything)
    assert AGAIN.totals(selection, moment, moment + width, view) == BOOKS.totals(
        selection, moment, moment + width, view
    )


AGAIN = new_books()


def test_another_seed_makes_other_books() -> None:
    view = truth(NOW)
    other = added(new_books(8), "completions", MIDNIGHT - DAY, MIDNIGHT, view, frozenset())
    assert other != added(BOOKS, "completions", MIDNIGHT - DAY, MIDNIGHT, view, frozenset())


def test_history_reaches_back_for_years() -> None:
    months = [added(BOOKS, "completions", NOW - n * 30 * DAY, NOW - (n - 1) * 30 * DAY, truth(NOW), frozenset())[0]
              for n in range(1, 30)]  # fmt: skip
    assert all(months)
    assert months[0] > months[-1]


@settings(max_examples=40, deadline=None)
@given(back=st.integers(0, 400), minutes=st.integers(1, 2000))
def test_tokens_are_split_as_the_api_splits_them(back: int, minutes: int) -> None:
    operation, start = OPERATIONS["completions"], NOW - back * DAY
    selection = Selection.of("completions", frozenset(operation.dimensions))
    for _, parts in BOOKS.totals(selection, start - minutes * 60, start, truth(NOW)):
        row = Counter(dict(zip(operation.fields, operation.render(parts), strict=True)))
        whole = row["input_uncached_tokens"] + row["input_cached_tokens"] + row["input_cache_write_tokens"]
        assert row["input_tokens"] == whole
        kinds = ("text", "audio", "image")
        assert row["input_uncached_tokens"] == sum(row[f"input_{kind}_tokens"] for kind in kinds)
        assert row["input_cached_tokens"] == sum(row[f"input_cached_{kind}_tokens"] for kind in kinds)
        assert row["output_tokens"] == sum(row[f"output_{kind}_tokens"] for kind in kinds)
        assert row["num_model_requests"] >= 1
        assert row["input_tokens"] / row["num_model_requests"] < 272_000


def test_every_kind_of_token_occurs() -> None:
    month = added(new_books(streams=300), "completions", NOW - 30 * DAY, NOW, truth(NOW), frozenset())
    assert [part for part, count in zip(COMPLETION_PARTS, month, strict=True) if not count] == []


def test_a_filter_leaves_out_other_streams() -> None:
    model = frozenset({"gpt-6-luna"})
    selection = Selection.of("completions", frozenset({"model"}), {"model": model})
    rows = BOOKS.totals(selection, MIDNIGHT - DAY, MIDNIGHT, truth(NOW))
    assert [labels[3] for labels, _ in rows] == ["gpt-6-luna"]


def test_stored_bytes_are_a_level() -> None:
    view, selection = truth(NOW), Selection.of("vector_stores", frozenset())
    day = BOOKS.totals(selection, MIDNIGHT - DAY, MIDNIGHT, view)
    last_hour = BOOKS.totals(selection, MIDNIGHT - 3600, MIDNIGHT, view)
    assert day == last_hour
    assert day[0][1][0] > 1 << 29


def test_the_running_days_level_is_the_newest_that_is_seen() -> None:
    selection = Selection.of("vector_stores", frozenset({"project_id"}))
    shown = BOOKS.totals(selection, MIDNIGHT, MIDNIGHT + DAY, LATENESS.view(NOW))
    newest = NOW - LATENESS.delays[0]
    assert [values[0] for _, values in shown] == [BOOKS.stores.level(str(labels[0]), newest) for labels, _ in shown]


def test_usage_can_be_stopped() -> None:
    books = new_books()
    books.seeded.stop(NOW)
    assert added(books, "embeddings", NOW, NOW + DAY, truth(NOW + DAY), frozenset()) == [0, 0]
    assert added(books, "embeddings", NOW - DAY, NOW, truth(NOW + DAY), frozenset())[0] > 0
    books.seeded.stop(None)
    assert added(books, "embeddings", NOW, NOW + DAY, truth(NOW + DAY), frozenset())[0] > 0


def test_a_month_to_date_is_not_slow() -> None:
    books, everything = new_books(), frozenset(OPERATIONS["completions"].dimensions)
    began, selection = time.process_time(), Selection.of("completions", everything)
    for day in range(31):
        start = MIDNIGHT - day * DAY
        books.totals(selection, start, start + DAY, LATENESS.view(NOW))
    assert time.process_time() - began < 0.5


# The ledger of real calls.

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


def totals(recorded: RecordedCalls, operation: str, start: float, end: float, mask: int = ALL_ROWS) -> list[int]:
    found: Totals = {}
    recorded.add(operation, mask, start, end, lambda _labels: 0, found)
    return list(OPERATIONS[operation].render(found.get(0, [0] * len(OPERATIONS[operation].parts))))


@given(calls=CALLS, edges=st.tuples(st.integers(0, 1001), st.integers(0, 1001)))
def test_a_range_has_the_calls_of_its_time(calls: list[Call], edges: tuple[int, int]) -> None:
    start, end = sorted(edges)
    inside = [call for call in calls if start <= call.time < end]
    got = dict(zip(OPERATIONS["completions"].fields, totals(ledger(calls), "completions", start, end), strict=True))
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


# When values become visible.

USAGE = Lateness.of_usage(600)
COSTS = Lateness.of_costs(600)


def seen(view: View, start: float, end: float) -> float:
    """Share of [start, end) that is seen."""
    total = sum(mask.bit_count() * (high - low) for mask, low, high in view.ranges(start, end))
    return total / (PERIOD * (end - start))


def moments(ranges: Iterable[tuple[int, float, float]]) -> list[float]:
    return [moment for _, low, high in ranges for moment in (low, high)]


@pytest.mark.parametrize(
    ("lateness", "age", "least", "most"),
    [
        (USAGE, 60, 0.0, 0.0),
        (USAGE, 300, 0.3, 0.9),
        (USAGE, 700, 0.9, 0.99),
        (USAGE, 2 * 3600, 0.95, 0.999),
        (USAGE, 4 * 3600 + 120, 1.0, 1.0),
        (COSTS, 1800, 0.0, 0.0),
        (COSTS, 3 * 3600, 0.3, 0.9),
        (COSTS, 24 * 3600, 0.9, 0.999),
        (COSTS, 44 * 3600 + 120, 1.0, 1.0),
    ],
    ids=lambda value: None if isinstance(value, Lateness) else str(value),
)
def test_a_minute_fills_with_its_age(lateness: Lateness, age: float, least: float, most: float) -> None:
    assert least <= seen(lateness.view(NOW), NOW - age, NOW - age + 60) <= most


@given(start=st.integers(0, 40_000), width=st.integers(1, 90_000), later=st.integers(0, 90_000))
def test_what_was_seen_stays_seen(start: int, width: int, later: int) -> None:
    begin, end = NOW - start, NOW - start + width
    assert seen(USAGE.view(NOW), begin, end) <= seen(USAGE.view(NOW + later), begin, end)


@given(start=st.integers(0, 40_000), width=st.integers(1, 90_000))
def test_ranges_are_in_order_and_do_not_overlap(start: int, width: int) -> None:
    edges = moments(USAGE.view(NOW, 0.5).ranges(NOW - start, NOW - start + width))
    assert edges == sorted(edges)


def test_nothing_of_the_future_is_seen() -> None:
    assert list(USAGE.view(NOW).ranges(NOW, NOW + 60)) == []
    assert list(truth(NOW).ranges(NOW, NOW + 60)) == []


def test_the_truth_is_all_of_the_past() -> None:
    assert list(truth(NOW).ranges(NOW - 60, NOW + 60)) == [(ALL_ROWS, NOW - 60, NOW)]


def test_without_lateness_everything_is_seen_at_once() -> None:
    assert seen(Lateness.of_usage(0).view(NOW), NOW - 60, NOW) == 1


def test_a_downward_revision_takes_its_share_of_closed_hours_only() -> None:
    view = Lateness.of_usage(0).view(NOW + 1800, 0.75)
    assert seen(view, NOW - 7200, NOW) == 0.75
    assert seen(view, NOW, NOW + 1800) == 1


def test_views_within_one_step_are_the_same() -> None:
    assert USAGE.view(NOW + 1).stamp == USAGE.view(NOW + 9).stamp
    assert USAGE.view(NOW + 1).stamp != USAGE.view(NOW + 11).stamp
