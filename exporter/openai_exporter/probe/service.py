# SPDX-License-Identifier: Apache-2.0
"""Answers scrapes: a new probe, one that is in flight, or the last result while the API is not to be called."""

import asyncio
import random
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from openai_exporter.client.network import ProxyError, parse_proxy
from openai_exporter.client.pool import DEFAULT_CAP, Terms, Turns
from openai_exporter.config import Config
from openai_exporter.config.secret import Masker
from openai_exporter.config.sections import Module, Target
from openai_exporter.errors import CredentialError
from openai_exporter.exposition import Instruments
from openai_exporter.metrics import own
from openai_exporter.model import Endpoint, ProbeAnswer, ProbeKey, ProbeResult, RateLimit
from openai_exporter.probe.endpoints import MAX_BODY
from openai_exporter.probe.families import Totals
from openai_exporter.probe.history import History
from openai_exporter.probe.judge import OUTCOMES, BackOff
from openai_exporter.probe.reading import Setting
from openai_exporter.probe.result import Frame, record, unsent_result
from openai_exporter.probe.run import Clients, located, run_probe
from openai_exporter.probe.store import StateStore, Wait

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
    return max(map(_until_relief, result.rate_limits), default=0.0)


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
class ProbeState:
    """State of one probe key; all times are monotonic seconds.

    Attributes:
        last: the newest result and when it was finished.
        started: when the newest probe started, which `min_interval` counts from.
        until: when the API may be called again.
        strikes: waits in a row.
        running: the probe in flight, which ends by `running_until`.
    """

    last: ProbeResult | None = None
    finished: float = 0.0
    started: float = float("-inf")
    until: float = 0.0
    strikes: int = 0
    running: asyncio.Task[ProbeResult] | None = None
    running_until: float = 0.0

    def settle(self, result: ProbeResult, now: float, draw: Draw) -> None:
        """Take in a fresh result."""
        self.last, self.finished = result, now
        wait = wait_after(result, self.strikes, draw)
        self.strikes = self.strikes + 1 if wait > 0 or is_limited(result) else 0
        self.until = now + wait

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

    def cached(self, reason: str, now: float, *, cost_limited: bool = False) -> ProbeAnswer | None:
        """The last result with its age; None without any."""
        if self.last is None:
            return None
        age = max(now - self.finished, 0.0)
        return ProbeAnswer(self.last, age, True, self.backoff(now), cost_limited, reason)

    def joinable(self, deadline: float) -> asyncio.Task[ProbeResult] | None:
        """The run in flight, if it ends within `deadline`."""
        running = self.running
        return running if running and not running.done() and self.running_until <= deadline else None


# What outlives a reload of the configuration: counters, history, spend, keys seen, places among those in flight.


class Shared:
    """One per process, handed from prober to prober.

    Args:
        now: Unix seconds.
        monotonic: seconds, for ages and waits.
        draw: random number between two bounds.
    """

    def __init__(
        self,
        instruments: Instruments,
        history: History,
        now: Callable[[], float],
        monotonic: Callable[[], float],
        draw: Draw,
        proxies: Mapping[str, str],
        max_in_flight: int,
        storage: Path | None,
    ) -> None:
        self.totals = Totals(instruments)
        self.history = history
        self.now, self.monotonic, self.draw = now, monotonic, draw
        self.masker = Masker(proxy_secrets(proxies))
        self.turns = Turns()
        self.store = StateStore(storage, now, lambda reason: instruments.count(own.STORAGE_FAILURES, ("", reason)))
        self._slots = asyncio.Semaphore(max_in_flight)

    @asynccontextmanager
    async def slot(self, deadline: float) -> AsyncIterator[bool]:
        """A place among the probes in flight; False when none came free within the deadline (monotonic)."""
        left = max(deadline - self.monotonic(), 0.0)
        try:
            async with asyncio.timeout(left if self._slots.locked() else None):
                await self._slots.acquire()
        except TimeoutError:
            yield False
            return
        self.totals.in_flight(+1)
        try:
            yield True
        finally:
            self.totals.in_flight(-1)
            self._slots.release()


def proxy_secrets(proxies: Mapping[str, str]) -> Iterable[str]:
    """The passwords of proxies, as they are written and as they are sent."""
    for name, url in proxies.items():
        if name == "no":
            continue
        try:
            proxy = parse_proxy(url)
        except ProxyError:
            continue
        if proxy.authorization:
            yield proxy.authorization.removeprefix("Basic ")
            yield url.rsplit("@", 1)[0].rsplit(":", 1)[-1]


# Which probes a configuration has, and a helpful refusal for every other one.

