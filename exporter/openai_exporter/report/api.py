# SPDX-License-Identifier: Apache-2.0
"""The JSON documents of `/api/v1/usage`, from a reading of one organization that requests share."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from openai_exporter.config import Config
from openai_exporter.config.sections import Organization
from openai_exporter.errors import ExporterError
from openai_exporter.report.data import budget, forecast, totals
from openai_exporter.report.report import Book, format_date, iso, make_forecast, read_costs, usage_reads
from openai_exporter.report.source import Source
from openai_exporter.usage.dataset import BudgetState
from openai_exporter.usage.ledger import DAY, day_start, month_start, next_month_start, previous_month_start

log = logging.getLogger(__name__)

DAYS = 92
"""Days that are read back, at least; always whole months."""
_SOONEST_AGAIN = 60.0
_SUMS = ("today", "yesterday", "month_to_date", "previous_month", "forecast")


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read last.

    Attributes:
        book: by model; empty before the first reading.
        start: the first day of it.
        as_of: the API's time, 0 before the first reading.
        error: why the last attempt failed; empty when it did not.
        now: the API's time when it was asked for: what began since `as_of` is unknown.
    """

    book: Book
    start: int = 0
    as_of: float = 0.0
    error: str = ""
    now: float = 0.0


class Overview:
    """The readings of one organization: at most one per interval; a failed one keeps the one before, with its age.

    Args:
        now: our clock in Unix seconds.
    """

    def __init__(
        self,
        config: Config,
        organization: Organization,
        proxies: Mapping[str, str],
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.config = config
        self._organization = organization
        self._proxies = proxies
        self._now = now
        self._tried: float | None = None
        # Its own: closing the event loop would wait for a call that hangs in the default one.
        self._worker = ThreadPoolExecutor(1, thread_name_prefix=f"overview-{organization.name}")
        self._running: asyncio.Future[None] | None = None
        costs = organization.costs.refresh_interval if organization.costs else organization.full_refresh_interval
        self._interval = max(costs, organization.refresh_interval)
        self._reading = Reading(Book("model"))
        self._offset = 0.0

    async def reading(self, limit: float) -> Reading:
        """The last reading; made anew when it is due, waiting at most `limit` seconds for that."""
        if self._running is None and self._due():
            self._tried = self._now()
            self._running = asyncio.get_running_loop().run_in_executor(self._worker, self._refresh)
            self._running.add_done_callback(self._finished)
        if self._running is not None:
            await asyncio.wait({self._running}, timeout=limit)
        return replace(self._reading, now=self._now() + self._offset)

    def _due(self) -> bool:
        wait = min(self._interval, _SOONEST_AGAIN) if self._reading.error else self._interval
        if self._tried is None or not 0 <= self._now() - self._tried < wait:
            return True
        # Once a day began, today is unknown until it is read.
        return not self._reading.error and day_start(self._now() + self._offset) > day_start(self._reading.as_of)

    def _refresh(self) -> None:
        name = self._organization.name
        try:
            self._reading = self._read()
        except ExporterError as error:
            self._reading = replace(self._reading, error=str(error))
            log.warning("organization %s: overview could not be read: %s", name, error)
        except Exception as error:
            self._reading = replace(self._reading, error=f"unexpected {type(error).__name__}, see the log")
            log.exception("organization %s: overview", name)

    def _finished(self, done: asyncio.Future[None]) -> None:
        self._running = None

    def _read(self) -> Reading:
        with Source(self.config, self._organization, self._proxies, now=self._now, attempts=1) as source:
            now = source.learn_time()
            self._offset = now - self._now()
            start = month_start(day_start(now) - DAYS * DAY)
            book = Book("model")
            reads = usage_reads(book, source, start, None)
            source.together([*reads, lambda source: read_costs(book, source, start, None)])
            return Reading(book, start, now)


def daily(reading: Reading, organization: str, days: int) -> dict[str, Any]:
    """The last `days` days, the newest first; `complete` says whether a day is over; what is not read is null."""
    today = day_start(reading.now)
    first = max(reading.start, today - (days - 1) * DAY)
    listed = [
        {"date": format_date(day), "complete": day + DAY <= reading.as_of, **_totals(reading, day, day + DAY)}
        for day in range(today, first - 1, -DAY)
    ]
    return {**_facts(reading, organization), "days": listed if reading.as_of else []}


def monthly(reading: Reading, organization: str) -> dict[str, Any]:
    """The months that are known, the newest first; one that began since is null."""
    months = []
    month = month_start(reading.now)
    while reading.as_of and month >= reading.start:
        end = next_month_start(month)
        name = datetime.fromtimestamp(month, UTC).strftime("%Y-%m")
        months.append({"month": name, "complete": end <= reading.as_of, **_totals(reading, month, end)})
        month = previous_month_start(month)
    return {**_facts(reading, organization), "months": months}


def dashboard(reading: Reading, organization: str, budgets: Sequence[BudgetState]) -> dict[str, Any]:
    """Today, yesterday, this month and the one before, models of this month, forecast and budgets.

    What is of a day or month that began since the reading, or was not over then, is null.
    """
    if not reading.as_of:
        return {**_facts(reading, organization), **dict.fromkeys(_SUMS), "models": [], "budgets": []}
    book, today, month = reading.book, day_start(reading.now), month_start(reading.now)
    end = today + DAY
    of_day, of_month = today <= reading.as_of, month <= reading.as_of
    groups = sorted(book.groups(month, end).items(), key=lambda item: (-item[1].cost, item[0]))
    return {
        **_facts(reading, organization),
        "today": totals(book.total(today, end)) if of_day else None,
        "yesterday": totals(book.total(today - DAY, today)) if of_day else None,
        "month_to_date": totals(book.total(month, end)) if of_month else None,
        "previous_month": totals(book.total(previous_month_start(month), month)) if of_month else None,
        "forecast": forecast(make_forecast(book, reading.as_of) if book.billed and of_month else None),
        "models": [{"model": id, **totals(group)} for id, group in groups],
        "budgets": [budget(state) for state in budgets],
    }


def _totals(reading: Reading, start: int, end: int) -> dict[str, Any]:
    """The figures of a period, null where it began after the reading."""
    found = totals(reading.book.total(start, end))
    return found if start <= reading.as_of else dict.fromkeys(found)


def _facts(reading: Reading, organization: str) -> dict[str, Any]:
    """What every response begins with; `error` is why the data is not newer."""
    return {
        "organization": organization,
        "as_of": iso(reading.as_of) if reading.as_of else None,
        "error": reading.error or None,
        "notes": list(reading.book.notes),
    }
