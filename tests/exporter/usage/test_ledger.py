# SPDX-License-Identifier: Apache-2.0
"""Which buckets are read, what a reading does to the counters, and which series keep their labels."""

from collections.abc import Callable
from datetime import datetime

import pytest
from hypothesis import given, strategies as st

from openai_exporter.metrics import usage as metrics
from openai_exporter.usage.ledger import (
    DAY,
    HOUR,
    Labels,
    Ledger,
    PersistedUsage,
    Plan,
    Reading,
    Rows,
    SeriesLimit,
    VanishedError,
    day_start,
    hour_start,
    merged,
    month_start,
    next_month_start,
    previous_month_start,
    since,
    whole_month,
)
from openai_exporter.usage.service import UsageService
from openai_simulator.testing import SimulatorControl, running_simulator
from tests.exporter.usage.scraping import Now, Scrape, counters, of, one, scrape, service

SETTLE = 6 * HOUR


def at(text: str) -> int:
    return int(datetime.fromisoformat(f"{text}+00:00").timestamp())


MONTHS = [
    ("2026-11-21T09:30:00", "2026-10-01", "2026-11-01", "2026-12-01"),
    ("2026-11-01T00:00:00", "2026-10-01", "2026-11-01", "2026-12-01"),
    ("2026-11-30T23:59:59", "2026-10-01", "2026-11-01", "2026-12-01"),
    ("2026-12-31T12:00:00", "2026-11-01", "2026-12-01", "2027-01-01"),
    ("2027-01-31T12:00:00", "2026-12-01", "2027-01-01", "2027-02-01"),
    ("2028-02-29T12:00:00", "2028-01-01", "2028-02-01", "2028-03-01"),
    ("2028-03-01T00:00:00", "2028-02-01", "2028-03-01", "2028-04-01"),
]


@pytest.mark.parametrize(("now", "before", "this", "after"), MONTHS, ids=[row[0] for row in MONTHS])
def test_months_are_those_of_the_calendar(now: str, before: str, this: str, after: str) -> None:
    found = (previous_month_start(at(now)), month_start(at(now)), next_month_start(at(now)))
    assert (at(before), at(this), at(after)) == found


WHOLE = [
    # now, first hour that is read by the hour, days that are read by the day, first hour that may change
    ("2026-11-21T09:30:00", "2026-11-21", 20, "2026-11-21T03:00"),
    ("2026-11-21T05:59:59", "2026-11-20", 19, "2026-11-20T23:00"),
    ("2026-11-21T06:00:00", "2026-11-21", 20, "2026-11-21T00:00"),
    ("2026-11-01T00:00:00", "2026-11-01", 0, "2026-11-01T00:00"),
    ("2026-11-01T05:00:00", "2026-11-01", 0, "2026-11-01T00:00"),
    ("2026-11-01T09:00:00", "2026-11-01", 0, "2026-11-01T03:00"),
    ("2026-11-02T09:00:00", "2026-11-02", 1, "2026-11-02T03:00"),
    ("2026-10-31T23:59:59", "2026-10-31", 30, "2026-10-31T17:00"),
]


@pytest.mark.parametrize(("now", "hours", "days", "closes"), WHOLE, ids=[row[0] for row in WHOLE])
def test_a_month_is_read_by_days_that_are_final_and_by_hours(now: str, hours: str, days: int, closes: str) -> None:
    plan = whole_month(at(now), SETTLE)
    assert plan.start == plan.month == month_start(at(now))
    assert at(hours) == plan.hours.start
    assert plan.hours.end is None
    assert at(closes) == plan.closes
    read = 0 if plan.days is None else ((plan.days.end or 0) - plan.days.start) // DAY
    assert days == read


def test_the_next_reading_begins_where_figures_were_not_final() -> None:
    closed, now = at("2026-11-21T03:00:00"), at("2026-11-21T10:10:00")
    plan = since(closed, now, SETTLE)
    assert (closed, closed, at("2026-11-21T04:00")) == (plan.start, plan.hours.start, plan.closes)
    assert plan.days is None


def test_an_outage_is_read_again_from_its_beginning() -> None:
    closed, now = at("2026-11-19T03:00:00"), at("2026-11-21T10:10:00")
    plan = since(closed, now, SETTLE)
    assert (closed, at("2026-11-21T04:00")) == (plan.start, plan.closes)


