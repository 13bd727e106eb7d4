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
from openai_exporter.errors import EXHAUSTED, CredentialError, is_exhausted
from openai_exporter.exposition import Instruments
from openai_exporter.metrics import own
from openai_exporter.model import Endpoint, ProbeAnswer, ProbeKey, ProbeResult, Provider, Tokens
from openai_exporter.prices import PriceTable, call_cost, request_cost
from openai_exporter.probe.endpoints import MAX_BODY, build_call
from openai_exporter.probe.judge import Verdict, judge
from openai_exporter.probe.reading import Setting
from openai_exporter.probe.result import FREE, Frame, Totals, build_result, unsent_result
from openai_exporter.probe.state import DAY, Draw, History, ProbeState, StateStore, Wait, is_limited

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
            if is_exhausted(error):
                raise
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
        return unsent_result(frame, *_own_failure(error))


def _own_failure(error: Exception) -> tuple[str, str]:
    """The outcome of a probe that an exception ended, and its message."""
    if is_exhausted(error):
        return "exporter_busy", f"{EXHAUSTED}: {located(error)}"
    return "exporter_error", f"the exporter failed: {located(error)}"


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
    return call_price(setting, at) if _may_be_billed(exchange) else None


def probe_price(config: Config, key: ProbeKey, at: float) -> Decimal | None:
    """`call_price` of a configured probe."""
    target = config.target(key.target)
    assert target is not None, "the keys of a configuration have its targets"
    return call_price(Setting(config.modules[key.module], target.provider, key.model, config.all_prices), at)


def call_price(setting: Setting, at: float) -> Decimal | None:
    """What a call may cost whose answer names no tokens: `price_per_call_usd`, else its prompt and all it may bring.

    None when it costs nothing or has no price.
    """
    module, request = setting.module, setting.module.request
    if module.price_per_call_usd is not None:
        return Decimal(str(module.price_per_call_usd))
    if module.endpoint in FREE:
        return None
    cost = call_cost(setting.prices, module.endpoint, setting.model, request.prompt, at)
    if cost is not None or module.endpoint in (Endpoint.SPEECH, Endpoint.TRANSCRIPTIONS):
        return cost
    bounds = (request.extra.get("max_completion_tokens"), request.extra.get("max_tokens"), request.max_output_tokens)
    output = next((bound for bound in bounds if isinstance(bound, int)), UNBOUNDED_OUTPUT)
    if module.endpoint is Endpoint.IMAGES:
        output = IMAGE_TOKENS.get(request.quality, IMAGE_TOKENS["high"])
    # A token is a few characters; the rest is what an API puts around the prompt.
    tokens = Tokens(len(request.prompt.encode()) // 3 + 20, output)
    table, only_input = PriceTable(setting.prices, setting.provider), module.endpoint is Endpoint.EMBEDDINGS
    return request_cost(table, tokens, [setting.model], request.service_tier or "", at, only_input=only_input)


UNBOUNDED_OUTPUT = 4096
"""Output tokens that are counted for a call whose output has no bound."""
IMAGE_TOKENS = {"low": 408, "medium": 1584, "high": 6240}
"""Output tokens of one image by its quality, in the largest size (OpenAI's documentation of gpt-image-1)."""


def _may_be_billed(exchange: Exchange) -> bool:
    """Whether the API may have worked for the call: it said so, or was still at it when the deadline came."""
    failure = exchange.failure
    if exchange.status == 0 and failure is not None:
        return failure.kind is FailureKind.TIMEOUT and failure.step in (Step.PROCESSING, Step.TRANSFER)
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
        masker: Masker,
    ) -> None:
        self.totals = Totals(instruments)
        self.history = history
        self.now, self.monotonic, self.draw = now, monotonic, draw
        self.masker = masker
        masker.learn(*proxy_secrets(proxies))
        self.turns = Turns()
        self.store = StateStore(storage, now, lambda reason: instruments.count(own.STORAGE_FAILURES, ("", reason)))
        self._slots = asyncio.Semaphore(max_in_flight)
        self._instruments, self._in_flight = instruments, 0
        instruments.set(own.PROBES_IN_FLIGHT, 0)

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
        self._in_flight += 1
        self._instruments.set(own.PROBES_IN_FLIGHT, self._in_flight)
        try:
            yield True
        finally:
            self._in_flight -= 1
            self._instruments.set(own.PROBES_IN_FLIGHT, self._in_flight)
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
SLACK, MOST_SLACK = 0.02, 0.1
"""Share of a module's timeout, and seconds, that a scrape may lack of it: its own way to the exporter took them."""