_LISTED = 20


class Directory:
    """The probes of one configuration.

    Attributes:
        parts: target and module of every probe, in the configuration's order.
    """

    def __init__(self, config: Config) -> None:
        self._targets = {target.name: target for target in config.targets}
        self._modules = config.modules
        self.parts: dict[ProbeKey, tuple[Target, Module]] = {}
        for probe in config.probes:
            parts = self._targets[probe.target], self._modules[probe.module]
            self.parts |= {ProbeKey(probe.target, probe.module, model): parts for model in probe.models or ("",)}

    def models_of(self, target: str) -> tuple[str, ...]:
        """The models that are probed on a target, each once."""
        return tuple(dict.fromkeys(key.model for key in self.parts if key.target == target and key.model))

    def refusal(self, key: ProbeKey) -> str | None:
        """None for a known probe, else one line: what is unknown, and what is allowed."""
        if key in self.parts:
            return None
        if key.target not in self._targets:
            return _unknown("target", key.target, self._targets)
        if key.module not in self._modules:
            return _unknown("module", key.module, self._modules)
        here = [known for known in self.parts if known.target == key.target]
        models = [known.model for known in here if known.module == key.module]
        if not models:
            where = f"module {_quoted(key.module)} is not configured for target {key.target}"
            return f"{where}; configured: {_list(dict.fromkeys(known.module for known in here))}"
        if models == [""]:
            return f"module {key.module} takes no model; leave parameter model out"
        return _unknown("model", key.model, models, f" for module {key.module} on target {key.target}")


def _unknown(kind: str, name: str, allowed: Iterable[str], where: str = "") -> str:
    problem = f"unknown {kind} {_quoted(name)}" if name else f"parameter {kind} is missing"
    return f"{problem}{where}; configured: {_list(allowed)}"


def _quoted(name: str) -> str:
    return repr(name if len(name) <= 64 else name[:63] + "…")


def _list(allowed: Iterable[str]) -> str:
    names = list(allowed)
    more = f", and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return (", ".join(names[:_LISTED]) + more) or "none"


# One fresh probe within its deadline: key, client, request; our own waits never become the API's latency.


class Measurer:
    """Makes the probes of one configuration."""

    def __init__(self, config: Config, directory: Directory, shared: Shared, clients: Clients) -> None:
        self._prices = config.all_prices
        self._credentials = {target.name: config.target_credential(target.name) for target in config.targets}
        self._directory = directory
        self._shared = shared
        self._clients = clients

    async def measure(self, key: ProbeKey, deadline: float) -> ProbeResult:
        """Make one probe that ends by `deadline` (monotonic seconds); failures become outcomes."""
        target, module = self._directory.parts[key]
        shared, credential = self._shared, self._credentials[target.name]
        timeout = max(deadline - shared.monotonic(), 0.0)
        async with shared.slot(deadline) as free:
            client = await self._clients.get(target)
            try:
                secret = None if credential is None else credential.read()
            except CredentialError as error:
                return self.unprobed(key, "no_credentials", str(error))
            if secret is not None:
                shared.masker.learn(secret.reveal())
            frame = self._frame(key, timeout)
            left = deadline - shared.monotonic()
            if not free or left <= 0:
                message = "the deadline passed before the exporter came to it"
                return unsent_result(frame, "exporter_busy", message)
            # The loop's own clock times the exchange, whatever clock was injected for ages and waits.
            ends = asyncio.get_running_loop().time() + left
            terms = Terms(ends, module.connection == "fresh", MAX_BODY.get(module.endpoint, DEFAULT_CAP))
            return await run_probe(frame, client.call, terms, secret, shared.turns.turn)

    def unprobed(self, key: ProbeKey, outcome: str, message: str) -> ProbeResult:
        """The result of a probe that is not made."""
        return unsent_result(self._frame(key, self._directory.parts[key][1].timeout), outcome, message)

    def _frame(self, key: ProbeKey, timeout: float) -> Frame:
        target, module = self._directory.parts[key]
        listed = module.endpoint is Endpoint.MODELS
        return Frame(
            key=key,
            setting=Setting(module, target.provider, key.model, self._prices),
            started_at=self._shared.now(),
            timeout=timeout,
            masker=self._shared.masker,
            client_request_id=uuid.uuid4().hex,
            expected_models=self._directory.models_of(target.name) if listed else (),
        )


