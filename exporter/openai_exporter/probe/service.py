# SPDX-License-Identifier: Apache-2.0
"""Answers scrapes: a new probe, one that is in flight, or the last result while the API is not to be called."""

import asyncio
import random
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from openai_exporter.client.pool import DEFAULT_CAP, Terms, Turns
from openai_exporter.config import Config, Secret
from openai_exporter.config.probing import Module
from openai_exporter.errors import CredentialError
from openai_exporter.exposition import Instruments
from openai_exporter.metrics import own
from openai_exporter.model import Endpoint, ProbeAnswer, ProbeKey, ProbeResult, RateLimit
from openai_exporter.probe.endpoints import MAX_BODY
from openai_exporter.probe.families import Totals
from openai_exporter.probe.history import History
from openai_exporter.probe.judge import OUTCOMES, BackOff
from openai_exporter.probe.reading import Setting
from openai_exporter.probe.result import Frame, ProbeLog, bare_result, located, record
from openai_exporter.probe.run import run_probe
from openai_exporter.probe.store import Memory, Remembered, Spend, Wait
from openai_exporter.probe.targets import Clients, Directory, Keyring, Library

# How long a probe leaves the API alone after an answer: rate limits, used-up quotas, limits nearly reached. Pure.
# Failures of the provider cause no wait: an outage that is not probed is an outage that is not measured. Our own
# mistakes cause none either; they cost nothing and must show as soon as they are mended.

LIMIT_BASE, LIMIT_CAP = 5.0, 300.0
RETRY_AFTER_CAP = 3600.0
"""Longest wait that a server can ask for; a nonsensical header must not silence a probe for days."""
QUOTA_BASE, QUOTA_CAP = 60.0, 3600.0
NEAR_ZERO = 0.02
"""Share of a limit below which it counts as nearly reached."""
NEAR_ZERO_CAP = 60.0

Draw = Callable[[float, float], float]


def wait_after(result: ProbeResult, strikes: int, draw: Draw = random.uniform) -> float:
    """Seconds to wait after a result, 0 for none; `strikes` counts the waits in a row before this one.

    `draw(low, high)` yields a random number between the two (full jitter).
    """
    kind = OUTCOMES[result.outcome].backoff
    if kind is BackOff.QUOTA:
        return draw(0.0, min(QUOTA_BASE * 2.0 ** min(strikes, 16), QUOTA_CAP))
    if kind is BackOff.LIMIT:
        if result.retry_after:
            return min(result.retry_after, RETRY_AFTER_CAP)
        return draw(0.0, min(LIMIT_BASE * 2.0 ** min(strikes, 16), LIMIT_CAP))
    return max((_until_relief(limit) for limit in result.rate_limits), default=0.0)


def is_limited(result: ProbeResult) -> bool:
    """Whether the API refused the probe for a limit, so that the next wait is longer."""
    return OUTCOMES[result.outcome].backoff in (BackOff.QUOTA, BackOff.LIMIT)


def _until_relief(limit: RateLimit) -> float:
    """Without a limit to compare with, as Azure often answers, only 0 is near zero; without a reset, a short wait."""
    if limit.remaining is None or (limit.remaining > 0 and limit.remaining >= NEAR_ZERO * (limit.limit or 0)):
        return 0.0
    unknown = 0.0 if limit.remaining else LIMIT_BASE
    return min(unknown if limit.reset_seconds is None else limit.reset_seconds, NEAR_ZERO_CAP)


# What is remembered of one probe between scrapes: its last result, its wait, the run in flight.

OUTDATED, OUTDATED_INTERVALS = 300.0, 3
"""Age in seconds, and in intervals of a module, from which on a probe that is not made has no result to repeat.

Five minutes are also how long Prometheus repeats the last sample of a series that is no longer scraped.
"""


@dataclass(slots=True)
class Running:
    """A probe in flight that scrapes may share."""

    deadline: float
    task: asyncio.Task[ProbeResult]


@dataclass(slots=True)
class ProbeState:
    """State of one probe key; all times are monotonic seconds.

    Attributes:
        last: the newest result and when it was finished.
        started: when the newest probe started, which `min_interval` counts from.
        until: when the API may be called again.
        strikes: waits in a row.
    """

    last: ProbeResult | None = None
    finished: float = 0.0
    started: float = float("-inf")
    until: float = 0.0
    strikes: int = 0
    running: Running | None = None

    def settle(self, result: ProbeResult, now: float, draw: Draw) -> None:
        """Take in a fresh result."""
        self.last, self.finished = result, now
        wait = wait_after(result, self.strikes, draw)
        self.strikes = self.strikes + 1 if wait > 0 or is_limited(result) else 0
        self.until = now + wait

    def resume(self, result: ProbeResult, age: float, wait: float, strikes: int, now: float) -> None:
        """Go on from before a restart: what was answered then, how long ago, and how long to wait still."""
        self.last, self.finished = result, now - age
        self.strikes, self.until = strikes, now + wait

    def backoff(self, now: float) -> float:
        """Seconds for which the API will still not be called."""
        return max(self.until - now, 0.0)

    def from_cache(self, module: Module, now: float) -> ProbeAnswer | None:
        """The last result, when the API is not to be called now; None when it is."""
        if self.last is None:
            return None
        if self.backoff(now) > 0:
            return self.cached("backoff", now)
        # A result of before an idle hour is no answer, even while a run that cannot be joined has just begun.
        fresh = now - self.finished < module.min_interval + module.timeout
        if fresh and now - self.started < module.min_interval:
            return self.cached("min_interval", now)
        return None

    def outdated(self, module: Module, now: float) -> bool:
        """Whether the last result is too old to stand for the present."""
        return now - self.finished > max(OUTDATED, OUTDATED_INTERVALS * module.min_interval)

    def cached(self, reason: str, now: float, *, cost_limited: bool = False) -> ProbeAnswer | None:
        """The last result with its age; None without any."""
        if self.last is None:
            return None
        age = max(now - self.finished, 0.0)
        return ProbeAnswer(self.last, age, True, self.backoff(now), cost_limited, reason)

    def joinable(self, deadline: float) -> asyncio.Task[ProbeResult] | None:
        """The run in flight, if it ends within `deadline`."""
        running = self.running
        if running is None or running.task.done() or running.deadline > deadline:
            return None
        return running.task


