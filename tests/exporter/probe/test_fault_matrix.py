# SPDX-License-Identifier: Apache-2.0
"""Every fault of the simulator against endpoints, plain and streamed: outcome, success, validity, status, log line."""

import asyncio
import contextlib
import json
import re
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from openai_exporter.config import Config
from openai_exporter.model import ProbeKey, ProbeResult
from openai_exporter.probe.judge import OUTCOMES
from openai_exporter.probe.service import Prober
from openai_simulator.testing import SimulatorControl
from tests.exporter.attempts import at_best
from tests.exporter.client import rawserver
from tests.exporter.client.rawserver import Turn, answer, raw_server
from tests.exporter.probe.probers import MODULES, configuration, key_of, prober_for

# What lies outside the API's own answers: hosts, proxies, certificates and keys that fail, and our own limits.

CHAT = key_of("chat")
OTHER = ProbeKey("api", "chat", "gpt-5.4-mini")
Way = Callable[[SimulatorControl, Path], AbstractAsyncContextManager[tuple[Prober, ProbeKey]]]
"""A prober and the key of the probe that is to be made with it."""


def answering(status: str, body: str = "", more: str = "") -> Way:
    """A server that gives this answer to every request."""

    @contextlib.asynccontextmanager
    async def way(simulator: SimulatorControl, folder: Path) -> AsyncIterator[tuple[Prober, ProbeKey]]:
        async def reply(turn: Turn) -> None:
            await turn.send(answer(body, status, more=more))

        async with raw_server(reply) as server, prober_for(configuration(server.url)) as prober:
            yield prober, CHAT

    return way


def at(url: str, proxies: Mapping[str, str] | None = None) -> Way:
    """A target at this URL; `{port}` becomes one that nobody listens on."""

    @contextlib.asynccontextmanager
    async def way(simulator: SimulatorControl, folder: Path) -> AsyncIterator[tuple[Prober, ProbeKey]]:
        with socket.socket() as taken:  # bound and not listening: it refuses, and nobody else gets it
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            found = {name: text.format(port=port) for name, text in (proxies or {}).items()}
            async with prober_for(configuration(url.format(port=port)), proxies=found) as prober:
                yield prober, CHAT

    return way


@contextlib.asynccontextmanager
async def without_tls(simulator: SimulatorControl, folder: Path) -> AsyncIterator[tuple[Prober, ProbeKey]]:
    """https to a server that speaks plain HTTP."""
    async with rawserver.without_tls("no TLS here") as url, prober_for(configuration(f"{url}/v1")) as prober:
        yield prober, CHAT


@contextlib.asynccontextmanager
async def unaccepted(simulator: SimulatorControl, folder: Path) -> AsyncIterator[tuple[Prober, ProbeKey]]:
    """A listener whose queue is full."""
    with socket.socket() as listener, contextlib.ExitStack() as fillers:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        config = configuration(f"http://127.0.0.1:{listener.getsockname()[1]}/v1")
        async with prober_for(config) as prober:
            await prober.warm()
            yield prober, CHAT


@contextlib.asynccontextmanager
async def without_key(simulator: SimulatorControl, folder: Path) -> AsyncIterator[tuple[Prober, ProbeKey]]:
    """The key's file is gone."""
    file = folder / "key"
    file.write_text("sk-test-0123456789")
    config = configuration(simulator.api_url, api_key_file=str(file))
    file.unlink()
    async with prober_for(config) as prober:
        yield prober, CHAT


@contextlib.asynccontextmanager
async def expecting_401(simulator: SimulatorControl, folder: Path) -> AsyncIterator[tuple[Prober, ProbeKey]]:
    """A module that wants its key refused, on an API that takes it."""
    config = _two_models(simulator, expect={"status": [401]})
    async with prober_for(config) as prober:
        yield prober, CHAT


@contextlib.asynccontextmanager
async def spent(simulator: SimulatorControl, folder: Path) -> AsyncIterator[tuple[Prober, ProbeKey]]:
    """The module has spent what it may in a day, on another model."""
    config = _two_models(simulator, daily_cost_limit_usd=0.000001)
    async with prober_for(config) as prober:
        await prober.probe(CHAT)
        yield prober, OTHER


