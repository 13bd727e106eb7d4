# SPDX-License-Identifier: Apache-2.0
"""A report: groups, totals, days, movers, forecast and budgets of a period."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal

from openai_exporter.config import Config
from openai_exporter.config.organization import Organization
from openai_exporter.errors import UpstreamError
from openai_exporter.report.book import (
    UNPRICED,
    UNTOLD,
    Book,
    By,
    Figures,
    Tally,
    change,
    read_costs,
    read_usage,
)
from openai_exporter.report.dates import Period
from openai_exporter.report.source import Source
from openai_exporter.usage.dataset import BudgetState
from openai_exporter.usage.names import Directory
from openai_exporter.usage.refresh import Datasets
from openai_exporter.usage.service import budgets_of
from openai_exporter.usage.window import DAY, day_start, month_start, next_month_start

# Where the month will end, from the days so far. Pure.

_MEAN_DAYS = 7


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


HOW = "The mean of the seven days before yesterday is taken for each day that is left."
EARLIEST = (_MEAN_DAYS + 1) * DAY
"""Seconds before today for which costs must be known."""


def forecast(cost_of: Callable[[int, int], Decimal], now: float) -> Forecast:
    """From what costs were in [start, end), for whole days.

    Yesterday and today are still arriving, so they count as the mean when less of them is known.
    """
    today, month = day_start(now), month_start(now)
    yesterday = today - DAY
    mean = cost_of(yesterday - _MEAN_DAYS * DAY, yesterday) / _MEAN_DAYS
    so_far = cost_of(month, today + DAY)
    settled = cost_of(month, max(month, yesterday))
    arriving = sum(
        (max(mean, cost_of(day, day + DAY)) for day in (yesterday, today) if day >= month), Decimal(0)
    )
    left = (next_month_start(now) - today) // DAY - 1
    return Forecast(so_far, mean, settled + arriving + mean * left)


# A report: groups, totals, days, movers, forecast and budgets of a period. Plain data and how it is made.

_MOVERS = 5
_NAMED = 8


@dataclass(frozen=True, slots=True)
class Part:
    """One group: in the period, and in the time before that it is compared with."""

    id: str
    name: str
    now: Figures
    before: Figures

    @property
    def difference(self) -> Decimal:
        """USD more than before."""
        return self.now.money - self.before.money

    @property
    def change(self) -> float | None:
        """How much more it cost than before, as a ratio."""
        return change(self.now.money, self.before.money)


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that is shown.

    Attributes:
        parts: the groups, those that cost most first; they add up to `total`.
        days: (start of the day, figures) of the period, those without usage included.
        movers: the groups whose cost changed most.
        forecast: None when the period has nothing of the running month, or costs are not read.
        budgets: of the running day or month.
        notes: sentences that a reader should know.
    """

    organization: str
    by: By
    period: Period
    as_of: float
    parts: tuple[Part, ...]
    total: Part
    days: tuple[tuple[int, Figures], ...]
    movers: tuple[Part, ...]
    forecast: Forecast | None
    budgets: tuple[BudgetState, ...]
    notes: tuple[str, ...]


def gathered(
    source: Source, config: Config, organization: Organization, period: Period, by: By, now: float
) -> Report:
    """Read what a report needs, and make it.

    Args:
        now: the API's time.

    Raises:
        UpstreamError: usage or costs could not be read.
    """
    book = Book(by)
    current = period.end > month_start(now)
    earliest = min(month_start(now), day_start(now) - EARLIEST) if current else period.before_start
    read_usage(book, source, organization, period.before_start, _until(period.end, now))
    end = None if current else period.end
    read_costs(book, source, organization, min(period.before_start, earliest), end)
    spending = _budgets(source, config, organization)
    found = _directory(source, organization, book, spending)
    titled = tuple(replace(each, title=found.title(each.scope, each.id)) for each in spending)
    return made(book, organization.name, period, now, lambda id: found.title(by, id), titled)


