# SPDX-License-Identifier: Apache-2.0
"""The active configuration and its services; a reload replaces both at once or not at all."""

import asyncio
import json
import logging
import platform
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openai_exporter import __version__
from openai_exporter.client.network import check_proxies
from openai_exporter.config import Config, load_config, zero_config
from openai_exporter.config.secret import Credential, Masker
from openai_exporter.errors import ConfigError, CredentialError
from openai_exporter.exposition import Instruments
from openai_exporter.metrics import own
from openai_exporter.model import ProbeAnswer, ProbeKey
from openai_exporter.probe.service import Prober
from openai_exporter.probe.state import History
from openai_exporter.status import StatusService
from openai_exporter.usage.service import UsageService

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
        stack_file: what the stack around this exporter says of itself, None for none.
        history_limit: results kept for /history, None for the configuration's.
        announce: whether the log says after the start what is probed and read, and whether keys are accepted.
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
    stack_file: Path | None = None
    history_limit: int | None = None
    announce: bool = False


def format_address(host: str, port: int) -> str:
    """`host:port`, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


# What each probe last answered, and its recent course: what the landing page shows.

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
    points: deque[Point]


class Board:
    """One track per probe."""

    def __init__(self) -> None:
        self._tracks: dict[ProbeKey, Track] = {}

    def record(self, answer: ProbeAnswer) -> None:
        """Take in the answer of a scrape; an answer from the cache adds no point."""
        result = answer.result
        track = self._tracks.get(result.key)
        if track is None:
            track = self._tracks[result.key] = Track(answer, deque(maxlen=COURSE))
        track.answer = answer
        if not track.points or track.points[-1].at != result.started_at:
            track.points.append(Point(result.started_at, result.duration, result.success))

    def track(self, key: ProbeKey) -> Track | None:
        """The track of a probe, None before its first answer."""
        return self._tracks.get(key)

    def keep(self, config: Config) -> None:
        """Forget probes that the configuration no longer has."""
        keys = set(probe_keys(config))
        self._tracks = {key: track for key, track in self._tracks.items() if key in keys}


def probe_keys(config: Config) -> list[ProbeKey]:
    """Every probe of a configuration, in its order; the model is empty for endpoint `models`."""
    return [ProbeKey(probe.target, probe.module, model) for probe in config.probes for model in probe.models or ("",)]


@dataclass(frozen=True, slots=True)
class Stack:
    """What the stack around this exporter says of itself.

    Attributes:
        mode: `demo` or `production`, empty when nothing is said.
        problems: what is wrong in its files and variables.
        unused_keys: real keys that its demo leaves alone.
    """

    mode: str = ""
    problems: tuple[str, ...] = ()
    unused_keys: tuple[str, ...] = ()


def read_stack(file: Path | None) -> Stack:
    """The content of --stack.file; nothing when there is none, or it cannot be used."""
    if file is None:
        return Stack()
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        return Stack(str(data["mode"]), tuple(map(str, data["problems"])), tuple(map(str, data["unused_keys"])))
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("--stack.file cannot be used, the mode is not known: %s: %s", file, error)
        return Stack()


MADE_UP = ("sk-demo", "sk-admin-demo")
"""How keys begin that a demo made up."""
_SHORTEST = 20
"""Characters of a real key at least; a shorter one, such as sk-any, was typed to try the simulator."""


def _is_real(source: Credential | None) -> bool:
    """Whether a key is there that no demo made up."""
    try:
        key = "" if source is None else source.read().reveal()
        return len(key) >= _SHORTEST and not key.startswith(MADE_UP)
    except CredentialError:
        return False


log = logging.getLogger(__name__)

CLOSE_SECONDS = 0.4


def read_config(settings: Settings) -> Config:
    """The configuration that the settings name, with proxies that can be used for it.

    Raises:
        ConfigError: every mistake at once.
    """
    file, env = settings.config_file, settings.env
    config = zero_config(env) if file is None else load_config(file, env, keyless=settings.stack_file is not None)
    check_proxies(config.urls, settings.proxies)
    return config


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that answers scrapes of one configuration."""

    config: Config
    prober: Prober
    usages: Mapping[str, UsageService]
    statuses: Mapping[str, StatusService]


