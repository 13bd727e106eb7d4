# SPDX-License-Identifier: Apache-2.0
"""A report of a period: usage and costs per day and group, read from the API, with movers, forecast and budgets."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from threading import Lock
from typing import Literal

from openai_exporter.config.sections import GROUPABLE
from openai_exporter.errors import ExporterError, UpstreamError
from openai_exporter.prices import PICO
from openai_exporter.report.source import FIRST, Progress, Read, Source, TakeUsage
from openai_exporter.usage import costs, dataset, ledger, refresh, rows, service
from openai_exporter.usage.credits import Balance, CreditsDataset
from openai_exporter.usage.ledger import DAY, Range, day_start, month_start, next_month_start, previous_month_start
from openai_exporter.usage.names import Directory

COUNTS = (
    "requests", "input_tokens", "input_cached_tokens", "output_tokens",
    "images", "characters", "audio_seconds", "tool_calls", "sessions",
    "unpriced_tokens", "unpriced_images", "unpriced_characters", "unpriced_audio_seconds",
)  # fmt: skip
"""The counts that are reported, by the names of the usage columns."""
UNPRICED = {
    "unpriced_tokens": "tokens", "unpriced_images": "images", "unpriced_characters": "characters",
    "unpriced_audio_seconds": "seconds of audio",
}  # fmt: skip
"""Counts of usage of models without a price, and their units."""
_WITHOUT_PRICE = (*UNPRICED, "tool_calls", "sessions")
"""Counts of what has no list price."""
By = Literal["model", "project", "key", "user", "line_item"]
DIMENSIONS: dict[By, str] = {
    "model": "model",
    "project": "project_id",
    "key": "api_key_id",
    "user": "user_id",
    "line_item": "line_item",
}
NOT_ATTRIBUTED = ""
"""The group of what the API attributes to none."""
_MOVERS = 5
_NAMED = 8
_MEAN_DAYS = 7
HOW = "Billed so far plus, for each remaining day, the mean of the last seven full days, as on the dashboards."
"""How the forecast is made."""


@dataclass(slots=True)
class Totals:
    """Cost and usage, added up exactly: whole numbers and Decimal.

    Attributes:
        billed: USD of the costs endpoint; None where it cannot tell.
        pico: list price of the usage in pico-dollars.
        counts: by the names in `COUNTS`; what is missing is 0.
    """

    billed: Decimal | None = None
    pico: int = 0
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, other: "Totals") -> None:
        """Add another one."""
        if other.billed is not None:
            self.billed = (self.billed or Decimal(0)) + other.billed
        self.pico += other.pico
        for name, count in other.counts.items():
            self.counts[name] = self.counts.get(name, 0) + count

    def count(self, name: str) -> int:
        """One of the counts."""
        return self.counts.get(name, 0)

    def known_count(self, name: str) -> int | None:
        """One of the counts; None where something is billed and no usage was read for it, as of web searches."""
        return None if self.billed and not any(self.counts.values()) else self.count(name)

    @property
    def cost(self) -> Decimal:
        """USD: as billed where that is known, else at list prices."""
        return self._listed if self.billed is None else self.billed

    @property
    def list_price(self) -> Decimal | None:
        """USD at list prices; None where nothing of what was used or billed has a price on the list."""
        unknown = not self.pico and (self.billed or any(map(self.count, _WITHOUT_PRICE)))
        return None if unknown else self._listed

    @property
    def _listed(self) -> Decimal:
        return Decimal(self.pico) / PICO

    @property
    def output_per_input(self) -> float | None:
        """Output tokens per input token."""
        return _ratio(self.count("output_tokens"), self.count("input_tokens"))

    @property
    def cached_share(self) -> float | None:
        """The part of the input tokens that came from the cache."""
        return _ratio(self.count("input_cached_tokens"), self.count("input_tokens"))

    @property
    def tokens_per_request(self) -> float | None:
        """Input and output tokens per request; None where what is used has no tokens, such as speech."""
        tokens = self.count("input_tokens") + self.count("output_tokens")
        return _ratio(tokens, self.count("requests")) if tokens else None


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


Cells = dict[tuple[int, str], Totals]


@dataclass(slots=True)
class Book:
    """Totals per day and group.

    Attributes:
        by: what the groups are.
        cells: by the start of the day and the group's id; costs of models are under their line item.
        billed: whether costs are in it.
        models: names that usage has; a line item `<model>, <what>` of these belongs to the model.
        skipped: costs in other currencies, rows by currency: they are in no sum.
        unpriced: days and models with usage that has no price.
        notes: what a reader should know.
    """

    by: By
    cells: Cells = field(default_factory=dict)
    billed: bool = False
    models: set[str] = field(default_factory=set)
    skipped: dict[str, int] = field(default_factory=dict)
    unpriced: set[tuple[int, str]] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    def groups(self, start: int, end: int) -> dict[str, Totals]:
        """Totals of each group in [start, end)."""
        groups: dict[str, Totals] = {}
        for id, totals in self._within(start, end):
            groups.setdefault(self._group(id), self.nothing()).add(totals)
        return groups

    def total(self, start: int, end: int, only: Collection[str] = ()) -> Totals:
        """Totals of everything in [start, end), or of some groups."""
        total = self.nothing()
        for id, totals in self._within(start, end):
            if not only or self._group(id) in only:
                total.add(totals)
        return total

    def nothing(self) -> Totals:
        """Totals of a time without usage and costs."""
        return Totals(Decimal(0) if self.billed else None)

    def merge(self, cells: Cells) -> None:
        """Add the cells of a query that was read to its end."""
        with self._lock:  # several queries are made at once
            for key, totals in cells.items():
                self.cells.setdefault(key, Totals()).add(totals)

    def _within(self, start: int, end: int) -> Iterator[tuple[str, Totals]]:
        return ((id, totals) for (day, id), totals in self.cells.items() if start <= day < end)

    def _group(self, id: str) -> str:
        return costs.model_of(id, self.models) or id if self.by == "model" else id


@dataclass(frozen=True, slots=True)
class Forecast:
    """Cost of the running month in USD.

    Attributes:
        so_far: until now.
        per_day: mean of the seven days before yesterday, whose costs have mostly arrived.
        at_end: so far, with yesterday and today at no less than the mean, and the mean for each day left.
    """

    so_far: Decimal
    per_day: Decimal
    at_end: Decimal


@dataclass(frozen=True, slots=True)
class Part:
    """One group: in the period, and in the time before that it is compared with."""

    id: str
    name: str
    now: Totals
    before: Totals

    @property
    def difference(self) -> Decimal:
        """USD more than before."""
        return self.now.cost - self.before.cost

    @property
    def change(self) -> float | None:
        """How much more it cost than before, as a ratio; None where there was nothing before."""
        return None if self.before.cost <= 0 else float(self.now.cost / self.before.cost - 1)


@dataclass(frozen=True, slots=True)
class Period:
    """Whole days from `start` to `end` (exclusive), in Unix seconds; `before` is what it is compared with."""

    start: int
    end: int
    before_start: int
    before_end: int

    @property
    def first(self) -> str:
        """The first day."""
        return format_date(self.start)

    @property
    def last(self) -> str:
        """The last day."""
        return format_date(self.end - 1)


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that is shown.

    Attributes:
        parts: the groups, the most expensive first; they add up to `total`.
        days: (start of the day, its totals) of the period, those without usage included.
        movers: the groups whose cost changed most.
        forecast: None when the period has nothing of the running month, or costs are not read.
        budgets: of the running day or month.
        notes: sentences that a reader should know.
        credit: prepaid credit that is left; None when the configuration has none.
    """

    organization: str
    by: By
    period: Period
    as_of: float
    parts: tuple[Part, ...]
    total: Part
    days: tuple[tuple[int, Totals], ...]
    movers: tuple[Part, ...]
    forecast: Forecast | None
    budgets: tuple[dataset.BudgetState, ...]
    notes: tuple[str, ...]
    credit: Balance | None = None


