# SPDX-License-Identifier: Apache-2.0
"""A report as people read it: tables for the terminal, Markdown, and one HTML file. Amounts are rounded only here."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal

from rich.cells import cell_len, set_cell_size

from openai_exporter import __version__
from openai_exporter.config.secret import printable
from openai_exporter.exposition import clean
from openai_exporter.files import template_environment
from openai_exporter.report.report import HOW, Part, Report, Totals, format_date, iso
from openai_exporter.usage.credits import Balance

UNKNOWN = "\N{EN DASH}"
CENT = Decimal("0.01")
TITLES = {"model": "Model", "project": "Project", "key": "API key", "user": "User", "line_item": "Line item"}
_USAGE = ("Requests", "Input", "Output", "Cached", "Out/in", "Tokens/req.")
_MOST_BUDGETS = 30
_FIGURES, _NAME_WIDTH, _BETWEEN = 4, 20, "  "
"""Figures that names and their columns give way to in a narrow terminal, and what stands between two."""
_VALUE_WIDTH = 18
_BOLD, _DIM = 1, 2
_MARKUP = re.compile(r"([\\`*_\[\]<>|~#])")


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table; the first column is text, the others are numbers. `foot` is the last row, of sums."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    foot: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class View:
    """What is shown, from the top to the bottom."""

    title: str
    lead: tuple[tuple[str, str], ...]
    tables: tuple[TextTable, ...]
    notes: tuple[str, ...]


def view(report: Report) -> View:
    """The view of a report; names are foreign, and no format of it holds their control characters."""
    first, last = report.period.first, report.period.last
    title = f"Usage and costs of {report.organization}, {first if first == last else f'{first} to {last}'} (UTC)"
    now = apportioned([part.now.cost for part in report.parts])
    before = apportioned([part.before.cost for part in report.parts])
    amounts = {part.id: pair for part, pair in zip(report.parts, zip(now, before, strict=True), strict=True)}
    tables = (_parts(report, amounts), _movers(report, amounts), _budgets(report))
    how = ["Days are UTC. Billed amounts are those of the costs endpoint; list prices are an estimate."]
    if report.forecast:
        how.append(f"Forecast: {HOW}")
    if report.credit:
        how.append(
            f"Prepaid credit is computed: credits of the configuration less billed costs. {_used_up(report.credit)}"
        )
    filled = tuple(table for table in tables if table.rows)
    return View(printable(title), tuple(_lead(report)), filled, (*map(printable, report.notes), *how))


def _used_up(left: Balance) -> str:
    if left.remaining <= 0:
        return "It is exhausted."
    if left.exhausted_at is not None:
        return f"At the current run rate it lasts until {format_date(left.exhausted_at)}."
    return "At the current run rate it lasts for years." if left.per_day > 0 else "Nothing was billed lately."


def render_terminal(report: Report, width: int | None = None, *, color: bool = False) -> str:
    """Tables for a terminal of that width, or as wide as they need to be: no name is dropped and no number is cut."""
    content = view(report)

    def style(text: str, code: int) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if color else text

    lines = [style(line, _BOLD) for line in _wrapped(content.title, width)]
    lines += _pairs(content.lead, width)
    omitted: dict[str, None] = {}
    for table in content.tables:
        grid = Grid(table, width)
        lines += ["", *grid.lines(lambda line: style(line, _BOLD))]
        omitted |= dict.fromkeys(grid.omitted)
    notes = content.notes
    if omitted:
        hidden = f"{width} columns have no room for {', '.join(omitted)}: use a wider terminal or --format csv."
        notes = (hidden, *notes)
    lines += ["", *(style(line, _DIM) for note in notes for line in _wrapped(note, width))]
    return "\n".join(lines) + "\n"


def _wrapped(text: str, width: int | None) -> list[str]:
    """Lines of at most `width` columns; a word that is longer stands alone, and the terminal breaks it."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if width is None or cell_len(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _pairs(pairs: Sequence[tuple[str, str]], width: int | None) -> Iterator[str]:
    """Names, and values on their right; a value that does not fit there stands below its name."""
    name_width = max(len(name) for name, _ in pairs)
    value_width = max(_VALUE_WIDTH, *(len(value) for _, value in pairs))
    for name, value in pairs:
        room = value_width if width is None else min(value_width, width - name_width - 4)
        if len(value) <= room:
            yield f"  {name:<{name_width}}  {value:>{room}}"
        else:
            yield f"  {name}"
            yield f"    {value}"


