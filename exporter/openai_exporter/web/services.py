# SPDX-License-Identifier: Apache-2.0
"""The services of one configuration, and how a new configuration takes over from an old one."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from openai_exporter.config import Config
from openai_exporter.config.organization import Organization, StatusPage
from openai_exporter.exposition import Instruments
from openai_exporter.probe.history import History
from openai_exporter.probe.service import Prober
from openai_exporter.status.service import StatusService
from openai_exporter.usage.service import UsageService

log = logging.getLogger(__name__)

CLOSE_SECONDS = 0.4


class _Closable(Protocol):
    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that answers scrapes of one configuration."""

    config: Config
    prober: Prober
    usages: Mapping[str, UsageService]
    statuses: Mapping[str, StatusService]


class Builder:
    """Makes services that share what outlives a reload.

    Args:
        storage: folder for marks that survive a restart, None for none.
        proxies: as `urllib.request.getproxies()` returns them.
    """

    def __init__(
        self, instruments: Instruments, history: History, storage: Path | None, proxies: Mapping[str, str]
    ) -> None:
        self._instruments = instruments
        self._history = history
        self._storage = storage
        self._proxies = proxies

    def first(self, config: Config) -> Services:
        """The services of the first configuration."""
        prober = Prober(
            config,
            instruments=self._instruments,
            history=self._history,
            proxies=self._proxies,
            storage=self._storage,
        )
        usages = {each.name: self._usage(config, each) for each in config.organizations}
        return Services(
            config, prober, usages, {each.name: self._status(each) for each in config.status_pages}
        )

    def next(self, old: Services, config: Config) -> Services:
        """The services of a new configuration; what did not change keeps its state. `old` stays usable."""
        usages = {}
        for each in config.organizations:
            before = old.usages.get(each.name)
            usages[each.name] = before.replaced_by(config, each) if before else self._usage(config, each)
        statuses = {}
        for page in config.status_pages:
            known = old.statuses.get(page.name)
            statuses[page.name] = known.replaced_by(page) if known else self._status(page)
        # Last, since it marks the old one as replaced.
        return Services(config, old.prober.replaced_by(config), usages, statuses)

    def _usage(self, config: Config, organization: Organization) -> UsageService:
        return UsageService(
            config,
            organization,
            instruments=self._instruments,
            storage=self._storage,
            proxies=self._proxies,
        )

    def _status(self, page: StatusPage) -> StatusService:
        return StatusService(page, instruments=self._instruments, proxies=self._proxies)


async def close_replaced(old: Services, new: Services) -> None:
    """Close what nothing of `new` took over; probes in flight end as they would."""
    gone: list[_Closable] = [old.prober]
    gone += [service for name, service in old.usages.items() if name not in new.usages]
    gone += [service for name, service in old.statuses.items() if new.statuses.get(name) is not service]
    await _close(gone)


async def close_all(services: Services) -> None:
    """Close everything at the end of the process."""
    await _close([services.prober, *services.usages.values(), *services.statuses.values()])


async def _close(services: Sequence[_Closable]) -> None:
    """Close all at once, and wait no longer than `CLOSE_SECONDS`: a thread may hang in a call."""
    closing = [asyncio.create_task(_closed(each)) for each in services]
    if closing:
        await asyncio.wait(closing, timeout=CLOSE_SECONDS)


async def _closed(service: _Closable) -> None:
    try:
        await service.close()
    except Exception:
        log.exception("a service did not close cleanly")
