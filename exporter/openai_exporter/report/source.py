# SPDX-License-Identifier: Apache-2.0
"""Usage and cost buckets of any time, requested with retries and within a limit on calls."""

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import UTC, datetime
from typing import Self

from openai_exporter.client.organization import ADMIN_KEYS, Calls, Doubt, OrganizationClient, Params, Reply
from openai_exporter.client.session import Network
from openai_exporter.config import Config
from openai_exporter.config.sections import Organization
from openai_exporter.errors import ExporterError, StartError, UpstreamError
from openai_exporter.exposition import Instruments
from openai_exporter.prices import price_table
from openai_exporter.usage import costs, dataset, ledger, rows
from openai_exporter.usage.dataset import ApiClock
from openai_exporter.usage.ledger import DAY, Range
from openai_exporter.usage.names import Directory, NamesDataset
from openai_exporter.usage.pages import Add, Decode, Query, T, read

Restart = Callable[[], object]
"""Called at the start of each attempt, to forget the rows of the one before."""
TakeUsage = Callable[[int, ledger.Labels, ledger.Values], None]
TakeCosts = Callable[[int, rows.CostRow], None]
Read = Callable[["Source"], object]
Progress = Callable[[int, int], object]
"""Called with how many of how many reads are done."""
FIRST = int(datetime(2020, 1, 1, tzinfo=UTC).timestamp())
"""No API key is older; an earlier date is a typo."""
TRANSIENT = frozenset({"connect", "dns", "rate_limited", "connection_reset", "server_error", "timeout", "truncated"})
"""Reasons of failures that a retry may overcome."""
_ATTEMPTS = 6
_FIRST_WAIT = 1.0
_LONGEST_WAIT = 300.0


class CallsSpentError(ExporterError):
    """The calls that were allowed have been made."""

    def __init__(self, made: int) -> None:
        super().__init__(f"stopped after {made} API calls, as many as are allowed")


class _LimitedClient(OrganizationClient):
    """A client that makes at most `limit` calls, or any number where that is None."""

    limit: int | None = None
    calls = 0

    @contextlib.contextmanager
    def open(self, path: str, params: Params = (), *, api: str) -> Iterator[Reply]:
        if self.limit is not None and self.calls >= self.limit:
            raise CallsSpentError(self.calls)
        self.calls += 1
        with super().open(path, params, api=api) as reply:
            yield reply