def read_report(
    source: Source, period: Period, by: By, now: float, progress: Progress = lambda done, total: None
) -> Report:
    """Read what a report needs, and make it.

    Args:
        now: the API's time.

    Raises:
        UpstreamError: usage or costs could not be read.
    """
    book = Book(by)
    costs_start, end = period.before_start, None if period.end > now else period.end
    reads = usage_reads(book, source, period.before_start, end)
    if period.end > month_start(now):
        costs_start = min(costs_start, month_start(now), day_start(now) - (_MEAN_DAYS + 1) * DAY)
        end = None
    spending: tuple[dataset.BudgetState, ...] = ()
    notes: list[str] = []
    directory = Directory()

    def read_budgets(source: Source) -> None:
        nonlocal spending, directory
        spending = _read_budgets(source)
        if {by, *(budget.scope for budget in spending)} & {"project", "key", "user"}:
            directory = source.directory(notes)

    credit = CreditsDataset(source.organization, source.context) if source.organization.credits else None
    reads += [lambda source: read_costs(book, source, costs_start, end), read_budgets]
    if credit:
        reads.append(lambda source: source.retry(lambda: credit.read(source.calls, seen=True)))
    source.together(reads, progress)
    book.notes += notes
    title = directory.title
    titled = tuple(replace(budget, title=title(budget.scope, budget.id)) for budget in spending)
    made = make_report(book, source.organization.name, period, now, lambda id: title(by, id), titled)
    return replace(made, credit=credit.balance if credit else None)


