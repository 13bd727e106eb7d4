# SPDX-License-Identifier: Apache-2.0
"""The JSON documents of `/api/v1/usage`, from a reading of one organization that requests share."""

import asyncio
import functools
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from openai_exporter.client.organization import Client
from openai_exporter.config import Config
from openai_exporter.config.organization import Organization
from openai_exporter.errors import ExporterError
from openai_exporter.prices import price_table
from openai_exporter.report.book import Book, read_costs, read_usage
from openai_exporter.report.data import budget, figures, forecast
from openai_exporter.report.dates import iso, shown
from openai_exporter.report.report import forecast as foreseen
from openai_exporter.report.source import Source, opened
from openai_exporter.usage.dataset import BudgetState
from openai_exporter.usage.window import DAY, day_start, month_start, next_month_start, previous_month_start

# Days, months and the present state of one organization as JSON data, read at most once per interval.
# Each answer is made of the last reading; a reading that fails leaves the one before, with its age.

log = logging.getLogger(__name__)

DAYS = 92
"""Days that are read back, at least; always whole months."""
_SOONEST_AGAIN = 60.0

OpenClient = Callable[[], AbstractContextManager[Client]]


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read last.

    Attributes:
        book: by model; empty before the first reading.
        start: the first day of it.
        as_of: the API's time, 0 before the first reading.
        error: why the last try failed; empty when it did not.
    """

    book: Book
    start: int = 0
    as_of: float = 0.0
    error: str = ""


class Overview:
    """The readings of one organization.

    Args:
        now: our clock in Unix seconds.
        client: opens the API; None opens the real one.
    """

    def __init__(
        self,
        config: Config,
        organization: Organization,
        proxies: Mapping[str, str],
        *,
        now: Callable[[], float] = time.time,
        client: OpenClient | None = None,
    ) -> None:
        self.config = config
        self.organization = organization
        self._open = client or (lambda: opened(config, organization, proxies))
        self._now = now
        self._tried: float | None = None
        self._running: asyncio.Future[None] | None = None
        costs = organization.costs.refresh_interval if organization.costs else organization.audit_interval
        self._interval = max(costs, organization.refresh_interval)
        self._reading = Reading(Book("model"))

    async def reading(self, limit: float) -> Reading:
        """The last reading; made anew when it is due, waiting at most `limit` seconds for that."""
        if self._running is None and self._due():
            self._tried = self._now()
            loop = asyncio.get_running_loop()
            self._running = loop.create_future()
            # A daemon: a call that hangs must not keep the process from ending.
            threading.Thread(target=self._work, args=(loop, self._running), daemon=True).start()
        if self._running is not None:
            await asyncio.wait({self._running}, timeout=limit)
        return self._reading

    def _due(self) -> bool:
        wait = min(self._interval, _SOONEST_AGAIN) if self._reading.error else self._interval
        return self._tried is None or not 0 <= self._now() - self._tried < wait

    def _work(self, loop: asyncio.AbstractEventLoop, done: asyncio.Future[None]) -> None:
        try:
            found = self._read()
        except ExporterError as error:
            found = self._failed(str(error))
            log.warning("organization %s: overview could not be read: %s", self.organization.name, error)
        except Exception as error:
            found = self._failed(f"unexpected {type(error).__name__}, see the log")
            log.exception("organization %s: overview", self.organization.name)
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._finished, found, done)

    def _finished(self, found: Reading, done: asyncio.Future[None]) -> None:
        self._reading, self._running = found, None
        if not done.done():
            done.set_result(None)

    def _failed(self, message: str) -> Reading:
        before = self._reading
        return Reading(before.book, before.start, before.as_of, message)

    def _read(self) -> Reading:
        with self._open() as client:
            source = Source(
                self.organization,
                client,
                now=self._now,
                tries=1,
                prices=functools.partial(price_table, self.config),
            )
            now = source.learn_time()
            start = month_start(day_start(now) - DAYS * DAY)
            book = Book("model")
            read_usage(book, source, self.organization, start, None)
            read_costs(book, source, self.organization, start, None)
            return Reading(book, start, now)


# The JSON documents of `/api/v1/usage`: sums over a reading. Reads nothing itself.


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
