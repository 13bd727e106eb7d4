# SPDX-License-Identifier: Apache-2.0
"""The usage page of one organization: refreshed by scrapes, at most one refresh at a time, in a worker thread.

The API is billed for and limited, so it is not called for each scrape: scrapes in between share the figures.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from openai_exporter.config import Config
from openai_exporter.config.sections import Budget, Organization
from openai_exporter.errors import REASONS, is_exhausted
from openai_exporter.exposition import EncodedPage, Instruments
from openai_exporter.metrics import own
from openai_exporter.usage.dataset import UsageSummary, unread

if TYPE_CHECKING:
    from openai_exporter.client.organization import OrganizationClient
    from openai_exporter.usage.refresh import Reader


def dataset_names(settings: Organization) -> tuple[str, ...]:
    """The names of all datasets, in the order in which they are read."""
    optional = {
        "costs": settings.costs,
        "names": settings.names,
        "limits": settings.limits,
        "peak_usage": settings.peak_usage,
        "cost_drift": settings.cost_drift and settings.costs,
    }
    return (*settings.usage, *(name for name, setting in optional.items() if setting))


def budgets_of(config: Config, organization: Organization) -> tuple[Budget, ...]:
    """The budgets of one organization; one that names none belongs to the only one."""
    return tuple(budget for budget in config.budgets if budget.organization in (None, organization.name))


log = logging.getLogger(__name__)


@dataclass(eq=False, repr=False)
class UsageService:
    """Usage, costs, names, limits and budgets of one organization.

    Attributes:
        storage: directory in which counters persist over restarts; None persists none.
        now: our clock in Unix seconds.
        sleep: how the worker rests between pieces of work.
        client: makes the API client; None makes the real one.
        proxies: as `urllib.request.getproxies()` returns them.
        broken: whether a refresh failed in our own process while there was no page to serve.
    """

    config: Config
    organization: Organization
    _: KW_ONLY
    instruments: Instruments
    storage: Path | None = None
    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    client: "Callable[[], OrganizationClient] | None" = None
    proxies: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._reader: Reader | None = None
        self._asked: float | None = None
        self._closed = False
        self.broken = False
        self._before: UsageService | None = None
        self._worker = ThreadPoolExecutor(1, thread_name_prefix=f"usage-{self.organization.name}")
        self._running: asyncio.Future[None] | None = None
        self._prepare()

    async def page(self, limit: float | None = None) -> EncodedPage:
        """The page, refreshed when it is due; the last one when that takes longer than `limit` seconds."""
        await self.refresh(limit)
        return self._shown()

    async def refresh(self, limit: float | None = None) -> None:
        """Refresh what is due, which no scrape has seen then, and wait for it no longer than `limit` seconds."""
        if self._asked is None:
            self._asked = self.now()
        if self._running is None and not self._closed and (self._reader is None or self._reader.due):
            loop = asyncio.get_running_loop()
            try:
                self._running = loop.run_in_executor(self._worker, self._refresh)
            except RuntimeError as error:  # no thread is left
                self._failed(error)
            else:
                self._running.add_done_callback(self._finished)
        if self._running is not None:
            await asyncio.wait({self._running}, timeout=limit)

    def summary(self) -> UsageSummary:
        """The figures as of the last refresh; no call is made."""
        if self._reader is not None:
            return self._reader.summary
        return self._before.summary() if self._before else UsageSummary(self.organization.name)

    def replaced_by(self, config: Config, organization: Organization) -> "UsageService":
        """The service for a new configuration: this one if nothing changed, else one that takes over from it.

        This one must not be closed then, nor asked for pages.
        """
        if self._same(config, organization):
            return self
        new = replace(self, config=config, organization=organization)
        # A service that never read anything has no figures to hand over; the one before it may.
        idle = self._reader is None and self._running is None and self._before is not None
        new._before = self._before if idle else self
        new._worker = self._worker  # a refresh that still runs here ends before the first one there
        return new

    async def close(self) -> None:
        """End a running refresh and close the connection."""
        await self._end()
        self._worker.shutdown(wait=False)

    async def _end(self) -> None:
        self._closed = True
        if self._before is not None:
            await self._before._end()
        if self._reader is not None:
            self._reader.stop()
        if self._running is not None:
            await asyncio.wait({self._running})
        if self._reader is not None:
            self._reader.release()

    def _shown(self) -> EncodedPage:
        if self._reader is not None:
            return self._reader.page()
        return self._before._shown() if self._before else self._unread()

    def _unread(self) -> EncodedPage:
        """What there is before anything was read, however long that takes: since when it is waited for."""
        if self._asked is None:
            return EncodedPage(())
        return EncodedPage([unread((name, self._asked) for name in dataset_names(self.organization))])

    def _same(self, config: Config, organization: Organization) -> bool:
        name = organization.name
        return (
            organization == self.organization
            and config.organization_credential(name) == self.config.organization_credential(name)
            and budgets_of(config, organization) == budgets_of(self.config, organization)
            and config.all_prices == self.config.all_prices
        )

    def _prepare(self) -> None:
        """Make the call counters appear, so that their first increase is seen."""
        for api in dataset_names(self.organization):
            self.instruments.prepare(own.UPSTREAM_CALLS, (self.organization.name, api))
            for reason in REASONS:
                self.instruments.prepare(own.UPSTREAM_FAILURES, (self.organization.name, api, reason))

    def _refresh(self) -> None:
        if self._reader is None and not self._closed:
            if self._before is not None and self._before._reader is not None:
                self._before._reader.release()
            # Imported here, in the worker: the HTTP library takes longer to load than the server to start.
            from openai_exporter.usage.refresh import Reader

            reader = Reader(self, self.now() if self._asked is None else self._asked)
            self._take_over(reader)
            self._reader = reader
        if self._reader is not None and not self._closed:
            self._reader.refresh()
            if self._reader.foreign:
                self._begin_anew(self._reader)

    def _begin_anew(self, reader: "Reader") -> None:
        """Another organization is at the same place: nothing of the one before is mixed with it."""
        log.warning("organization %s: another organization responds; counters start at 0", self.organization.name)
        reader.stop()
        reader.release()
        self._reader = type(reader)(self, self.now(), restore=False)
        self._reader.refresh()

    def _take_over(self, reader: "Reader") -> None:
        before = self._before
        if before is None:
            return
        name = self.organization.name
        if before._reader is not None:
            old, new = before.organization, self.organization
            place = self.config.organization_credential(name).place
            if (old.base_url, before.config.organization_credential(name).place) == (new.base_url, place):
                reader.adopt(before._reader)
            before._reader.stop()
        self._before = None

    def _finished(self, done: asyncio.Future[None]) -> None:
        self._running = None
        self.broken = False
        error = None if done.cancelled() else done.exception()
        if error is not None:
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        self.broken = self._reader is None
        traceback = None if is_exhausted(error) else error
        log.error("organization %s: refresh failed: %r", self.organization.name, error, exc_info=traceback)
