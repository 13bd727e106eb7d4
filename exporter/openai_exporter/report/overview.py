# SPDX-License-Identifier: Apache-2.0
"""Days, months and the present state of one organization as JSON data, read at most once per interval.

Each answer is made of the last reading; a reading that fails leaves the one before, with its age.
"""

import asyncio
import functools
import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

from openai_exporter.client.calls import Client
from openai_exporter.config import Config
from openai_exporter.config.organization import Organization
from openai_exporter.errors import ExporterError
from openai_exporter.report.access import opened
from openai_exporter.report.book import Book, read_costs, read_usage
from openai_exporter.report.source import Source
from openai_exporter.usage.ownprices import price_table
from openai_exporter.usage.window import DAY, day_start, month_start

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
