# SPDX-License-Identifier: Apache-2.0
"""The JSON documents of `/api/v1/usage`, from a reading of one organization that requests share."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from openai_exporter.config import Config
from openai_exporter.config.sections import GROUPABLE, Organization
from openai_exporter.errors import ExporterError
from openai_exporter.report.data import Cell, budget, forecast, table, totals
from openai_exporter.report.report import Book, format_date, iso, make_forecast, read_costs, usage_reads
from openai_exporter.report.source import Source
from openai_exporter.usage.dataset import BudgetState
from openai_exporter.usage.ledger import DAY, day_start, month_start, next_month_start, previous_month_start

log = logging.getLogger(__name__)

DAYS = 92
"""Days that are read back, at least; always whole months."""
_SOONEST_AGAIN = 60.0
_SUMS = ("today", "yesterday", "month_to_date", "previous_month", "forecast")


FILTERS = ("project_id", "api_key_id", "user_id", "model", "operation")
"""Parameters that choose usage, by the labels of the metrics."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which usage is asked for: values by the names in `FILTERS`, none for all; and the days from `start` to `end`."""

    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    start: int | None = None
    end: int | None = None

    @property
    def read(self) -> tuple[tuple[str, str], ...]:
        """What the API is to choose; the model is chosen from what was read."""
        return tuple((name, value) for name in FILTERS if name != "model" for value in self.values.get(name, ()))


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
        only: what the API is to choose, by the names in `FILTERS`; nothing for all.
        worker: reads one after the other; None makes one.
    """

    def __init__(
        self,
        config: Config,
        organization: Organization,
        proxies: Mapping[str, str],
        *,
        now: Callable[[], float] = time.time,
        only: Sequence[tuple[str, str]] = (),
        worker: ThreadPoolExecutor | None = None,
    ) -> None:
        self.config = config
        self._only = only
        self._organization = organization
        self._proxies = proxies
        self._now = now
        self._tried: float | None = None
        # Its own: closing the event loop would wait for a call that hangs in the default one.
        self.worker = worker or ThreadPoolExecutor(1, thread_name_prefix=f"overview-{organization.name}")
        self._running: asyncio.Future[None] | None = None
        costs = organization.costs.refresh_interval if organization.costs else organization.full_refresh_interval
        self._interval = max(costs, organization.refresh_interval)
        self._reading = Reading(Book("model"))
        self._offset = 0.0

    async def reading(self, limit: float) -> Reading:
        """The last reading; made anew when it is due, waiting at most `limit` seconds for that."""
        if self._running is None and self._due():
            self._tried = self._now()
            self._running = asyncio.get_running_loop().run_in_executor(self.worker, self._refresh)
            self._running.add_done_callback(self._finished)
        if self._running is not None:
            await asyncio.wait({self._running}, timeout=limit)
        return replace(self._reading, now=self._now() + self._offset)

    @property
    def running(self) -> bool:
        """Whether a reading is under way or waits for its turn."""
        return self._running is not None

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
        filters = [(f"{name}s", value) for name, value in self._only if name != "operation"]
        operations = [value for name, value in self._only if name == "operation"]
        dimensions = {name for name, _ in self._only} - {"operation"}
        with Source(
            self.config, self._organization, self._proxies, now=self._now, attempts=1, filters=filters
        ) as source:
            now = source.learn_time()
            self._offset = now - self._now()
            start = month_start(day_start(now) - DAYS * DAY)
            book = Book("model")
            chosen = [name for name in self._organization.usage if not operations or name in operations]
            told = [name for name in chosen if dimensions <= {*GROUPABLE.get(name, ())}]
            reads = usage_reads(book, source, start, None, told) if told else []
            by = ", ".join(sorted(dimensions))
            book.notes += [
                f"The API has no {name} by {by}; they are not included." for name in chosen if name not in told
            ]
            if operations or "user_id" in dimensions:
                book.notes.append("The API has no costs by operation or user; amounts are list prices of the usage.")
            else:
                reads.append(lambda source: read_costs(book, source, start, None))
            source.together(reads)
            return Reading(book, start, now)


def daily(reading: Reading, organization: str, choice: Choice, days: int) -> dict[str, Any]:
    """The days that are asked for, or the last `days`, the newest first.

    `complete` says whether a day is over; what is not read is null.
    """
    start, end = _range(reading, choice, days)
    listed = [
        {"date": format_date(day), "complete": day + DAY <= reading.as_of, **_totals(reading, choice, day, day + DAY)}
        for day in range(end - DAY, start - DAY, -DAY)
    ]
    return {**_facts(reading, organization, choice), "days": listed if reading.as_of else []}


def _range(reading: Reading, choice: Choice, days: int) -> tuple[int, int]:
    """The first day that is asked for and known, and the end of the last."""
    today = day_start(reading.now)
    end = today + DAY if choice.end is None else min(choice.end, today + DAY)
    return max(reading.start, end - days * DAY if choice.start is None else choice.start), end


def monthly(reading: Reading, organization: str, choice: Choice) -> dict[str, Any]:
    """The months that are known, the newest first, or those that have a day of what is asked for; one that began since
    is null.
    """
    months = []
    month = month_start(reading.now)
    while reading.as_of and month >= reading.start:
        end = next_month_start(month)
        name = datetime.fromtimestamp(month, UTC).strftime("%Y-%m")
        if (choice.start or 0) < end and month < (choice.end or end):
            months.append({"month": name, "complete": end <= reading.as_of, **_totals(reading, choice, month, end)})
        month = previous_month_start(month)
    return {**_facts(reading, organization, choice), "months": months}


def dashboard(reading: Reading, organization: str, choice: Choice, budgets: Sequence[BudgetState]) -> dict[str, Any]:
    """Today, yesterday, this month and the one before, models of this month, forecast and budgets.

    What is of a day or month that began since the reading, or was not over then, is null. `range` is of the days that
    are asked for, and the models are of them then.
    """
    if not reading.as_of:
        return {**_facts(reading, organization, choice), **dict.fromkeys(_SUMS), "models": [], "budgets": []}
    book, today, month = reading.book, day_start(reading.now), month_start(reading.now)
    end, only = today + DAY, choice.values.get("model", ())
    ranged = choice.start is not None or choice.end is not None
    start, stop = _range(reading, choice, DAYS) if ranged else (month, end)
    groups = sorted(book.groups(start, stop).items(), key=lambda item: (-item[1].cost, item[0]))
    days = {"from": format_date(start), "to": format_date(stop - 1)}
    whole = not choice.values and book.billed and month <= reading.as_of
    return {
        **_facts(reading, organization, choice),
        **({"range": {**days, **_totals(reading, choice, start, stop)}} if ranged else {}),
        "today": _known(reading, choice, today, end),
        "yesterday": totals(book.total(today - DAY, today, only)) if today <= reading.as_of else None,
        "month_to_date": _known(reading, choice, month, end),
        "previous_month": (
            totals(book.total(previous_month_start(month), month, only)) if month <= reading.as_of else None
        ),
        "forecast": forecast(make_forecast(book, reading.as_of) if whole else None),
        "models": [{"model": id, **totals(group)} for id, group in groups if not only or id in only],
        "budgets": [budget(state) for state in budgets],
    }


def render_csv(document: Mapping[str, Any]) -> str:
    """The rows of a document: its days, months or models, with the organization in each."""
    rows = next(document[name] for name in ("days", "months", "models") if name in document)
    organization = {"organization": document["organization"]}
    head = ("organization", *(rows[0] if rows else ()))
    return table(head, ({**organization, **{name: _cell(name, value) for name, value in row.items()}} for row in rows))


def _cell(name: str, value: Any) -> Cell:
    if name.endswith("_usd") and value is not None:
        return Decimal(value)
    return str(value).lower() if isinstance(value, bool) else value


def _known(reading: Reading, choice: Choice, start: int, end: int) -> dict[str, Any] | None:
    """The figures of a period, None where it began after the reading."""
    return _totals(reading, choice, start, end) if start <= reading.as_of else None


def _totals(reading: Reading, choice: Choice, start: int, end: int) -> dict[str, Any]:
    """The figures of a period, null where it began after the reading."""
    found = totals(reading.book.total(start, end, choice.values.get("model", ())))
    return found if start <= reading.as_of else dict.fromkeys(found)


def _facts(reading: Reading, organization: str, choice: Choice) -> dict[str, Any]:
    """What every response begins with; `error` is why the data is not newer."""
    notes = list(reading.book.notes)
    if choice.start is not None and reading.as_of and choice.start < reading.start:
        first = format_date(reading.start)
        notes.append(f"Days before {first} are not read; `openai-exporter report --period FROM..TO` reads them.")
    return {
        "organization": organization,
        "as_of": iso(reading.as_of) if reading.as_of else None,
        "error": reading.error or None,
        "notes": notes,
        **({"filters": {name: list(values) for name, values in choice.values.items()}} if choice.values else {}),
    }
