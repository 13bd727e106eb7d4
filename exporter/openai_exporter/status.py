# SPDX-License-Identifier: Apache-2.0
"""One public status page: read when due, shared by all scrapes, last good reading kept; and its metric families."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from openai_exporter.client.exchange import status_reason
from openai_exporter.config.sections import StatusPage
from openai_exporter.errors import UpstreamError
from openai_exporter.exposition import EncodedPage, Family, Instruments, Sample, clean, family
from openai_exporter.metrics import own, usage

if TYPE_CHECKING:
    from openai_exporter.client.session import Session

# What a status page says, as closed lists of states; tolerant of everything that pages leave out or invent.

STATES = ("operational", "degraded_performance", "partial_outage", "major_outage", "under_maintenance", "unknown")
IMPACTS = ("none", "minor", "major", "critical", "maintenance", "unknown")
MAX_COMPONENTS = 500
"""Components exported; OpenAI's page has some 35."""

_OTHER_WORDS = {"full_outage": "major_outage", "maintenance": "under_maintenance"} | {
    state.replace("_", ""): state
    for state in STATES  # Instatus
}
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
            component = _component(each)
            if component is not None and len(components) < MAX_COMPONENTS:
                components.setdefault(component.id, component)
        for each in _objects(document, "incidents"):
            if _word(each.get("status")) not in _OVER:
                incidents.setdefault(str(each.get("id") or each.get("name") or ""), _incident(each))
    return Reading(tuple(components.values()), tuple(incidents.values()))


def select(
    components: tuple[Component, ...], requested: Sequence[str]
) -> tuple[tuple[Component, ...], tuple[str, ...]]:
    """The components that are requested by name or id (all when nothing is), and the requests that match none."""
    if not requested:
        return components, ()
    names = {each.id for each in components} | {each.name for each in components}
    selected = tuple(each for each in components if each.id in requested or each.name in requested)
    return selected, tuple(each for each in requested if each not in names)


def _listed(page: Reading) -> str:
    return ", ".join(sorted({each.name for each in page.components})) or "none"


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
    return Component(identifier, clean(str(each.get("name") or identifier)), state if state in STATES else "unknown")


def _incident(each: Mapping[str, object]) -> Incident:
    impact = _word(each.get("impact"))
    link = each.get("shortlink")
    return Incident(
        name=clean(str(each.get("name") or "unnamed incident")),
        impact=impact if impact in IMPACTS else "unknown",
        status=clean(_word(each.get("status"))) or "unknown",
        url=clean(link) if isinstance(link, str) and link.startswith(("https://", "http://")) else "",
    )


def _word(value: object) -> str:
    return value.strip().lower() if isinstance(value, str) else ""


# From a reading to metric families.


def families(
    up: bool, read_at: float | None, components: Sequence[Component], incidents: Sequence[Incident]
) -> list[Family]:
    """What `/status` exposes; without any read so far, `up` alone."""
    families = [family(usage.STATUS_UP, int(up)), family(usage.STATUS_FETCHED, read_at)]
    if read_at is None:
        return families
    states: list[Sample] = [
        ((each.id, each.name, state), int(each.state == state)) for each in components for state in STATES
    ]
    counts = Counter(each.impact for each in incidents)
    impacts: list[Sample] = [((impact,), counts[impact]) for impact in IMPACTS]
    return [*families, Family(usage.STATUS_COMPONENT, states), Family(usage.STATUS_INCIDENT, impacts)]


log = logging.getLogger(__name__)

MAX_BYTES = 2 << 20
"""Bound on an answer; OpenAI's is some 12 KiB."""


