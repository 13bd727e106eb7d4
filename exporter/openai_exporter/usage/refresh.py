# SPDX-License-Identifier: Apache-2.0
"""Reads the datasets of one organization that are due, and makes its page. Runs in one worker thread at a time."""

import functools
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

from openai_exporter.client.organization import Calls, OrganizationClient
from openai_exporter.client.session import Network
from openai_exporter.config import Config
from openai_exporter.config.sections import Organization
from openai_exporter.errors import PartialError, UpstreamError
from openai_exporter.exposition import EncodedPage, Family, family
from openai_exporter.metrics import CATALOGUE, own, usage as metrics
from openai_exporter.prices import PICO, SOURCE, PriceTable, price_table, version
from openai_exporter.usage import costs, counters, credits, rows, storage
from openai_exporter.usage.dataset import ApiClock, BudgetState, Context, Dataset, DatasetState, UsageSummary, unread
from openai_exporter.usage.limits import LimitsDataset, PeakDataset
from openai_exporter.usage.names import Directory, NamesDataset
from openai_exporter.usage.service import UsageService, budgets_of

log = logging.getLogger(__name__)

_ORDER = {name: place for place, name in enumerate(CATALOGUE)}
_FIRST_RETRY = 60.0
_LONGEST_RETRY = 300.0
_WORK = 0.002
_REST = 0.0005


class Reader:
    """The datasets of one organization and the last page.

    Args:
        service: whose settings count.
        since: when the datasets were first asked for.
        restore: whether persisted figures are of use.
    """

    def __init__(self, service: UsageService, since: float, *, restore: bool = True) -> None:
        self._config, self._instruments = service.config, service.instruments
        self._organization = organization = service.organization
        self._calls = _calls(service)
        self._clock = ApiClock(service.now)
        self._pause = gil_yield(service.sleep)
        context = Context(self._clock, functools.cache(self._load_prices), self._pause)
        self._datasets = Datasets(self._config, organization, context)
        self._schedule = Schedule(organization.name, self._datasets.all, self._calls, service.now, since)
        self._storage = self._storage_in(service.storage) if service.storage else None
        self._page = EncodedPage(in_order(self._schedule.families()))
        self._seen = False
        self._outdated = False
        self._summary = UsageSummary(organization.name, now=self._clock.now())
        if restore:
            self._restore()

    @property
    def due(self) -> bool:
        """Whether anything is to be read now, or to be shown as unknown since a day began."""
        return bool(self._schedule.due) or self._turned

    @property
    def summary(self) -> UsageSummary:
        """For the landing page: of the last refresh what is still known."""
        return self._summary.at(self._clock.now())

    @property
    def _turned(self) -> bool:
        """Whether a day began since the last refresh: what was today's is unknown then, until it is read."""
        return self._summary is not self.summary

    @property
    def foreign(self) -> bool:
        """Whether another organization answers now: what was read is of no use any more."""
        return self._calls.foreign

    def page(self) -> EncodedPage:
        """The last page, for a scrape."""
        self._seen = True
        return self._page

    def refresh(self) -> None:
        """Read what is due, and make the page anew: first usage and costs, then what needs many calls."""
        if self._calls.rekeyed:
            self._schedule.hasten()
        if self._turned:
            seen = self._seen
            self._publish()
            self._seen = seen
        for part in (self._datasets.first, self._datasets.second):
            due = [dataset for dataset in self._schedule.due if dataset in part]
            succeeded = [self._schedule.read(dataset, seen=self._seen) for dataset in due]
            if self._schedule.stopped or self.foreign:
                return
            if due or self._outdated:
                self._publish()
            if any(succeeded) and part is self._datasets.first:
                self._persist()

    def adopt(self, other: "Reader") -> None:
        """Take over what was read for the configuration before, and show it."""
        self._schedule.adopt(other._schedule)
        self._calls.adopt(other._calls)
        self._clock.adopt(other._clock)
        self._page, self._seen, self._outdated = other._page, other._seen, True
        before, now = other._config.all_prices, self._config.all_prices
        if before != now:
            self._instruments.forget(own.PRICE_TABLE_INFO, (SOURCE, version(before)))
            for dataset in self._datasets.counters:
                dataset.audit()

    def stop(self) -> None:
        """End a running refresh soon; safe from any thread."""
        self._schedule.stopped = True
        self._calls.close()

    def release(self) -> None:
        """Let another one persist its counters; to be called when no refresh runs any more."""
        if self._storage:
            self._storage.release()

    def _publish(self) -> None:
        spending = self._datasets.budgets()
        page = EncodedPage(in_order(self._families(spending)), self._pause)
        page.prepare(self._page)
        self._summary = self._datasets.summary(self._schedule.states, spending, self._calls.wait)
        self._page, self._seen, self._outdated = page, False, False

    def _families(self, spending: tuple[BudgetState, ...]) -> Iterator[Family]:
        for dataset in self._datasets.all:
            yield from dataset.families()
        yield from costs.budget_families(spending)
        yield from self._schedule.families()
        yield family(metrics.CALLS, self._calls.last_hour)
        yield family(metrics.CALLS_LIMIT, self._organization.calls_per_hour)
        yield family(metrics.CLOCK_OFFSET, self._clock.offset)

    def _load_prices(self) -> PriceTable:
        table = price_table(self._config)
        for source in table.sources:
            self._instruments.set(own.PRICE_TABLE_INFO, 1, source)
        return table

    def _storage_in(self, folder: Path) -> storage.Storage:
        name = self._organization.name
        for reason in storage.REASONS:
            self._instruments.prepare(own.STORAGE_FAILURES, (name, reason))
        return storage.Storage(
            folder, name, self._pause, self._organization.base_url,
            lambda reason: self._instruments.count(own.STORAGE_FAILURES, (name, reason)), self._calls.identity,
        )  # fmt: skip

    def _restore(self) -> None:
        persisted = self._storage.load() if self._storage else {}
        self._clock.doubt.patient = bool(persisted)
        for dataset in self._datasets.counters:
            if dataset.name in persisted:
                dataset.restore(persisted[dataset.name])

    def _persist(self) -> None:
        if self._storage:
            usage = (each.persisted() for each in self._datasets.counters if each.ledger.month)
            written = self._storage.save(usage)
            self._instruments.set(own.STORAGE_SUCCESSFUL, int(written), (self._organization.name,))


