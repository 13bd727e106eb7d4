# SPDX-License-Identifier: Apache-2.0
"""The active configuration and its services; a reload replaces both at once or not at all."""

import asyncio
import logging
import platform
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from openai_exporter import __version__
from openai_exporter.config import Config, load_config, zero_config
from openai_exporter.config.organization import Organization, StatusPage
from openai_exporter.config.secret import Masker
from openai_exporter.errors import ConfigError
from openai_exporter.exposition import Instruments
from openai_exporter.metrics import own
from openai_exporter.model import ProbeAnswer, ProbeKey, ProbeResult
from openai_exporter.probe.history import History
from openai_exporter.probe.service import Prober
from openai_exporter.status import StatusService
from openai_exporter.usage.service import UsageService

# The services of one configuration, and how a new configuration takes over from an old one.

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


# What each probe last answered, and its recent course: the landing page's memory.

COURSE = 40
"""Points kept per probe for its small chart."""


@dataclass(frozen=True, slots=True)
class Point:
    """One result in a chart."""

    at: float
    duration: float
    success: bool


@dataclass(slots=True)
class Track:
    """The last answer of a probe and its recent points, oldest first."""

    answer: ProbeAnswer
    points: deque[Point] = field(default_factory=lambda: deque(maxlen=COURSE))


class Board:
    """One track per probe."""

    def __init__(self) -> None:
        self._tracks: dict[ProbeKey, Track] = {}

    def record(self, answer: ProbeAnswer) -> None:
        """Take in the answer of a scrape; an answer from the cache adds no point."""
        result = answer.result
        track = self._tracks.setdefault(result.key, Track(answer))
        track.answer = answer
        if not track.points or track.points[-1].at != result.started_at:
            track.points.append(_point(result))

    def track(self, key: ProbeKey) -> Track | None:
        """The track of a probe, None before its first answer."""
        return self._tracks.get(key)

    def keep(self, config: Config) -> None:
        """Forget probes that the configuration no longer has."""
        wanted = set(probe_keys(config))
        self._tracks = {key: track for key, track in self._tracks.items() if key in wanted}


def probe_keys(config: Config) -> list[ProbeKey]:
    """Every probe of a configuration, in its order; the model is empty for endpoint `models`."""
    return [
        ProbeKey(probe.target, probe.module, model)
        for probe in config.probes
        for model in probe.models or ("",)
    ]


def _point(result: ProbeResult) -> Point:
    return Point(result.started_at, result.duration, result.success)


# What the command line asks of the server; reads no environment itself.

DEFAULT_LISTEN = ":9985"
DEFAULT_MAX_REQUESTS = 512
DEFAULT_TIMEOUT_OFFSET = 0.5


@dataclass(frozen=True, slots=True)
class Settings:
    """How the server runs.

    Attributes:
        env: the environment, for keys and the built-in configuration; never shown.
        proxies: as `urllib.request.getproxies()` returns them.
        config_file: None for the built-in configuration.
        listen: addresses such as `:9985`, `127.0.0.1:9985` or `[::1]:9985`.
        web_config_file: TLS, users and headers in exporter-toolkit's format.
        external_url: root under which clients reach the server, without a trailing slash; empty for the
            request's own Host.
        route_prefix: path before every route, empty or `/like/this`.
        max_requests: scrapes served at once; more are refused.
        timeout_offset: seconds taken off the scrape timeout that Prometheus announces.
        storage: folder for marks that survive a restart, None for none.
        history_limit: results kept for /history, None for the configuration's.
    """

    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)
    config_file: Path | None = None
    listen: tuple[str, ...] = (DEFAULT_LISTEN,)
    web_config_file: Path | None = None
    external_url: str = ""
    route_prefix: str = ""
    max_requests: int = DEFAULT_MAX_REQUESTS
    timeout_offset: float = DEFAULT_TIMEOUT_OFFSET
    storage: Path | None = None
    history_limit: int | None = None


# The configuration in force and its services; a reload replaces both at once or not at all.


def read_config(settings: Settings) -> Config:
    """The configuration that the settings name.

    Raises:
        ConfigError: every mistake at once.
    """
    if settings.config_file is None:
        return zero_config(settings.env)
    return load_config(settings.config_file, settings.env)


class Live:
    """What the routes read; `services` is replaced by a reload, never changed.

    Attributes:
        services: the services of the configuration in force.
        board: results per probe for the landing page.
        ready: whether requests are served; False while the process stops.
        now: our clock in Unix seconds.
    """

    def __init__(
        self,
        config: Config,
        settings: Settings,
        *,
        masker: Masker | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.instruments = Instruments()
        self.history = History(settings.history_limit or config.history.limit)
        self.board = Board()
        self.masker = masker or Masker()
        self.masker.follow(config)
        self._builder = Builder(self.instruments, self.history, settings.storage, settings.proxies)
        self.services = self._builder.first(config)
        self.ready = True
        self.now = now
        self.started_at = now()
        self._lock = asyncio.Lock()
        runtime = (__version__, platform.python_version())
        self.instruments.set(own.BUILD_INFO, 1, runtime)
        self._loaded(config)

    async def reload(self) -> Config:
        """Read the configuration again and put it in force; runs once at a time.

        Raises:
            ConfigError: it cannot be used; the one in force stays.
        """
        async with self._lock:
            try:
                config = await asyncio.to_thread(read_config, self.settings)
                old = self.services
                new = self._builder.next(old, config)
            except Exception as error:
                self._refused(error)
                raise
            self.services = new
            self.masker.follow(config)
            self._loaded(config)
            self.board.keep(config)
            self.history.resize(self.settings.history_limit or config.history.limit)
            await close_replaced(old, new)
        log.info("configuration reloaded", extra={"fields": _size(config)})
        return config

    async def close(self) -> None:
        """End every service."""
        self.ready = False
        await close_all(self.services)

    def _loaded(self, config: Config) -> None:
        self.instruments.set(own.CONFIG_RELOAD_SUCCESSFUL, 1)
        self.instruments.set(own.CONFIG_RELOAD_TIMESTAMP, self.now())
        self.instruments.set(own.UNREADABLE_KEYS, len(config.unreadable_keys))
        for problem in config.unreadable_keys:
            log.error("a key cannot be read, what needs it fails until it can: %s", problem)

    def _refused(self, error: Exception) -> None:
        self.instruments.set(own.CONFIG_RELOAD_SUCCESSFUL, 0)
        problems = error.problems if isinstance(error, ConfigError) else (error,)
        for problem in problems:
            log.error("configuration not reloaded, the one in force stays: %s", problem)


def _size(config: Config) -> dict[str, int]:
    return {
        "targets": len(config.targets),
        "probes": sum(len(each.models) or 1 for each in config.probes),
        "organizations": len(config.organizations),
        "status_pages": len(config.status_pages),
    }
