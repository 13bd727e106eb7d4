# SPDX-License-Identifier: Apache-2.0
"""The calls of one organization: counted, and held back while the API asks to wait. Knows no endpoint."""

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

from openai_exporter.client.session import Params, Reply
from openai_exporter.errors import UpstreamError
from openai_exporter.exposition import Instruments
from openai_exporter.metrics import own
from openai_exporter.model import Answer

_FIRST_WAIT = 15.0
_LONGEST_WAIT = 600.0
_HOUR = 3600.0
_SHARE_OF_LISTS = 0.8


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
        per_hour: calls that may be made in an hour, None for any number; `get` leaves a fifth of them to `open`.
    """

    def __init__(
        self,
        client: Client,
        organization: str,
        instruments: Instruments,
        now: Callable[[], float] = time.time,
        *,
        per_hour: int | None = None,
    ) -> None:
        self._client = client
        self._organization = organization
        self._instruments = instruments
        self._now = now
        self._held_since = 0.0
        self._held_for = 0.0
        self._refusals = 0
        self._per_hour = per_hour
        self._recent: deque[float] = deque()
        self.made = 0

    @property
    def last_hour(self) -> int:
        """Calls made in the last hour."""
        now = self._now()
        while self._recent and not 0 <= now - self._recent[0] < _HOUR:
            self._recent.popleft()
        return len(self._recent)

    @property
    def wait(self) -> float:
        """Seconds for which the API asked not to be called, 0 when it may be."""
        passed = self._now() - self._held_since
        return self._held_for - passed if 0 <= passed < self._held_for else 0.0

    def get(self, path: str, params: Params = (), *, api: str) -> Answer:
        """As `OrganizationClient.get`."""
        with self._counted(api, _SHARE_OF_LISTS):
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
        self._recent = other._recent

    def close(self) -> None:
        """End the running call."""
        self._client.close()

    @contextlib.contextmanager
    def _counted(self, api: str, share: float = 1.0) -> Iterator[None]:
        try:
            self._spend(api, share)
            yield
        except UpstreamError as error:
            self._hold_back(error)
            raise
        self._refusals = 0

    def _spend(self, api: str, share: float) -> None:
        """Take a call from the hour's budget.

        Raises:
            UpstreamError: nothing is left of it.
        """
        if self._per_hour is not None and self.last_hour >= self._per_hour * share:
            wait = self._recent[0] + _HOUR - self._now()
            message = f"all {self._per_hour} API calls of an hour are made; raise calls_per_hour, or read less often"
            # What lists may not have is still there for usage and costs, which must not wait for them.
            raise UpstreamError(
                message, api=api, reason="call_budget", retry_after=wait if share == 1.0 else None
            )
        self.made += 1
        self._recent.append(self._now())
        self._instruments.count(own.UPSTREAM_CALLS, (self._organization, api))

    def _hold_back(self, error: UpstreamError) -> None:
        if error.reason != "rate_limited" and error.retry_after is None:
            return
        self._refusals += 1
        own_wait = min(_FIRST_WAIT * 2.0 ** (self._refusals - 1), _LONGEST_WAIT)
        wait = own_wait if error.retry_after is None else min(error.retry_after, 3600.0)
        self._held_since, self._held_for = self._now(), wait
