# SPDX-License-Identifier: Apache-2.0
"""A report as tables of text, for the terminal and as Markdown."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal
from io import StringIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from openai_exporter.exposition import clean
from openai_exporter.report.book import Figures
from openai_exporter.report.report import HOW, Part, Report

# Figures as a report shows them; None is shown as unknown. Rounds only here.

UNKNOWN = "\N{EN DASH}"
CENT = Decimal("0.01")


def cents(usd: Decimal) -> Decimal:
    """Rounded to the cent, halves away from zero."""
    return usd.quantize(CENT, ROUND_HALF_UP)


def apportioned(parts: Sequence[Decimal]) -> list[Decimal]:
    """Parts in whole cents that add up to their exact sum in whole cents; none is off by a cent or more.

    All are rounded down, and the cents that are missing go to the largest remainders.
    """
    down = [each.quantize(CENT, ROUND_FLOOR) for each in parts]
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


def difference(usd: Decimal) -> str:
    """`+$12.00`."""
    text = dollars(usd)
    return text if text.startswith("-") else f"+{text}"


def count(value: int) -> str:
    """`1,234,567`."""
    return f"{value:,}"


def percent(ratio: float | None) -> str:
    """`12.3 %`."""
    return UNKNOWN if ratio is None else f"{ratio * 100:,.1f} %"


def change(ratio: float | None) -> str:
    """`+12.3 %`; `new` where there was nothing before."""
    return "new" if ratio is None else f"{ratio * 100:+,.1f} %"


def ratio(value: float | None) -> str:
    """`0.42`, or without decimals from a hundred on."""
    return UNKNOWN if value is None else f"{value:,.2f}" if abs(value) < 100 else f"{value:,.0f}"


def plain(number: Decimal) -> str:
    """All digits, without an exponent and without trailing zeros."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


# A report as tables of text, the same for the terminal, Markdown and HTML. Decides what is shown, not how.

