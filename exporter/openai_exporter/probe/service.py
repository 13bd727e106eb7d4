# SPDX-License-Identifier: Apache-2.0
"""Answers scrapes: a new probe, one that is in flight, or the last result while the API is not to be called."""

import asyncio
import contextlib
import gc
import random
import time
import traceback
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from functools import cache
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING

from openai_exporter.client.exchange import ApiCall, Exchange, FailureKind, Step, WireError
from openai_exporter.client.network import ProxyError, client_context, parse_proxy
from openai_exporter.client.pool import DEFAULT_CAP, Pool, Terms, Turns
from openai_exporter.config import Config, Secret
from openai_exporter.config.secret import Masker
from openai_exporter.config.sections import Module, Target
from openai_exporter.errors import CredentialError
from openai_exporter.exposition import Instruments
from openai_exporter.metrics import own
from openai_exporter.model import Endpoint, ProbeAnswer, ProbeKey, ProbeResult, Provider
from openai_exporter.prices import PriceTable, call_cost, request_cost
from openai_exporter.probe.endpoints import MAX_BODY, build_call
from openai_exporter.probe.judge import Verdict, judge
from openai_exporter.probe.reading import Setting
from openai_exporter.probe.result import Frame, Totals, build_result, record, unsent_result
from openai_exporter.probe.state import Draw, History, ProbeState, StateStore, Wait, is_limited

if TYPE_CHECKING:
    from openai_exporter.client.sdk import TargetClient

Send = Callable[[ApiCall, Terms, Secret | None], Awaitable[Exchange]]
"""Makes one call, as `client.sdk.TargetClient` does; raises WireError."""


async def run_probe(
    frame: Frame, send: Send, terms: Terms, key: Secret | None, turn: Callable[[], Awaitable[None]]
) -> ProbeResult:
    """Make one probe; `turn` is awaited before each piece of computing."""
    setting = frame.setting
    try:
        await turn()
        try:
            call = build_call(setting)
        except OSError as error:
            return unsent_result(frame, "bad_request", f"audio_file cannot be read: {error.strerror}")
        if setting.provider is Provider.OPENAI:
            call = replace(call, headers={**call.headers, "X-Client-Request-Id": frame.client_request_id})
        try:
            exchange = await send(call, terms, key)
        except WireError as error:
            exchange = error.exchange
        # What the deadline cut has been waiting for its turn already, to be cut.
        if exchange.failure is None or exchange.failure.kind is not FailureKind.TIMEOUT:
            await turn()
        verdict = judge(exchange, setting)
        return build_result(frame, exchange, verdict, _cost(exchange, verdict, setting, frame.started_at))
    except Exception as error:
        return unsent_result(frame, "internal", f"the exporter failed: {located(error)}")


def _cost(exchange: Exchange, verdict: Verdict, setting: Setting, at: float) -> Decimal | None:
    """The list price of a probe; None when nothing was spent or it cannot be known."""
    module, reading = setting.module, verdict.reading
    # Sound is priced by seconds and characters, whatever tokens its answer counts.
    if reading.tokens is not None and module.endpoint not in (Endpoint.SPEECH, Endpoint.TRANSCRIPTIONS):
        models = list(filter(None, (reading.served_model, setting.model)))
        if setting.provider is Provider.AZURE:
            models = models[:1]  # the name asked for is a deployment's, which says nothing about the model
        only_input = module.endpoint in (Endpoint.EMBEDDINGS, Endpoint.MODERATIONS)
        table = PriceTable(setting.prices, setting.provider)
        cost = request_cost(table, reading.tokens, models, reading.service_tier, at, only_input=only_input)
        if cost is not None:
            return cost
    if not _may_be_billed(exchange):
        return None
    if module.price_per_call_usd is not None:
        return Decimal(str(module.price_per_call_usd))
    return call_cost(setting.prices, module.endpoint, setting.model, module.request.prompt, at)


def _may_be_billed(exchange: Exchange) -> bool:
    """Whether the API may have worked for the call: it said so, or was still at it when the deadline came."""
    if exchange.status == 0 and exchange.failure is not None:
        return exchange.failure.step in (Step.PROCESSING, Step.TRANSFER)
    return 200 <= exchange.status < 300


def located(error: Exception) -> str:
    """An exception and the line it came from, in place of a traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}: {error}{place}"


class Clients:
    """One client and pool per target."""

    def __init__(self, proxies: Mapping[str, str], turns: Turns | None = None) -> None:
        self._proxies = proxies
        self._turns = turns or Turns()
        self._clients: dict[str, TargetClient] = {}
        self._context = cache(client_context)  # a megabyte and 20 ms each: all targets share one

    async def get(self, target: Target) -> "TargetClient":
        """The client of a target, made at its first use, its certificates loaded."""
        client = self._clients.get(target.name)
        if client is None:
            sdk = await asyncio.to_thread(_sdk)
            pool = Pool(target.base_url, proxies=self._proxies, context=self._context, turns=self._turns)
            client = self._clients.setdefault(target.name, sdk.TargetClient(target, pool))
        with contextlib.suppress(ProxyError):  # the exchange itself reports it
            await client.pool.prepare()
        return client

    def hand_over(self, config: Config) -> "Clients":
        """Clients for another configuration; those of unchanged targets move there with their connections."""
        other = Clients(self._proxies, self._turns)
        for target in config.targets:
            client = self._clients.get(target.name)
            if client is not None and client.target == target:
                other._clients[target.name] = self._clients.pop(target.name)
        return other

    async def aclose(self) -> None:
        """Close what was not handed over."""
        for client in self._clients.values():
            client.pool.close()
        self._clients.clear()


@cache
def _sdk() -> ModuleType:
    """Module `client.sdk`, imported late together with the price table."""
    from openai_exporter.client import sdk
    from openai_exporter.prices import list_prices

    list_prices()
    # What was imported lives as long as the process: keep the collector from walking it while a probe is timed.
    gc.freeze()
    return sdk


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


MAX_IN_FLIGHT = 1000
"""Probes that wait for their answer at the same time; more wait for their turn, outside of what is measured."""


OUTDATED, OUTDATED_INTERVALS = 300.0, 3
"""Age in seconds, and in intervals of a module, from which on a probe that is not made has no result to repeat.