@given(now=st.integers(1_600_000_000, 2_500_000_000), finalize_after=st.integers(1, 20 * DAY))
def test_a_plan_covers_the_month_once_and_without_a_gap(now: int, finalize_after: int) -> None:
    plan: Plan = whole_month(now, finalize_after)
    assert plan.month <= plan.hours.start <= plan.closes <= max(plan.month, now)
    assert plan.closes % HOUR == 0
    assert plan.hours.start % DAY == 0
    if plan.days is None:
        assert plan.hours.start == plan.month
    else:
        assert (plan.month, plan.hours.start) == (plan.days.start, plan.days.end)
        assert plan.hours.start <= now - finalize_after


@given(now=st.floats(0, 4e9))
def test_hours_and_days_begin_at_or_before_now(now: float) -> None:
    assert 0 <= now - hour_start(now) < HOUR
    assert 0 <= now - day_start(now) < DAY


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
    made.fold(found, known, first)
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


def ledger(limit: int = 100, pinned: tuple[str, ...] = ()) -> Ledger:
    return Ledger(1, SeriesLimit(limit, sum, pinned))


def read(
    books: Ledger,
    hours: dict[int, Rows],
    now: float = NOON,
    *,
    audit: bool = False,
    seen: bool = True,
    finalize_after: float = SETTLE,
    daily: dict[int, Rows] | None = None,
) -> None:
    """A reading of all that an API with these hours would say; its days are their sums unless they are given."""
    books.commit(answered(books, hours, now, audit=audit, finalize_after=finalize_after, daily=daily), seen=seen)


def answered(
    books: Ledger,
    hours: dict[int, Rows],
    now: float = NOON,
    *,
    audit: bool = True,
    finalize_after: float = SETTLE,
    daily: dict[int, Rows] | None = None,
) -> Reading:
    plan = books.plan(now, finalize_after, audit=audit)
    reading = books.begin(plan, now)
    days: dict[int, Rows] = {}
    for start, rows in hours.items():
        if start >= plan.hours.start:
            reading.add(start, rows.items())
        days[day_start(start)] = merged((days.get(day_start(start), {}), rows))
    for day, rows in (days | (daily or {})).items():
        if plan.days is not None and day < plan.hours.start:
            reading.add(day, rows.items(), DAY)
    return reading


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
    assert ({A: 5}, [1]) == (shown(books), books.corrections)
    read(books, {NOON: {A: (7,)}})
    assert ({A: 7}, [0]) == (shown(books), books.corrections)


def test_a_bucket_that_returns_pays_back_and_other_hours_count_meanwhile() -> None:
    books = ledger()
    hour: Rows = {A: (100,)}
    day: dict[int, Rows] = {NOON - DAY: {A: (50,)}}
    read(books, {NOON - HOUR: hour, **day})
    read(books, {NOON - HOUR: {}, NOON: {A: (7,)}, **day})
    assert ({A: 157}, [100]) == (shown(books), books.corrections)
    read(books, {NOON - HOUR: hour, NOON: {A: (8,)}, **day})
    assert ({A: 158}, [0], {}) == (shown(books), books.corrections, books.owed)


def test_each_field_owes_for_itself() -> None:
    books = Ledger(2, SeriesLimit(10, sum))
    for values in ((5, 50), (3, 60), (6, 40), (6, 70)):
        read(books, {NOON: {A: values}})
    assert ({A: (6, 70)}, [0, 0]) == (books.totals, books.corrections)


def test_a_label_that_is_null_for_a_moment_counts_once_there_and_not_again_where_it_returns() -> None:
    books, null = ledger(), ("",)
    said: list[Rows] = [{A: (5,), B: (1,)}, {A: (2,), null: (3,), B: (1,)}, {A: (5,), B: (1,)}, {A: (2,), null: (3,)}]
    for rows in said:
        read(books, {NOON: rows})
    assert ({A: (5,), B: (1,), null: (3,)}, [4]) == (books.totals, books.corrections)


def test_what_hours_owe_is_owed_by_their_day_which_may_lag_half_a_day() -> None:
    books = ledger()
    read(books, {NOON - HOUR: {A: (60,)}, NOON: {A: (40,)}})
    read(books, {NOON: {A: (40,)}})
    assert ({A: 100}, [60]) == (shown(books), books.corrections)
    tomorrow, today = NOON + DAY, day_start(NOON)
    for tokens, owed in ((30, 70), (90, 10), (100, 0), (101, 0)):
        read(books, {tomorrow: {A: (9,)}}, tomorrow, audit=True, daily={today: {A: (tokens,)}})
        assert [owed] == books.corrections
    assert ({A: 110}, {}) == (shown(books), books.owed)