@contextlib.asynccontextmanager
async def crowded(simulator: SimulatorControl, folder: Path) -> AsyncIterator[tuple[Prober, ProbeKey]]:
    """The one place among the probes in flight is taken."""
    simulator.fault("hang", path="/v1/models")
    async with prober_for(configuration(simulator.api_url), max_in_flight=1) as prober:
        await prober.warm()
        hanging = asyncio.create_task(prober.probe(key_of("models"), 60))
        await asyncio.sleep(0)
        yield prober, CHAT
        hanging.cancel()


@contextlib.asynccontextmanager
async def unreadable_authorities(simulator: SimulatorControl, folder: Path) -> AsyncIterator[tuple[Prober, ProbeKey]]:
    """No certificate authorities can be loaded."""
    bundle = folder / "bundle.pem"
    bundle.write_text("nonsense")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("openai_exporter.client.network.BUNDLES", (str(bundle),))
        patch.setenv("SSL_CERT_FILE", str(folder / "none"))
        patch.setenv("SSL_CERT_DIR", str(folder / "none"))
        async with prober_for(configuration("https://127.0.0.1:1/v1")) as prober:
            yield prober, CHAT


WITHHELD = json.dumps(
    {
        "object": "chat.completion",
        "model": "gpt-6-luna",
        "choices": [{"index": 0, "message": {"content": None}, "finish_reason": "content_filter"}],
    }
)


def _two_models(simulator: SimulatorControl, **module: object) -> Config:
    probes = [{"target": "api", "module": "chat", "models": [CHAT.model, OTHER.model]}]
    return configuration(simulator.api_url, {"chat": {**MODULES["chat"], **module}}, more={"probes": probes})


GOOD, BAD, OURS = (True, True), (False, True), (False, False)
"""Success, and whether the probe is a valid event of the availability SLI."""

DEADLINES = 0.4, 1.2, 3.6
"""Seconds; the longer ones are for a machine under load, where what is to come before the deadline may not."""


@dataclass(frozen=True)
class Outside:
    """What goes wrong beside the API, and what the probe must find."""

    way: Way
    outcome: str
    expected: tuple[bool, bool]
    status: int
    log: str


@dataclass(frozen=True)
class Row:
    """A fault on a module's endpoint, and what the probe must find."""

    module: str
    kind: str
    outcome: str
    expected: tuple[bool, bool]
    status: int
    log: str = ""
    faults: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The case's id."""
        details = "-".join(f"{name}={value}" for name, value in self.faults.items())
        return "-".join(part for part in (self.module, self.kind, details) if part)


def row(
    module: str, kind: str, outcome: str, expected: tuple[bool, bool], status: int, log: str = "", /, **faults: Any
) -> Row:
    return Row(module, kind, outcome, expected, status, log, faults)


def refused(module: str, outcome: str, expected: tuple[bool, bool], status: int, /, **faults: Any) -> Row:
    code = f"event=status code={status} request_id=req_"
    return row(module, "status", outcome, expected, status, code, status=status, **faults)