Five minutes are also how long Prometheus repeats the last sample of a series that is no longer scraped.
"""


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
            if self.knows(wait.key):
                self._resume(wait)

    def _begin(self, config: Config, shared: Shared, clients: Clients) -> None:
        self._config = config
        self._shared = shared
        self._clients = clients
        targets = {target.name: target for target in config.targets}
        self._probes: dict[ProbeKey, tuple[Target, Module]] = {
            ProbeKey(probe.target, probe.module, model): (targets[probe.target], config.modules[probe.module])
            for probe in config.probes
            for model in probe.models or ("",)
        }
        self._prices = config.all_prices
        self._credentials = {target.name: config.target_credential(target.name) for target in config.targets}
        self._states: dict[ProbeKey, ProbeState] = {}
        self._tasks: set[asyncio.Task[ProbeResult]] = set()
        self._replaced = False
        shared.masker.follow(config)
        shared.totals.prepare(self._probes)

    def _resume(self, wait: Wait) -> None:
        """Wait on as before a restart."""
        shared = self._shared
        left = wait.until - shared.now()
        if left > 0:
            result = self._unprobed(wait.key, wait.outcome, wait.message)
            result = replace(result, started_at=wait.at, status_code=wait.status_code, message=wait.message)
            now, age = shared.monotonic(), max(shared.now() - wait.at, 0.0)
            state = ProbeState(result, finished=now - age, until=now + left, strikes=wait.strikes)
            self._states[wait.key] = state

    @property
    def keys(self) -> tuple[ProbeKey, ...]:
        """Every configured probe."""
        return tuple(self._probes)

    def knows(self, key: ProbeKey) -> bool:
        """Whether a probe is configured."""
        return key in self._probes

    async def warm(self) -> None:
        """Import what the first probe needs, and load certificates; else the first probe does it, untimed too."""
        for target in self._config.targets:
            await self._clients.get(target)

    async def probe(self, key: ProbeKey, limit: float | None = None) -> ProbeAnswer:
        """Answer one scrape within `limit` seconds, capped by the module's timeout. Never raises for a failure.

        Raises:
            ValueError: the key is not configured.
        """
        if key not in self._probes:
            raise ValueError(f"not configured: {key}")
        module = self._probes[key][1]
        state, now = self._states.setdefault(key, ProbeState()), self._shared.monotonic()
        deadline = now + (module.timeout if limit is None else max(min(limit, module.timeout), 0.0))
        running = state.running
        if running and not running.done() and state.running_until <= deadline:
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
            if other._probes.get(key) == self._probes[key]:
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
        result = self._unprobed(key, "cost_limited", message)
        age = answer.age if answer else 0.0
        return ProbeAnswer(result, age, cached=True, cost_limited=True, reason="cost_limit")

    async def _fresh(self, key: ProbeKey, state: ProbeState, deadline: float) -> ProbeResult:
        shared = self._shared
        try:
            result = await self._measure(key, deadline)
        except Exception as error:  # such as a certificate bundle that cannot be loaded
            result = self._unprobed(key, "internal", f"the exporter failed: {located(error)}")
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

    async def _measure(self, key: ProbeKey, deadline: float) -> ProbeResult:
        """Make one probe that ends by `deadline` (monotonic seconds); failures become outcomes."""
        target, module = self._probes[key]
        shared, credential = self._shared, self._credentials[target.name]
        timeout = max(deadline - shared.monotonic(), 0.0)
        async with shared.slot(deadline) as free:
            client = await self._clients.get(target)
            try:
                secret = None if credential is None else credential.read()
            except CredentialError as error:
                return self._unprobed(key, "no_credentials", str(error))
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

    def _unprobed(self, key: ProbeKey, outcome: str, message: str) -> ProbeResult:
        """The result of a probe that is not made."""
        return unsent_result(self._frame(key, self._probes[key][1].timeout), outcome, message)

    def _frame(self, key: ProbeKey, timeout: float) -> Frame:
        target, module = self._probes[key]
        expected: dict[str, None] = {}
        if module.endpoint is Endpoint.MODELS:  # the models that are probed on the target, each once
            expected = dict.fromkeys(k.model for k in self._probes if k.target == key.target and k.model)
        return Frame(
            key=key,
            setting=Setting(module, target.provider, key.model, self._prices),
            started_at=self._shared.now(),
            timeout=timeout,
            masker=self._shared.masker,
            client_request_id=uuid.uuid4().hex,
            expected_models=tuple(expected),
        )