def test_a_day_whose_hours_all_vanished_owes_though_it_is_never_seen_again() -> None:
    books, tomorrow = ledger(), NOON + DAY
    read(books, {NOON: {A: (40,)}})
    read(books, {NOON: {}})
    read(books, {tomorrow: {A: (9,)}}, tomorrow, audit=True, daily={day_start(NOON): {}})
    read(books, {tomorrow: {A: (9,)}}, tomorrow, audit=True, daily={day_start(NOON): {A: (40,)}})
    assert ({A: 49}, [0], {}) == (shown(books), books.corrections, books.owed)


def test_a_day_that_is_read_by_the_hour_again_is_paid_back_by_its_hours() -> None:
    books, yesterday = ledger(), NOON - DAY
    read(books, {yesterday: {A: (40,)}, NOON: {A: (1,)}})
    read(books, {yesterday: {A: (30,)}, NOON: {A: (1,)}}, audit=True)
    read(books, {yesterday: {A: (30,)}, NOON: {A: (1,)}}, audit=True, finalize_after=2 * DAY)
    assert ({A: 41}, [10]) == (shown(books), books.corrections)
    read(books, {yesterday: {A: (42,)}, NOON: {A: (1,)}}, finalize_after=2 * DAY)
    assert ({A: 43}, [0]) == (shown(books), books.corrections)


def test_debts_end_with_the_month() -> None:
    books, december = ledger(), NOON + 10 * DAY
    read(books, {NOON: {A: (5,)}})
    read(books, {NOON: {}})
    for _ in range(2):
        read(books, {december: {A: (2,)}}, december)
    assert ({A: 2}, [0], {}) == (shown(books), books.corrections, books.owed)


def test_a_bucket_that_is_answered_twice_counts_once() -> None:
    books = ledger()
    reading = books.begin(books.plan(NOON, SETTLE, audit=False), NOON)
    for _ in range(2):
        reading.add(NOON, [(A, (5,))])
    books.commit(reading, seen=True)
    assert {A: 5} == shown(books)


def test_figures_beyond_64_bits_are_kept() -> None:
    books, large = ledger(), 10**25
    for tokens in (large, large - 1, large + 1):
        read(books, {NOON: {A: (tokens,)}})
    assert ({A: large + 1}, {A: (large + 1,)}, [0]) == (shown(books), books.today(), books.corrections)


def test_what_an_earlier_program_kept_goes_on_and_what_was_taken_back_then_stays_so() -> None:
    books = ledger()
    totals: Rows = {A: (100,), B: (5,)}
    month = month_start(NOON)
    books.restore(PersistedUsage("x", ("a",), ("c",), month, (40,), totals, {A: (60,), B: (5,)}))
    read(books, {NOON: {A: (70,), B: (4,)}})
    assert ({A: 110, B: 5}, [41]) == (shown(books), books.corrections)
    read(books, {NOON: {A: (71,), B: (4,)}})
    assert ({A: 111, B: 5}, [41]) == (shown(books), books.corrections)


SETTLED: dict[int, Rows] = {NOON - DAY: {A: (60,), B: (40,)}, NOON - 2 * DAY: {A: (100,)}}
DOUBTS = [
    # what the next full reads say of settled time, and which of them are doubted
    pytest.param([{}], [1.0], id="nothing"),
    pytest.param([{}, {}], [1.0, None], id="nothing, twice"),
    pytest.param([{}, SETTLED, {}], [1.0, None, 1.0], id="not in a row"),
    pytest.param([{}, {NOON - DAY: {C: (200,)}}, {NOON - DAY: {C: (200,)}}], [1.0, 1.0, None], id="each another"),
    pytest.param([{NOON - DAY: {("",): (200,)}}] * 2, [1.0, None], id="all labels null"),
    pytest.param([{NOON - 2 * DAY: {A: (100,)}}], [None], id="half of it"),
    pytest.param([{NOON - DAY: {A: (60,), B: (40,)}}], [None], id="the other half"),
    pytest.param([{NOON - DAY: {A: (60,), B: (39,)}}], [0.505], id="more than half"),
    pytest.param([{NOON - 2 * DAY: {A: (200,)}, NOON - DAY: {}}], [None], id="half of it is in another day"),
    pytest.param([SETTLED | {NOON - 3 * DAY: {A: (900,)}}], [None], id="more than was known"),
]