TITLES = {"model": "Model", "project": "Project", "key": "API key", "user": "User", "line_item": "Line item"}
_MOST_BUDGETS = 30


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table; the first column is text, the others are figures. `foot` is the last row, of sums."""

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
    """The view of a report."""
    tables = (_parts(report), _movers(report), _budgets(report))
    title = f"Usage and costs of {report.organization}, {_span(report)}"
    return View(title, tuple(_lead(report)), tuple(each for each in tables if each.rows), report.notes)


def share(part: Decimal, whole: Decimal) -> float | None:
    """A part of a whole as a ratio; None where that means nothing."""
    return float(part / whole) if whole > 0 else None


def _span(report: Report) -> str:
    first, last = report.period.first, report.period.last
    return f"{first if first == last else f'{first} to {last}'} (UTC)"


def _lead(report: Report) -> list[tuple[str, str]]:
    now, total = report.total.now, report.total
    lead = [
        ("Billed" if now.billed is not None else "List price", dollars(now.money)),
        ("Period before", dollars(total.before.money)),
        ("Change", _change(total)),
        ("List price of usage", dollars(now.list_price)),
        ("Requests", count(now.count("requests"))),
        ("Input tokens", count(now.count("input_tokens"))),
        ("Output tokens", count(now.count("output_tokens"))),
        ("Cached share of input", percent(now.cached_share)),
        ("Output per input", ratio(now.output_per_input)),
        ("Tokens per request", ratio(now.tokens_per_request)),
    ]
    if report.forecast is not None:
        lead.append(("Forecast to month's end", dollars(report.forecast.at_end)))
    return lead


def _parts(report: Report) -> TextTable:
    title = TITLES[report.by]
    billed = report.total.now.billed is not None
    money = ("Billed" if billed else "List price", "Share", "Before", "Change")
    itemised = report.by == "line_item"
    usage: tuple[str, ...] = (
        () if itemised else ("List price", "Requests", "Input", "Output", "Cached", "Out/in", "Tokens/req.")
    )
    usage = usage if billed or itemised else usage[1:]
    shown = apportioned([each.now.money for each in report.parts])
    before = apportioned([each.before.money for each in report.parts])
    rows = tuple(
        (each.name, *_money(each, usd, old, report.total), *_usage(each.now, billed=billed)[: len(usage)])
        for each, usd, old in zip(report.parts, shown, before, strict=True)
    )
    total = report.total
    sums = (cents(total.now.money), cents(total.before.money))
    foot = ("Total", *_money(total, *sums, total), *_usage(total.now, billed=billed)[: len(usage)])
    return TextTable(
        f"By {title.lower() if title != 'API key' else title}", (title, *money, *usage), rows, foot
    )


def _change(part: Part) -> str:
    """Against the time before; a ratio to a credit, or of nothing to nothing, would mean nothing."""
    if part.change is None and (part.before.money or not part.now.money):
        return UNKNOWN
    return change(part.change)


def _cents(amounts: Sequence[tuple[str, Decimal]]) -> dict[str, Decimal]:
    """Cents by id, which add up; the same in every table."""
    shown = apportioned([usd for _, usd in amounts])
    return {id: usd for (id, _), usd in zip(amounts, shown, strict=True)}


def _money(part: Part, usd: Decimal, before: Decimal, total: Part) -> tuple[str, ...]:
    return (
        dollars(usd),
        percent(share(part.now.money, total.now.money)),
        dollars(before),
        _change(part),
    )


def _usage(figures: Figures, *, billed: bool) -> tuple[str, ...]:
    listed = (dollars(figures.list_price),) if billed else ()
    return (
        *listed,
        count(figures.count("requests")),
        count(figures.count("input_tokens")),
        count(figures.count("output_tokens")),
        percent(figures.cached_share),
        ratio(figures.output_per_input),
        ratio(figures.tokens_per_request),
    )


def _movers(report: Report) -> TextTable:
    now = _cents([(each.id, each.now.money) for each in report.parts])
    before = _cents([(each.id, each.before.money) for each in report.parts])
    rows = tuple(
        (
            each.name,
            difference(now[each.id] - before[each.id]),
            dollars(before[each.id]),
            dollars(now[each.id]),
        )
        for each in report.movers
    )
    return TextTable("Top movers", (TITLES[report.by], "Difference", "Before", "Now"), rows)


def _budgets(report: Report) -> TextTable:
    found = sorted(report.budgets, key=lambda each: -(each.ratio if each.ratio is not None else -1))
    rows = tuple(
        (
            f"{each.name} ({each.whose}, {each.period}, {each.basis})",
            dollars(each.spent_usd),
            dollars(each.limit_usd),
            dollars(None if each.spent_usd is None else each.limit_usd - each.spent_usd),
            percent(each.ratio),
        )
        for each in found[:_MOST_BUDGETS]
    )
    return TextTable("Budgets now", ("Budget", "Spent", "Limit", "Left", "Used"), rows)


def explanations(report: Report) -> Sequence[str]:
    """How figures were made, for the end of a page."""
    found = ["Days are UTC. Billed amounts are those of the costs endpoint; list prices are an estimate."]
    return [*found, f"Forecast: {HOW}"] if report.forecast else found


# A report for the terminal.

_PLAIN_WIDTH = 200


def render_terminal(report: Report, width: int | None = None, *, color: bool = False) -> str:
    """Tables; as wide as `width`, or as they need to be."""
    shown = view(report)
    console = Console(
        file=StringIO(),
        width=width or _PLAIN_WIDTH,
        force_terminal=color,
        no_color=not color,
        highlight=False,
    )
    console.print(Text(shown.title, style="bold"))
    for name, value in shown.lead:
        console.print(Text(f"  {name:<24} {value:>18}"))
    for each in shown.tables:
        console.print()
        console.print(_table(each))
    for note in (*shown.notes, *explanations(report)):
        console.print(Text(note, style="dim"))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def _table(each: TextTable) -> Table:
    made = Table(
        title=each.title, title_justify="left", title_style="bold", box=None, pad_edge=False,
        show_footer=bool(each.foot),
    )  # fmt: skip
    for place, name in enumerate(each.head):
        foot = Text(each.foot[place]) if each.foot else Text("")
        figures = place > 0
        made.add_column(
            Text(name), foot, justify="right" if figures else "left", no_wrap=figures, overflow="fold",
            footer_style="bold",
        )  # fmt: skip
    for row in each.rows:
        made.add_row(*map(Text, row))
    return made


# A report as Markdown with tables (GitHub's form).

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~#])")


def render_markdown(report: Report) -> str:
    """The whole document."""
    shown = view(report)
    return "\n".join(_lines(shown, report)) + "\n"


def _lines(shown: View, report: Report) -> Iterator[str]:
    yield f"# {_text(shown.title)}\n"
    for name, value in shown.lead:
        yield f"- {name}: **{_text(value)}**"
    for table in shown.tables:
        yield f"\n## {_text(table.title)}\n"
        yield _row(table.head)
        yield "|" + "|".join([" --- ", *[" ---: "] * (len(table.head) - 1)]) + "|"
        yield from map(_row, table.rows)
        if table.foot:
            yield "| " + " | ".join(f"**{_text(cell)}**" for cell in table.foot) + " |"
    yield ""
    for note in (*shown.notes, *explanations(report)):
        yield f"{_text(note)}  "


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(_text, cells)) + " |"


def _text(value: str) -> str:
    """Names are foreign: they must make neither markup nor a new row."""
    return _SPECIAL.sub(r"\\\1", clean(value))
