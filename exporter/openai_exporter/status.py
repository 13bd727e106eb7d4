# SPDX-License-Identifier: Apache-2.0
"""One public status page: read when due, shared by all scrapes, last good reading kept; and its metric families."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from openai_exporter.client.reply import status_reason
from openai_exporter.config.organization import StatusPage
from openai_exporter.errors import UpstreamError
from openai_exporter.exposition import EncodedPage, Family, Instruments, family
from openai_exporter.metrics import own, status
from openai_exporter.model import Answer

if TYPE_CHECKING:
    from openai_exporter.client.session import Session


# What a status page says, as closed lists of states; tolerant of everything that pages leave out or invent.

STATES = (
    "operational",
    "degraded_performance",
    "partial_outage",
    "major_outage",
    "under_maintenance",
    "unknown",
)
IMPACTS = ("none", "minor", "major", "critical", "maintenance", "unknown")
MAX_COMPONENTS = 500
"""Components exported; OpenAI's page has some 35."""

_OTHER_WORDS = {"full_outage": "major_outage", "maintenance": "under_maintenance"}
_OVER = {"resolved", "postmortem", "completed"}


@dataclass(frozen=True, slots=True)
class Component:
    """A part of the provider's service; ids are unique, names are not."""

    id: str
    name: str
    state: str


@dataclass(frozen=True, slots=True)
class Incident:
    """An incident that is not over."""

    name: str
    impact: str
    status: str
    url: str


@dataclass(frozen=True, slots=True)
class Reading:
    """One whole read of a page."""

    components: tuple[Component, ...]
    incidents: tuple[Incident, ...]


def reading(documents: Sequence[Mapping[str, object]]) -> Reading:
    """Merge documents of one page; a component or incident counts as the first document has it.

    summary.json has been seen to list fewer components than components.json, and to have no `incidents`.
    """
    components: dict[str, Component] = {}
    incidents: dict[str, Incident] = {}
    for document in documents:
        for each in _objects(document, "components"):
            found = _component(each)
            if found is not None and len(components) < MAX_COMPONENTS:
                components.setdefault(found.id, found)
        for each in _objects(document, "incidents"):
            if _word(each.get("status")) not in _OVER:
                incidents.setdefault(str(each.get("id") or each.get("name") or ""), _incident(each))
    return Reading(tuple(components.values()), tuple(incidents.values()))


def chosen(
    found: Sequence[Component], wanted: Sequence[str]
) -> tuple[tuple[Component, ...], tuple[str, ...]]:
    """The components whose name or id is wanted (all when nothing is), and the wants that none has."""
    if not wanted:
        return tuple(found), ()
    kept = tuple(each for each in found if each.id in wanted or each.name in wanted)
    known = {each.id for each in found} | {each.name for each in found}
    return kept, tuple(each for each in wanted if each not in known)


def _objects(document: Mapping[str, object], key: str) -> Iterator[Mapping[str, object]]:
    listed = document.get(key)
    if isinstance(listed, list):
        yield from (each for each in listed if isinstance(each, dict))


def _component(each: Mapping[str, object]) -> Component | None:
    identifier = each.get("id")
    if not isinstance(identifier, str) or not identifier or each.get("group") is True:
        return None
    state = _word(each.get("status"))
    state = _OTHER_WORDS.get(state, state)
    return Component(identifier, str(each.get("name") or identifier), state if state in STATES else "unknown")


def _incident(each: Mapping[str, object]) -> Incident:
    impact = _word(each.get("impact"))
    link = each.get("shortlink")
    return Incident(
        name=str(each.get("name") or "unnamed incident"),
        impact=impact if impact in IMPACTS else "unknown",
        status=_word(each.get("status")) or "unknown",
        url=link if isinstance(link, str) and link.startswith(("https://", "http://")) else "",
    )


def _word(value: object) -> str:
    return value.strip().lower() if isinstance(value, str) else ""


# From a reading to metric families.


def families(
    up: bool, read_at: float | None, components: Sequence[Component], incidents: Sequence[Incident]
) -> list[Family]:
    """What `/status` exposes; without any read so far, `up` alone."""
    found = [family(status.UP, int(up)), family(status.FETCHED, read_at)]
    if read_at is None:
        return found
    states = Family(status.COMPONENT)
    for each in components:
        for state in STATES:
            states.add(int(each.state == state), each.id, each.name, state)
    impacts = Family(status.INCIDENT)
    counts = Counter(each.impact for each in incidents)
    for impact in IMPACTS:
        impacts.add(counts[impact], impact)
    return [*found, states, impacts]


# One status page: read when due, shared by all scrapes, last good reading kept.

log = logging.getLogger(__name__)

DOCUMENTS = ("summary", "components")


MAX_BYTES = 2 << 20
"""Bound on an answer; OpenAI's is some 12 KiB."""


class StatusClient:
    """The JSON documents of one page; blocking, for a worker thread, one call at a time.

    Args:
        root: URL of the page, without a slash at its end.
        timeout: total deadline of a call in seconds.
        proxies: as `urllib.request.getproxies()` returns them.
    """

    def __init__(self, root: str, timeout: float, proxies: Mapping[str, str] | None = None) -> None:
        self._root = root
        self._timeout = timeout
        self._proxies = proxies or {}
        self._session: Session | None = None

    def get(self, document: str) -> Answer:
        """The JSON object of `/api/v2/<document>.json`.

        Raises:
            UpstreamError: no answer, not 200, or not a JSON object; its `api` is `status_<document>`.
        """
        # Loaded at the first read: it takes longer than all the rest of a start.
        from openai_exporter.client.session import Network, Session

        if self._session is None:
            self._session = Session(self._root, self._timeout, Network(self._proxies))
        api = f"status_{document}"
        path = f"/api/v2/{document}.json"
        with self._session.get(path, api=api) as reply:
            if reply.status != 200:
                raise reply.error(f"{self._root}{path}: HTTP {reply.status}", status_reason(reply.status))
            return Answer(reply.json_object(MAX_BYTES), reply.date, headers=reply.headers)

    def close(self) -> None:
        """Cut the running call and close the connection."""
        if self._session is not None:
            self._session.close()


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