# Answers scrapes.

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
        shared = Shared(instruments, history, now, monotonic, draw, proxies, max_in_flight, storage)
        self._begin(config, shared, Clients(proxies, shared.turns))
        for wait in shared.store.waits.values():
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
        shared.masker.follow(config)
        shared.totals.prepare(self._directory.parts)

    def _resume(self, wait: Wait) -> None:
        """Wait on as before a restart; no longer than any wait may be, should the clock have been moved."""
        shared = self._shared
        left = min(wait.until - shared.now(), RETRY_AFTER_CAP)
        if left > 0:
            result = self._measurer.unprobed(wait.key, wait.outcome, wait.message)
            result = replace(result, started_at=wait.at, status_code=wait.status_code, message=wait.message)
            now, age = shared.monotonic(), max(shared.now() - wait.at, 0.0)
            state = ProbeState(result, finished=now - age, until=now + left, strikes=wait.strikes)
            self._states[wait.key] = state

    @property
    def keys(self) -> tuple[ProbeKey, ...]:
        """Every configured probe."""
        return tuple(self._directory.parts)

    def knows(self, key: ProbeKey) -> str | None:
        """None for a configured probe, else one line naming what is unknown and what is allowed."""
        return None if key in self._directory.parts else self._directory.refusal(key)

    async def warm(self) -> None:
        """Import what the first probe needs, and load certificates; else the first probe does it, untimed too."""
        for target in self._config.targets:
            await self._clients.get(target)

    async def probe(self, key: ProbeKey, limit: float | None = None) -> ProbeAnswer:
        """Answer one scrape within `limit` seconds, capped by the module's timeout. Never raises for a failure.

        Raises:
            ValueError: the key is not configured.
        """
        if key not in self._directory.parts:
            raise ValueError(self._directory.refusal(key))
        module = self._directory.parts[key][1]
        state, now = self._states.setdefault(key, ProbeState()), self._shared.monotonic()
        deadline = now + (module.timeout if limit is None else max(min(limit, module.timeout), 0.0))
        running = state.joinable(deadline)
        if running is not None:
            result = await asyncio.shield(running)
            self._shared.totals.cached(key)
            backoff = state.backoff(self._shared.monotonic())
            return ProbeAnswer(result, cached=True, backoff=backoff, reason="shared")
        cached = self._cached_answer(key, module, state, now)
        if cached is not None:
            self._shared.totals.cached(key)
            return cached
        state.started, state.running_until = now, deadline
        state.running = asyncio.create_task(self._fresh(key, state, deadline))
        self._tasks.add(state.running)
        state.running.add_done_callback(self._tasks.discard)
        result = await asyncio.shield(state.running)
        return ProbeAnswer(result, backoff=state.backoff(self._shared.monotonic()))

    def replaced_by(self, config: Config) -> "Prober":
        """A prober for a reloaded configuration.

        Unchanged probes keep their results and waits, unchanged targets their connections, modules their spend.
        Probes in flight end as they would; `close` this one afterwards.
        """
        other = Prober.__new__(Prober)
        other._begin(config, self._shared, self._clients.hand_over(config))
        for key, state in self._states.items():
            if other.knows(key) is None and other._directory.parts[key] == self._directory.parts[key]:
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
        await self._shared.store.close()

    def _cached_answer(self, key: ProbeKey, module: Module, state: ProbeState, now: float) -> ProbeAnswer | None:
        """The answer when the API is not to be called: by the cost limit, a wait, or a scrape just before."""
        if not self._shared.store.spend.reached(key.module, module.daily_cost_limit_usd):
            return state.from_cache(module, now)
        answer = state.cached("cost_limit", now, cost_limited=True)
        if answer is not None and answer.age <= max(OUTDATED, OUTDATED_INTERVALS * module.min_interval):
            return answer
        message = f"the daily cost limit of module {key.module} is reached"
        result = self._measurer.unprobed(key, "cost_limited", message)
        age = answer.age if answer else 0.0
        return ProbeAnswer(result, age, cached=True, cost_limited=True, reason="cost_limit")

    async def _fresh(self, key: ProbeKey, state: ProbeState, deadline: float) -> ProbeResult:
        shared = self._shared
        try:
            result = await self._measurer.measure(key, deadline)
        except Exception as error:  # such as a certificate bundle that cannot be loaded
            result = self._measurer.unprobed(key, "internal", f"the exporter failed: {located(error)}")
        now = shared.monotonic()
        state.settle(result, now, shared.draw)
        backoff, wait = state.backoff(now), None
        if is_limited(result):
            at, status = shared.now(), result.status_code
            wait = Wait(key, at + backoff, at, state.strikes, result.outcome, status, result.message)
        shared.store.remember(key, result.cost_usd, wait)
        shared.totals.count(result)
        shared.history.add(ProbeAnswer(result, backoff=backoff))
        record(result)
        return result
