# SPDX-License-Identifier: Apache-2.0
"""Answers scrapes: a fresh probe, one that is in flight, or the last result when the API is to be left alone."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from openai_exporter.config import Config
from openai_exporter.exposition import Instruments
from openai_exporter.model import ProbeAnswer, ProbeKey, ProbeResult
from openai_exporter.probe.backoff import RETRY_AFTER_CAP, Draw, is_limited
from openai_exporter.probe.clients import Clients
from openai_exporter.probe.directory import Directory
from openai_exporter.probe.fresh import Measurer
from openai_exporter.probe.history import History
from openai_exporter.probe.logline import located, record
from openai_exporter.probe.memory import Wait
from openai_exporter.probe.shared import Clocks, Shared
from openai_exporter.probe.state import ProbeState, Running

MAX_IN_FLIGHT = 1000
"""Probes that wait for their answer at the same time; more wait for their turn, outside of what is measured."""


class Prober:
    """The probes of one configuration.

    Args:
        now: Unix seconds.
        monotonic: seconds that never jump, which ages and waits count by.
        draw: random number between two bounds, for jitter.
        proxies: as `urllib.request.getproxies()` returns them; none by default.
        max_in_flight: bound on probes that wait for their answer.
        storage: folder that keeps spend and waits over a restart, None to keep nothing.
    """

    def __init__(
        self,
        config: Config,
        *,
        instruments: Instruments,
        history: History,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        draw: Draw = random.uniform,
        proxies: Mapping[str, str] = MappingProxyType({}),
        max_in_flight: int = MAX_IN_FLIGHT,
        storage: Path | None = None,
    ) -> None:
        clocks = Clocks(now, monotonic, draw)
        shared = Shared(config, instruments, history, clocks, proxies, max_in_flight, storage)
        self._begin(config, shared, Clients(shared.library, proxies, shared.turns))
        for wait in shared.waits.values():
            if self.knows(wait.key) is None:
                self._resume(wait)

    def _begin(self, config: Config, shared: Shared, clients: Clients) -> None:
        self._config = config
        self._shared = shared
        self._clients = clients
        self._directory = Directory(config)
        self._measurer = Measurer(config, self._directory, shared, clients)
        self._states: dict[ProbeKey, ProbeState] = {}
        self._tasks: set[asyncio.Task[ProbeResult]] = set()
        self._replaced = False
        shared.totals.prepare(self._directory)

    def _resume(self, wait: Wait) -> None:
        """Wait on as before a restart; no longer than any wait may be, should the clock have been moved."""
        clocks = self._shared.clocks
        left = min(wait.until - clocks.now(), RETRY_AFTER_CAP)
        if left > 0:
            result = self._measurer.unprobed(wait.key, wait.outcome, wait.message)
            result = replace(result, started_at=wait.at, status_code=wait.status_code, message=wait.message)
            age = max(clocks.now() - wait.at, 0.0)
            state = self._states.setdefault(wait.key, ProbeState())
            state.resume(result, age, left, wait.strikes, clocks.monotonic())

    @property
    def keys(self) -> tuple[ProbeKey, ...]:
        """Every configured probe."""
        return self._directory.keys

    def knows(self, key: ProbeKey) -> str | None:
        """None for a configured probe, else one line naming what is unknown and what is allowed."""
        return self._directory.refusal(key)

    async def warm(self) -> None:
        """Import what the first probe needs, and load certificates; else the first probe does it, untimed too."""
        for target in self._config.targets:
            await self._clients.get(target)

    async def probe(self, key: ProbeKey, limit: float | None = None) -> ProbeAnswer:
        """Answer one scrape within `limit` seconds, capped by the module's timeout. Never raises for a failure.

        Raises:
            ValueError: the key is not configured.
        """
        refusal = self.knows(key)
        if refusal is not None:
            raise ValueError(refusal)
        state = self._states.setdefault(key, ProbeState())
        now = self._shared.clocks.monotonic()
        timeout = self._directory.parts(key)[1].timeout
        deadline = now + (timeout if limit is None else max(min(limit, timeout), 0.0))
        running = state.joinable(deadline)
        if running is not None:
            result = await asyncio.shield(running)
            self._shared.totals.cached(key)
            return ProbeAnswer(result, cached=True, backoff=self._backoff(state), reason="shared")
        kept = self._kept(key, state, now)
        if kept is not None:
            self._shared.totals.cached(key)
            return kept
        result = await asyncio.shield(self._start(key, state, deadline))
        return ProbeAnswer(result, backoff=self._backoff(state))

    def replaced_by(self, config: Config) -> "Prober":
        """A prober for a reloaded configuration.

        Unchanged probes keep their results and waits, unchanged targets their connections, modules their spend.
        Probes in flight end as they would; `close` this one afterwards.
        """
        other = Prober.__new__(Prober)
        self._shared.keyring.learn(config)
        other._begin(config, self._shared, self._clients.hand_over(config))
        for key, state in self._states.items():
            if other.knows(key) is None and other._directory.parts(key) == self._directory.parts(key):
                other._states[key] = state
        self._replaced = True
        return other

    async def close(self) -> None:
        """Close connections; cancel what is in flight, unless another prober has taken over."""
        if not self._replaced:
            for task in tuple(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._clients.aclose()
        await self._shared.memory.close()

    def _kept(self, key: ProbeKey, state: ProbeState, now: float) -> ProbeAnswer | None:
        """The answer when the API is not to be called: by the cost limit, a wait, or a scrape just before."""
        module = self._directory.parts(key)[1]
        if not self._shared.spend.reached(key.module, module.daily_cost_limit_usd):
            return state.from_cache(module, now)
        answer = state.cached("cost_limit", now, cost_limited=True)
        if answer is not None and not state.outdated(module, now):
            return answer
        message = f"the daily cost limit of module {key.module} is reached"
        result = self._measurer.unprobed(key, "cost_limited", message)
        return ProbeAnswer(
            result, answer.age if answer else 0.0, True, cost_limited=True, reason="cost_limit"
        )

    def _backoff(self, state: ProbeState) -> float:
        return state.backoff(self._shared.clocks.monotonic())

    def _remember(self, key: ProbeKey, state: ProbeState, result: ProbeResult) -> None:
        """Let a restart know what was spent, and which probes the API told to wait."""
        shared, now = self._shared, self._shared.clocks.now()
        known = shared.waits.pop(key, None)
        if is_limited(result):
            shared.waits[key] = Wait(
                key, now + self._backoff(state), now, state.strikes,
                result.outcome, result.status_code, result.message,
            )  # fmt: skip
        if result.cost_usd or known is not None or key in shared.waits:
            shared.memory.changed()

    def _start(self, key: ProbeKey, state: ProbeState, deadline: float) -> asyncio.Task[ProbeResult]:
        state.started = self._shared.clocks.monotonic()
        task = asyncio.create_task(self._fresh(key, state, deadline))
        state.running = Running(deadline, task)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _fresh(self, key: ProbeKey, state: ProbeState, deadline: float) -> ProbeResult:
        shared = self._shared
        try:
            result = await self._measurer.measure(key, deadline)
        except Exception as error:  # such as a certificate bundle that cannot be loaded
            result = self._measurer.unprobed(key, "internal", f"the exporter failed: {located(error)}")
        state.settle(result, shared.clocks.monotonic(), shared.clocks.draw)
        if result.cost_usd is not None:
            shared.spend.add(key.module, result.cost_usd)
        self._remember(key, state, result)
        shared.totals.count(result)
        shared.history.add(ProbeAnswer(result, backoff=self._backoff(state)))
        record(result)
        return result