class Source:
    """The API of one organization, for reads that people wait for; a context manager that closes the client.

    Args:
        proxies: as `urllib.request.getproxies()` returns them.
        max_calls: calls that may be made, None for any number.
        on_wait: called with the reason and the seconds before a failed call is retried.
        attempts: of each query.
        filters: parameters of every query that choose rows, such as ("project_ids", id).
    """

    def __init__(
        self,
        config: Config,
        organization: Organization,
        proxies: Mapping[str, str],
        *,
        max_calls: int | None = None,
        now: Callable[[], float] = time.time,
        on_wait: Callable[[str, float], None] = lambda reason, seconds: None,
        attempts: int = _ATTEMPTS,
        filters: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.config = config
        self.organization = organization
        self._now = now
        credential = config.organization_credential(organization.name)
        self.network = Network(proxies)
        self._client = _LimitedClient(organization.base_url, credential, organization.timeout, self.network)
        self._client.limit = max_calls
        self.calls = Calls(self._client, organization.name, Instruments(process=False), now)
        self.context = dataset.Context(ApiClock(now), functools.cache(lambda: price_table(config)), lambda: None)
        self._attempts = attempts
        self.filters = filters
        self._on_wait = on_wait
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._client.close()

    def together(self, reads: Sequence[Read], progress: Progress = lambda done, total: None) -> None:
        """Make several reads at once, each on a connection of its own.

        Raises:
            UpstreamError: one of them failed; the others are cut.
        """
        with ThreadPoolExecutor(len(reads)) as pool, contextlib.ExitStack() as sources:
            running = [pool.submit(read, sources.enter_context(self._another())) for read in reads]
            progress(0, len(running))
            for done, read in enumerate(as_completed(running), 1):
                read.result()
                progress(done, len(running))

    def _another(self) -> "Source":
        """A source of the same organization with a connection of its own and the clock of this one."""
        source = Source(
            self.config, self.organization, self.network.proxies, now=self._now, on_wait=self._on_wait,
            attempts=self._attempts, filters=self.filters,
        )  # fmt: skip
        source.context.clock.adopt(self.context.clock)
        return source

    def learn_time(self) -> float:
        """The API's time, by a small call that also shows whether the key is accepted; more where clocks differ.

        Raises:
            UpstreamError: the key is refused, or the API does not answer.
        """
        query = Query(costs.PATH, costs.NAME, Range(FIRST, FIRST + DAY, "1d", 1))
        for _ in range(Doubt.answers):
            try:
                self._read(query, lambda: None, lambda result, start: None, lambda start, rows: None)
            except UpstreamError as error:
                if error.reason not in ("bad_request", "not_found"):
                    raise
            if self.context.clock.certain:
                break
        return self.context.clock.now()

    def usage(self, name: str, group_by: tuple[str, ...], part: Range, restart: Restart, take: TakeUsage) -> None:
        """Read usage of one endpoint, row by row; a bucket may have several rows of the same labels.

        Raises:
            UpstreamError: it failed for good; CallsSpentError: no call is left.
        """
        operation = rows.OPERATIONS[name]
        decoder = rows.RowDecoder(operation, group_by, rows.Estimator(operation.pricing, self.context.prices))

        def add(start: int, bucket: Iterator[tuple[ledger.Labels, ledger.Values]]) -> None:
            for labels, values in bucket:
                take(start, labels, values)

        query = Query(operation.path, name, part, operation.read_by(group_by), self.filters)
        self._read(query, restart, decoder.decode, add)

    def costs(
        self, group_by: tuple[str, ...], part: Range, restart: Restart, take: TakeCosts, *, quantities: bool = False
    ) -> None:
        """Read costs, as `usage` does. Rows in another currency than usd have None for their amount."""

        def add(start: int, bucket: Iterator[rows.CostRow]) -> None:
            for row in bucket:
                take(start, row)

        query = Query(costs.PATH, costs.NAME, part, group_by, self.filters)
        self._read(query, restart, lambda result, start: rows.decoded(result, group_by, quantities=quantities), add)

    def directory(self, notes: list[str]) -> Directory:
        """Names of projects, keys and users; none, and a note, where they are to be read and cannot be."""
        names = NamesDataset(self.organization, self.context)

        def read_all() -> None:
            while not names.read(self.calls, seen=False):
                pass

        if self.organization.names:
            try:
                self.retry(read_all)
            except UpstreamError as error:
                notes.append(f"Names could not be read, so ids stand for them: {error}")
                return Directory()
        return names.directory

    def retry(self, action: Callable[[], T]) -> T:
        """What it returns; done again where the failure may pass, after a pause as long as the API asks for."""
        attempt = 0
        while True:
            try:
                return action()
            except UpstreamError as error:
                if error.reason not in TRANSIENT or attempt == self._attempts - 1 or self._ended.is_set():
                    raise
                wait = error.retry_after if error.retry_after is not None else _FIRST_WAIT * 2.0**attempt
                wait = min(wait, _LONGEST_WAIT)
                self._on_wait(str(error), wait)
            self._ended.wait(wait)
            attempt += 1

    def _read(self, query: Query, restart: Restart, decode: Decode[T], add: Add[T]) -> None:
        def attempt() -> None:
            restart()
            read(self.calls, self.context, query, decode, add)

        self.retry(attempt)


def find_organization(config: Config, name: str | None) -> Organization:
    """The organization of that name, which may be left out when there is only one.

    Raises:
        StartError: none is configured, or the name is unknown or missing.
    """
    names = [organization.name for organization in config.organizations]
    if not names:
        raise StartError(
            "no admin key: set OPENAI_ADMIN_KEY, or add an organization under `organizations:`; a key for probes "
            f"(OPENAI_API_KEY) cannot read usage and costs. Owners make admin keys at {ADMIN_KEYS}"
        )
    if name is None and len(names) == 1:
        return config.organizations[0]
    organization = config.organization(name) if name else None
    if organization is None:
        problem = f"unknown organization {name!r}" if name else "several organizations are configured"
        raise StartError(f"{problem}; give --organization with one of: {', '.join(names)}")
    return organization


def organization_flag(config: Config, name: str) -> str:
    """What a command needs so that it reads this organization; nothing when there is only one."""
    return f" --organization {name}" if len(config.organizations) > 1 else ""