class Live:
    """What the routes read; `services` is replaced by a reload, never changed.

    Attributes:
        services: the services of the active configuration.
        board: results per probe for the landing page.
        ready: whether requests are served; False while the process stops.
        full: whether no more scrapes are let in just now.
        now: our clock in Unix seconds.
    """

    def __init__(
        self, config: Config, settings: Settings, *, masker: Masker | None = None, now: Callable[[], float] = time.time
    ) -> None:
        self.settings = settings
        self.instruments = Instruments()
        self.history = History(settings.history_limit or config.history.limit)
        self.board = Board()
        self.masker = masker or Masker()
        self.services = self._build(config)
        self.ready = True
        self.full: Callable[[], bool] = lambda: False
        self.now = now
        self.started_at = now()
        self.stack = Stack()
        self._lock = asyncio.Lock()
        self.instruments.set(own.BUILD_INFO, 1, (__version__, platform.python_version()))
        self._loaded(config)

    async def reload(self) -> Config:
        """Read the configuration again and make it active; runs once at a time.

        Raises:
            ConfigError: it cannot be used; the active one stays.
        """
        async with self._lock:
            try:
                config = await asyncio.to_thread(read_config, self.settings)
                new = self._build(config, self.services)
            except Exception as error:
                self.instruments.set(own.CONFIG_RELOAD_SUCCESSFUL, 0)
                for problem in error.problems if isinstance(error, ConfigError) else (error,):
                    log.error("config reload failed, keeping the current config: %s", problem)
                raise
            await self._replace(new)
        sizes = {
            "targets": len(config.targets),
            "probes": len(probe_keys(config)),
            "organizations": len(config.organizations),
            "status_pages": len(config.status_pages),
        }
        log.info("configuration reloaded", extra={"fields": sizes})
        return config

    async def _replace(self, new: Services) -> None:
        """Serve `new`, and close what it did not take over; probes in flight end as they would."""
        old, config = self.services, new.config
        self.services = new
        self._loaded(config)
        self.board.keep(config)
        self.history.resize(self.settings.history_limit or config.history.limit)
        usages = [service for name, service in old.usages.items() if name not in new.usages]
        statuses = [each for name, each in old.statuses.items() if new.statuses.get(name) is not each]
        await _close(old.prober, *usages, *statuses)

    def simulated_with_real_key(self) -> int:
        """Keys that the demo of the stack leaves alone, and real ones that go to an API that a simulator answers."""
        config = self.services.config
        keys = probe_keys(config)
        simulated = {key.target for key in keys if (track := self.board.track(key)) and track.answer.result.simulated}
        roots = {target.base_url for target in config.targets if target.name in simulated}
        sources = [config.target_credential(name) for name in simulated]
        sources += [
            config.organization_credential(each.name) for each in config.organizations if each.base_url in roots
        ]
        return len(self.stack.unused_keys) + sum(map(_is_real, sources))

    async def close(self) -> None:
        """End every service."""
        self.ready = False
        services = self.services
        await _close(services.prober, *services.usages.values(), *services.statuses.values())

    def _build(self, config: Config, old: Services | None = None) -> Services:
        """The services of a configuration; what did not change keeps its state. `old` stays usable."""
        usages: dict[str, UsageService] = {}
        statuses: dict[str, StatusService] = {}
        common: dict[str, Any] = {"instruments": self.instruments, "proxies": self.settings.proxies}
        stored = {**common, "storage": self.settings.storage}
        for organization in config.organizations:
            usage = old.usages.get(organization.name) if old else None
            usages[organization.name] = (
                usage.replaced_by(config, organization) if usage else UsageService(config, organization, **stored)
            )
        for page in config.status_pages:
            status = old.statuses.get(page.name) if old else None
            statuses[page.name] = status.replaced_by(page) if status else StatusService(page, **common)
        # Last, since it marks the old one as replaced.
        if old:
            prober = old.prober.replaced_by(config)
        else:
            prober = Prober(config, history=self.history, masker=self.masker, **stored)
        return Services(config, prober, usages, statuses)

    def _loaded(self, config: Config) -> None:
        self.instruments.set(own.CONFIG_RELOAD_SUCCESSFUL, 1)
        self.instruments.set(own.CONFIG_RELOAD_TIMESTAMP, self.now())
        self.instruments.set(own.UNREADABLE_KEYS, len(config.unreadable_keys))
        if self.stack.mode:
            self.instruments.forget(own.STACK_INFO, (self.stack.mode,))
        self.stack = read_stack(self.settings.stack_file)
        if self.stack.mode:
            self.instruments.set(own.STACK_INFO, 1, (self.stack.mode,))
            self.instruments.set(own.STACK_PROBLEMS, len(self.stack.problems))
        for text in self.stack.problems:
            log.error("what was accepted before stays active in place of this: %s", text)
        for problem in config.unreadable_keys:
            log.error("cannot read key; dependent probes and refreshes fail until it is available: %s", problem)


async def _close(*services: Prober | UsageService | StatusService) -> None:
    """Close all at once, and wait no longer than `CLOSE_SECONDS`: a thread may hang in a call."""
    await asyncio.wait([asyncio.create_task(_closed(each)) for each in services], timeout=CLOSE_SECONDS)


async def _closed(service: Prober | UsageService | StatusService) -> None:
    try:
        await service.close()
    except Exception:
        log.exception("a service did not close cleanly")