TIMEOUT = "event=failure kind=timeout step="
ROWS = (
    # No fault at all.
    *(row(module, "", "success", GOOD, 200, "event=body bytes=") for module in MODULES),
    # Refusals: our own faults.
    refused("models", "auth", OURS, 401),
    refused("chat", "auth", OURS, 401),
    refused("responses_stream", "auth", OURS, 401),
    refused("chat", "region_unsupported", OURS, 403),
    refused("chat", "permission", OURS, 403, code=None, message="Missing scopes: model.request"),
    refused("chat", "model_not_found", OURS, 404),
    refused("embeddings", "model_not_found", OURS, 404),
    refused("chat", "not_found", OURS, 404, code=None, message="Invalid URL"),
    refused("chat", "bad_request", OURS, 400),
    refused("responses", "bad_request", OURS, 400, code="unsupported_parameter"),
    refused("transcriptions", "bad_request", OURS, 413),
    refused("moderations", "bad_request", OURS, 422),
    # Refusals: limits and money.
    row("chat", "rate_limit", "rate_limited_requests", OURS, 429, "error code=rate_limit_exceeded"),
    row("chat_stream", "rate_limit", "rate_limited_tokens", OURS, 429, "rate_limit_exceeded", limit="tokens"),
    row("responses", "rate_limit", "slow_down", OURS, 429, "error code=slow_down", code="slow_down"),
    refused("embeddings", "rate_limited", OURS, 429),
    row("chat", "insufficient_quota", "quota_exhausted", OURS, 429, "error code=insufficient_quota"),
    *(
        row("chat", "insufficient_quota", outcome, OURS, 429, f"error code={code}", code=code)
        for code, outcome in {
            "credit_balance_exhausted": "quota_exhausted",
            "billing_hard_limit_reached": "quota_exhausted",
            "organization_spend_limit_exceeded": "spend_limit",
            "project_spend_limit_exceeded": "spend_limit",
            "organization_usage_limit_exceeded": "usage_limit",
        }.items()
    ),
    row(
        "images", "insufficient_quota", "quota_exhausted", OURS, 400, "event=status code=400",
        code="billing_hard_limit_reached", status=400,
    ),
    refused("chat", "billing_inactive", OURS, 429, code="billing_not_active"),
    # Refusals: the provider's failures.
    refused("chat", "server_error", BAD, 500),
    refused("responses_stream", "server_error", BAD, 500),
    refused("speech", "server_error", BAD, 500),
    refused("chat", "server_error", BAD, 502),
    refused("chat", "overloaded", BAD, 503),
    refused("chat_stream", "overloaded", BAD, 503, retry_after=1),
    refused("chat", "slow_down", OURS, 503, code="slow_down"),
    refused("models", "timeout_total", BAD, 408),
    row("chat", "html", "edge_error", BAD, 502, "event=status code=502"),
    row("chat_stream", "html", "edge_error", BAD, 503, "event=status code=503", status=503),
    row("models", "html", "edge_error", BAD, 200, "event=status code=200", status=200),
    row("responses", "html", "edge_error", BAD, 403, "event=status code=403", status=403),
    row("embeddings", "outage", "overloaded", BAD, 503, "code=server_is_overloaded"),
    # Answers that are none.
    *(
        row(module, "malformed_json", "malformed", BAD, 200, "outcome=malformed")
        for module in ("chat", "chat_stream", "responses", "responses_stream", "embeddings", "models")
    ),
    *(
        row(module, "wrong_types", "wrong_shape", BAD, 200, "outcome=wrong_shape")
        for module in ("chat", "chat_stream", "responses", "responses_stream", "moderations", "models", "images")
    ),
    row("chat", "wrong_types", "success", GOOD, 200, "event=body", fields=["usage"]),
    *(
        row("chat", "empty", "empty", BAD, 200, "event=body bytes=", content=content)
        for content in ("nothing", "object", "array", "null")
    ),
    row("chat_stream", "empty", "empty", BAD, 200, "outcome=empty"),
    row("speech", "empty", "empty", BAD, 200, "outcome=empty"),
    row("chat", "huge", "too_large", BAD, 200, "kind=too_large step=transfer"),
    row("chat_stream", "huge", "too_large", BAD, 200, "kind=too_large step=transfer"),
    row("chat_stream", "stream_error", "stream_error", BAD, 200, "error code=server_error"),
    row("responses_stream", "stream_error", "stream_error", BAD, 200, "error code=server_error"),
    row("responses_stream", "stream_error", "stream_error", BAD, 200, "code=server_error", shape="failed"),
    row(
        "chat_stream", "stream_error", "rate_limited", OURS, 200, "error code=rate_limit_exceeded",
        code="rate_limit_exceeded",
    ),
    # Answers that lack something and are good nevertheless.
    row("chat", "no_usage", "success", GOOD, 200, "event=body"),
    row("chat_stream", "no_usage", "success", GOOD, 200, "event=first_token"),
    row("responses_stream", "no_usage", "success", GOOD, 200, "event=first_token"),
    row("chat", "missing_headers", "success", GOOD, 200, "event=status code=200"),
    # No visible text, although some was expected.
    row("chat", "reasoning_only", "content_mismatch", OURS, 200, "reasoning=16"),
    row("chat_stream", "reasoning_only", "content_mismatch", OURS, 200, "reasoning=16"),
    row("responses_stream", "reasoning_only", "content_mismatch", OURS, 200, "reasoning=16"),
    # Broken connections.
    row("chat", "reset", "reset", BAD, 0, "kind=reset step=processing"),
    row("chat_stream", "reset", "reset", BAD, 200, "kind=reset step=transfer", when="mid_body"),
    row("models", "reset", "reset", BAD, 200, "kind=reset step=transfer", when="mid_body"),
    row("embeddings", "outage", "reset", BAD, 0, "kind=reset step=processing", mode="reset"),
    row("chat", "truncate", "truncated", BAD, 200, "kind=truncated step=transfer"),
    row("chat_stream", "truncate", "truncated", BAD, 200, "kind=truncated step=transfer"),
    row("responses_stream", "truncate", "truncated", BAD, 200, "kind=truncated step=transfer", after_bytes=900),
    # Deadlines.
    row("chat", "hang", "timeout_headers", BAD, 0, TIMEOUT + "processing"),
    row("responses_stream", "hang", "timeout_headers", BAD, 0, TIMEOUT + "processing"),
    row("models", "outage", "timeout_headers", BAD, 0, TIMEOUT + "processing", mode="hang"),
    row("chat", "hang", "timeout_total", BAD, 200, TIMEOUT + "transfer", when="mid_body"),
    row("chat_stream", "hang", "timeout_total", BAD, 200, TIMEOUT + "transfer", when="mid_body", after_bytes=800),
    row(
        "chat_stream", "hang", "timeout_first_token", BAD, 200, TIMEOUT + "transfer",
        when="mid_body", after_bytes=100,
    ),
    row("chat_stream", "first_token_latency", "timeout_first_token", BAD, 200, TIMEOUT, delay_seconds=20),
    row("responses_stream", "first_token_latency", "timeout_first_token", BAD, 200, TIMEOUT, delay_seconds=20),
    row("chat", "latency", "timeout_headers", BAD, 0, TIMEOUT + "processing", delay_seconds=20),
    row("chat", "latency", "success", GOOD, 200, "event=body", delay_seconds=0.1),
    row("chat", "drip", "timeout_total", BAD, 200, TIMEOUT + "transfer", interval_seconds=0.02),
    row("chat_stream", "drip", "timeout_first_token", BAD, 200, TIMEOUT + "transfer", interval_seconds=0.02),
    row("models", "drip", "timeout_headers", BAD, 0, TIMEOUT + "transfer", interval_seconds=0.02, part="headers"),
)  # fmt: skip