def made(
    book: Book,
    organization: str,
    period: Period,
    now: float,
    title: Callable[[str], str],
    spending: tuple[BudgetState, ...],
) -> Report:
    """A report of what a book has; `title` gives the name of an id, empty where it has none."""
    parts = _parts(book, period, title)
    total = Part(
        "", "Total", book.total(period.start, period.end), book.total(period.before_start, period.before_end)
    )
    days = range(period.start, period.end, DAY)
    moved = sorted((each for each in parts if each.difference), key=lambda each: -abs(each.difference))
    known = book.billed and period.end > month_start(now)
    return Report(
        organization,
        book.by,
        period,
        now,
        parts,
        total,
        tuple((day, book.total(day, day + DAY)) for day in days),
        tuple(moved[:_MOVERS]),
        forecast(lambda start, end: book.total(start, end).money, now) if known else None,
        spending,
        (*book.notes, *_notes(book, period, now)),
    )


def _until(end: int, now: float) -> int | None:
    return None if end > now else end


def _parts(book: Book, period: Period, title: Callable[[str], str]) -> tuple[Part, ...]:
    none = Figures.of(Tally(), billed=book.billed)
    after = book.groups(period.start, period.end)
    before = book.groups(period.before_start, period.before_end)
    ids = tuple(dict.fromkeys((*after, *before)))
    names = _distinct({id: "(not attributed)" if id == UNTOLD else title(id) or id for id in ids})
    parts = [Part(id, names[id], after.get(id, none), before.get(id, none)) for id in ids]
    return tuple(sorted(parts, key=lambda each: (-each.now.money, -each.before.money, each.id)))


def _distinct(names: dict[str, str]) -> dict[str, str]:
    """Names by id; those that several have, with their id."""
    count = Counter(names.values())
    return {id: name if count[name] == 1 else f"{name} ({id})" for id, name in names.items()}


def _directory(
    source: Source, organization: Organization, book: Book, spending: tuple[BudgetState, ...]
) -> Directory:
    """The names, where the report has ids that have some."""
    wanted = {book.by, *(each.scope for each in spending)} & {"project", "key", "user"}
    if not wanted or not organization.names:
        return Directory()
    try:
        return source.directory()
    except UpstreamError as error:
        book.notes.append(f"Names could not be read, so ids stand for them: {error}")
        return Directory()


def _budgets(source: Source, config: Config, organization: Organization) -> tuple[BudgetState, ...]:
    if not budgets_of(config, organization):
        return ()
    datasets = Datasets.of(config, organization, source.context)
    for each in (*datasets.priced, *([datasets.costs] if datasets.costs else [])):
        source.patiently(lambda each=each: each.read(source.calls, seen=True))  # type: ignore[misc]
    return datasets.budgets()


def _notes(book: Book, period: Period, now: float) -> list[str]:
    notes = []
    if not book.groups(period.start, period.end):
        what = "usage and no costs" if book.billed else "usage"
        notes.append(f"The API tells no {what} of this period.")
    if period.end > now:
        notes.append("Today is not over, and is compared with whole days.")
    if book.billed and period.end > day_start(now) - DAY:
        notes.append("Costs of the last two days are still arriving.")
    return [*notes, *_unpriced(book, period)]


def _unpriced(book: Book, period: Period) -> Iterator[str]:
    """What of the usage has no price, and whose it is: it is in no list price."""
    total = book.total(period.start, period.end)
    amounts = [f"{total.count(name):,} {what}" for name, what in UNPRICED.items() if total.count(name)]
    if amounts:
        models = sorted({model for day, model in book.unpriced if period.start <= day < period.end})
        more = [f"{len(models) - _NAMED} more"] if len(models) > _NAMED else []
        named = f" ({', '.join([*models[:_NAMED], *more])})" if models else ""
        yield f"Without a price, and so missing from list prices: {', '.join(amounts)}{named}."