class Grid:
    """Lays a table out in `width` columns: figures that do not fit are omitted from the right, down to a few.

    Where names have too little room beside these, each stands on a line above its figures, as does a longer one.

    Attributes:
        omitted: heads of the columns that are not shown.
    """

    def __init__(self, table: TextTable, width: int | None) -> None:
        self._table = table
        rows = (table.head, *table.rows, *([table.foot] if table.foot else []))
        names, *figures = (max(map(cell_len, column)) for column in zip(*rows, strict=True))
        self._figures = figures
        self._name = names
        if width is not None:
            beside = min(names, _NAME_WIDTH) + len(_BETWEEN)
            room = beside if self._fit(width - beside, _FIGURES) else 0
            self._fit(width - room, 1)
            self._name = min(names, max(0, width - self._used - len(_BETWEEN))) if room else 0
        self.omitted = table.head[1 + len(self._figures) :]

    @property
    def _used(self) -> int:
        return sum(self._figures) + len(_BETWEEN) * (len(self._figures) - 1)

    def _fit(self, room: int, least: int) -> bool:
        """Omit figures until the others fit, but keep `least`; whether they fit."""
        while len(self._figures) > least and self._used > room:
            self._figures.pop()
        return self._used <= room

    def lines(self, strong: Callable[[str], str] = str) -> Iterator[str]:
        """Title, head, rows and foot; `strong` marks those that are not rows."""
        yield strong(self._table.title)
        yield from map(strong, self.row(self._table.head))
        for row in self._table.rows:
            yield from self.row(row)
        yield from map(strong, self.row(self._table.foot) if self._table.foot else ())

    def row(self, cells: Sequence[str]) -> Iterator[str]:
        """One row in one line or two."""
        name, *figures = cells
        if cell_len(name) > self._name:
            yield name
            name = ""
        shown = [figure.rjust(width) for figure, width in zip(figures, self._figures, strict=False)]
        yield _BETWEEN.join([set_cell_size(name, self._name), *shown] if self._name else shown)


def render_markdown(report: Report) -> str:
    """A document with tables in GitHub's form."""
    return "\n".join(_markdown(view(report))) + "\n"


def cents(usd: Decimal) -> Decimal:
    """Rounded to the cent, halves away from zero."""
    return usd.quantize(CENT, ROUND_HALF_UP)


def apportioned(parts: Sequence[Decimal]) -> list[Decimal]:
    """Parts in whole cents that add up to their exact sum in whole cents; none is off by a cent or more.

    All are rounded down, and the cents that are missing go to the largest remainders.
    """
    down = [part.quantize(CENT, ROUND_FLOOR) for part in parts]
    missing = int((cents(sum(parts, Decimal(0))) - sum(down, Decimal(0))) / CENT)
    ranked = sorted(range(len(parts)), key=lambda place: (down[place] - parts[place], place))
    for place in ranked[:missing]:
        down[place] += CENT
    return down


def dollars(usd: Decimal | None, rounded: Decimal | None = None) -> str:
    """`$1,234.56`; to the cent, or as it is `rounded`. What is less than a cent is not shown as nothing."""
    if usd is None:
        return UNKNOWN
    amount = cents(usd) if rounded is None else rounded
    if usd and not amount:
        return "<$0.01" if usd > 0 else ">-$0.01"
    return f"{'-' if amount < 0 else ''}${abs(amount):,.2f}"


def percent(ratio: float | None) -> str:
    """`12.3 %`."""
    return UNKNOWN if ratio is None else f"{round(ratio * 100, 1) + 0.0:,.1f} %"