@pytest.mark.parametrize(("said", "ratios"), DOUBTS)
def test_a_full_reading_that_lacks_too_much_is_doubted_until_the_next_says_the_same(
    said: list[dict[int, Rows]], ratios: list[float | None]
) -> None:
    books = ledger()
    now: dict[int, Rows] = {NOON: {A: (9,)}}
    read(books, SETTLED | now)
    found = []
    for settled in said:
        reading = answered(books, settled | now)
        loss = books.doubt(reading, 0.5)
        found.append(loss and loss.ratio)
        assert books.loss is loss
        if loss is None:
            books.commit(reading, seen=True)
    assert ratios == found


OPEN: dict[int, Rows] = {NOON - HOUR: {A: (60,), B: (40,)}, NOON: {A: (100,)}}
MOVES = [
    pytest.param({NOON: {A: (100,)}}, None, id="an hour vanished"),
    pytest.param({NOON - HOUR: {A: (60,), B: (40,)}, NOON: {B: (1,)}}, None, id="the running hour fell"),
    pytest.param({NOON - HOUR: {A: (6,), B: (4,)}, NOON: {A: (10,), C: (900,)}}, None, id="other usage came meanwhile"),
    pytest.param({NOON - HOUR: {("",): (100,)}, NOON: {A: (100,)}}, None, id="half of it moved"),
    pytest.param({NOON - HOUR: {("",): (100,)}, NOON: {A: (99,), C: (5,)}}, 0.505, id="more than half moved"),
    pytest.param({NOON - HOUR: {("",): (100,)}, NOON: {("",): (120,)}}, 1.0, id="all of it moved, and grew"),
    pytest.param({NOON - HOUR: {("",): (80,)}, NOON: {("",): (80,)}}, 0.8, id="all of it moved, and fell"),
]


@pytest.mark.parametrize("audit", [False, True], ids=["hours", "full"])
@pytest.mark.parametrize(("said", "ratio"), MOVES)
def test_usage_of_the_last_hours_is_doubted_when_it_moves_to_other_series(
    said: dict[int, Rows], ratio: float | None, audit: bool
) -> None:
    books = ledger()
    read(books, SETTLED | OPEN)
    loss = books.doubt(answered(books, SETTLED | said, audit=audit), 0.5)
    assert ratio == (loss and loss.ratio)
    assert books.loss is loss
    assert books.doubt(answered(books, SETTLED | OPEN), 0.5) is books.loss is None


def test_labels_that_stay_changed_are_believed_when_two_full_readings_say_so() -> None:
    books = ledger()
    read(books, SETTLED | OPEN)
    moved: dict[int, Rows] = {NOON - HOUR: {C: (100,)}, NOON: {C: (100,)}}
    doubts = []
    for audit in (False, True, False, True):
        reading = answered(books, SETTLED | moved, audit=audit)
        doubts.append(books.doubt(reading, 0.5) is not None)
    books.commit(reading, seen=True)
    assert [True, True, True, False] == doubts
    assert ({A: 320, B: 80, C: 0}, [200]) == (shown(books), books.corrections)


def test_a_full_reading_stays_doubted_while_the_running_hours_are_right() -> None:
    books = ledger()
    read(books, SETTLED | OPEN)
    loss = books.doubt(answered(books, OPEN), 0.5)
    assert books.doubt(answered(books, SETTLED | OPEN, audit=False), 0.5) is None
    assert books.loss is loss is not None


def test_an_answer_without_any_bucket_is_no_full_reading_to_be_believed_the_second_time() -> None:
    books = ledger()
    read(books, SETTLED)
    for _ in range(3):
        reading = books.begin(books.plan(NOON, SETTLE, audit=True), NOON)
        assert books.doubt(reading, 0.5) is None
        with pytest.raises(VanishedError):
            books.commit(reading, seen=True)


def test_a_month_that_begins_is_not_doubted() -> None:
    books, december = ledger(), NOON + 12 * DAY
    read(books, SETTLED)
    assert books.doubt(answered(books, {}, december), 0.5) is None


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
