# SPDX-License-Identifier: Apache-2.0
"""Reads the datasets of one organization that are due, and makes its page. Runs in one worker thread at a time."""

import dataclasses
import functools
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from openai_exporter.client.organization import Calls
from openai_exporter.config import Config
from openai_exporter.config.organization import Organization
from openai_exporter.errors import UpstreamError
from openai_exporter.exposition import EncodedPage, Family, Instruments, family
from openai_exporter.metrics import CATALOGUE, own
from openai_exporter.metrics import usage as metrics
from openai_exporter.prices.listed import PICO, PriceTable
from openai_exporter.prices.own import SOURCE, price_table, version
from openai_exporter.usage import budgets
from openai_exporter.usage.budgets import pinned
from openai_exporter.usage.costs import CostsDataset, DriftDataset, total
from openai_exporter.usage.counters import FlowDataset, LevelDataset
from openai_exporter.usage.dataset import (
    BudgetState,
    Context,
    Dataset,
    DatasetState,
    UsageSummary,
    due_at,
    unread,
)
from openai_exporter.usage.limits import LimitsDataset, PeakDataset
from openai_exporter.usage.names import Directory, NamesDataset
from openai_exporter.usage.rows import OPERATIONS, VECTOR_STORES
from openai_exporter.usage.service import budgets_of
from openai_exporter.usage.storage import REASONS, Storage
from openai_exporter.usage.window import ApiClock

# Reads the datasets that are due, one after the other, and remembers how each went. Knows no dataset's contents.

log = logging.getLogger(__name__)


class Refresher:
    """The schedule of one organization.

    Args:
        datasets: in the order in which they are read.
        now: our clock in Unix seconds.
        since: when the datasets were first asked for.
    """

    def __init__(
        self,
        organization: str,
        datasets: Sequence[Dataset],
        calls: Calls,
        now: Callable[[], float],
        since: float,
    ) -> None:
        self._organization = organization
        self._datasets = tuple(datasets)
        self._calls = calls
        self._now = now
        self._states = {each.name: DatasetState(each.name) for each in datasets}
        self._started: dict[str, float] = {}
        self._since = {each.name: since for each in datasets}
        self.stopped = False

    @property
    def states(self) -> tuple[DatasetState, ...]:
        """How the datasets are, in their order."""
        return tuple(self._states[each.name] for each in self._datasets)

    @property
    def due(self) -> tuple[Dataset, ...]:
        """The datasets that are to be read now; none while the API asked to wait."""
        if self._calls.wait > 0:
            return ()
        return tuple(each for each in self._datasets if self._is_due(each))

    def read(self, dataset: Dataset, *, seen: bool) -> bool:
        """Read one dataset; False when it failed or the API asks to wait."""
        if self._calls.wait > 0 or self.stopped:
            return False
        started, made = self._now(), self._calls.made
        self._started[dataset.name] = started
        before = self._states[dataset.name]
        try:
            complete = dataset.read(self._calls, seen=seen)
        except UpstreamError as error:
            if self.stopped:
                return False
            after = self._failed(before, str(error), error.reason)
        except Exception as error:
            log.exception("organization %s: dataset %s", self._organization, dataset.name)
            after = self._failed(before, f"unexpected {type(error).__name__}, see the log", "malformed")
        else:
            after = self._succeeded(before) if complete else self._unfinished(before)
        self._states[dataset.name] = dataclasses.replace(
            after, duration=max(0.0, self._now() - started), calls=self._calls.made - made
        )
        return after.up is True

    def adopt(self, other: "Refresher") -> None:
        """Take over from the schedule of the configuration before, as far as the datasets fit."""
        before = {each.name: each for each in other._datasets}
        for dataset in self._datasets:
            name = dataset.name
            if name in before and dataset.adopt(before[name]):
                self._states[name] = other._states[name]
                self._since[name] = other._since[name]
                if name in other._started:
                    self._started[name] = other._started[name]

    def families(self) -> Iterator[Family]:
        """Freshness; of datasets that were never tried, since when."""
        yield unread((each.name, self._since[each.name]) for each in self.states if each.last_success is None)
        tried = [each for each in self.states if each.up is not None]
        yield Family(metrics.UP, [((each.name,), int(each.up is True)) for each in tried])
        yield Family(
            metrics.LAST_SUCCESS,
            [((each.name,), each.last_success) for each in tried if each.last_success is not None],
        )
        yield Family(metrics.REFRESH_DURATION, [((each.name,), each.duration) for each in tried])
        yield Family(metrics.REFRESH_CALLS, [((each.name,), each.calls) for each in tried])

    def _is_due(self, dataset: Dataset) -> bool:
        started = self._started.get(dataset.name)
        if started is None:
            return True
        now = self._now()
        failures = self._states[dataset.name].failures
        return now < started or now >= due_at(started, dataset.interval, failures)

    def _failed(self, before: DatasetState, message: str, reason: str) -> DatasetState:
        self._calls.failed(before.name, reason)
        if before.error != message:
            log.warning(
                "organization %s: dataset %s could not be read (%s): %s",
                self._organization, before.name, reason, message,
            )  # fmt: skip
        return dataclasses.replace(
            before, up=False, error=message, reason=reason, failures=before.failures + 1
        )

    def _unfinished(self, before: DatasetState) -> DatasetState:
        self._started.pop(before.name, None)
        return before

    def _succeeded(self, before: DatasetState) -> DatasetState:
        if before.error:
            log.info("organization %s: dataset %s is read again", self._organization, before.name)
        return DatasetState(before.name, up=True, last_success=self._now())


