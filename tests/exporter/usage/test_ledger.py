# SPDX-License-Identifier: Apache-2.0
"""What a reading does to the counters, one case at a time; the model test puts them together."""

from collections.abc import Callable
from datetime import datetime

import pytest

from openai_exporter.metrics import usage as metrics
from openai_exporter.usage import UsageService
from openai_exporter.usage.ledger import Labels, Ledger, Rows, SeriesLimit, VanishedError
from openai_exporter.usage.window import DAY, HOUR
from openai_simulator.testing import SimulatorControl, running_simulator
from tests.exporter.usage.scraping import Now, Scrape, counters, of, one, scrape, service

# Which series keep their labels, and that a restart without any memory decides the same.

OTHER = ("other",)


def rows(**sizes: int) -> Rows:
    return {(name,): (size,) for name, size in sizes.items()}


def limited(limit: int, **before: int) -> SeriesLimit:
    made = SeriesLimit(limit, sum)
    if before:
        made.preferred = made.largest(rows(**before))
    return made


@pytest.mark.parametrize(
    ("made", "known", "first", "kept"),
    [
        pytest.param(limited(2), (), {}, {"b", "c"}, id="without a month before the largest"),
        pytest.param(limited(2, a=1), (), {}, {"a", "b"}, id="those of the month before, then by name"),
        pytest.param(limited(2, x=1), (), {("b",): 2, ("c",): 3, ("a",): 1}, {"a"}, id="room is kept, the day decides"),
        pytest.param(limited(2, a=1, b=2, c=3), (), {}, {"b", "c"}, id="the largest of the month before"),
        pytest.param(limited(2), (("z",),), {}, {"c"}, id="what is known stays"),
        pytest.param(limited(2), (("z",), OTHER), {}, {"c"}, id="other takes no room"),
        pytest.param(limited(3), (), {}, {"a", "b", "c"}, id="room for all"),
    ],
)
def test_who_keeps_its_labels(
    made: SeriesLimit, known: tuple[Labels, ...], first: dict[Labels, int], kept: set[str]
) -> None:
    found = rows(a=1, b=2, c=3)
    made.apply((found,), known, first)
    assert kept == {name for (name,) in found if name != "other"}
    assert 6 == sum(value for (value,) in found.values())
    assert 3 - len(kept) == made.dropped


MORE = """
  names: false
  limits: false
  costs: null
  series_limit: 12
  usage:
    completions: {group_by: [project_id, api_key_id, model]}
"""


def exposed(page: Scrape) -> Scrape:
    """Every counter that is not zero, and how many series are folded."""
    found = {series: value for series, value in counters(page).items() if value}
    return found | {("dropped", ()): one(page, metrics.SERIES_DROPPED, operation="completions")}


async def test_a_restart_without_storage_folds_the_same_series() -> None:
    now = Now()
    with running_simulator(latency_scale=0, seed=11, clock="2026-10-30T07:10:00Z", speed=0) as simulator:

        def started() -> UsageService:
            return service(simulator.api_url, now, more=MORE)

        live = started()
        await live.page()
        seen = set()
        for hours in (5, 20, 14, 1, 3, 7, 30, 48, 24 * 9, 24 * 7):
            simulator.clock(advance=hours * HOUR)
            now.advance(DAY)
            await live.page()
            now.advance(DAY)
            found = exposed(scrape(await live.page()))
            assert found == exposed(await fresh(started))
            seen.add(found["dropped", ()])
        await live.close()
    assert min(seen) > 0


async def fresh(started: Callable[[], UsageService]) -> Scrape:
    """The page of an exporter that has just started."""
    made = started()
    page = scrape(await made.page())
    await made.close()
    return page


async def test_the_largest_of_the_month_before_are_those_that_keep_their_labels(
    simulator: SimulatorControl, now: Now
) -> None:
    usage = service(simulator.api_url, now, more=MORE)
    found = scrape(await usage.page())
    await usage.close()
    tokens = of(found, metrics.INPUT_TOKENS)
    [other] = [value for labels, value in tokens.items() if ("model", "other") in labels]
    assert 13 == len(tokens)
    assert 0 < other < sum(tokens.values()) / 2


# What a reading does to the counters, one case at a time; the model test puts them together.

A, B, C = ("a",), ("b",), ("c",)
NOON = int(datetime.fromisoformat("2026-11-21T12:00:00+00:00").timestamp())
SETTLE = 6 * HOUR


def ledger(limit: int = 100, pinned: tuple[str, ...] = ()) -> Ledger:
    return Ledger(1, SeriesLimit(limit, sum, pinned))


def read(books: Ledger, hours: dict[int, Rows], now: float = NOON, *, audit: bool = False, seen: bool = True) -> None:
    """A reading of all that an API with these hours would say."""
    reading = books.begin(books.plan(now, SETTLE, audit=audit), now)
    for start, rows in hours.items():
        reading.add(start, rows.items())
    books.commit(reading, seen=seen)


def shown(books: Ledger) -> dict[tuple[str, ...], int]:
    return {labels: values[0] for labels, values in books.counters()}


def test_at_the_start_all_known_series_show_their_value() -> None:
    books = ledger()
    read(books, {NOON - DAY: {A: (10,)}, NOON: {A: (5,), B: (1,)}})
    assert {A: 15, B: 1} == shown(books)


def test_a_bucket_that_grew_adds_the_growth() -> None:
    books = ledger()
    read(books, {NOON: {A: (5,)}})
    read(books, {NOON: {A: (8,)}})
    assert ({A: 8}, [0]) == (shown(books), books.corrections)


