# SPDX-License-Identifier: Apache-2.0
"""Puts a probe's result together and logs it; masks and bounds everything that a server or a request brought in."""

import logging
import re
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

from openai_exporter.client.trace import Exchange
from openai_exporter.model import Endpoint, ModelCard, ProbeKey, ProbeResult, TlsPeer
from openai_exporter.probe.judge import OUTCOMES, Verdict
from openai_exporter.probe.reading import Setting, processing_seconds, rate_limits, request_id, retry_after
from openai_exporter.probe.redact import Redactor

# The log of one probe: `key=value` lines that stay with its result, and one record for the process' log.

LOGGER = logging.getLogger("openai_exporter.probe")

_BARE = re.compile(r"[^\s\"=\\]+")
MAX_VALUE = 300


class ProbeLog:
    """Collects lines; every value is masked and bounded when it is added."""

    __slots__ = ("_lines", "_redactor")

    def __init__(self, redactor: Redactor) -> None:
        self._lines: list[str] = []
        self._redactor = redactor

    def add(self, at: float, event: str, **values: object) -> None:
        """Append one line; `at` in seconds since the start, values that are None are left out."""
        parts = [f"at={at:.6f} event={event}"]
        for name, value in values.items():
            if value is not None:
                parts.append(f"{name}={self._shown(value)}")
        self._lines.append(" ".join(parts))

    def lines(self) -> tuple[str, ...]:
        """The lines so far."""
        return tuple(self._lines)

    def _shown(self, value: object) -> str:
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, float):
            return f"{value:.6f}"
        if isinstance(value, int):
            return str(value)
        return quoted(self._redactor.label(str(value), MAX_VALUE))


