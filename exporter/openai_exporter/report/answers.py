# SPDX-License-Identifier: Apache-2.0
"""The JSON documents of `/api/v1/usage`: sums over a reading. Reads nothing itself."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from openai_exporter.report.forecast import forecast as foreseen
from openai_exporter.report.formats.document import budget, figures, forecast
from openai_exporter.report.moments import iso, shown
from openai_exporter.report.overview import Reading
from openai_exporter.usage.summary import BudgetState
from openai_exporter.usage.window import DAY, day_start, month_start, next_month_start, previous_month_start


def daily(reading: Reading, organization: str, days: int) -> dict[str, Any]:
    """The last `days` days, the newest first; `complete` says whether a day is over."""
    today = day_start(reading.as_of)
    first = max(reading.start, today - (days - 1) * DAY)
    book = reading.book
    found = [
        {"date": shown(day), "complete": day < today, **figures(book.total(day, day + DAY))}
        for day in range(today, first - 1, -DAY)
    ]
    return {**_facts(reading, organization), "days": found if reading.as_of else []}


def monthly(reading: Reading, organization: str) -> dict[str, Any]:
    """The months that are known, the newest first."""
    found = []
    month = month_start(reading.as_of)
    while reading.as_of and month >= reading.start:
        end = next_month_start(month)
        total = figures(reading.book.total(month, end))
        name = datetime.fromtimestamp(month, UTC).strftime("%Y-%m")
        found.append({"month": name, "complete": end <= reading.as_of, **total})
        month = previous_month_start(month)
    return {**_facts(reading, organization), "months": found}


def dashboard(reading: Reading, organization: str, budgets: Sequence[BudgetState]) -> dict[str, Any]:
    """Today, yesterday, this month and the one before, models of this month, forecast and budgets."""
    if not reading.as_of:
        return {**_facts(reading, organization), **dict.fromkeys(_NAMES), "models": [], "budgets": []}
    book, today, month = reading.book, day_start(reading.as_of), month_start(reading.as_of)
    end = today + DAY
    groups = sorted(book.groups(month, end).items(), key=lambda item: (-item[1].money, item[0]))
    spent = foreseen(lambda start, until: book.total(start, until).money, reading.as_of)
    return {
        **_facts(reading, organization),
        "today": figures(book.total(today, end)),
        "yesterday": figures(book.total(today - DAY, today)),
        "month_to_date": figures(book.total(month, end)),
        "previous_month": figures(book.total(previous_month_start(month), month)),
        "forecast": forecast(spent if book.billed else None),
        "models": [{"model": id, **figures(each)} for id, each in groups],
        "budgets": [budget(each) for each in budgets],
    }


_NAMES = ("today", "yesterday", "month_to_date", "previous_month", "forecast")


def _facts(reading: Reading, organization: str) -> dict[str, Any]:
    """What every answer begins with; `error` is why the figures are not newer."""
    return {
        "organization": organization,
        "as_of": iso(reading.as_of) if reading.as_of else None,
        "error": reading.error or None,
        "notes": list(reading.book.notes),
    }
