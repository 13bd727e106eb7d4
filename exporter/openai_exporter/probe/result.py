# SPDX-License-Identifier: Apache-2.0
"""Puts a probe's result and its log together; masks and bounds everything that a server or a request brought in."""

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import Any

from openai_exporter.client.trace import Exchange
from openai_exporter.config.secret import Masker
from openai_exporter.model import Endpoint, ModelCard, ProbeKey, ProbeResult, TlsPeer
from openai_exporter.probe.judge import OUTCOMES, Verdict
from openai_exporter.probe.reading import Headers, Setting, read_headers

LOGGER = logging.getLogger("openai_exporter.probe")
MAX_VALUE = 300
"""Characters of a value in a log line."""

_FREE = (Endpoint.MODELS, Endpoint.MODERATIONS)
_TEXTUAL = re.compile("json|text|xml|event-stream|urlencoded|javascript", re.IGNORECASE)
_BARE = re.compile(r"[^\s\"=\\]+")

LogEvent = tuple[float, str, Mapping[str, object]]
"""Seconds since the start of the probe, what happened, and its values; what is None or empty is left out."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What is known of a probe before it starts.

    Attributes:
        started_at: Unix seconds.
        timeout: total deadline in seconds.
        client_request_id: sent along, so that support can find a request that got no answer.
        expected_models: models configured on the target, for endpoint `models`.
    """

    key: ProbeKey
    setting: Setting
    started_at: float
    timeout: float
    masker: Masker
    client_request_id: str = ""
    expected_models: tuple[str, ...] = ()


def unsent_result(frame: Frame, outcome: str, message: str) -> ProbeResult:
    """The result of a probe that came to no exchange."""
    return _result(frame, outcome, message, (), duration=0.0)


def build_result(frame: Frame, exchange: Exchange, verdict: Verdict, cost: Decimal | None) -> ProbeResult:
    """The result of an exchange."""
    headers, reading = read_headers(exchange.headers, frame.started_at), verdict.reading
    words = (verdict.error.code or verdict.error.type, reading.served_model, reading.service_tier)
    code, model, tier, request_id, address = map(frame.masker.label, (*words, headers.request_id, exchange.address))
    answered = exchange.status != 0
    billed = 200 <= exchange.status < 300 and frame.setting.module.endpoint not in _FREE
    sent, first_line = exchange.request, f"HTTP/{exchange.http_version} {exchange.status}"
    return _result(
        frame,
        verdict.outcome,
        verdict.message,
        tuple(_events(exchange, verdict, headers)),
        called=True,
        duration=exchange.duration,
        status_code=exchange.status,
        error_code=code,
        phases=exchange.phases,
        reused=exchange.reused,
        stream=reading.stream,
        tokens=reading.tokens,
        cost_usd=cost,
        unpriced=cost is None and billed,
        server_processing=headers.server_processing,
        rate_limits=headers.rate_limits,
        served_model=model,
        service_tier=tier,
        request_id=request_id,
        content_length=exchange.size if answered else None,
        http_version=exchange.http_version,
        body_length=len(exchange.body) if answered else None,
        address=address,
        tls=exchange.tls and _masked_peer(exchange.tls, frame.masker),
        regex_failed=verdict.regex_failed,
        retry_after=headers.retry_after,
        models=tuple([_masked_card(card, frame.masker) for card in reading.models]),
        request=_http_text(f"{sent.method} {sent.url}", sent.headers, sent.body, frame.masker),
        reply=_http_text(first_line, exchange.headers, exchange.body, frame.masker) if answered else "",
        simulated=headers.simulated,
    )


def _result(
    frame: Frame, outcome: str, message: str, events: tuple[LogEvent, ...], *, duration: float, **facts: Any
) -> ProbeResult:
    fact, module = OUTCOMES[outcome], frame.setting.module
    message = frame.masker.message(message)
    started = {
        "target": frame.key.target,
        "module": frame.key.module,
        "model": frame.key.model,
        "endpoint": module.endpoint,
        "stream": module.stream,
        "timeout": frame.timeout,
        "client_request_id": frame.client_request_id,
    }
    judged = {"outcome": outcome, "success": fact.success, "message": message}
    log = ((0.0, "start", started), *events, (duration, "judgement", judged))
    return ProbeResult(
        key=frame.key,
        endpoint=module.endpoint,
        provider=frame.setting.provider,
        started_at=frame.started_at,
        outcome=outcome,
        success=fact.success,
        valid=fact.valid,
        good=fact.good,
        duration=duration,
        timeout=frame.timeout,
        streamed=module.stream,
        message=fact.meaning if fact.success else f"{message.rstrip('.')}. {fact.remedy}",
        expected_models=frame.expected_models,
        log=tuple([log_line(event, frame.masker) for event in log]),
        **facts,
    )