# The families of several datasets in the catalogue's order, those of one metric next to each other.

_ORDER = {name: place for place, name in enumerate(CATALOGUE)}


def assembled(families: Iterable[Family]) -> list[Family]:
    """The families that have samples."""
    return sorted((each for each in families if each.samples), key=lambda each: _ORDER[each.metric.name])


# Which datasets an organization's configuration asks for. Reads nothing.


@dataclass(frozen=True, slots=True)
class Datasets:
    """The datasets of one organization.

    Attributes:
        flows: usage endpoints that are counted.
        first: what is read first: usage and costs.
        second: what needs many calls, and what is read seldom: names, limits, peak minute, cost drift.
    """

    flows: tuple[FlowDataset, ...]
    costs: CostsDataset | None
    names: NamesDataset | None
    first: tuple[Dataset, ...]
    second: tuple[Dataset, ...]

    @classmethod
    def of(cls, config: Config, organization: Organization, context: Context) -> "Datasets":
        """Fresh datasets for a configuration."""
        kept = pinned(budgets_of(config, organization))
        flows = tuple(
            FlowDataset(name, organization, context, kept)
            for name in organization.usage
            if name in OPERATIONS
        )
        levels = [LevelDataset(organization, context)] if VECTOR_STORES in organization.usage else []
        costs = CostsDataset(organization, context) if organization.costs is not None else None
        names = NamesDataset(organization, context) if organization.names else None
        second: list[Dataset] = [names] if names else []
        limits = LimitsDataset(organization, lambda: names.active_projects if names else None)
        if organization.limits:
            second.append(limits)
        if organization.peak_minute is not None:
            second.append(PeakDataset(organization, context, lambda: limits.models))
        if organization.cost_drift is not None and costs is not None:
            second.append(DriftDataset(organization, context))
        return cls(flows, costs, names, (*flows, *levels, *([costs] if costs else [])), tuple(second))

    @property
    def all(self) -> tuple[Dataset, ...]:
        """All of them, in the order in which they are read."""
        return (*self.first, *self.second)


# Lets other threads run while a worker computes: the interpreter runs one thread at a time.

_WORK = 0.002
_REST = 0.0005


class Pace:
    """Rests half a millisecond after each two milliseconds of work, when called often enough.

    A rest is needed, and not only a hint: a thread that gives the interpreter up and asks for it again at
    once mostly gets it back before the waiting thread has woken up.
    """

    def __init__(
        self, sleep: Callable[[float], None] = time.sleep, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._sleep = sleep
        self._monotonic = monotonic
        self._rested = 0.0

    def __call__(self) -> None:
        """Rest when it is time to."""
        now = self._monotonic()
        if now - self._rested > _WORK:
            self._sleep(_REST)
            self._rested = self._monotonic()


# The summary of an organization, from its datasets. Reads nothing.


def summarized(
    organization: str,
    datasets: Datasets,
    states: tuple[DatasetState, ...],
    spending: tuple[BudgetState, ...],
    waiting: float,
) -> UsageSummary:
    """The figures of the landing page."""
    bill = datasets.costs.bill if datasets.costs else None
    sums = _sums(datasets)
    estimated = sums.get("estimated_cost_usd")
    return UsageSummary(
        organization,
        month_to_date_usd=total(bill.month) if bill else None,
        today_usd=total(bill.today) if bill else None,
        yesterday_usd=total(bill.yesterday) if bill else None,
        previous_month_usd=bill.previous_month if bill else None,
        estimated_usd=None if estimated is None else Decimal(estimated) / PICO,
        requests=sums.get("requests"),
        input_tokens=sums.get("input_tokens"),
        output_tokens=sums.get("output_tokens"),
        datasets=states,
        budgets=spending,
        waiting=waiting,
    )


def _sums(datasets: Datasets) -> dict[str, int]:
    """This month's figures over all endpoints that have been read."""
    found: dict[str, int] = {}
    for flow in datasets.flows:
        if flow.ledger.complete:
            for name, value in flow.sums().items():
                found[name] = found.get(name, 0) + value
    return found


# Everything that is read of one organization, and the page made of it. Runs in one worker thread at a time.


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