def _calls(service: UsageService) -> Calls:
    organization = service.organization
    client = service.client() if service.client else OrganizationClient(
        organization.base_url,
        service.config.organization_credential(organization.name),
        organization.timeout,
        Network(service.proxies),
    )  # fmt: skip
    return Calls(client, organization.name, service.instruments, service.now, per_hour=organization.calls_per_hour)


def in_order(families: Iterable[Family]) -> list[Family]:
    """The families that have samples, in the catalogue's order: those of one metric next to each other."""
    return sorted((each for each in families if each.samples), key=lambda each: _ORDER[each.metric.name])


@dataclass(eq=False)
class Schedule:
    """Reads the datasets of one organization that are due, and remembers how each went.

    Attributes:
        datasets: in the order in which they are read.
        now: our clock in Unix seconds.
        since: when the datasets were first asked for.
        stopped: whether nothing is to be read any more.
    """

    organization: str
    datasets: Sequence[Dataset]
    calls: Calls
    now: Callable[[], float]
    since: float
    stopped: bool = False

    def __post_init__(self) -> None:
        self._states = {dataset.name: DatasetState(dataset.name, self.since) for dataset in self.datasets}

    @property
    def states(self) -> tuple[DatasetState, ...]:
        """How the datasets are, in their order."""
        return tuple(self._states.values())

    @property
    def due(self) -> tuple[Dataset, ...]:
        """The datasets that are to be read now; none while the API asked to wait."""
        if self.calls.wait > 0:
            return ()
        return tuple(dataset for dataset in self.datasets if self._is_due(dataset))

    def read(self, dataset: Dataset, *, seen: bool) -> bool:
        """Read one dataset; False when it failed or the API asks to wait."""
        if self.calls.wait > 0 or self.stopped or self.calls.foreign:
            return False
        started, made = self.now(), self.calls.made
        before = replace(self._states[dataset.name], started=started)
        try:
            complete = dataset.read(self.calls, seen=seen)
        except UpstreamError as error:
            if self.stopped:
                return False
            after = self._failed(before, str(error), error.reason, partial=isinstance(error, PartialError))
        except Exception as error:
            log.exception("organization %s: dataset %s", self.organization, dataset.name)
            after = self._failed(before, f"unexpected {type(error).__name__}, see the log", "malformed")
        else:
            # An unfinished one is continued in the next refresh.
            after = self._succeeded(before) if complete else replace(before, started=None)
        self._states[dataset.name] = replace(
            after, duration=max(0.0, self.now() - started), calls=self.calls.made - made
        )
        return after.up is True

    def adopt(self, other: "Schedule") -> None:
        """Take over from the schedule of the configuration before, as far as the datasets fit."""
        before = {dataset.name: dataset for dataset in other.datasets}
        for dataset in self.datasets:
            if dataset.name in before and dataset.adopt(before[dataset.name]):
                self._states[dataset.name] = other._states[dataset.name]

    def hasten(self) -> None:
        """Make all datasets due, so that each can tell which organization they are of."""
        self._states = {name: replace(state, started=None) for name, state in self._states.items()}

    def families(self) -> Iterator[Family]:
        """Freshness; of datasets that were never read, since when."""
        states = self._states.items()
        yield unread((name, state.since) for name, state in states if state.last_success is None)
        tried = [((name,), state) for name, state in states if state.up is not None]
        yield Family(metrics.UP, [(labels, int(state.up is True)) for labels, state in tried])
        successes = [(labels, state.last_success) for labels, state in tried]
        yield Family(metrics.LAST_SUCCESS, [(labels, at) for labels, at in successes if at is not None])
        yield Family(metrics.REFRESH_DURATION, [(labels, state.duration) for labels, state in tried])
        yield Family(metrics.REFRESH_CALLS, [(labels, state.calls) for labels, state in tried])

    def _is_due(self, dataset: Dataset) -> bool:
        """After the interval less a little, for scrapes are not exact; soon after a failure."""
        state, now, interval = self._states[dataset.name], self.now(), dataset.interval
        if state.started is None or now < state.started:
            return True
        if state.failures:
            retry = min(interval, _FIRST_RETRY) * 2.0 ** min(state.failures - 1, 10)
            # What failed in part may lack a permission: reading all the rest often would not help.
            return now >= state.started + min(retry, interval if state.partial else _LONGEST_RETRY)
        return now >= state.started + interval - min(2.0, interval * 0.05) or dataset.outdated

    def _failed(self, before: DatasetState, message: str, reason: str, *, partial: bool = False) -> DatasetState:
        self.calls.failed(before.name, reason)
        if before.error != message:
            whole = "organization %s: dataset %s could not be read (%s): %s"
            part = "organization %s: dataset %s was read in part (%s): %s"
            log.warning(part if partial else whole, self.organization, before.name, reason, message)
        failures = before.failures + 1
        return replace(before, up=False, error=message, reason=reason, failures=failures, partial=partial)

    def _succeeded(self, before: DatasetState) -> DatasetState:
        if before.error:
            log.info("organization %s: dataset %s is read again", self.organization, before.name)
        return DatasetState(before.name, before.since, before.started, up=True, last_success=self.now())


