# SPDX-License-Identifier: Apache-2.0
"""A report as tables of text, the same for the terminal, Markdown and HTML. Decides what is shown, not how."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from openai_exporter.report import words
from openai_exporter.report.figures import Figures
from openai_exporter.report.forecast import HOW
from openai_exporter.report.report import Part, Report

TITLES = {"model": "Model", "project": "Project", "key": "API key", "user": "User", "line_item": "Line item"}
_MOST_BUDGETS = 30


@dataclass(frozen=True, slots=True)
class Table:
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
    tables: tuple[Table, ...]
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
        ("Billed" if now.billed is not None else "List price", words.dollars(now.money)),
        ("Period before", words.dollars(total.before.money)),
        ("Change", _change(total)),
        ("List price of usage", words.dollars(now.list_price)),
        ("Requests", words.count(now.count("requests"))),
        ("Input tokens", words.count(now.count("input_tokens"))),
        ("Output tokens", words.count(now.count("output_tokens"))),
        ("Cached share of input", words.percent(now.cached_share)),
        ("Output per input", words.ratio(now.output_per_input)),
        ("Tokens per request", words.ratio(now.tokens_per_request)),
    ]
    if report.forecast is not None:
        lead.append(("Forecast to month's end", words.dollars(report.forecast.at_end)))
    return lead


def _parts(report: Report) -> Table:
    title = TITLES[report.by]
    billed = report.total.now.billed is not None
    money = ("Billed" if billed else "List price", "Share", "Before", "Change")
    itemised = report.by == "line_item"
    usage: tuple[str, ...] = (
        () if itemised else ("List price", "Requests", "Input", "Output", "Cached", "Out/in", "Tokens/req.")
    )
    usage = usage if billed or itemised else usage[1:]
    shown = words.apportioned([each.now.money for each in report.parts])
    before = words.apportioned([each.before.money for each in report.parts])
    rows = tuple(
        (each.name, *_money(each, usd, old, report.total), *_usage(each.now, billed=billed)[: len(usage)])
        for each, usd, old in zip(report.parts, shown, before, strict=True)
    )
    total = report.total
    sums = (words.cents(total.now.money), words.cents(total.before.money))
    foot = ("Total", *_money(total, *sums, total), *_usage(total.now, billed=billed)[: len(usage)])
    return Table(f"By {title.lower() if title != 'API key' else title}", (title, *money, *usage), rows, foot)


def _change(part: Part) -> str:
    """Against the time before; a ratio to a credit, or of nothing to nothing, would mean nothing."""
    if part.change is None and (part.before.money or not part.now.money):
        return words.UNKNOWN
    return words.change(part.change)


def _cents(amounts: Sequence[tuple[str, Decimal]]) -> dict[str, Decimal]:
    """Cents by id, which add up; the same in every table."""
    shown = words.apportioned([usd for _, usd in amounts])
    return {id: usd for (id, _), usd in zip(amounts, shown, strict=True)}


def _money(part: Part, usd: Decimal, before: Decimal, total: Part) -> tuple[str, ...]:
    return (
        words.dollars(usd),
        words.percent(share(part.now.money, total.now.money)),
        words.dollars(before),
        _change(part),
    )


def _usage(figures: Figures, *, billed: bool) -> tuple[str, ...]:
    listed = (words.dollars(figures.list_price),) if billed else ()
    return (
        *listed,
        words.count(figures.count("requests")),
        words.count(figures.count("input_tokens")),
        words.count(figures.count("output_tokens")),
        words.percent(figures.cached_share),
        words.ratio(figures.output_per_input),
        words.ratio(figures.tokens_per_request),
    )


def _movers(report: Report) -> Table:
    now = _cents([(each.id, each.now.money) for each in report.parts])
    before = _cents([(each.id, each.before.money) for each in report.parts])
    rows = tuple(
        (
            each.name,
            words.difference(now[each.id] - before[each.id]),
            words.dollars(before[each.id]),
            words.dollars(now[each.id]),
        )
        for each in report.movers
    )
    return Table("Top movers", (TITLES[report.by], "Difference", "Before", "Now"), rows)


def _budgets(report: Report) -> Table:
    found = sorted(report.budgets, key=lambda each: -(each.ratio if each.ratio is not None else -1))
    rows = tuple(
        (
            f"{each.name} ({each.whose}, {each.period}, {each.basis})",
            words.dollars(each.spent_usd),
            words.dollars(each.limit_usd),
            words.dollars(None if each.spent_usd is None else each.limit_usd - each.spent_usd),
            words.percent(each.ratio),
        )
        for each in found[:_MOST_BUDGETS]
    )
    return Table("Budgets now", ("Budget", "Spent", "Limit", "Left", "Used"), rows)


def explanations(report: Report) -> Sequence[str]:
    """How figures were made, for the end of a page."""
    found = ["Days are UTC. Billed amounts are those of the costs endpoint; list prices are an estimate."]
    return [*found, f"Forecast: {HOW}"] if report.forecast else found