def make_report(
    book: Book,
    organization: str,
    period: Period,
    now: float,
    title: Callable[[str], str],
    spending: tuple[dataset.BudgetState, ...],
) -> Report:
    """A report of what a book has; `title` gives the name of an id, empty where it has none."""
    parts = _parts(book, period, title)
    moved = sorted((part for part in parts if part.difference), key=lambda part: -abs(part.difference))
    current = book.billed and period.end > month_start(now)
    before = book.total(period.before_start, period.before_end)
    return Report(
        organization,
        book.by,
        period,
        now,
        parts,
        Part("", "Total", book.total(period.start, period.end), before),
        tuple((day, book.total(day, day + DAY)) for day in range(period.start, period.end, DAY)),
        tuple(moved[:_MOVERS]),
        make_forecast(book, now) if current else None,
        spending,
        (*book.notes, *_notes(book, period, now)),
    )


def make_forecast(book: Book, now: float) -> Forecast:
    """Where the month will end: recorded as organization:openai_costs_forecast_usd:projection, too.

    The mean is that of window `yesterday` over seven days, so yesterday, of which some is still to come, counts as
    much as has passed of today, and the eighth day before today for the rest.
    """

    def cost(start: int, end: int) -> Decimal:
        return book.total(start, end).cost

    today = day_start(now)
    passed = Decimal(int(now) - today) / DAY
    first, last = today - (_MEAN_DAYS + 1) * DAY, today - DAY
    week = cost(first + DAY, last) + (1 - passed) * cost(first, first + DAY) + passed * cost(last, today)
    mean, so_far = week / _MEAN_DAYS, cost(month_start(now), today + DAY)
    return Forecast(so_far, mean, so_far + mean * (next_month_start(now) - int(now)) / DAY)


def _parts(book: Book, period: Period, title: Callable[[str], str]) -> tuple[Part, ...]:
    now = book.groups(period.start, period.end)
    before = book.groups(period.before_start, period.before_end)
    ids = tuple(dict.fromkeys((*now, *before)))
    names = {id: "(not attributed)" if id == NOT_ATTRIBUTED else title(id) or id for id in ids}
    count = Counter(names.values())
    # A name that several groups have stands with the id.
    names |= {id: f"{name} ({id})" for id, name in names.items() if count[name] > 1}
    nothing = book.nothing()
    parts = [Part(id, names[id], now.get(id, nothing), before.get(id, nothing)) for id in ids]
    return tuple(sorted(parts, key=lambda part: (-part.now.cost, -part.before.cost, part.id)))