def test_a_bucket_that_shrank_never_lowers_the_counter() -> None:
    books = ledger()
    read(books, {NOON: {A: (5,)}})
    read(books, {NOON: {A: (3,)}})
    assert ({A: 5}, [2]) == (shown(books), books.corrections)
    read(books, {NOON: {A: (4,)}})
    assert ({A: 6}, [2]) == (shown(books), books.corrections)


def test_usage_that_moves_to_another_series_is_a_correction_and_a_growth() -> None:
    books = ledger()
    read(books, {NOON: {A: (5,), B: (1,)}})
    read(books, {NOON: {B: (6,)}})
    assert ({A: 5, B: 6}, [5]) == (shown(books), books.corrections)


def test_a_new_series_shows_zero_until_that_was_seen() -> None:
    books = ledger()
    read(books, {NOON: {A: (5,)}})
    read(books, {NOON: {A: (5,), B: (7,)}})
    assert {A: 5, B: 0} == shown(books)
    read(books, {NOON: {A: (6,), B: (8,)}}, seen=False)
    assert {A: 6, B: 0} == shown(books)
    read(books, {NOON: {A: (6,), B: (9,)}})
    assert {A: 6, B: 9} == shown(books)


def test_final_hours_are_kept_when_they_are_not_read_any_more() -> None:
    books = ledger()
    read(books, {NOON - 8 * HOUR: {A: (5,)}, NOON: {A: (1,)}})
    for hours in range(1, 30):
        now = NOON + hours * HOUR
        read(books, {NOON: {A: (1,)}} if hours <= 7 else {now: {}}, now)
    assert ({A: 6}, [0]) == (shown(books), books.corrections)


def test_a_month_begins_at_zero_and_forgets_series_that_were_not_in_use() -> None:
    books = ledger()
    read(books, {NOON: {A: (5,), B: (7,)}})
    december = NOON + 10 * DAY
    read(books, {december: {A: (2,), C: (3,)}}, december)
    assert {A: 0, B: 0, C: 0} == shown(books)
    read(books, {december: {A: (2,), C: (3,)}}, december)
    assert {A: 2, B: 0, C: 3} == shown(books)
    january = december + 31 * DAY
    read(books, {january: {}}, january)
    assert {A: 0, C: 0} == shown(books)


def test_late_usage_of_the_month_before_is_not_added() -> None:
    books = ledger()
    read(books, {NOON: {A: (5,)}})
    december = NOON + 10 * DAY
    read(books, {NOON: {A: (9,)}, december: {A: (1,)}}, december)
    read(books, {NOON: {A: (9,)}, december: {A: (1,)}}, december)
    assert {A: 1} == shown(books)


def test_a_clock_a_little_behind_does_not_bring_the_old_month_back() -> None:
    books = ledger()
    december = NOON + 9 * DAY + 12 * HOUR
    read(books, {december: {A: (5,)}}, december + 1)
    read(books, {december: {A: (6,)}}, december - 1)
    assert {A: 6} == shown(books)


def test_a_clock_that_was_moved_back_begins_the_older_month() -> None:
    books = ledger()
    read(books, {NOON: {A: (5,)}})
    october = NOON - 40 * DAY
    for _ in range(2):
        read(books, {october: {A: (3,)}}, october)
    assert {A: 3} == shown(books)


def test_a_clock_that_was_moved_back_within_the_month_reads_all_of_it_again() -> None:
    books = ledger()
    read(books, {NOON: {A: (5,)}})
    plan = books.plan(NOON - 10 * DAY, SETTLE, audit=False)
    assert plan.start == plan.month


def test_an_answer_without_any_bucket_is_not_believed() -> None:
    books = ledger()
    read(books, {NOON: {A: (5,)}})
    with pytest.raises(VanishedError):
        read(books, {})
    assert ({A: 5}, [0]) == (shown(books), books.corrections)


def test_an_answer_without_buckets_is_believed_where_nothing_was_known() -> None:
    books = ledger()
    read(books, {})
    assert {} == shown(books)


def test_today_is_told_apart_from_the_days_before() -> None:
    books = ledger()
    midnight = NOON + 12 * HOUR
    read(books, {midnight - HOUR: {A: (5,)}}, midnight - 1)
    read(books, {midnight - HOUR: {A: (6,)}, midnight: {A: (2,)}}, midnight + 1)
    assert ({A: (8,)}, {A: (2,)}) == (books.reported(), books.today())


def test_the_newest_bucket_is_the_newest_with_usage() -> None:
    books = ledger()
    read(books, {NOON - HOUR: {A: (5,)}, NOON: {A: (0,)}})
    assert NOON - HOUR == books.newest
    read(books, {NOON - HOUR: {A: (5,)}, NOON: {A: (1,)}})
    assert NOON == books.newest


def test_the_largest_series_keep_their_labels_and_the_rest_is_other() -> None:
    books = ledger(limit=2)
    read(books, {NOON: {A: (1,), B: (7,), C: (9,), ("d",): (2,)}})
    assert {C: 9, B: 7, ("other",): 3} == shown(books)


def test_a_series_that_was_shown_stays_and_one_that_was_folded_stays_folded() -> None:
    books = ledger(limit=1)
    read(books, {NOON: {A: (5,), B: (1,)}})
    for _ in range(2):
        read(books, {NOON: {A: (5,), B: (100,), C: (1,)}})
    assert {A: 5, ("other",): 101} == shown(books)


def test_a_pinned_id_keeps_its_labels_though_it_is_small() -> None:
    books = ledger(limit=1, pinned=("b",))
    read(books, {NOON: {A: (5,), B: (1,)}})
    assert {B: 1, ("other",): 5} == shown(books)
