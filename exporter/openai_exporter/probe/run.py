# SPDX-License-Identifier: Apache-2.0
"""One probe from request to result; every failure becomes an outcome, none an exception."""

import asyncio
import contextlib
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from openai_exporter.client.network import ProxyError, client_context
from openai_exporter.client.pool import Pool, Terms, Turns
from openai_exporter.client.trace import ApiCall, Exchange, FailureKind, Step, WireError
from openai_exporter.config import Config, Secret
from openai_exporter.config.sections import Target
from openai_exporter.model import Endpoint, ProbeResult, Provider
from openai_exporter.prices import PriceTable, call_cost, request_cost
from openai_exporter.probe.endpoints import build_call
from openai_exporter.probe.judge import Verdict, judge
from openai_exporter.probe.reading import Setting
from openai_exporter.probe.result import Frame, build_result, unsent_result

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
    cost = _token_price(verdict, setting, at)
    if cost is None and _may_be_billed(exchange):
        per_call = setting.module.price_per_call_usd
        cost = _call_price(setting, at) if per_call is None else Decimal(str(per_call))
    return cost


def _token_price(verdict: Verdict, setting: Setting, at: float) -> Decimal | None:
    """The price of an answer that counts its tokens; sound is priced by seconds and characters."""
    reading = verdict.reading
    if reading.tokens is None or setting.module.endpoint in (Endpoint.SPEECH, Endpoint.TRANSCRIPTIONS):
        return None
    models = (reading.served_model, setting.model) if reading.served_model else (setting.model,)
    provider = setting.provider
    if provider is Provider.AZURE:
        models = models[:1]  # the name asked for is a deployment's, which says nothing about the model
    return request_cost(
        PriceTable(setting.prices, provider), reading.tokens, models, reading.service_tier, at,
        only_input=setting.module.endpoint in (Endpoint.EMBEDDINGS, Endpoint.MODERATIONS),
    )  # fmt: skip


def _call_price(setting: Setting, at: float) -> Decimal | None:
    """The price of a call whose answer names no tokens."""
    module = setting.module
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
    from openai_exporter.prices.listed import list_prices

    list_prices()  # also keeps the collector from walking what was imported while a probe is timed
    return sdk
