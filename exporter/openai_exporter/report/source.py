# SPDX-License-Identifier: Apache-2.0
"""Buckets of usage and costs of any time, asked for with patience and within a bound on calls. Keeps nothing."""

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from openai_exporter.client.organization import Calls, Client, OrganizationClient
from openai_exporter.client.session import Network, Params, Reply
from openai_exporter.config import Config
from openai_exporter.config.organization import Organization
from openai_exporter.errors import ExporterError, StartError, UpstreamError
from openai_exporter.exposition import Instruments
from openai_exporter.model import Answer
from openai_exporter.prices import PriceTable
from openai_exporter.report.dates import FIRST
from openai_exporter.usage.costs import NAME as COSTS
from openai_exporter.usage.costs import PATH as COSTS_PATH
from openai_exporter.usage.dataset import Context
from openai_exporter.usage.estimate import Estimator
from openai_exporter.usage.ledger import Labels, Values
from openai_exporter.usage.names import Directory, NamesDataset
from openai_exporter.usage.pages import Add, Decode, Query, T, read
from openai_exporter.usage.rows import OPERATIONS, CostRow, RowDecoder, decoded
from openai_exporter.usage.window import DAY, ApiClock, Range

# Buckets of usage and costs of any time, asked for with patience and within a bound on calls. Keeps no figures.

TakeUsage = Callable[[int, Labels, Values], None]
TakeCosts = Callable[[int, CostRow], None]
PASSING = frozenset({"connect", "dns", "rate_limited", "reset", "server_error", "timeout", "truncated"})
"""Reasons of failures that may be gone at the next try."""
_TRIES = 6
_FIRST_WAIT = 1.0
_LONGEST_WAIT = 300.0


class CallsSpentError(ExporterError):
    """The calls that were allowed have been made.

    Attributes:
        made: how many.
    """

    def __init__(self, made: int) -> None:
        super().__init__(f"stopped after {made} API calls, as many as are allowed")
        self.made = made


class _Bounded:
    """A client that refuses further calls when `most` have been made."""

    def __init__(self, client: Client, most: int | None) -> None:
        self._client = client
        self._most = most
        self.made = 0

    def get(self, path: str, params: Params = (), *, api: str) -> Answer:
        self._count()
        return self._client.get(path, params, api=api)

    @contextlib.contextmanager
    def open(self, path: str, params: Params = (), *, api: str) -> Iterator[Reply]:
        self._count()
        with self._client.open(path, params, api=api) as reply:
            yield reply

    def close(self) -> None:
        self._client.close()

    def _count(self) -> None:
        if self._most is not None and self.made >= self._most:
            raise CallsSpentError(self.made)
        self.made += 1


class Source:
    """The organization API of one organization, for readings that people wait for.

    Args:
        client: makes the calls; closed by whoever made it.
        most: calls that may be made, None for any number.
        waiting: told why and for how many seconds a failed call is put off.
        tries: of each query.
        prices: the price table.
    """

    def __init__(
        self,
        organization: Organization,
        client: Client,
        *,
        most: int | None = None,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        waiting: Callable[[str, float], None] = lambda why, seconds: None,
        tries: int = _TRIES,
        prices: Callable[[], PriceTable] = PriceTable,
    ) -> None:
        self._organization = organization
        self._client = _Bounded(client, most)
        self.calls = Calls(self._client, organization.name, Instruments(process=False), now)
        self.context = Context(ApiClock(now), functools.cache(prices), lambda: None)
        self._sleep = sleep
        self._tries = tries
        self._waiting = waiting

    @property
    def made(self) -> int:
        """Calls made so far, failed ones included."""
        return self._client.made

    def learn_time(self) -> float:
        """The API's time, by a small call that also shows whether the key is accepted.

        Raises:
            UpstreamError: the key is refused, or the API does not answer.
        """
        part = Range(FIRST, FIRST + DAY, "1d", 1)
        try:
            self.costs((), part, lambda: lambda start, row: None)
        except UpstreamError as error:
            if error.reason not in ("bad_request", "not_found"):
                raise
        return self.context.clock.now()

    def usage(
        self, name: str, group_by: tuple[str, ...], part: Range, begin: Callable[[], TakeUsage]
    ) -> None:
        """Read usage of one endpoint; `begin` is called for each try and returns what takes the rows.

        Raises:
            UpstreamError: it failed for good; CallsSpentError: no call is left.
        """
        operation = OPERATIONS[name]
        decoder = RowDecoder(operation, group_by, Estimator(operation.pricing, self.context.prices))

        def rows() -> Add[tuple[Labels, Values]]:
            take = begin()

            def add(start: int, bucket: Iterator[tuple[Labels, Values]]) -> None:
                for labels, values in bucket:
                    take(start, labels, values)

            return add

        self._read(Query(operation.path, name, part, group_by), decoder.decode, rows)

    def costs(self, group_by: tuple[str, ...], part: Range, begin: Callable[[], TakeCosts]) -> None:
        """Read costs; as `usage`. Rows in another currency than usd have None for their amount."""

        def rows() -> Add[CostRow]:
            take = begin()

            def add(start: int, bucket: Iterator[CostRow]) -> None:
                for row in bucket:
                    take(start, row)

            return add

        query = Query(COSTS_PATH, COSTS, part, group_by)
        self._read(query, lambda result, start: decoded(result, group_by), rows)

    def directory(self) -> Directory:
        """Names of projects, keys and users.

        Raises:
            UpstreamError: as `usage`.
        """
        names = NamesDataset(self._organization, self.context)

        def once() -> None:
            while not names.read(self.calls, seen=False):
                pass

        self.patiently(once)
        return names.directory

    def patiently(self, once: Callable[[], object]) -> None:
        """Do it, again after a pause where the failure may pass; a pause is as long as the API asks."""
        for attempt in range(self._tries):
            try:
                once()
                return
            except UpstreamError as error:
                if error.reason not in PASSING or attempt == self._tries - 1:
                    raise
                wait = error.retry_after if error.retry_after is not None else _FIRST_WAIT * 2.0**attempt
                wait = min(wait, _LONGEST_WAIT)
                self._waiting(str(error), wait)
            self._sleep(wait)

    def _read(self, query: Query, decode: Decode[T], begin: Callable[[], Add[T]]) -> None:
        self.patiently(lambda: read(self.calls, self.context, query, decode, begin()))


# Which organization a person means, and the client of its API.


def chosen(config: Config, name: str | None) -> Organization:
    """The organization of that name; it may be left out when there is one.

    Raises:
        StartError: none is configured, or the name is unknown or missing.
    """
    names = [each.name for each in config.organizations]
    if not names:
        raise StartError(
            "no organization is configured; set OPENAI_ADMIN_KEY, or add one under `organizations:`"
        )
    if name is None and len(names) == 1:
        return config.organizations[0]
    found = config.organization(name) if name else None
    if found is None:
        said = f"unknown organization {name!r}" if name else "several organizations are configured"
        raise StartError(f"{said}; give --organization with one of: {', '.join(names)}")
    return found


@contextmanager
def opened(
    config: Config, organization: Organization, proxies: Mapping[str, str]
) -> Iterator[OrganizationClient]:
    """A client of the organization's API, closed at the end."""
    client = OrganizationClient(
        organization.base_url,
        config.organization_credential(organization.name),
        organization.timeout,
        Network(proxies),
    )
    try:
        yield client
    finally:
        client.close()