def _events(exchange: Exchange, verdict: Verdict, headers: Headers) -> Iterator[LogEvent]:
    """What happened in an exchange, for the log of its probe."""
    phases, stream, ended = exchange.phases, verdict.reading.stream, exchange.duration
    if exchange.retries:
        why = "the server had closed the idle connection"
        yield 0.0, "retry", {"reason": why, "retries": exchange.retries}
    ways = {"reused": exchange.reused, "address": exchange.address, "proxy": exchange.proxy}
    opening = {"resolve": phases.resolve, "connect": phases.connect, "tls": phases.tls}
    yield sum(opening.values()), "connection", {**ways, **opening}
    if exchange.status:
        processing = headers.server_processing
        values = {"code": exchange.status, "request_id": headers.request_id, "server_processing": processing}
        yield ended - phases.transfer, "status", values
    if stream is not None and stream.first_token is not None:
        yield stream.first_token, "first_token", {}
    failure, tokens, error = exchange.failure, verdict.reading.tokens, verdict.error
    if failure is not None:
        yield ended, "failure", {"kind": failure.kind, "step": failure.step, "message": failure.message}
    else:
        yield ended, "body", {"bytes": exchange.size}
    if tokens is not None:
        sent = {"input": tokens.input, "cached": tokens.cached}
        yield ended, "usage", {**sent, "output": tokens.output, "reasoning": tokens.reasoning}
    if error.code or error.type:
        yield ended, "error", {"code": error.code, "type": error.type}


def log_line(event: LogEvent, masker: Masker) -> str:
    """`key=value` pairs of one event, every text masked and bounded."""
    at, name, values = event
    pairs = [f"at={at:.6f} event={name}"]
    for key, value in values.items():
        if isinstance(value, bool):
            pairs.append(f"{key}={str(value).lower()}")
        elif isinstance(value, float):
            pairs.append(f"{key}={value:.6f}")
        elif isinstance(value, int):
            pairs.append(f"{key}={value}")
        elif value:
            text = masker.label(str(value), MAX_VALUE)
            if not _BARE.fullmatch(text):
                text = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
                text = f'"{text}"'
            pairs.append(f"{key}={text}")
    return " ".join(pairs)


def record(result: ProbeResult) -> None:
    """One record per probe for the process' log, with its fields under `fields`.

    Failures go out at INFO and successes at DEBUG, for neither is a fault of the exporter; those are errors.
    """
    level = logging.DEBUG if result.success else logging.INFO
    if result.outcome == "internal":
        level = logging.ERROR
    if not LOGGER.isEnabledFor(level):
        return
    fields: dict[str, object] = {
        **asdict(result.key),
        "outcome": result.outcome,
        "status": result.status_code,
        "duration_seconds": round(result.duration, 6),
        "request_id": result.request_id,
        "error_code": result.error_code,
        "message": "" if result.success else result.message,
    }
    text = "probe succeeded" if result.success else "probe failed"
    LOGGER.log(level, text, extra={"fields": {name: value for name, value in fields.items() if value != ""}})


def _masked_peer(peer: TlsPeer, masker: Masker) -> TlsPeer:
    """A server's certificate is its own text like any other."""
    subject, issuer, alternatives, serial = map(
        masker.label, (peer.subject, peer.issuer, peer.alternatives, peer.serial)
    )
    return replace(peer, subject=subject, issuer=issuer, alternatives=alternatives, serial=serial)


def _masked_card(card: ModelCard, masker: Masker) -> ModelCard:
    return replace(card, id=masker.label(card.id), owned_by=masker.label(card.owned_by))


def _http_text(start: str, headers: Iterable[tuple[str, str]], body: bytes, masker: Masker) -> str:
    """A request or reply as text for people; of a body that is no text, its size and kind."""
    kind = next((value for name, value in headers if name.lower() == "content-type"), "")
    text = body[:65_536].decode("utf-8", "replace")
    if body and kind and not _TEXTUAL.search(kind):
        text = f"<{len(body)} bytes of {kind}>"
    head, text = map(masker.body, ("\n".join([start, *map(": ".join, headers)]), text))
    return f"{head}\n\n{text}".rstrip()