class StatusService:
    """Answers `/status` of one page.

    Attributes:
        config: which page, and how to read it.
        tried: whether a read was tried.
        read_at: Unix seconds of the last good read, None before the first.
        error: why the last read failed, empty when it did not.
        components: those that the configuration selects, as of the last good read.
        incidents: as of the last good read.

    Args:
        now: Unix seconds.
        proxies: as `urllib.request.getproxies()` returns them.
    """

    def __init__(
        self,
        page: StatusPage,
        *,
        instruments: Instruments,
        now: Callable[[], float] = time.time,
        proxies: Mapping[str, str] | None = None,
    ) -> None:
        self.config = page
        self._proxies = proxies or {}
        self._instruments = instruments
        self._session: Session | None = None
        self._now = now
        self._refresh: asyncio.Task[None] | None = None
        self.tried = False
        self._tried_at = float("-inf")
        self.read_at: float | None = None
        self.error = "not read yet"
        self._reading = Reading((), ())
        self._missing: tuple[str, ...] = ()
        self._encode()

    async def page(self, limit: float | None = None) -> EncodedPage:
        """The page's metrics; waits at most `limit` seconds for a read that is due."""
        if self._refresh is None and self._now() - self._tried_at >= self.config.refresh_interval:
            self._refresh = asyncio.create_task(self._read())
        if self._refresh is not None:
            await asyncio.wait([self._refresh], timeout=limit)
        return self._encoded

    def replaced_by(self, page: StatusPage) -> "StatusService":
        """The service of a reloaded configuration: this one when nothing changed, else a new one."""
        if page == self.config:
            return self
        new = StatusService(page, instruments=self._instruments, now=self._now, proxies=self._proxies)
        if page.url == self.config.url:
            new._reading, new.read_at, new.error = self._reading, self.read_at, self.error
            new._encode()
        return new

    async def close(self) -> None:
        """Stop reading."""
        if self._refresh is not None:
            self._refresh.cancel()
        if self._session is not None:
            self._session.close()

    async def _read(self) -> None:
        self.tried, self._tried_at = True, self._now()
        try:
            fresh = await asyncio.to_thread(self._fetched)
        except UpstreamError as error:
            self.error = str(error)
            self._warn(error)
        except Exception as error:
            self.error = f"internal error: {type(error).__name__}"
            log.exception("status page: read failed", extra={"fields": {"status_page": self.config.name}})
        else:
            self._reading = fresh
            self.read_at, self.error = self._now(), ""
        finally:
            self._refresh = None
            self._encode()

    def _fetched(self) -> Reading:
        """summary.json must be there; components.json only adds to it. A page that lists nothing was not read."""
        documents = [self._get("summary")]
        try:
            documents.append(self._get("components"))
        except UpstreamError as error:
            self._warn(error)
        fresh = reading(documents)
        selected = select(fresh.components, self.config.components)[0]
        if all(each.state == "unknown" for each in selected):
            names = ", ".join(map(repr, self.config.components)) if fresh.components and not selected else ""
            advice = f"listed: {_listed(fresh)}" if names else "set url to a page of the Statuspage v2 form"
            lacking = "whose status is a known word" if selected else names
            message = f"{self.config.url} lists no component{f' {lacking}' if lacking else ''}; {advice}"
            self._failed("status_summary", "malformed")
            raise UpstreamError(message, api="status_summary", reason="malformed")
        return fresh

    def _get(self, document: str) -> Mapping[str, object]:
        # Loaded at the first read: it takes longer than all the rest of a start.
        from openai_exporter.client.session import Network, Session

        path, api = f"/api/v2/{document}.json", f"status_{document}"
        self._instruments.count(own.UPSTREAM_CALLS, ("", api))
        if self._session is None:
            self._session = Session(self.config.url, self.config.timeout, Network(self._proxies))
        try:
            with self._session.get(path, api=api) as reply:
                if reply.status != 200:
                    moved = reply.headers.get("location", "").removesuffix(path)
                    where = f", moved to {moved[:200]}; set url to it" if moved and reply.status < 400 else ""
                    message = f"{self.config.url}{path}: HTTP {reply.status}{where}"
                    raise reply.error(message, status_reason(reply.status))
                return reply.json_object(MAX_BYTES)
        except UpstreamError as error:
            self._failed(api, error.reason)
            raise

    def _failed(self, api: str, reason: str) -> None:
        self._instruments.count(own.UPSTREAM_FAILURES, ("", api, reason))

    def _warn(self, error: UpstreamError) -> None:
        fields = {"status_page": self.config.name, "reason": error.reason}
        log.warning("status page: %s", error, extra={"fields": fields})

    def _encode(self) -> None:
        self.components, missing = select(self._reading.components, self.config.components)
        if self.read_at is None:
            missing = ()
        elif missing and missing != self._missing:
            names = ", ".join(map(repr, missing))
            log.warning(
                "status page %s lists no component %s; listed: %s", self.config.name, names, _listed(self._reading)
            )
        self._missing = missing
        self.incidents = self._reading.incidents
        self._encoded = EncodedPage(families(not self.error, self.read_at, self.components, self.incidents))