def ratio(value: float | None) -> str:
    """`0.42`, or without decimals from a hundred on."""
    return UNKNOWN if value is None else f"{value:,.2f}" if abs(value) < 100 else f"{value:,.0f}"


def change(part: Part) -> str:
    """`+12.3 %` against the time before, `new` where there was nothing."""
    if part.change is not None:
        return f"{part.change * 100:+,.1f} %"
    # A ratio to a credit, or of nothing to nothing, would mean nothing.
    return UNKNOWN if part.before.cost or not part.now.cost else "new"


def _lead(report: Report) -> Iterator[tuple[str, str]]:
    now, total = report.total.now, report.total
    yield "List price" if now.billed is None else "Billed", dollars(now.cost)
    yield "Period before", dollars(total.before.cost)
    yield "Change", change(total)
    yield "List price of usage", dollars(now.list_price)
    yield "Requests", f"{now.count('requests'):,}"
    yield "Input tokens", f"{now.count('input_tokens'):,}"
    yield "Output tokens", f"{now.count('output_tokens'):,}"
    yield "Cached share of input", percent(now.cached_share)
    yield "Output per input", ratio(now.output_per_input)
    yield "Tokens per request", ratio(now.tokens_per_request)
    if report.forecast is not None:
        yield "Forecast to month's end", dollars(report.forecast.at_end)
    if report.credit is not None:
        yield "Prepaid credit left", dollars(report.credit.remaining)


Amounts = dict[str, tuple[Decimal, Decimal]]
"""Cost of each part in cents, in the period and before; they add up, and are the same in every table."""


def _parts(report: Report, amounts: Amounts) -> TextTable:
    title, total = TITLES[report.by], report.total
    billed = total.now.billed is not None
    usage = () if report.by == "line_item" else ("List price", *_USAGE) if billed else _USAGE
    head = (title, "Billed" if billed else "List price", "Share", "Before", "Change", *usage)

    def row(part: Part, now: Decimal, before: Decimal) -> tuple[str, ...]:
        whole = total.now.cost
        share = percent(float(part.now.cost / whole) if whole > 0 else None)
        columns = (
            clean(part.name), dollars(part.now.cost, now), share, dollars(part.before.cost, before), change(part),
            *_usage(part.now, billed),
        )  # fmt: skip
        return columns[: len(head)]

    rows = tuple(row(part, *amounts[part.id]) for part in report.parts)
    foot = row(total, total.now.cost, total.before.cost)
    return TextTable(f"By {title if report.by == 'key' else title.lower()}", head, rows, foot)


def _usage(totals: Totals, billed: bool) -> tuple[str, ...]:
    return (
        *((dollars(totals.list_price),) if billed else ()),
        *(_number(totals.known_count(name)) for name in ("requests", "input_tokens", "output_tokens")),
        percent(totals.cached_share),
        ratio(totals.output_per_input),
        ratio(totals.tokens_per_request),
    )


def _number(count: int | None) -> str:
    return UNKNOWN if count is None else f"{count:,}"


def _movers(report: Report, amounts: Amounts) -> TextTable:
    rows = []
    for part in report.movers:
        now, before = amounts[part.id]
        sign = "+" if now > before else ""
        shown = dollars(part.before.cost, before), dollars(part.now.cost, now)
        rows.append((clean(part.name), f"{sign}{dollars(part.difference, now - before)}", *shown))
    return TextTable("Top movers", (TITLES[report.by], "Difference", "Before", "Now"), tuple(rows))


def _budgets(report: Report) -> TextTable:
    ranked = sorted(report.budgets, key=lambda state: -(state.ratio if state.ratio is not None else -1))
    rows = tuple(
        (
            clean(f"{state.name} ({state.whose}, {state.period}, {state.basis})"),
            percent(state.ratio),
            dollars(state.spent_usd),
            dollars(state.limit_usd),
            dollars(None if state.spent_usd is None else state.limit_usd - state.spent_usd),
        )
        for state in ranked[:_MOST_BUDGETS]
    )
    return TextTable("Budgets now", ("Budget", "Used", "Spent", "Limit", "Left"), rows)