OUTSIDE = {
    "a redirect": Outside(
        answering("307 Temporary Redirect", more="Location: https://elsewhere.example/v1\r\n"),
        "redirect", OURS, 307, "redirects to https://elsewhere.example/v1",
    ),
    "a proxy that wants a password": Outside(
        answering("407 Proxy Authentication Required"), "proxy", OURS, 407, "event=status code=407",
    ),
    "a proxy that is away": Outside(
        at("http://api.example.org/v1", {"all": "http://127.0.0.1:{port}"}), "proxy", OURS, 0,
        "kind=proxy step=connect",
    ),
    "an answer that is withheld": Outside(
        answering("200 OK", WITHHELD), "content_filtered", OURS, 200, "content filter withheld",
    ),
    "another success than expected": Outside(
        expecting_401, "status_mismatch", OURS, 200, "status 200, expected 401",
    ),
    "a name that does not exist": Outside(
        at("http://no-such-host.invalid/v1"), "dns", BAD, 0, "kind=dns step=resolve",
    ),
    "a port that refuses": Outside(
        at("http://127.0.0.1:{port}/v1"), "connect", BAD, 0, "kind=connect step=connect",
    ),
    "a server without TLS": Outside(without_tls, "tls", BAD, 0, "kind=tls step=tls"),
    "a queue that is full": Outside(unaccepted, "timeout_connect", BAD, 0, TIMEOUT + "connect"),
    "no key": Outside(without_key, "no_credentials", OURS, 0, "cannot be read: No such file or directory"),
    "no money": Outside(spent, "cost_limited", OURS, 0, "the daily cost limit of module chat is reached"),
    "no place": Outside(crowded, "exporter_busy", OURS, 0, "before the exporter came to it"),
    "no authorities": Outside(unreadable_authorities, "internal", OURS, 0, "the exporter failed: "),
}  # fmt: skip


