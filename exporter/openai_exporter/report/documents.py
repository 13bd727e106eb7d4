# SPDX-License-Identifier: Apache-2.0
"""A report as people read it: tables for the terminal, Markdown, and one HTML file. Amounts are rounded only here."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal
from io import StringIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from openai_exporter import __version__
from openai_exporter.config.secret import printable
from openai_exporter.exposition import clean
from openai_exporter.files import template_environment
from openai_exporter.report.report import HOW, Part, Report, Totals, format_date, iso

UNKNOWN = "\N{EN DASH}"
CENT = Decimal("0.01")
TITLES = {"model": "Model", "project": "Project", "key": "API key", "user": "User", "line_item": "Line item"}
_USAGE = ("Requests", "Input", "Output", "Cached", "Out/in", "Tokens/req.")
_MOST_BUDGETS = 30
_PLAIN_WIDTH = 200
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
    filled = tuple(table for table in tables if table.rows)
    return View(printable(title), tuple(_lead(report)), filled, (*map(printable, report.notes), *how))


def render_terminal(report: Report, width: int | None = None, *, color: bool = False) -> str:
    """Tables for the terminal; as wide as `width`, or as they need to be."""
    content, out = view(report), StringIO()
    console = Console(file=out, width=width or _PLAIN_WIDTH, force_terminal=color, no_color=not color, highlight=False)
    console.print(Text(content.title, style="bold"))
    for name, value in content.lead:
        console.print(Text(f"  {name:<24} {value:>18}"))
    for table in content.tables:
        console.print()
        console.print(_rich(table))
    for note in content.notes:
        console.print(Text(note, style="dim"))
    return out.getvalue()


def table_lines(table: TextTable, width: int | None) -> list[str]:
    """Title, head and rows as lines for a terminal of that width."""
    out = StringIO()
    Console(file=out, width=width or _PLAIN_WIDTH, highlight=False).print(_rich(table))
    return out.getvalue().rstrip().splitlines()


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


def dollars(usd: Decimal | None) -> str:
    """`$1,234.56`; to the cent."""
    if usd is None:
        return UNKNOWN
    amount = cents(usd)
    return f"{'-' if amount < 0 else ''}${abs(amount):,.2f}"


def percent(ratio: float | None) -> str:
    """`12.3 %`."""
    return UNKNOWN if ratio is None else f"{ratio * 100:,.1f} %"


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
        columns = (clean(part.name), dollars(now), share, dollars(before), change(part), *_usage(part.now, billed))
        return columns[: len(head)]

    rows = tuple(row(part, *amounts[part.id]) for part in report.parts)
    foot = row(total, total.now.cost, total.before.cost)
    return TextTable(f"By {title if report.by == 'key' else title.lower()}", head, rows, foot)


def _usage(totals: Totals, billed: bool) -> tuple[str, ...]:
    return (
        *((dollars(totals.list_price),) if billed else ()),
        *(f"{totals.count(name):,}" for name in ("requests", "input_tokens", "output_tokens")),
        percent(totals.cached_share),
        ratio(totals.output_per_input),
        ratio(totals.tokens_per_request),
    )


def _movers(report: Report, amounts: Amounts) -> TextTable:
    rows = []
    for part in report.movers:
        now, before = amounts[part.id]
        difference = dollars(now - before)
        signed = difference if difference.startswith("-") else f"+{difference}"
        rows.append((clean(part.name), signed, dollars(before), dollars(now)))
    return TextTable("Top movers", (TITLES[report.by], "Difference", "Before", "Now"), tuple(rows))


def _budgets(report: Report) -> TextTable:
    ranked = sorted(report.budgets, key=lambda state: -(state.ratio if state.ratio is not None else -1))
    rows = tuple(
        (
            clean(f"{state.name} ({state.whose}, {state.period}, {state.basis})"),
            dollars(state.spent_usd),
            dollars(state.limit_usd),
            dollars(None if state.spent_usd is None else state.limit_usd - state.spent_usd),
            percent(state.ratio),
        )
        for state in ranked[:_MOST_BUDGETS]
    )
    return TextTable("Budgets now", ("Budget", "Spent", "Limit", "Left", "Used"), rows)


def _rich(table: TextTable) -> Table:
    made = Table(
        title=table.title, title_justify="left", title_style="bold", box=None, pad_edge=False,
        show_footer=bool(table.foot),
    )  # fmt: skip
    for place, name in enumerate(table.head):
        foot = Text(table.foot[place] if table.foot else "")
        numbers = place > 0
        made.add_column(
            Text(name), foot, justify="right" if numbers else "left", no_wrap=numbers, overflow="fold",
            footer_style="bold",
        )  # fmt: skip
    for row in table.rows:
        made.add_row(*map(Text, row))
    return made


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