def _outdated(module: Module) -> float:
    return max(OUTDATED, OUTDATED_INTERVALS * module.min_interval)


class Prober:
    """The probes of one configuration.

    Args:
        now: Unix seconds.
        monotonic: seconds that never jump, which ages and waits count by.
        draw: random number between two bounds, for jitter.
        proxies: as `urllib.request.getproxies()` returns them; none by default.
        max_in_flight: bound on probes that wait for their answer.
        storage: folder that keeps spend and waits over a restart, None to keep nothing.
        masker: learns every key; by default one of its own.
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
        masker: Masker | None = None,
    ) -> None:
        masker = masker or Masker()
        shared = Shared(instruments, history, now, monotonic, draw, proxies, max_in_flight, storage, masker)
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

    def knows(self, key: ProbeKey) -> bool:
        """Whether a probe is configured."""
        return key in self._probes

    async def warm(self) -> None:
        """Import what the first probe needs, and load certificates; else the first probe does it, untimed too."""
        for target in self._config.targets:
            await self._clients.get(target)

    async def probe(self, key: ProbeKey, limit: float | None = None) -> ProbeAnswer:
        """Answer one scrape within `limit` seconds. Never raises for a failure.

        At most one probe of a key is in flight, and it has the module's timeout whoever asked for it: a scrape that
        leaves less time is told so, alone, and the probe goes on for the others.

        Raises:
            ValueError: the key is not configured.
        """
        if key not in self._probes:
            raise ValueError(f"not configured: {key}")
        module, shared = self._probes[key][1], self._shared
        state, now = self._states.get(key) or self._states.setdefault(key, ProbeState()), shared.monotonic()
        allowed = module.timeout if limit is None else max(limit, 0.0)
        slack = min(SLACK * module.timeout, MOST_SLACK)
        short = allowed < module.timeout - slack
        if module.daily_cost_limit_usd is not None and state.priced != shared.now() // DAY:
            await self._price(key, state)
        reason = "shared"
        if state.running is None or state.running.done():
            answer = self._without_call(key, module, state, now)
            if answer is None and short and module.short_deadline == "refuse":
                answer = self._too_short(key, state, now, allowed)
            if answer is not None:
                return answer
            reason = ""
            self._start(key, state, now + (module.timeout if short else min(allowed, module.timeout)))
        running = state.running
        assert running is not None
        left = None if state.running_until <= now + allowed + slack else now + allowed - shared.monotonic()
        await asyncio.wait({running}, timeout=left and max(left, 0.0))
        if not running.done():
            return self._unfinished(key, module, state, allowed)
        state.told = True
        if reason:
            shared.totals.cached(key)
        result = replace(running.result(), timeout=allowed) if short else running.result()
        return ProbeAnswer(result, backoff=state.backoff(shared.monotonic()), reason=reason)

    async def try_once(self, key: ProbeKey) -> ProbeResult:
        """Make one probe that is not counted, recorded or logged."""
        state = ProbeState(running_until=self._shared.monotonic() + self._probes[key][1].timeout)
        return await self._measure(key, state)

    async def _price(self, key: ProbeKey, state: ProbeState) -> None:
        """Learn what a call may cost today, in a thread that loads the list of prices."""
        now = self._shared.now()
        target, module = self._probes[key]
        setting = Setting(module, target.provider, key.model, self._prices)
        with contextlib.suppress(OSError, RuntimeError, ImportError, MemoryError):  # which the probe will meet as well
            state.price = await asyncio.to_thread(call_price, setting, now)
            state.priced = int(now // DAY)

    def _start(self, key: ProbeKey, state: ProbeState, until: float) -> None:
        """Begin a probe that ends by `until` (monotonic seconds)."""
        state.started, state.running_until, state.placed = self._shared.monotonic(), until, False
        self._shared.store.spend.reserved[key.module] += state.price or 0
        state.running = asyncio.create_task(self._fresh(key, state, state.price))
        self._tasks.add(state.running)
        state.running.add_done_callback(self._tasks.discard)

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
                state.priced = -1  # the configuration's prices may have changed
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

    def _without_call(self, key: ProbeKey, module: Module, state: ProbeState, now: float) -> ProbeAnswer | None:
        """The answer when the API is not to be called: by the cost limit, a wait, or a scrape just before."""
        if self._shared.store.spend.allows(key.module, module.daily_cost_limit_usd, state.price):
            answer = state.from_cache(module, now)
        else:
            answer = self._cost_limited(key, module, state, now)
        if answer is not None:
            self._shared.totals.cached(key)
        return answer

    def _too_short(self, key: ProbeKey, state: ProbeState, now: float, allowed: float) -> ProbeAnswer | None:
        """The answer for a scrape that leaves less time than any of the last good probes took."""
        fastest = min((took for at, took in state.good if at >= now - OUTDATED), default=0.0)
        if allowed >= fastest:
            return None
        return self._refused(
            key, f"the scrape left {allowed:.3g} s; the last successful probes took {fastest:.3g} s or more"
        )

    def _cost_limited(self, key: ProbeKey, module: Module, state: ProbeState, now: float) -> ProbeAnswer:
        answer = state.cached("cost_limit", now, cost_limited=True)
        if answer is not None and answer.age <= _outdated(module):
            return answer
        message = f"the daily cost limit of module {key.module} is reached"
        if state.price:
            message += f": what is left of it is below the {state.price:.2g} USD that a call may cost"
        age, result = answer.age if answer else 0.0, self._unprobed(key, "cost_limited", message)
        return ProbeAnswer(result, age, cached=True, cost_limited=True, reason="cost_limit")

    def _unfinished(self, key: ProbeKey, module: Module, state: ProbeState, allowed: float) -> ProbeAnswer:
        """The answer for a scrape whose time is over while the probe goes on: a failure just before, or only that."""
        now, last = self._shared.monotonic(), state.last
        if last is not None and last.called and not last.success and now - state.finished <= _outdated(module):
            answer = state.cached("deadline", now)
            assert answer is not None
            return answer
        message = f"the scrape left {allowed:.3g} s, and the probe continues for up to {module.timeout:g} s"
        return self._refused(key, message, "deadline_too_short" if state.placed else "exporter_busy")

    def _refused(self, key: ProbeKey, message: str, outcome: str = "deadline_too_short") -> ProbeAnswer:
        result = self._unprobed(key, outcome, message)
        self._shared.totals.count(result)
        return ProbeAnswer(result, cached=True, reason="deadline")

    async def _fresh(self, key: ProbeKey, state: ProbeState, price: Decimal | None) -> ProbeResult:
        shared = self._shared
        try:
            result = await self._measure(key, state)
        except asyncio.CancelledError:  # the process ends, and the API may be at it
            shared.store.remember(key, price if state.placed else None, shared.store.waits.get(key))
            raise
        except Exception as error:  # such as a certificate bundle that cannot be loaded
            result = self._unprobed(key, *_own_failure(error))
        finally:
            shared.store.spend.reserved[key.module] -= price or 0
        now = shared.monotonic()
        state.settle(result, now, shared.draw)
        backoff, wait = state.backoff(now), None
        if is_limited(result):
            at, status = shared.now(), result.status_code
            wait = Wait(key, at + backoff, at, state.strikes, result.outcome, status, result.message)
        shared.store.remember(key, result.cost_usd, wait)
        shared.totals.count(result)
        shared.history.add(ProbeAnswer(result, backoff=backoff))
        state.log.record(result, now)
        return result

    async def _measure(self, key: ProbeKey, state: ProbeState) -> ProbeResult:
        """Make one probe that ends by `state.running_until`; failures become outcomes."""
        target, module = self._probes[key]
        shared, credential, deadline = self._shared, self._credentials[target.name], state.running_until
        timeout = max(deadline - shared.monotonic(), 0.0)
        async with shared.slot(deadline) as free:
            state.placed = free
            client = await self._clients.get(target)
            try:
                secret = None if credential is None else credential.read()
            except CredentialError as error:
                return self._unprobed(key, "exporter_busy" if is_exhausted(error) else "no_credentials", str(error))
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
