# SPDX-License-Identifier: Apache-2.0
"""One status page: read when due, shared by all scrapes, last good reading kept."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from openai_exporter.client.statuspage import StatusClient
from openai_exporter.config.organization import StatusPage
from openai_exporter.errors import UpstreamError
from openai_exporter.exposition import EncodedPage, Instruments
from openai_exporter.metrics import own
from openai_exporter.model import Answer
from openai_exporter.status.families import families
from openai_exporter.status.reading import Component, Incident, Reading, chosen, reading

log = logging.getLogger(__name__)

DOCUMENTS = ("summary", "components")


class Client(Protocol):
    """Reads one document of a page; blocking."""

    def get(self, document: str) -> Answer: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class StatusSummary:
    """What the landing page shows.

    Attributes:
        tried: whether a read was tried.
        read_at: Unix seconds of the last good read, None before the first.
        error: why the last read failed, empty when it did not.
    """

    name: str
    url: str
    up: bool
    tried: bool
    read_at: float | None
    components: tuple[Component, ...]
    incidents: tuple[Incident, ...]
    error: str


class StatusService:
    """Answers `/status` of one page.

    Args:
        client: what reads the page; None reads it over HTTP.
        now: Unix seconds.
        proxies: as `urllib.request.getproxies()` returns them.
    """

    def __init__(
        self,
        page: StatusPage,
        *,
        instruments: Instruments,
        client: Client | None = None,
        now: Callable[[], float] = time.time,
        proxies: Mapping[str, str] | None = None,
    ) -> None:
        self._page = page
        self._proxies = proxies or {}
        self._instruments = instruments
        self._client = client or StatusClient(page.url, page.timeout, self._proxies)
        self._now = now
        self._refresh: asyncio.Task[None] | None = None
        self._tried_at = float("-inf")
        self._read_at: float | None = None
        self._reading = Reading((), ())
        self._missing: tuple[str, ...] = ()
        self._error = "not read yet"
        self._encoded = EncodedPage(families(False, None, (), ()))

    async def page(self, limit: float | None = None) -> EncodedPage:
        """The page's metrics; waits at most `limit` seconds for a read that is due."""
        if self._refresh is None and self._now() - self._tried_at >= self._page.refresh_interval:
            self._refresh = asyncio.create_task(self._read())
        if self._refresh is not None:
            await asyncio.wait([self._refresh], timeout=limit)
        return self._encoded

    def summary(self) -> StatusSummary:
        """The state as it is now; reads nothing."""
        kept, _ = chosen(self._reading.components, self._page.components)
        return StatusSummary(
            self._page.name,
            self._page.url,
            not self._error,
            self._tried_at > 0,
            self._read_at,
            kept,
            self._reading.incidents,
            self._error,
        )

    def replaced_by(self, page: StatusPage) -> "StatusService":
        """The service of a reloaded configuration: this one when nothing changed, else a new one."""
        if page == self._page:
            return self
        made = StatusService(page, instruments=self._instruments, now=self._now, proxies=self._proxies)
        if page.url == self._page.url:
            made._reading, made._read_at, made._error = self._reading, self._read_at, self._error
            made._encode()
        return made

    async def close(self) -> None:
        """Stop reading."""
        if self._refresh is not None:
            self._refresh.cancel()
        self._client.close()

    async def _read(self) -> None:
        self._tried_at = self._now()
        try:
            answers = await asyncio.to_thread(self._documents)
        except UpstreamError as error:
            self._failed(error)
        except Exception as error:
            self._error = f"internal error: {type(error).__name__}"
            log.exception("status page: read failed", extra={"fields": {"status_page": self._page.name}})
        else:
            self._reading = reading([each.body for each in answers])
            self._read_at, self._error = self._now(), ""
            self._complain()
        finally:
            self._refresh = None
            self._encode()

    def _documents(self) -> list[Answer]:
        """summary.json must be there; components.json only adds to it."""
        answers = [self._get(DOCUMENTS[0])]
        try:
            answers.append(self._get(DOCUMENTS[1]))
        except UpstreamError as error:
            log.warning("status page: %s", error, extra={"fields": self._fields(error)})
        return answers

    def _get(self, document: str) -> Answer:
        api = f"status_{document}"
        self._instruments.count(own.UPSTREAM_CALLS, ("", api))
        try:
            return self._client.get(document)
        except UpstreamError as error:
            self._instruments.count(own.UPSTREAM_FAILURES, ("", api, error.reason))
            raise

    def _failed(self, error: UpstreamError) -> None:
        self._error = str(error)
        log.warning("status page: %s", error, extra={"fields": self._fields(error)})

    def _fields(self, error: UpstreamError) -> Mapping[str, object]:
        return {"status_page": self._page.name, "reason": error.reason}

    def _complain(self) -> None:
        _, missing = chosen(self._reading.components, self._page.components)
        if missing and missing != self._missing:
            listed = ", ".join(sorted({each.name for each in self._reading.components}))
            log.warning(
                "status page %s lists no component %s; listed: %s",
                self._page.name,
                ", ".join(map(repr, missing)),
                listed or "none",
            )
        self._missing = missing

    def _encode(self) -> None:
        kept, _ = chosen(self._reading.components, self._page.components)
        self._encoded = EncodedPage(families(not self._error, self._read_at, kept, self._reading.incidents))
