# SPDX-License-Identifier: Apache-2.0
"""A report: groups, totals, days, movers, forecast and budgets of a period."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal

from openai_exporter.report.book import NOT_ATTRIBUTED, UNPRICED, Book, By, Totals, read_costs, read_usage
from openai_exporter.report.dates import Period
from openai_exporter.report.source import Source
from openai_exporter.usage.dataset import BudgetState
from openai_exporter.usage.ledger import DAY, day_start, month_start, next_month_start
from openai_exporter.usage.refresh import Datasets
from openai_exporter.usage.service import budgets_of

_MOVERS = 5
_NAMED = 8
_MEAN_DAYS = 7
HOW = "The mean of the seven days before yesterday is taken for each day that is left."
"""How the forecast is made."""


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
class Report:
    """Everything that is shown.

    Attributes:
        parts: the groups, the most expensive first; they add up to `total`.
        days: (start of the day, its totals) of the period, those without usage included.
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
    days: tuple[tuple[int, Totals], ...]
    movers: tuple[Part, ...]
    forecast: Forecast | None
    budgets: tuple[BudgetState, ...]
    notes: tuple[str, ...]


def read_report(source: Source, period: Period, by: By, now: float) -> Report:
    """Read what a report needs, and make it.

    Args:
        now: the API's time.

    Raises:
        UpstreamError: usage or costs could not be read.
    """
    book = Book(by)
    costs_start, end = period.before_start, None if period.end > now else period.end
    read_usage(book, source, period.before_start, end)
    if period.end > month_start(now):
        costs_start = min(costs_start, month_start(now), day_start(now) - (_MEAN_DAYS + 1) * DAY)
        end = None
    read_costs(book, source, costs_start, end)
    spending = _read_budgets(source)
    named = {by, *(budget.scope for budget in spending)} & {"project", "key", "user"}
    title = source.directory(book.notes).title if named else lambda scope, id: ""
    titled = tuple(replace(budget, title=title(budget.scope, budget.id)) for budget in spending)
    return make_report(book, source.organization.name, period, now, lambda id: title(by, id), titled)


def make_report(
    book: Book,
    organization: str,
    period: Period,
    now: float,
    title: Callable[[str], str],
    spending: tuple[BudgetState, ...],
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
    """Where the month will end.

    Yesterday and today are still arriving, so they count as the mean when less of them is known.
    """

    def cost(start: int, end: int) -> Decimal:
        return book.total(start, end).cost

    today, month = day_start(now), month_start(now)
    yesterday = today - DAY
    mean = cost(yesterday - _MEAN_DAYS * DAY, yesterday) / _MEAN_DAYS
    arriving = [max(mean, cost(day, day + DAY)) for day in (yesterday, today) if day >= month]
    days_left = (next_month_start(now) - today) // DAY - 1
    at_end = cost(month, max(month, yesterday)) + sum(arriving, Decimal(0)) + mean * days_left
    return Forecast(cost(month, today + DAY), mean, at_end)


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


def _read_budgets(source: Source) -> tuple[BudgetState, ...]:
    config, organization = source.config, source.organization
    if not budgets_of(config, organization):
        return ()
    datasets = Datasets(config, organization, source.context)
    for dataset in (*datasets.priced, *([datasets.costs] if datasets.costs else [])):
        source.retry(lambda dataset=dataset: dataset.read(source.calls, seen=True))  # type: ignore[misc]
    return datasets.budgets()


def _notes(book: Book, period: Period, now: float) -> Iterator[str]:
    if not book.groups(period.start, period.end):
        yield f"The API tells no {'usage and no costs' if book.billed else 'usage'} of this period."
    if period.end > now:
        yield "Today is not over, and is compared with whole days."
    if book.billed and period.end > day_start(now) - DAY:
        yield "Costs of the last two days are still arriving."
    total = book.total(period.start, period.end)
    amounts = [f"{total.count(name):,} {unit}" for name, unit in UNPRICED.items() if total.count(name)]
    if amounts:
        models = sorted({model for day, model in book.unpriced if period.start <= day < period.end})
        more = [f"{len(models) - _NAMED} more"] if len(models) > _NAMED else []
        named = f" ({', '.join([*models[:_NAMED], *more])})" if models else ""
        yield f"Without a price, and so missing from list prices: {', '.join(amounts)}{named}."