def _read_budgets(source: Source) -> tuple[dataset.BudgetState, ...]:
    config, organization = source.config, source.organization
    if not service.budgets_of(config, organization):
        return ()
    datasets = refresh.Datasets(config, organization, source.context)
    for spent in (*datasets.priced, *([datasets.costs] if datasets.costs else [])):
        source.retry(lambda spent=spent: spent.read(source.calls, seen=True))  # type: ignore[misc]
    return datasets.budgets()


def _notes(book: Book, period: Period, now: float) -> Iterator[str]:
    if not book.groups(period.start, period.end):
        yield f"The API reports no {'usage and no costs' if book.billed else 'usage'} of this period."
    if period.end > now:
        yield "Today is not over and is compared with full days."
    if book.billed and period.end > day_start(now) - DAY:
        yield "Costs of the last two days are still arriving."
    total = book.total(period.start, period.end)
    amounts = [f"{total.count(name):,} {unit}" for name, unit in UNPRICED.items() if total.count(name)]
    if amounts:
        models = sorted({model for day, model in book.unpriced if period.start <= day < period.end})
        more = [f"{len(models) - _NAMED} more"] if len(models) > _NAMED else []
        named = f" ({', '.join([*models[:_NAMED], *more])})" if models else ""
        yield f"Without a price, and so missing from list prices: {', '.join(amounts)}{named}."


def usage_reads(
    book: Book, source: Source, start: int, end: int | None, operations: Collection[str] = ()
) -> list[Read]:
    """The reads of all configured usage endpoints, or of some, which add to the book."""
    names = [name for name in source.organization.usage if name in rows.OPERATIONS]
    names = [name for name in names if not operations or name in operations]
    return [partial(_read_usage, book, name, Range(start, end, "1d", costs.USAGE_DAYS)) for name in names]


def _read_usage(book: Book, name: str, part: Range, source: Source) -> None:
    requested = dict.fromkeys((DIMENSIONS[book.by], "model"))
    group_by = tuple(dimension for dimension in requested if dimension in GROUPABLE[name])
    cells: Cells = {}
    source.usage(name, group_by, part, cells.clear, _usage_taker(book, cells, name, group_by))
    book.merge(cells)


def _usage_taker(book: Book, cells: Cells, name: str, group_by: tuple[str, ...]) -> TakeUsage:
    columns = [column.name for column in rows.OPERATIONS[name].columns]

    def take(start: int, labels: ledger.Labels, values: ledger.Values) -> None:
        day, group = day_start(start), dict(zip(group_by, labels, strict=True))
        usage = dict(zip(columns, values, strict=True))
        counts = {column: usage[column] for column in COUNTS if usage.get(column)}
        id = group.get(DIMENSIONS[book.by], NOT_ATTRIBUTED)
        totals = Totals(None, usage.get("estimated_cost_usd", 0), counts)
        cells.setdefault((day, id), Totals()).add(totals)
        if model := group.get("model"):
            book.models.add(model)
            if not UNPRICED.keys().isdisjoint(counts):
                book.unpriced.add((day, model))

    return take


def read_costs(book: Book, source: Source, start: int, end: int | None) -> None:
    """Add the costs, unless the configuration reads none or the API does not group them so.

    Raises:
        UpstreamError: they could not be read.
    """
    if source.organization.costs is None:
        book.notes.append("The configuration reads no costs; amounts are list prices of the usage.")
        return
    dimension = "line_item" if book.by == "model" else DIMENSIONS[book.by]
    cells: Cells = {}

    def restart() -> None:
        cells.clear()
        book.skipped.clear()

    def take(start: int, row: rows.CostRow) -> None:
        if row.usd is None:
            book.skipped[row.currency] = book.skipped.get(row.currency, 0) + 1
        else:
            cells.setdefault((day_start(start), row.labels[0]), Totals()).add(Totals(row.usd))

    try:
        source.costs((dimension,), Range(start, end, "1d", costs.COST_DAYS), restart, take)
    except UpstreamError as error:
        if error.status != 400 or not (source.filters or book.by in ("key", "user")):
            raise
        by = ", ".join(sorted({name for name, _ in source.filters})) or book.by
        book.notes.append(f"The API does not report costs by {by}; amounts are list prices of the usage.")
        return
    book.merge(cells)
    book.billed = True
    for currency, count in book.skipped.items():
        book.notes.append(f"{count} rows of costs in {currency} are in no sum.")