class Datasets:
    """The datasets of one organization.

    Attributes:
        counters: usage endpoints that are counted.
        first: what is read first: usage and costs.
        second: what needs many calls, and what is read seldom: names, limits, peak minute, cost drift.
    """

    def __init__(self, config: Config, organization: Organization, context: Context) -> None:
        self._organization, self._clock = organization, context.clock
        self._budgets = budgets_of(config, organization)
        ids = costs.pinned(self._budgets)
        names = organization.usage
        self.counters = tuple(
            counters.CounterDataset(name, organization, context, ids) for name in names if name in rows.OPERATIONS
        )
        self.costs = costs.CostsDataset(organization, context) if organization.costs is not None else None
        self.names = NamesDataset(organization, context) if organization.names else None
        limits = LimitsDataset(organization, lambda: self.names.active_projects if self.names else None)
        self.first: list[Dataset] = [*self.counters]
        self.second: list[Dataset] = [self.names] if self.names else []
        if rows.VECTOR_STORES in organization.usage:
            self.first.append(counters.VectorStoresDataset(organization, context))
        if self.costs:
            self.first.append(self.costs)
        if organization.limits:
            self.second.append(limits)
        if organization.peak_usage is not None:
            self.second.append(PeakDataset(organization, context, lambda: limits.models))
        self.credits = credits.CreditsDataset(organization, context) if organization.credits else None
        if self.credits:
            self.second.append(self.credits)
        if organization.cost_drift is not None and self.costs:
            self.second.append(costs.DriftDataset(organization, context))

    @property
    def all(self) -> tuple[Dataset, ...]:
        """All of them, in the order in which they are read."""
        return (*self.first, *self.second)

    @property
    def priced(self) -> tuple[counters.CounterDataset, ...]:
        """The usage endpoints that are priced."""
        return tuple(dataset for dataset in self.counters if dataset.operation.pricing)

    def budgets(self) -> tuple[BudgetState, ...]:
        """The budgets, with what was spent."""
        bill = self.costs.data if self.costs else None
        names = self.names.directory if self.names else Directory()
        now = self._clock.now()
        return tuple(costs.budget_states(self._budgets, self._organization, bill, self.priced, names.title, now=now))

    def summary(
        self, states: tuple[DatasetState, ...], spending: tuple[BudgetState, ...], waiting: float
    ) -> UsageSummary:
        """The figures of the landing page."""
        bill, now = self.costs.data if self.costs else None, self._clock.now()
        of_month = bill if bill and bill.covers("month", now) else None
        of_day = bill if bill and bill.covers("day", now) else None
        credit = self.credits.balance if self.credits else None
        # This month's, over all endpoints that have been read.
        sums: Counter[str] = Counter()
        for dataset in self.counters:
            if dataset.covers("month"):
                sums.update(dataset.sums())
        return UsageSummary(
            self._organization.name,
            month_to_date_usd=costs.total(of_month.month) if of_month else None,
            today_usd=costs.total(of_day.today) if of_day else None,
            yesterday_usd=costs.total(of_day.yesterday) if of_day else None,
            previous_month_usd=of_month.previous_month if of_month else None,
            credit_usd=credit.remaining if credit else None,
            estimated_usd=Decimal(sums["estimated_cost_usd"]) / PICO if "estimated_cost_usd" in sums else None,
            requests=sums.get("requests"),
            input_tokens=sums.get("input_tokens"),
            output_tokens=sums.get("output_tokens"),
            datasets=states,
            budgets=spending,
            waiting=waiting,
            now=now,
        )


def gil_yield(sleep: Callable[[float], None]) -> Callable[[], None]:
    """What lets other threads run: rests half a millisecond after each two of work, when called often enough.

    A rest is needed, and not only a hint: a thread that gives the interpreter up and asks for it again at
    once mostly gets it back before the waiting thread has woken up.
    """
    rested = 0.0

    def pause() -> None:
        nonlocal rested
        if time.monotonic() - rested > _WORK:
            sleep(_REST)
            rested = time.monotonic()

    return pause
