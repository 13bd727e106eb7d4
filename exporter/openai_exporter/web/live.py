# SPDX-License-Identifier: Apache-2.0
"""The configuration in force and its services; a reload replaces both at once or not at all."""

import asyncio
import logging
import platform
import time
from collections.abc import Callable

from openai_exporter import __version__
from openai_exporter.config import Config, load_config, zero_config
from openai_exporter.errors import ConfigError
from openai_exporter.exposition import Instruments
from openai_exporter.metrics import own
from openai_exporter.probe.history import History
from openai_exporter.web.board import Board
from openai_exporter.web.masking import Masker
from openai_exporter.web.services import Builder, close_all, close_replaced
from openai_exporter.web.settings import Settings

log = logging.getLogger(__name__)


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