# What outlives a reload of the configuration: counters, history, spend, keys seen, places among those in flight.


@dataclass(frozen=True, slots=True)
class Clocks:
    """Time and chance, injected.

    Attributes:
        now: Unix seconds.
        monotonic: seconds, for ages and waits.
        draw: random number between two bounds.
    """

    now: Callable[[], float]
    monotonic: Callable[[], float]
    draw: Draw


class Shared:
    """One per process, handed from prober to prober."""

    def __init__(
        self,
        config: Config,
        instruments: Instruments,
        history: History,
        clocks: Clocks,
        proxies: Mapping[str, str],
        max_in_flight: int,
        storage: Path | None,
    ) -> None:
        self.totals = Totals(instruments)
        self.history = history
        self.clocks = clocks
        self.keyring = Keyring(config, proxies)
        self.library = Library()
        self.turns = Turns()
        self.spend = Spend(clocks.now)
        self.waits: dict[ProbeKey, Wait] = {}
        self.memory = Memory(
            storage, self._kept, lambda reason: instruments.count(own.STORAGE_FAILURES, ("", reason))
        )
        self._recall()
        self._slots = asyncio.Semaphore(max_in_flight)

    def _kept(self) -> Remembered:
        day, spent = self.spend.so_far()
        now = self.clocks.now()
        return Remembered(day, spent, tuple(each for each in self.waits.values() if each.until > now))

    def _recall(self) -> None:
        found = self.memory.load()
        if found is not None:
            self.spend.restore(found.day, found.spend)
            self.waits = {each.key: each for each in found.waits}

    @asynccontextmanager
    async def slot(self, deadline: float) -> AsyncIterator[bool]:
        """A place among the probes in flight; False when none came free within the deadline (monotonic)."""
        if not await self._acquired(deadline):
            yield False
            return
        self.totals.in_flight(+1)
        try:
            yield True
        finally:
            self.totals.in_flight(-1)
            self._slots.release()

    async def _acquired(self, deadline: float) -> bool:
        if not self._slots.locked():
            return await self._slots.acquire()
        try:
            return await asyncio.wait_for(self._slots.acquire(), max(deadline - self.clocks.monotonic(), 0.0))
        except TimeoutError:
            return False


# One fresh probe within its deadline: key, client, request; our own waits never become the API's latency.


class Measurer:
    """Makes the probes of one configuration."""

    def __init__(self, config: Config, directory: Directory, shared: Shared, clients: Clients) -> None:
        self._config = config
        self._directory = directory
        self._shared = shared
        self._clients = clients

    async def measure(self, key: ProbeKey, deadline: float) -> ProbeResult:
        """Make one probe that ends by `deadline` (monotonic seconds); failures become outcomes."""
        target, module = self._directory.parts(key)
        timeout = max(deadline - self._shared.clocks.monotonic(), 0.0)
        async with self._shared.slot(deadline) as free:
            client = await self._clients.get(target)
            try:
                secret = self._secret(target.name)
            except CredentialError as error:
                return self.unprobed(key, "no_credentials", str(error))
            frame = self._frame(key, timeout, secret)
            left = deadline - self._shared.clocks.monotonic()
            if not free or left <= 0:
                message = "the deadline passed before the exporter came to it"
                return bare_result(frame, ProbeLog(frame.redactor), "exporter_busy", message)
            # The loop's own clock times the exchange, whatever clock was injected for ages and waits.
            ends = asyncio.get_running_loop().time() + left
            terms = Terms(ends, module.connection == "fresh", MAX_BODY.get(module.endpoint, DEFAULT_CAP))
            return await run_probe(frame, client, terms, secret, self._shared.turns.turn)

    def unprobed(self, key: ProbeKey, outcome: str, message: str) -> ProbeResult:
        """The result of a probe that is not made."""
        frame = self._frame(key, self._directory.parts(key)[1].timeout, None)
        return bare_result(frame, ProbeLog(frame.redactor), outcome, message)

    def _secret(self, target: str) -> Secret | None:
        credential = self._config.target_credential(target)
        return None if credential is None else credential.read()

    def _frame(self, key: ProbeKey, timeout: float, secret: Secret | None) -> Frame:
        target, module = self._directory.parts(key)
        expected = self._directory.models_of(target.name) if module.endpoint is Endpoint.MODELS else ()
        return Frame(
            key=key,
            setting=Setting(module, target.provider, key.model, self._config.all_prices),
            started_at=self._shared.clocks.now(),
            timeout=timeout,
            redactor=self._shared.keyring.redactor(secret),
            client_request_id=uuid.uuid4().hex,
            expected_models=expected,
        )


# Answers scrapes: a fresh probe, one that is in flight, or the last result when the API is to be left alone.

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
