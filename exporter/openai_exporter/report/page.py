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
    most: str
    zero: float
    series: tuple[str, ...] = ()


def render(report: Report) -> str:
    """The whole page."""
    days = [totals for _, totals in report.days]
    cost = [(float(totals.cost),) for totals in days]
    tokens = [(float(totals.count("input_tokens")), float(totals.count("output_tokens"))) for totals in days]
    money = "List price per day" if report.total.now.billed is None else "Billed per day"
    dates = [format_date(day) for day, _ in report.days]
    template = environment("openai_exporter.report").get_template("report.html")
    return template.render(
        view=tables.view(report),
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
