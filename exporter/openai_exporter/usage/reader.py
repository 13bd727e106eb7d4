# SPDX-License-Identifier: Apache-2.0
"""Everything that is read of one organization, and the page made of it. Runs in one worker thread at a time."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

from openai_exporter.client.calls import Calls
from openai_exporter.config import Config
from openai_exporter.config.organization import Organization
from openai_exporter.exposition import EncodedPage, Family, Instruments, family
from openai_exporter.metrics import own
from openai_exporter.metrics import usage as metrics
from openai_exporter.usage import budgets
from openai_exporter.usage.assemble import assembled
from openai_exporter.usage.clock import ApiClock
from openai_exporter.usage.dataset import Context
from openai_exporter.usage.datasets import Datasets
from openai_exporter.usage.directory import Directory
from openai_exporter.usage.ownprices import SOURCE, price_table, version
from openai_exporter.usage.pace import Pace
from openai_exporter.usage.prices import PriceTable
from openai_exporter.usage.refresh import Refresher
from openai_exporter.usage.storage import REASONS, Storage
from openai_exporter.usage.summary import BudgetState, UsageSummary
from openai_exporter.usage.tally import summarized
from openai_exporter.usage.wanted import budgets_of


class Reader:
    """The datasets of one organization and the last page.

    Args:
        since: when they were first asked for.

    Attributes:
        summary: for the landing page, as of the last refresh.
    """

    def __init__(
        self,
        config: Config,
        organization: Organization,
        calls: Calls,
        instruments: Instruments,
        *,
        storage: Path | None,
        now: Callable[[], float],
        sleep: Callable[[float], None],
        since: float,
    ) -> None:
        self._config = config
        self._organization = organization
        self._calls = calls
        self._instruments = instruments
        self._clock = ApiClock(now)
        pause = self._pause = Pace(sleep)
        context = Context(self._clock, functools.cache(self._load_prices), pause)
        self._datasets = Datasets.of(config, organization, context)
        self._refresher = Refresher(organization.name, self._datasets.all, calls, now, since)
        self._storage = self._storage_in(storage) if storage else None
        self._page = EncodedPage(assembled(self._refresher.families()))
        self._seen = False
        self._outdated = False
        self.summary = UsageSummary(organization.name)
        self._restore()

    @property
    def due(self) -> bool:
        """Whether anything is to be read now."""
        return bool(self._refresher.due)

    def shown(self) -> EncodedPage:
        """The last page, for a scrape."""
        self._seen = True
        return self._page

    def refresh(self) -> None:
        """Read what is due, and make the page anew: first usage and costs, then what needs many calls."""
        for part in (self._datasets.first, self._datasets.second):
            due = [each for each in self._refresher.due if each in part]
            read = [self._refresher.read(each, seen=self._seen) for each in due]
            if self._refresher.stopped:
                return
            if due or self._outdated:
                self._publish()
            if any(read) and part is self._datasets.first:
                self._keep()

    def adopt(self, other: "Reader") -> None:
        """Take over what was read for the configuration before, and show it."""
        self._refresher.adopt(other._refresher)
        self._calls.adopt(other._calls)
        self._clock.offset = other._clock.offset
        self._page, self._seen, self._outdated = other._page, other._seen, True
        before, now = other._config.all_prices, self._config.all_prices
        if before != now:
            self._instruments.forget(own.PRICE_TABLE_INFO, (SOURCE, version(before)))
            for flow in self._datasets.flows:
                flow.audit()

    def stop(self) -> None:
        """End a running refresh soon; safe from any thread."""
        self._refresher.stopped = True
        self._calls.close()

    def release(self) -> None:
        """Let another one keep its counters; to be called when no refresh runs any more."""
        if self._storage:
            self._storage.release()

    def _publish(self) -> None:
        spending = tuple(self._budgets())
        page = EncodedPage(assembled(self._families(spending)), self._pause)
        page.prepare(self._page)
        self.summary = summarized(
            self._organization.name,
            self._datasets,
            self._refresher.states,
            spending,
            self._calls.wait,
        )
        self._page, self._seen, self._outdated = page, False, False

    def _families(self, spending: tuple[BudgetState, ...]) -> Iterator[Family]:
        for each in self._datasets.all:
            yield from each.families()
        yield from budgets.families(spending)
        yield from self._refresher.families()
        yield family(metrics.CALLS, self._calls.last_hour)
        yield family(metrics.CALLS_LIMIT, self._organization.calls_per_hour)
        yield family(metrics.CLOCK_OFFSET, self._clock.offset)

    def _budgets(self) -> Iterator[BudgetState]:
        costs = self._datasets.costs
        priced = [each for each in self._datasets.flows if each.operation.pricing]
        configured = budgets_of(self._config, self._organization)
        names = self._datasets.names
        known = names.directory if names else Directory()
        return budgets.states(
            configured, self._organization, costs.bill if costs else None, priced, known.title
        )

    def _load_prices(self) -> PriceTable:
        table = price_table(self._config)
        for source in table.sources:
            self._instruments.set(own.PRICE_TABLE_INFO, 1, source)
        return table

    def _storage_in(self, folder: Path) -> Storage:
        name = self._organization.name
        for reason in REASONS:
            self._instruments.prepare(own.STORAGE_FAILURES, (name, reason))

        def failed(reason: str) -> None:
            self._instruments.count(own.STORAGE_FAILURES, (name, reason))

        return Storage(folder, name, self._pause, self._organization.base_url, failed)

    def _restore(self) -> None:
        kept = self._storage.load() if self._storage else {}
        for flow in self._datasets.flows:
            if flow.name in kept:
                flow.restore(kept[flow.name])

    def _keep(self) -> None:
        if self._storage:
            kept = self._storage.save(flow.keep() for flow in self._datasets.flows if flow.ledger.month)
            self._instruments.set(own.STORAGE_SUCCESSFUL, int(kept), (self._organization.name,))
