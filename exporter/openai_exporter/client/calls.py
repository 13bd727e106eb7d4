# SPDX-License-Identifier: Apache-2.0
"""The calls of one organization: counted, and held back while the API asks to wait. Knows no endpoint."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from openai_exporter.client.session import Params, Reply
from openai_exporter.errors import UpstreamError
from openai_exporter.exposition import Instruments
from openai_exporter.metrics import own
from openai_exporter.model import Answer

_FIRST_WAIT = 15.0
_LONGEST_WAIT = 600.0


class Client(Protocol):
    """What `Calls` needs of `OrganizationClient`."""

    def get(self, path: str, params: Params = (), *, api: str) -> Answer: ...

    def open(
        self, path: str, params: Params = (), *, api: str
    ) -> contextlib.AbstractContextManager[Reply]: ...

    def close(self) -> None: ...


class Calls:
    """Counts calls and failures, and shares one back-off among all that an organization reads.

    Attributes:
        made: calls so far.

    Args:
        now: our clock in Unix seconds.
    """

    def __init__(
        self,
        client: Client,
        organization: str,
        instruments: Instruments,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._organization = organization
        self._instruments = instruments
        self._now = now
        self._held_since = 0.0
        self._held_for = 0.0
        self._refusals = 0
        self.made = 0

    @property
    def wait(self) -> float:
        """Seconds for which the API asked not to be called, 0 when it may be."""
        passed = self._now() - self._held_since
        return self._held_for - passed if 0 <= passed < self._held_for else 0.0

    def get(self, path: str, params: Params = (), *, api: str) -> Answer:
        """As `OrganizationClient.get`."""
        with self._counted(api):
            return self._client.get(path, params, api=api)

    @contextlib.contextmanager
    def open(self, path: str, params: Params = (), *, api: str) -> Iterator[Reply]:
        """As `OrganizationClient.open`."""
        with self._counted(api), self._client.open(path, params, api=api) as reply:
            yield reply

    def failed(self, api: str, reason: str) -> None:
        """Count a failure; only the reader of an answer can tell, for HTTP 404 may be a good answer."""
        self._instruments.count(own.UPSTREAM_FAILURES, (self._organization, api, reason))

    def adopt(self, other: "Calls") -> None:
        """Go on waiting where another one waits."""
        self._held_since, self._held_for = other._held_since, other._held_for
        self._refusals = other._refusals

    def close(self) -> None:
        """End the running call."""
        self._client.close()

    @contextlib.contextmanager
    def _counted(self, api: str) -> Iterator[None]:
        self.made += 1
        self._instruments.count(own.UPSTREAM_CALLS, (self._organization, api))
        try:
            yield
        except UpstreamError as error:
            self._hold_back(error)
            raise
        self._refusals = 0

    def _hold_back(self, error: UpstreamError) -> None:
        if error.reason != "rate_limited" and error.retry_after is None:
            return
        self._refusals += 1
        own_wait = min(_FIRST_WAIT * 2.0 ** (self._refusals - 1), _LONGEST_WAIT)
        wait = own_wait if error.retry_after is None else min(error.retry_after, 3600.0)
        self._held_since, self._held_for = self._now(), wait