# Dates: as people write them in options, and as a report shows them. Days are UTC.

ANY_TIME = datetime(9000, 1, 1, tzinfo=UTC).timestamp()
"""As the present time: what is rejected then is wrong at any time."""
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_MONTH = re.compile(r"\d{4}-\d{2}")
_RANGE = re.compile(r"(\S+?)\.\.(\S+)")
ALLOWED = "day, week, month, a month such as 2026-10, or FROM..TO such as 2026-11-01..2026-11-15"


class PeriodError(ExporterError):
    """A date or period that cannot be used; the message says what is allowed."""


def parse_period(text: str, now: float) -> Period:
    """What a person means.

    `day` is the last day that is over, `week` the last seven, `month` this month so far, today included;
    a month so far is compared with as many days of the month before, everything else with as many days
    just before it, a whole month with the whole month before.

    Raises:
        PeriodError: it is none of these, or lies in the future.
    """
    today = day_start(now)
    if text == "day":
        return _just_before(today - DAY, today)
    if text == "week":
        return _just_before(today - 7 * DAY, today)
    if text == "month":
        return _of_month(month_start(now), today + DAY)
    if _MONTH.fullmatch(text):
        if not "01" <= text[5:] <= "12":
            raise PeriodError(f"--period: {text!r} is not a month such as 2026-10")
        start = parse_day(f"{text}-01", "--period", now)
        return _of_month(start, min(next_month_start(start), today + DAY))
    dates = _RANGE.fullmatch(text)
    if dates is None:
        raise PeriodError(f"--period: {text!r} is not one of: {ALLOWED}")
    return _just_before(*parse_days(dates[1], dates[2], ("--period FROM", "--period TO"), now))


def _just_before(start: int, end: int) -> Period:
    return Period(start, end, 2 * start - end, start)


def _of_month(start: int, end: int) -> Period:
    before = previous_month_start(start)
    whole = end == next_month_start(start)
    return Period(start, end, before, start if whole else min(start, before + end - start))


def parse_day(text: str, name: str, now: float) -> int:
    """The start of a day written `2026-11-21`, not after today and not before 2020.

    Raises:
        PeriodError: names the option and the value.
    """
    try:
        if not _DATE.fullmatch(text):
            raise ValueError
        start = int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise PeriodError(f"{name}: {text!r} is not a date such as 2026-11-21") from None
    if start > now:
        raise PeriodError(f"{name}: {text} is in the future; today is {format_date(now)} (UTC)")
    if start < FIRST:
        raise PeriodError(f"{name}: {text} is before {format_date(FIRST)}; there is no usage that old")
    return start


def parse_days(first: str, last: str, names: tuple[str, str], now: float) -> tuple[int, int]:
    """From the start of the first day to the end of the last.

    Raises:
        PeriodError: a date is wrong, or the first is after the last.
    """
    start, end = parse_day(first, names[0], now), parse_day(last, names[1], now)
    if start > end:
        raise PeriodError(f"{names[0]}: {first} is after {names[1]} {last}; swap them")
    return start, end + DAY


def parse_time(text: str, name: str, now: float) -> float:
    """Unix seconds of a time written `2026-11-21T09:30:00Z`, UTC where no zone is given, not after now.

    Raises:
        PeriodError: names the option and the value.
    """
    try:
        time = datetime.fromisoformat(text)
        timestamp = (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except ValueError:
        raise PeriodError(f"{name}: {text!r} is not a time such as 2026-11-21T09:30:00Z") from None
    if timestamp > now:
        raise PeriodError(f"{name}: {text} is in the future; it is {iso(now)}")
    return timestamp


def format_date(timestamp: float) -> str:
    """The day of a timestamp as `2026-11-21`."""
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d")


def iso(timestamp: float) -> str:
    """A timestamp as `2026-11-21T09:30:00Z`."""
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