def quoted(text: str) -> str:
    """A logfmt value: bare where that is unambiguous, else in double quotes."""
    if _BARE.fullmatch(text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def record(result: ProbeResult) -> None:
    """One record per probe for the process' log, with its fields under `fields`.

    Failures go out at INFO and successes at DEBUG, for neither is a fault of the exporter; those are errors.
    """
    level = logging.DEBUG if result.success else logging.INFO
    if result.outcome == "internal":
        level = logging.ERROR
    if LOGGER.isEnabledFor(level):
        text = "probe succeeded" if result.success else "probe failed"
        LOGGER.log(level, text, extra={"fields": fields(result)})


def fields(result: ProbeResult) -> Mapping[str, object]:
    """What a log record says of a result; already masked."""
    found: dict[str, object] = {
        "target": result.key.target,
        "module": result.key.module,
        "model": result.key.model,
        "outcome": result.outcome,
        "status": result.status_code,
        "duration_seconds": round(result.duration, 6),
        "request_id": result.request_id,
        "error_code": result.error_code,
        "message": "" if result.success else result.message,
    }
    return {name: value for name, value in found.items() if value != ""}


def located(error: Exception) -> str:
    """An exception and the line it came from, in place of a traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}: {error}{place}"


# Puts a probe's result together: masks and bounds everything that a server or a request brought in.

_FREE = (Endpoint.MODELS, Endpoint.MODERATIONS)
_TEXTUAL = ("json", "text", "xml", "event-stream", "urlencoded", "javascript")


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
    redactor: Redactor
    client_request_id: str = ""
    expected_models: tuple[str, ...] = ()


def bare_result(frame: Frame, log: ProbeLog, outcome: str, message: str, at: float = 0.0) -> ProbeResult:
    """The result of a probe that came to no exchange; `at` is when it was judged."""
    fact = OUTCOMES[outcome]
    log.add(at, "judgement", outcome=outcome, success=fact.success, message=message)
    return ProbeResult(
        key=frame.key,
        endpoint=frame.setting.module.endpoint,
        provider=frame.setting.provider,
        started_at=frame.started_at,
        outcome=outcome,
        success=fact.success,
        valid=fact.valid,
        good=fact.good,
        duration=0.0,
        timeout=frame.timeout,
        streamed=frame.setting.module.stream,
        message=_actionable(frame.redactor.message(message), outcome),
        expected_models=frame.expected_models,
        log=log.lines(),
    )


def build_result(
    frame: Frame, log: ProbeLog, exchange: Exchange, verdict: Verdict, cost: Decimal | None
) -> ProbeResult:
    """The result of an exchange."""
    headers = first_values(exchange)
    reading, clean = verdict.reading, frame.redactor.label
    message = frame.redactor.message(verdict.message)
    bare = bare_result(frame, log, verdict.outcome, message, exchange.duration)
    return replace(
        bare,
        called=True,
        duration=exchange.duration,
        status_code=exchange.status,
        error_code=clean(verdict.error.code or verdict.error.type),
        phases=exchange.phases,
        reused=exchange.reused,
        stream=reading.stream,
        tokens=reading.tokens,
        cost_usd=cost,
        unpriced=cost is None and _billed(frame, exchange),
        server_processing=processing_seconds(headers),
        rate_limits=rate_limits(headers),
        served_model=clean(reading.served_model),
        service_tier=clean(reading.service_tier),
        request_id=clean(request_id(headers)),
        content_length=exchange.size if exchange.status else None,
        http_version=exchange.http_version,
        body_length=len(exchange.body) if exchange.status else None,
        address=clean(exchange.address),
        tls=exchange.tls and _clean_peer(exchange.tls, frame.redactor),
        regex_failed=verdict.regex_failed,
        retry_after=retry_after(headers, frame.started_at),
        models=tuple([_clean_card(card, frame.redactor) for card in reading.models]),
        log=log.lines(),
        request=_shown_request(exchange, frame.redactor),
        reply=_shown_reply(exchange, frame.redactor),
        simulated=headers.get("x-simulated") == "true",
    )


def _billed(frame: Frame, exchange: Exchange) -> bool:
    """Whether the answer has probably been charged for."""
    return 200 <= exchange.status < 300 and frame.setting.module.endpoint not in _FREE


def first_values(exchange: Exchange) -> Mapping[str, str]:
    """Headers by lower-case name; of a repeated one the first counts."""
    return dict(reversed(exchange.headers))


def _actionable(message: str, outcome: str) -> str:
    fact = OUTCOMES[outcome]
    return fact.meaning if fact.success else f"{message.rstrip('.')}. {fact.remedy}"


def _clean_card(card: ModelCard, redactor: Redactor) -> ModelCard:
    return ModelCard(
        redactor.label(card.id), redactor.label(card.owned_by), card.created, card.shutdown_timestamp
    )


def _clean_peer(peer: TlsPeer, redactor: Redactor) -> TlsPeer:
    """A server's certificate is its own text like any other."""
    clean = redactor.label
    return replace(
        peer,
        subject=clean(peer.subject),
        issuer=clean(peer.issuer),
        alternatives=clean(peer.alternatives),
        serial=clean(peer.serial),
    )


def _shown_request(exchange: Exchange, redactor: Redactor) -> str:
    sent = exchange.request
    kind = next((value for name, value in sent.headers if name.lower() == "content-type"), "")
    head = "\n".join([f"{sent.method} {sent.url}", *(f"{name}: {value}" for name, value in sent.headers)])
    return f"{redactor.body(head)}\n\n{_shown_body(sent.body, kind, redactor)}".rstrip()


def _shown_reply(exchange: Exchange, redactor: Redactor) -> str:
    if not exchange.status:
        return ""
    lines = [f"HTTP/{exchange.http_version} {exchange.status}"]
    lines += [f"{name}: {value}" for name, value in exchange.headers]
    kind = exchange.header("content-type") or ""
    return f"{redactor.body(chr(10).join(lines))}\n\n{_shown_body(exchange.body, kind, redactor)}".rstrip()


def _shown_body(body: bytes, kind: str, redactor: Redactor) -> str:
    if not body:
        return ""
    if kind and not any(word in kind.lower() for word in _TEXTUAL):
        return f"<{len(body)} bytes of {redactor.label(kind)}>"
    return redactor.body(body[:65_536].decode("utf-8", "replace"))