def test_every_outcome_of_the_taxonomy_is_reached() -> None:
    cases: list[Row | Outside] = [*ROWS, *OUTSIDE.values()]
    reached = {each.outcome for each in cases}
    assert list(OUTCOMES) == [name for name in OUTCOMES if name in reached]
    assert reached <= set(OUTCOMES)


def test_the_matrix_is_as_wide_as_promised() -> None:
    assert len(ROWS) >= 45
    assert set(MODULES) == {each.module for each in ROWS}


@pytest.mark.parametrize("case", ROWS, ids=lambda case: case.name)
async def test_each_fault_has_its_outcome(case: Row, simulator: SimulatorControl) -> None:
    if case.kind:
        simulator.fault(case.kind, **case.faults)
    waited_for = "timeout" in case.outcome and case.kind != "status"
    deadlines = DEADLINES if waited_for else (30.0,)
    left = iter(deadlines)

    async def attempt() -> ProbeResult:
        async with prober_for(configuration(simulator.api_url)) as prober:
            await prober.warm()
            return (await prober.probe(key_of(case.module), next(left))).result

    def as_said(tried: ProbeResult) -> bool:
        in_time = len(deadlines) == 1 or tried.timeout / 2 <= tried.duration < tried.timeout + 0.25
        return (case.outcome, case.status, in_time) == (tried.outcome, tried.status_code, True)

    result = await at_best(attempt, as_said, len(deadlines))
    assert (case.outcome, case.status) == (result.outcome, result.status_code)
    check(case, result)
    assert as_said(result)


@pytest.mark.parametrize("name", OUTSIDE)
async def test_what_goes_wrong_beside_the_api_has_its_outcome(
    name: str, simulator: SimulatorControl, tmp_path: Path
) -> None:
    case = OUTSIDE[name]
    cut = case.outcome in ("timeout_connect", "exporter_busy")
    async with case.way(simulator, tmp_path) as (prober, key):
        result = (await prober.probe(key, 0.4 if cut else 30.0)).result
    assert (case.outcome, case.status) == (result.outcome, result.status_code)
    check(case, result)


def check(case: Row | Outside, result: ProbeResult) -> None:
    """Validity, judgement, log and message."""
    assert case.expected == (result.success, result.valid)
    assert result.good is (result.success and result.valid)
    judged = rf"event=judgement outcome={case.outcome} success={str(result.success).lower()} message="
    assert re.search(judged, result.log[-1])
    assert case.log in "\n".join(result.log)
    assert result.message.endswith(".")


@pytest.mark.parametrize("module", ["chat", "chat_stream", "models"])
async def test_a_drip_ends_within_a_tenth_of_a_second_of_its_deadline(module: str, simulator: SimulatorControl) -> None:
    simulator.fault("drip", interval_seconds=0.01, part="headers")
    async with prober_for(configuration(simulator.api_url)) as prober:
        await prober.warm()

        async def attempt() -> float:
            result = (await prober.probe(key_of(module), 0.3)).result
            return result.duration - result.timeout

        overrun = await at_best(attempt, lambda tried: -0.05 < tried < 0.1)
    assert -0.05 < overrun < 0.1
