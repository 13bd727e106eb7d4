# SPDX-License-Identifier: Apache-2.0
"""A report as one HTML file that needs nothing else: charts are drawn in it, no script runs, and it prints well."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from openai_exporter import __version__
from openai_exporter.report import tables
from openai_exporter.report.dates import format_date, iso
from openai_exporter.report.report import Report
from openai_exporter.templates import environment

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
    labels: tuple[tuple[float, str], ...]
    most: str
    zero: float
    series: tuple[str, ...] = ()
    width: float = _WIDTH
    height: float = _HEIGHT


def render(report: Report) -> str:
    """The whole page."""
    days = [totals for _, totals in report.days]
    cost = [(float(totals.cost),) for totals in days]
    tokens = [(float(totals.count("input_tokens")), float(totals.count("output_tokens"))) for totals in days]
    billed = report.total.now.billed is not None
    charts = [
        _chart(
            report, "Billed per day" if billed else "List price per day", cost, (), lambda usd: f"${usd:,.2f}"
        ),
        _chart(report, "Tokens per day", tokens, ("input", "output"), lambda count: f"{round(count):,}"),
    ]
    template = environment("openai_exporter.report").get_template("report.html")
    return template.render(
        view=tables.view(report),
        charts=charts,
        shares=_shares(report),
        as_of=iso(report.as_of),
        version=__version__,
    )


def _shares(report: Report) -> list[float]:
    """The width of each part's bar in percent of the largest."""
    most = max((part.now.cost for part in report.parts), default=Decimal(0))
    return [float(max(Decimal(0), part.now.cost) / most * 100) if most > 0 else 0.0 for part in report.parts]


def _chart(
    report: Report,
    title: str,
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
    dates = [format_date(day) for day, _ in report.days]
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
    every = -(-len(values) // _LABELS) or 1
    labels = [
        (max(_HALF_LABEL, slot * (place + 0.5)), dates[place][5:]) for place in range(0, len(dates), every)
    ]
    return Chart(title, tuple(bars), tuple(labels), show(most), zero, series)