def _markdown(content: View) -> Iterator[str]:
    yield f"# {_escaped(content.title)}\n"
    for name, value in content.lead:
        yield f"- {name}: **{_escaped(value)}**"
    for table in content.tables:
        yield f"\n## {_escaped(table.title)}\n"
        yield _markdown_row(table.head)
        yield "|" + "|".join([" --- ", *[" ---: "] * (len(table.head) - 1)]) + "|"
        yield from map(_markdown_row, table.rows)
        if table.foot:
            yield "| " + " | ".join(f"**{_escaped(cell)}**" for cell in table.foot) + " |"
    yield ""
    for note in content.notes:
        yield f"{_escaped(note)}  "


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(_escaped, cells)) + " |"


def _escaped(value: str) -> str:
    """Names are foreign: they must make no markup."""
    return _MARKUP.sub(r"\\\1", value)


# The HTML file needs nothing else: charts are drawn in it, no script runs, and it prints well.

_WIDTH, _HEIGHT = 720.0, 150.0
_GAP = 0.18
_LABELS = 10
_HALF_LABEL = 17.0


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a chart, in its coordinates; `title` is shown when it is pointed at."""

    x: float
    y: float
    width: float
    height: float
    title: str
    series: int = 0


@dataclass(frozen=True, slots=True)
class Chart:
    """A bar chart: one group of bars per day, and a line with its value at the top and at zero."""

    title: str
    bars: tuple[Bar, ...]
    most: str
    zero: float
    series: tuple[str, ...] = ()


def render_html(report: Report) -> str:
    """The whole page."""
    days = [totals for _, totals in report.days]
    cost = [(float(totals.cost),) for totals in days]
    tokens = [(float(totals.count("input_tokens")), float(totals.count("output_tokens"))) for totals in days]
    money = "List price per day" if report.total.now.billed is None else "Billed per day"
    dates = [format_date(day) for day, _ in report.days]
    template = template_environment("openai_exporter.report").get_template("report.html")
    return template.render(
        view=view(report),
        charts=[
            _chart(money, dates, cost, (), lambda usd: f"${usd:,.2f}"),
            _chart("Tokens per day", dates, tokens, ("input", "output"), lambda count: f"{round(count):,}"),
        ],
        labels=_labels(dates),
        width=_WIDTH,
        height=_HEIGHT,
        shares=_shares(report),
        as_of=iso(report.as_of),
        version=__version__,
    )


def _shares(report: Report) -> list[float]:
    """The width of each part's bar in percent of the largest."""
    most = max((part.now.cost for part in report.parts), default=Decimal(0))
    return [float(max(Decimal(0), part.now.cost) / most * 100) if most > 0 else 0.0 for part in report.parts]


def _labels(dates: list[str]) -> list[tuple[float, str]]:
    """Places and texts below the bars: at most `_LABELS` of the days."""
    every = -(-len(dates) // _LABELS) or 1
    slot = _WIDTH / max(1, len(dates))
    places = range(0, len(dates), every)
    return [(max(_HALF_LABEL, slot * (place + 0.5)), dates[place][5:]) for place in places]


def _chart(
    title: str,
    dates: list[str],
    values: Sequence[tuple[float, ...]],
    series: tuple[str, ...],
    show: Callable[[float], str],
) -> Chart:
    """A chart of some values per day; `series` are their names where there are several."""
    most = max((value for of_day in values for value in of_day), default=0.0) or 1.0
    least = min((value for of_day in values for value in of_day), default=0.0)
    scale = _HEIGHT / (most - min(least, 0.0))
    slot = _WIDTH / max(1, len(values))
    width = slot * (1 - _GAP) / max(1, len(series))
    zero = most * scale
    bars = [
        Bar(
            slot * (place + _GAP / 2) + width * index,
            zero - max(value, 0.0) * scale,
            width,
            abs(value) * scale,
            f"{dates[place]}: {show(value)}{f' {series[index]}' if series else ''}",
            index,
        )
        for place, of_day in enumerate(values)
        for index, value in enumerate(of_day)
    ]
    return Chart(title, tuple(bars), show(most), zero, series)
