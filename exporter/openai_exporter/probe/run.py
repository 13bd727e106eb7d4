# SPDX-License-Identifier: Apache-2.0
"""One probe from request to result; every failure becomes an outcome, none an exception."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from typing import Protocol

from openai_exporter.client.pool import Terms
from openai_exporter.client.trace import ApiCall, Exchange, FailureKind, Step, WireError
from openai_exporter.config import Secret
from openai_exporter.model import Endpoint, ProbeResult, Provider
from openai_exporter.prices import PriceTable, call_cost, request_cost
from openai_exporter.probe.endpoints import METHODS
from openai_exporter.probe.judge import Verdict, judge
from openai_exporter.probe.reading import Setting, processing_seconds, request_id
from openai_exporter.probe.result import Frame, ProbeLog, bare_result, build_result, first_values, located


class Caller(Protocol):
    """Whatever can make a call: `client.sdk.TargetClient`."""

    async def call(self, call: ApiCall, terms: Terms, key: Secret | None) -> Exchange:
        """Make one call; raises WireError."""
        ...


async def run_probe(
    frame: Frame, caller: Caller, terms: Terms, key: Secret | None, turn: Callable[[], Awaitable[None]]
) -> ProbeResult:
    """Make one probe; `turn` is awaited before each piece of computing."""
    log = ProbeLog(frame.redactor)
    _log_start(log, frame)
    try:
        return await _run(frame, caller, terms, key, turn, log)
    except Exception as error:
        return bare_result(frame, log, "internal", f"the exporter failed: {located(error)}")


async def _run(
    frame: Frame,
    caller: Caller,
    terms: Terms,
    key: Secret | None,
    turn: Callable[[], Awaitable[None]],
    log: ProbeLog,
) -> ProbeResult:
    setting = frame.setting
    method = METHODS[setting.module.endpoint]
    await turn()
    try:
        call = _identified(method.build(setting), frame)
    except OSError as error:
        return bare_result(frame, log, "bad_request", f"audio_file cannot be read: {error.strerror}")
    try:
        exchange = await caller.call(call, terms, key)
    except WireError as error:
        exchange = error.exchange
    if not _cut(exchange):
        await turn()
    verdict = judge(method, exchange, setting)
    _log_exchange(log, exchange, verdict)
    cost = _token_price(verdict, setting, frame.started_at)
    if cost is None and _may_be_billed(exchange):
        given = setting.module.price_per_call_usd
        cost = _call_price(setting, frame.started_at) if given is None else Decimal(str(given))
    return build_result(frame, log, exchange, verdict, cost)


def _cut(exchange: Exchange) -> bool:
    """Whether the deadline ended it: then it has been waiting for its turn already, to be cut."""
    return exchange.failure is not None and exchange.failure.kind is FailureKind.TIMEOUT


def _identified(call: ApiCall, frame: Frame) -> ApiCall:
    if frame.setting.provider is not Provider.OPENAI:
        return call
    return replace(call, headers={**call.headers, "X-Client-Request-Id": frame.client_request_id})


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


def _log_start(log: ProbeLog, frame: Frame) -> None:
    module, key = frame.setting.module, frame.key
    log.add(
        0.0, "start", target=key.target, module=key.module, model=key.model or None,
        endpoint=module.endpoint, stream=module.stream, timeout=frame.timeout,
        client_request_id=frame.client_request_id or None,
    )  # fmt: skip


def _log_exchange(log: ProbeLog, exchange: Exchange, verdict: Verdict) -> None:
    _log_connection(log, exchange)
    ended, reading = exchange.duration, verdict.reading
    if exchange.status:
        headers = first_values(exchange)
        log.add(
            ended - exchange.phases.transfer, "status", code=exchange.status,
            request_id=request_id(headers) or None, server_processing=processing_seconds(headers),
        )  # fmt: skip
    if reading.stream is not None and reading.stream.first_token is not None:
        log.add(reading.stream.first_token, "first_token")
    failure = exchange.failure
    if failure is not None:
        log.add(ended, "failure", kind=failure.kind, step=failure.step, message=failure.message)
    else:
        log.add(ended, "body", bytes=exchange.size)
    if reading.tokens is not None:
        tokens = reading.tokens
        log.add(
            ended, "usage", input=tokens.input, cached=tokens.cached,
            output=tokens.output, reasoning=tokens.reasoning,
        )  # fmt: skip
    if verdict.error.code or verdict.error.type:
        log.add(ended, "error", code=verdict.error.code, type=verdict.error.type)


def _log_connection(log: ProbeLog, exchange: Exchange) -> None:
    phases = exchange.phases
    if exchange.retries:
        log.add(0.0, "retry", reason="the server had closed the idle connection", retries=exchange.retries)
    log.add(
        phases.resolve + phases.connect + phases.tls, "connection", reused=exchange.reused,
        address=exchange.address or None, proxy=exchange.proxy or None,
        resolve=phases.resolve, connect=phases.connect, tls=phases.tls,
    )  # fmt: skip
