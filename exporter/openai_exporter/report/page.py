# SPDX-License-Identifier: Apache-2.0
"""A report as one HTML file that needs nothing else: charts are drawn in it, no script runs, and it prints well."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from openai_exporter import __version__
from openai_exporter.report import tables
from openai_exporter.report.book import Figures
from openai_exporter.report.dates import iso, shown
from openai_exporter.report.report import Report

_WIDTH, _HEIGHT = 720.0, 150.0
_GAP = 0.18
_LABELS = 10
_HALF_LABEL = 17.0

_Values = Callable[[Figures], tuple[float, ...]]
_Shows = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a chart, in its coordinates; `title` is told when it is pointed at."""

    x: float
    y: float
    width: float
    height: float
    title: str
    series: int = 0


@dataclass(frozen=True, slots=True)
class Chart:
    """A bar chart: one group of bars per day, and a line with its figure at the top and at zero."""

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
    money = "Billed per day" if report.total.now.billed is not None else "List price per day"
    charts = [
        _chart(report, money, ("USD",), lambda each: (float(each.money),), _usd),
        _chart(
            report,
            "Tokens per day",
            ("input", "output"),
            lambda each: (float(each.count("input_tokens")), float(each.count("output_tokens"))),
            lambda value: tables.count(round(value)),
        ),
    ]
    return _template().render(
        view=tables.view(report),
        charts=charts,
        shares=_shares(report),
        explanations=tables.explanations(report),
        as_of=iso(report.as_of),
        version=__version__,
    )


@cache
def _template() -> Template:
    made = Environment(
        loader=PackageLoader("openai_exporter.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return made.get_template("report.html")


def _shares(report: Report) -> list[float]:
    """The width of each part's bar in percent of the largest."""
    most = max((each.now.money for each in report.parts), default=Decimal(0))
    return [float(max(Decimal(0), each.now.money) / most * 100) if most > 0 else 0.0 for each in report.parts]


def _usd(value: float) -> str:
    return f"${value:,.2f}"


def _chart(report: Report, title: str, series: tuple[str, ...], values_of: _Values, shows: _Shows) -> Chart:
    values = [values_of(each) for _, each in report.days]
    most = max((value for day in values for value in day), default=0.0) or 1.0
    least = min((value for day in values for value in day), default=0.0)
    scale = _HEIGHT / (most - min(least, 0.0))
    slot = _WIDTH / max(1, len(values))
    width = slot * (1 - _GAP) / len(series)
    zero = most * scale
    bars = [
        Bar(
            slot * (place + _GAP / 2) + width * index,
            zero - max(value, 0.0) * scale,
            width,
            abs(value) * scale,
            f"{shown(day)}: {shows(value)}{f' {series[index]}' if len(series) > 1 else ''}",
            index,
        )
        for place, ((day, _), of_day) in enumerate(zip(report.days, values, strict=True))
        for index, value in enumerate(of_day)
    ]
    every = -(-len(values) // _LABELS) or 1
    labels = [
        (max(_HALF_LABEL, slot * (place + 0.5)), shown(day)[5:])
        for place, (day, _) in enumerate(report.days)
        if place % every == 0
    ]
    return Chart(title, tuple(bars), tuple(labels), shows(most), zero, series if len(series) > 1 else ())
