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
from tests.exporter.client.rawserver import Turn, answer, chunked, raw_server
from tests.exporter.probe.probers import MODULES, configuration, key_of, prober_for, within

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
        config = configuration(f"http://127.0.0.1:{listener.getsockname()[1]}/v1", within(0.4))
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
    config = configuration(simulator.api_url, {**within(0.4), "models": MODULES["models"]})
    async with prober_for(config, max_in_flight=1) as prober:
        await prober.warm()
        hanging = asyncio.create_task(prober.probe(key_of("models")))
        await asyncio.sleep(0)
        yield prober, CHAT
        hanging.cancel()


@contextlib.asynccontextmanager
async def hanging(simulator: SimulatorControl, folder: Path) -> AsyncIterator[tuple[Prober, ProbeKey]]:
    """An API that says nothing."""
    simulator.fault("hang")
    async with prober_for(configuration(simulator.api_url)) as prober:
        await prober.warm()
        yield prober, CHAT


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
    limit: float = 30.0


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
        row(module, "wrong_types", "schema_mismatch", BAD, 200, "outcome=schema_mismatch")
        for module in ("chat", "chat_stream", "responses", "responses_stream", "moderations", "models", "images")
    ),
    row("chat", "wrong_types", "success", GOOD, 200, "event=body", fields=["usage"]),
    *(
        row("chat", "empty", "empty_response", BAD, 200, "event=body bytes=", content=content)
        for content in ("nothing", "object", "array", "null")
    ),
    row("chat_stream", "empty", "empty_response", BAD, 200, "outcome=empty_response"),
    row("speech", "empty", "empty_response", BAD, 200, "outcome=empty_response"),
    row("chat", "huge", "response_too_large", BAD, 200, "kind=response_too_large step=transfer"),
    row("chat_stream", "huge", "response_too_large", BAD, 200, "kind=response_too_large step=transfer"),
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
    row("chat", "reset", "connection_reset", BAD, 0, "kind=connection_reset step=processing"),
    row("chat_stream", "reset", "connection_reset", BAD, 200, "kind=connection_reset step=transfer", when="mid_body"),
    row("models", "reset", "connection_reset", BAD, 200, "kind=connection_reset step=transfer", when="mid_body"),
    row("embeddings", "outage", "connection_reset", BAD, 0, "kind=connection_reset step=processing", mode="reset"),
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
    "a scrape with too little time": Outside(
        hanging, "deadline_too_short", OURS, 0, "the scrape left 0.2 s, and the probe continues for up to 9.5 s", 0.2,
    ),
    "no authorities": Outside(unreadable_authorities, "exporter_error", OURS, 0, "the exporter failed: "),
}  # fmt: skip


# What servers of other makers say, each form once: refusals by their shape and meaning, answers and streams that only
# look good or only look bad. `{"error": ...}` stands for the form of OpenAI where nothing else is said.


@dataclass(frozen=True)
class Foreign:
    """The raw answer of a server, which closes the connection after it, and what the probe must find."""

    module: str
    reply: bytes
    outcome: str
    expected: tuple[bool, bool]
    words: str = ""


def says(status: int, body: object, outcome: str, expected: tuple[bool, bool], words: str = "") -> Foreign:
    """A refusal of the chat endpoint."""
    kind = "application/json" if not isinstance(body, bytes) else "text/plain"
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Foreign("chat", answer(data, f"{status} X", kind), outcome, expected, words)


def error(message: str, code: Any = None, type: Any = None, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": type, "code": code, **more}}


def gives(module: str, document: object, outcome: str, expected: tuple[bool, bool], words: str = "") -> Foreign:
    """An answer of status 200."""
    return Foreign(module, answer(json.dumps(document)), outcome, expected, words)


def chat(content: object = "pong", finish: object = "stop", **choice: object) -> dict[str, Any]:
    message = {"role": "assistant", "content": content}
    return {"model": "m", "choices": [{"index": 0, "message": message, "finish_reason": finish, **choice}]}


def delta(content: str = "", finish: object = None, **choice: object) -> dict[str, Any]:
    return {"model": "m", "choices": [{"index": 0, "delta": {"content": content}, "finish_reason": finish, **choice}]}


def data(document: object, name: str = "", end: bytes = b"\n\n") -> bytes:
    text = document if isinstance(document, str) else json.dumps(document)
    return (f"event: {name}\n" if name else "").encode() + f"data: {text}".encode() + end


def streams(
    outcome: str, expected: tuple[bool, bool], *parts: bytes, words: str = "", module: str = "chat_stream", cut: int = 0
) -> Foreign:
    """A chunked stream of these parts; `cut` bytes at its end are missing."""
    whole = chunked(*parts)
    return Foreign(module, whole[: len(whole) - cut], outcome, expected, words)


PONG, STOP, DONE = data(delta("pong")), data(delta(finish="stop")), data("[DONE]")
USED = {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}}
OUTPUT = [{"type": "message", "content": [{"type": "output_text", "text": "pong"}]}]
SAID = data({"type": "response.output_text.delta", "delta": "pong"})
LIMITED = [data(error("Rate limit", "rate_limit_exceeded", "requests"), end=b"\n")]
FLOAT_NAN = b'{"data": [{"embedding": [0.1, NaN]}]}'
LAST_CHUNK = len(b"0\r\n\r\n")


def completed(name: str = "response.completed", **response: object) -> dict[str, Any]:
    return {"type": name, "response": response} if response else {"type": name}


FOREIGN: dict[str, Foreign] = {
    # Shapes of a refusal.
    "Gemini: a list of an error": says(400, [error("API key not valid", 400, status="INVALID_ARGUMENT")], "auth", OURS,
                                       "API key not valid"),
    "xAI: an error that is text": says(400, {"code": "Client specified an invalid argument",
                                             "error": "Incorrect API key provided: xa***yz."}, "auth", OURS, "xa***yz"),
    "Hugging Face: an error that is a list of texts": says(422, {"error": ["`inputs` is bad", "`seed` too"]},
                                                           "bad_request", OURS, "`inputs` is bad; `seed` too"),
    "TGI: an error beside its type": says(422, {"error": "too long", "error_type": "validation"}, "bad_request", OURS,
                                          "too long"),
    "Spring: an error and a message": says(403, {"status": 403, "error": "Forbidden", "message": "Not from here"},
                                           "permission", OURS, "Forbidden: Not from here"),
    "Mistral: a message that is an object": says(
        422, {"object": "error", "message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options"],
                                                         "msg": "Extra inputs are not permitted"}]}},
        "bad_request", OURS, "body.stream_options: Extra inputs are not permitted"),
    "Mistral: a message at the top": says(401, {"message": "Unauthorized", "request_id": "1"}, "auth", OURS,
                                          "Unauthorized"),
    "FastAPI: a detail that is text": says(401, {"detail": "Invalid token"}, "auth", OURS, "Invalid token"),
    "FastAPI: a detail that is a list": says(422, {"detail": [{"loc": ["body", "n"], "msg": "not a number"}]},
                                             "bad_request", OURS, "body.n: not a number"),
    "DeepInfra: a detail that is an object": says(404, {"detail": {"error": "Model is not available for you"}},
                                                  "model_not_found", OURS, "Model is not available"),
    "NVIDIA: problem details": says(404, {"type": "urn:x", "title": "Not Found", "status": 404,
        "detail": "No function"},
                                    "not_found", OURS, "Not Found: No function"),
    "Cloudflare: a list of errors": says(400, {"success": False, "errors": [{"code": 5007,
        "message": "No such model x"}]},
                                         "model_not_found", OURS, "No such model x"),
    "watsonx: a list of errors": says(403, {"errors": [{"code": "token_quota_reached", "message": "none left"}],
                                            "trace": "1"}, "quota_exhausted", OURS, "none left"),
    "a gateway: a message at the top": says(403, {"message": "Forbidden by policy X"}, "permission", OURS, "policy X"),
    "a gateway: code and message": says(403, {"code": 30001, "message": "Sorry, your account balance is insufficient"},
                                        "quota_exhausted", OURS, "Sorry, your account balance"),
    "a gateway: a JSON text": says(401, "Api key is invalid", "auth", OURS, "Api key is invalid"),
    "a gateway: what another server said": says(
        429, error("Provider returned error", 429, metadata={"raw": "x is busy, retry in 5 s"}), "rate_limited", OURS,
        "Provider returned error: x is busy"),
    "Apigee: a fault": says(401, {"fault": {"faultstring": "Invalid ApiKey", "detail": {"errorcode": "oauth.v2"}}},
                            "auth", OURS, "Invalid ApiKey"),
    "Tencent: a response with an error": says(400, {"Response": {"Error": {"Code": "AuthFailure", "Message": "no"}}},
                                              "auth", OURS, "no"),
    "AWS: a type of its own": says(429, {"__type": "ThrottlingException", "message": "Rate exceeded"}, "rate_limited",
                                   OURS, "Rate exceeded"),
    "plain text": says(400, b"Invalid API key\n", "auth", OURS, "Invalid API key"),
    "plain text of a model": says(404, b"model 'x' not found", "model_not_found", OURS, "model 'x' not found"),
    "plain text of a failure": says(500, b"upstream is gone", "server_error", BAD, "upstream is gone"),
    "a page": Foreign("chat", answer("<html><head><title>Sign in</title>", "403 X", "text/html"), "edge_error", BAD,
                      "Sign in"),
    "an event in place of a refusal": says(429, b'event: error\ndata: {"error": {"message": "slow"}}\n\n',
                                           "rate_limited", OURS, "slow"),
    "an unknown form": says(400, {"errors": {"model": ["is bad"]}}, "bad_request", OURS, "is bad"),
    "JSON that says it is a page": Foreign("chat", answer(json.dumps(error("Invalid API key")), "403 X", "text/html"),
                                           "auth", OURS, "Invalid API key"),
    # Meanings: money that is gone.
    "Moonshot: a quota by type": says(429, error("the account is empty", None, "exceeded_current_quota_error"),
                                      "quota_exhausted", OURS, "the account is empty"),
    "Alibaba: arrears": says(400, error("not in good standing", "Arrearage", "Arrearage"), "quota_exhausted", OURS),
    "Zhipu: a code": says(429, error("the balance is empty", "1113"), "quota_exhausted", OURS),
    "Zhipu: a code alone": says(429, error("no", "1113"), "quota_exhausted", OURS),
    "LiteLLM: a budget": says(400, error("the budget of this key is used up", "400", "budget_exceeded"),
                              "quota_exhausted", OURS),
    "LiteLLM: a budget in words": says(401, error("ExceededBudget: over budget", "401", "auth_error"),
                                       "quota_exhausted", OURS),
    "Gemini: a quota": says(429, [error("You exceeded your current quota, please check your plan.", 429)],
                            "quota_exhausted", OURS),
    "Gemini: a quota with a clock": says(429, [error("You exceeded your current quota. Please retry in 34s.", 429)],
                                         "rate_limited", OURS),
    "Google: requests per minute": says(429, [error("Quota exceeded for 'requests per minute'", 429)],
                                        "rate_limited_requests", OURS),
    "DeepSeek: payment": says(402, error("Insufficient Balance", "invalid_request_error"), "quota_exhausted", OURS),
    "a payment that says nothing": says(402, {}, "quota_exhausted", OURS),
    "OpenRouter: credits": says(403, error("This request requires more credits; insufficient credits", 403),
                                "quota_exhausted", OURS),
    "Anthropic: credits": says(400, {"type": "error", "error": {"type": "invalid_request_error",
                                                                "message": "Your credit balance is too low"}},
                               "quota_exhausted", OURS, "credit balance"),
    "Volcengine: overdue": says(403, error("no", "AccountOverdueError", "Forbidden"), "quota_exhausted", OURS),
    "new-api: a user's quota": says(403, error("用户额度不足", "insufficient_user_quota", "new_api_error"),
                                    "quota_exhausted", OURS),
    "Novita: a reason": says(403, {"code": 403, "reason": "NOT_ENOUGH_BALANCE", "message": "no"}, "quota_exhausted",
        OURS),
    "xAI: a monthly limit": says(429, {"code": "x",
        "error": "used all available credits or its monthly spending limit"},
                                 "quota_exhausted", OURS),
    "Fireworks: a suspended account": says(412, error("Account x is suspended"), "billing_inactive", OURS),
    "OpenRouter: a key's limit": says(403, error("Key limit exceeded (total limit).", 403), "quota_exhausted", OURS),
    "xAI: no credits yet": says(403, {"code": "x", "error": "Your new team doesn't have any credits or licenses yet"},
                                "quota_exhausted", OURS),
    "Azure: a rate limit that speaks of quota": says(
        429, error("Exceeded call rate limit. Retry after 2 s. See https://aka.ms/oai/quotaincrease", "429"),
        "rate_limited_requests", OURS),
    "LiteLLM: a rate limit of a key": says(
        429, error("Rate limit exceeded for api_key: 12. Limit type: requests. Remaining: 0", "429"), "rate_limited",
        OURS),
    "Vertex: a model": says(404, [error("Publisher Model `x` was not found or your project has no access", 404)],
                            "model_not_found", OURS),
    "TGI: an overload": says(429, {"error": "Model is overloaded", "error_type": "overloaded"}, "overloaded", BAD),
    "a trial that is over": says(403, {"message": "Your trial credits have expired"}, "quota_exhausted", OURS),
    "a code alone": says(429, error("no", "out_of_credits"), "quota_exhausted", OURS),
    "Cerebras: tokens per minute": says(
        429, {"message": "Tokens per minute limit exceeded", "code": "token_quota_exceeded"}, "rate_limited_tokens",
        OURS),
    "a reasoning budget": says(400, error("Thinking budget exceeded max tokens"), "bad_request", OURS),
    "API Management: a volume": says(403, {"statusCode": 403, "message": "Out of call volume quota."},
                                     "quota_exhausted", OURS, "call volume"),
    "new-api: a token's quota": says(401, error("该令牌额度已用尽", "", "new_api_error"), "quota_exhausted", OURS),
    "Google: an account without billing": says(403, [error("This API method requires billing to be enabled.", 403)],
                                               "billing_inactive", OURS),
    # Meanings: what a filter withheld.
    "Azure: a filter": says(400, error("The response was filtered", "content_filter"), "content_filtered", OURS),
    "Alibaba: an inspection": says(400, error("<400> Output data may contain inappropriate content.",
                                              "DataInspectionFailed"), "content_filtered", OURS),
    "Moonshot: a high risk": says(400, error("The request was rejected because it was considered high risk", None,
                                             "content_filter"), "content_filtered", OURS, "high risk"),
    "OpenRouter: a flagged prompt": says(403, error('Your input was flagged for "x". No credits were charged.', 403),
                                         "content_filtered", OURS),
    "xAI: a prompt against the guidelines": says(403, {"code": "x", "error": "Content violates usage guidelines."},
                                                 "content_filtered", OURS),
    "a name whose case counts": says(400, error("The field name is case sensitive information"), "bad_request", OURS),
    # Meanings: models that are not there.
    "GitHub: an unavailable model": says(400, error("Unavailable model: o1", "unavailable_model"), "model_not_found",
                                         OURS),
    "GitHub: no access": says(403, error("No access to model: o3", "no_access"), "model_not_found", OURS),
    "Moonshot: an unknown model": says(404, error("Not found the model x or Permission denied"), "model_not_found",
                                       OURS),
    "SiliconFlow: a disabled model": says(403, {"code": 30003, "message": "Model disabled."}, "model_not_found", OURS),
    "LM Studio: no model": says(404, error("No models loaded. Please load a model."), "model_not_found", OURS),
    "OpenRouter: no provider": says(404, error("No allowed providers are available for the selected model.", 404),
                                    "model_not_found", OURS),
    "LiteLLM: a model the team may not use": says(
        401, error("Authentication Error, API Key not allowed to access model.", "401", "auth_error", param="None"),
        "model_not_found", OURS),
    "Tencent: an unknown model": says(400, error("模型不存在", "2003"), "model_not_found", OURS),
    "Groq: a retired model": says(400, error("model old was decommissioned", "model_decommissioned"), "model_not_found",
                                  OURS),
    "DeepSeek: an unknown model": says(400, error("Model Not Exist", "invalid_request_error"), "model_not_found", OURS),
    "OpenRouter: an unknown model": says(400, error("foo/bar is not a valid model ID", 400), "model_not_found", OURS),
    "Mistral: an unknown model": says(400, {"object": "error", "message": "Invalid model: foo", "type": "invalid_model",
                                            "code": "1500"}, "model_not_found", OURS),
    "Cohere: a removed model": says(400, {"message": "model 'command' was removed on September 15"}, "model_not_found",
                                    OURS),
    "Bedrock: an unknown model": says(400, error("The provided model identifier is invalid."), "model_not_found", OURS),
    "Bedrock: a model without access": says(403, error("You don't have access to the model with that ID."),
                                            "model_not_found", OURS),
    "Gemini: an unknown model": says(404, [error("models/foo is not found for API version v1main", 404)],
                                     "model_not_found", OURS),
    "NVIDIA: a retired model": says(410, {"detail": "The model 'x' has reached its end of life"}, "model_not_found",
        OURS),
    "Ollama: an unknown model": says(404, error('model "x" not found, try pulling it first'), "model_not_found", OURS),
    "Anthropic: an unknown model": says(404, {"type": "error", "error": {"type": "not_found_error",
        "message": "model: x"}},
                                        "model_not_found", OURS),
    "Hugging Face: no provider": says(400, error("The model 'x' is not supported by any provider you have enabled."),
                                      "model_not_found", OURS),
    "new-api: no channel": says(503, error("No available channel", "model_not_found"), "model_not_found", OURS),
    "LiteLLM: a model the key may not use": says(401, error("key not allowed to access model", "401", "auth_error"),
                                                 "model_not_found", OURS),
    "Volcengine: an unopened model": says(404, error("no", "ModelNotOpen"), "model_not_found", OURS),
    "a model that is not supported": says(400, error("Model x is not supported"), "model_not_found", OURS),
    "a model that is gone": says(404, error("x is no longer available. Use another model"), "model_not_found", OURS),
    "a parameter that a model refuses": says(400, error("This model does not support the parameter temperature"),
                                             "bad_request", OURS),
    "a parameter that a model lacks": says(400, error("The model x: not found in the list", param="voice"),
                                           "bad_request", OURS),
    # Meanings: keys, whatever the status.
    "Gemini: an expired key": says(400, [error("API key expired. Please renew the API key.", 400)], "auth", OURS),
    "Moonshot: a wrong key": says(403, error("no", None, "invalid_authentication_error"), "auth", OURS),
    "Alibaba: a wrong key": says(400, {"code": "InvalidApiKey", "message": "no", "request_id": "1"}, "auth", OURS),
    "LiteLLM: an expired key": says(400, error("Authentication Error - Expired Key", "400", "expired_key"), "auth",
        OURS),
    "a wrong key at 404": says(404, error("Unknown API key"), "auth", OURS),
    "a wrong key at 422": says(422, {"detail": "The api_key is not valid"}, "auth", OURS),
    "a wrong key at 500": says(500, error("Invalid API key provided"), "auth", OURS),
    "a wrong key at 200": gives("chat", error("Invalid API key provided"), "auth", OURS, "Invalid API key"),
    "xAI: a blocked key": says(403, {"code": "x", "error": "The API key is currently blocked"}, "auth", OURS),
    "AWS: an expired token": says(403, {"message": "The security token included in the request is expired"}, "auth",
                                  OURS),
    "AWS: a wrong signature": says(403, {"message": "The request signature we calculated does not match"}, "auth",
                                   OURS),
    "Google: no key": says(403, error("Method doesn't allow unregistered callers", 403), "auth", OURS),
    "Scaleway: a wrong key": says(403, {"type": "denied_authentication", "message": "no"}, "auth", OURS),
    "a country": says(400, [error("User location is not supported for the API use.", 400)], "region_unsupported", OURS),
    # Meanings: the provider's failures, whatever the status.
    "TGI: a generation": says(424, {"error": "generation failed", "error_type": "generation"}, "server_error", BAD,
                              "generation failed"),
    "Groq: a flexible tier": says(498, error("Flex tier capacity exceeded", "capacity_exceeded"), "overloaded", BAD),
    "a call that the gateway gave up": says(499, error("client closed"), "server_error", BAD),
    "Moonshot: an overload": says(429, error("busy", None, "engine_overloaded_error"), "overloaded", BAD),
    "Volcengine: an overload": says(429, error("no", "ServerOverloaded"), "overloaded", BAD),
    "LM Studio: a crash": says(400, {"error": "The model has crashed. (Exit code: 9)"}, "server_error", BAD, "crashed"),
    "a failure that speaks of money": says(500, error("upstream: insufficient balance"), "server_error", BAD),
    # Answers of status 200 that are none.
    "a choice with an error": gives("chat", chat("pong", "error", error={"code": 502, "message": "Upstream lost"}),
                                    "server_error", BAD, "Upstream lost"),
    "an empty choice with an error": gives("chat", chat("", "error", error={"code": 502, "message": "Upstream lost"}),
                                           "server_error", BAD, "Upstream lost"),
    "a choice with a rate limit": gives("chat", chat("", "error", error={"code": 429, "message": "too fast"}),
                                        "rate_limited", OURS, "too fast"),
    "a choice with a quota": gives("chat", chat("", "error", error={"message": "insufficient credits"}),
                                   "quota_exhausted", OURS, "insufficient credits"),
    "a second choice with an error": gives(
        "chat", {"choices": [*chat()["choices"], *chat(error="lost")["choices"]]}, "server_error", BAD, "lost"),
    **{f"an answer that ended with {reason}": gives("chat", chat("pong", reason), outcome, expected, words)
       for reason, outcome, expected, words in (
           ("error", "server_error", BAD, "'error'"),
           ("network_error", "server_error", BAD, "'network_error'"),
           ("insufficient_system_resource", "overloaded", BAD, "'insufficient_system_resource'"),
           ("abort", "server_error", BAD, "'abort'"),
           ("MALFORMED_FUNCTION_CALL", "server_error", BAD, "'MALFORMED_FUNCTION_CALL'"),
           ("sensitive", "content_filtered", OURS, ""),
           ("SAFETY", "content_filtered", OURS, ""),
           ("content_filter: PROHIBITED_CONTENT", "content_filtered", OURS, ""),
           ("blacklist", "content_filtered", OURS, ""),
           ("function_call_filter: MALFORMED_FUNCTION_CALL", "server_error", BAD, "MALFORMED_FUNCTION_CALL"),
           ("STOP", "success", GOOD, ""),
           ("normal", "success", GOOD, ""),
           ("null", "success", GOOD, ""),
           ("eos", "success", GOOD, ""),
           ("end_turn", "success", GOOD, ""),
           (None, "success", GOOD, ""),
       )},
    "calls of tools that are none": gives("chat", chat("", "tool_calls"), "empty_response", BAD),
    "MiniMax: a balance": gives("chat", {"choices": None, "base_resp": {"status_code": 1008,
        "status_msg": "no balance"}},
                                "quota_exhausted", OURS, "no balance"),
    "MiniMax: a key": gives("chat", {"choices": [], "base_resp": {"status_code": 1004, "status_msg": "login fail: x"}},
                            "auth", OURS, "login fail"),
    "MiniMax: an error beside a choice": gives("chat", chat() | {"base_resp": {"status_code": 1, "status_msg": "no"}},
                                               "server_error", BAD, "no"),
    "MiniMax: no error": gives("chat", chat() | {"base_resp": {"status_code": 0, "status_msg": "ok"}}, "success", GOOD),
    **{f"work that is no text: {member}": gives(
        "chat", {"choices": [{"message": {"content": None, member: work}, "finish_reason": "stop"}]}, "success", GOOD)
       for member, work in (
           ("tool_calls", [{"id": "a"}]),
           ("reasoning_details", [{"type": "reasoning.text", "text": "hm"}]),
           ("thinking_blocks", [{"type": "thinking", "thinking": "hm"}]),
           ("audio", {"id": "a", "data": "AAAA"}),
           ("images", [{"type": "image_url"}]),
       )},
    "Mistral: categories alone": gives("moderations", {"results": [{"categories": {"pii": False}}]}, "success", GOOD),
    "Volcengine: an image with an error": gives(
        "images", {"data": [{"error": {"code": "X", "message": "may contain sensitive information"}}]},
        "content_filtered", OURS, "may contain"),
    "an answer that is a message": gives("chat", {"code": 17, "message": "come back later"}, "schema_mismatch", BAD,
                                         "come back later"),
    "a content in parts": gives("chat", chat([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                                              {"type": "text", "text": "pong"}]), "success", GOOD),
    "a content in empty parts": gives("chat", chat([{"type": "text", "text": ""}]), "empty_response", BAD),
    "a response that ended otherwise": gives(
        "responses", {"status": "incomplete", "incomplete_details": {"reason": "error"}, "output": OUTPUT},
        "server_error", BAD, "'error'"),
    "a vector with a NaN": Foreign("embeddings", answer(FLOAT_NAN), "schema_mismatch", BAD, "not finite"),
    "a vector of zeros": gives("embeddings", {"data": [{"embedding": [0.0] * 1536}]}, "schema_mismatch", BAD, "is 0"),
    "a sound of zeros": Foreign("speech", answer(bytes(4000), kind="audio/wav"), "schema_mismatch", BAD),
    "a sound of a head alone": Foreign("speech", answer(b"RIFF\x24\0\0\0WAVE" + bytes(32), kind="audio/wav"),
        "empty_response", BAD),
    "words in place of a sound": Foreign("speech", answer(b"Something went wrong", kind="text/plain"),
        "schema_mismatch", BAD,
                                         "Something went wrong"),
    "an image of zeros": gives("images", {"data": [{"b64_json": "A" * 400}]}, "schema_mismatch", BAD, "no image"),
    "an image of nothing": gives("images", {"data": [{"b64_json": ""}]}, "schema_mismatch", BAD),
    "a list of models without a name": gives("models", {"data": [{"id": ""}, 5]}, "schema_mismatch", BAD),
    "a bare list of models": gives("models", [{"id": "a"}], "success", GOOD),
    # Streams end as they end.
    "a stream whose last event has one newline": streams("success", GOOD, PONG, data(delta(finish="stop"), end=b"\n")),
    "a stream whose last event has no newline": streams("success", GOOD, PONG, data(delta(finish="stop"), end=b"")),
    "a response whose last event has one newline": streams(
        "success", GOOD, SAID, data(completed(status="completed", output=OUTPUT), end=b"\n"),
        module="responses_stream"),
    "an error as last event": streams("rate_limited_requests", OURS, PONG, *LIMITED, words="Rate limit"),
    "usage as last event": streams("success", GOOD, PONG, STOP, data(USED, end=b"\n"), words="event=usage"),
    "a stream cut within its last event": streams("truncated", BAD, PONG, STOP, cut=LAST_CHUNK + 4),
    "a stream closed after [DONE]": streams("success", GOOD, PONG, STOP, DONE, cut=LAST_CHUNK),
    "a stream closed within [DONE]'s end": streams("success", GOOD, PONG, STOP, data("[DONE]", end=b""),
        cut=LAST_CHUNK),
    "a stream closed before [DONE]": streams("truncated", BAD, PONG, cut=LAST_CHUNK),
    "a response closed after its end": streams(
        "success", GOOD, SAID, data(completed(status="completed", output=OUTPUT)), module="responses_stream",
        cut=LAST_CHUNK),
    "a choice of a stream with an error": streams(
        "stream_error", BAD, PONG, data(delta(finish="error", error={"code": 502, "message": "lost"})), DONE,
        words="lost"),
    "a stream that ended with error": streams("stream_error", BAD, PONG, data(delta(finish="error")), DONE,
                                              words="'error'"),
    "a stream without resources": streams("overloaded", BAD, PONG, data(delta(finish="insufficient_system_resource")),
                                          DONE),
    "a reason before a later null": streams("success", GOOD, PONG, STOP, data(delta()), DONE),
    "a bad reason before a later null": streams("stream_error", BAD, PONG, data(delta(finish="error")),
        data(delta()), DONE),
    "a bad reason after a good one": streams("stream_error", BAD, PONG, STOP, data(delta(finish="error")), DONE),
    "a reason after words of null": streams("success", GOOD, data(delta("pong", "null")), STOP),
    "a stream cut after words of null": streams("truncated", BAD, data(delta("pong", "null"))),
    "MiniMax: an error in a stream": streams(
        "rate_limited", OURS, PONG, data({"base_resp": {"status_code": 1002, "status_msg": "rate limit"}}), DONE,
        words="rate limit"),
    "a chunk without success": streams("stream_error", BAD, PONG, data({"success": False, "msg": "lost"}), DONE,
                                       words="lost"),
    "llama.cpp: a field of its own": streams("stream_error", BAD, PONG, b'error: {"code": 500, "message": "lost"}\n\n',
                                             words="lost"),
    "an event of plain words": streams("stream_error", BAD, PONG, data("upstream connect error", "error"),
                                       words="upstream connect error"),
    "an event of a JSON text": streams("stream_error", BAD, PONG, data('"lost"', "error"), words="lost"),
    "an event of flat words": streams("stream_error", BAD, PONG, data({"message": "lost", "code": 7}, "error"),
                                      words="lost"),
    "an event of words that nobody calls an error": streams("malformed", BAD, data("upstream connect error"),
                                                            words="upstream connect error"),
    "an error without the form of an event": streams("quota_exhausted", OURS, PONG,
                                                     json.dumps(error("insufficient credits")).encode() + b"\n\n"),
    "a stream of words alone": streams("stream_error", BAD, data({"message": "no such route"}), words="no such route"),
    "words after a token": streams("stream_error", BAD, PONG, data({"code": 7, "message": "lost"}), words="lost"),
    "words in place of a response": streams("stream_error", BAD, data({"message": "no such route"}),
                                            module="responses_stream", words="no such route"),
    "words in place of JSON": Foreign("chat", answer(b"upstream connect error", kind="text/plain"), "malformed", BAD,
                                      "upstream connect error"),
    "a plain error that says it is a stream": Foreign(
        "chat_stream", answer(json.dumps(error("lost")), kind="text/event-stream"), "server_error", BAD, "lost"),
    "a response that ends with an empty object": streams(
        "success", GOOD, SAID, data(completed(status="completed", output=[])), module="responses_stream"),
    "a response that ends with no object": streams("success", GOOD, SAID, data(completed()), module="responses_stream"),
    "a response that is done": streams(
        "success", GOOD, SAID, data(completed("response.done", status="completed", output=OUTPUT)),
        module="responses_stream"),
    "a response of nothing": streams("empty_response", BAD, data(completed(status="completed", output=[])),
                                     module="responses_stream"),
    "a response that failed before it ended": streams(
        "stream_error", BAD, SAID, data(completed("response.failed", status="failed", error={"message": "lost"})),
        data(completed(status="completed", output=OUTPUT)), module="responses_stream", words="lost"),
}  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
async def test_what_servers_of_other_makers_say_has_its_outcome_and_their_words(name: str) -> None:
    case = FOREIGN[name]

    async def reply(turn: Turn) -> None:
        await turn.send(case.reply)
        turn.close()

    modules = {case.module: {key: value for key, value in MODULES[case.module].items() if key != "expect"}}
    for expectation in ({}, {"expect": {"text": ".*"}} if case.module.startswith(("chat", "responses")) else {}):
        changed = {name: {**module, **expectation} for name, module in modules.items()}
        async with raw_server(reply) as server, prober_for(configuration(f"{server.url}/v1", changed)) as prober:
            result = (await prober.probe(key_of(case.module, changed), 30.0)).result
        assert (case.outcome, case.expected) == (result.outcome, (result.success, result.valid))
        assert case.words in "\n".join((result.message, *result.log))


async def test_a_server_that_knows_no_stream_options_says_how_to_leave_them_out_and_is_then_probed() -> None:
    refused = answer(json.dumps(error("Unrecognized request argument supplied: stream_options")), "400 X")
    streamed = chunked(PONG, STOP, DONE)

    async def reply(turn: Turn) -> None:
        await turn.send(refused if b"stream_options" in turn.request else streamed)

    found = []
    for extra in ({}, {"stream_options": None}):
        modules = {"chat_stream": {"endpoint": "chat", "stream": True, "request": {"extra": extra}}}
        async with raw_server(reply) as server, prober_for(configuration(f"{server.url}/v1", modules)) as prober:
            found.append((await prober.probe(key_of("chat_stream", modules), 30.0)).result)
    assert ["bad_request", "success"] == [result.outcome for result in found]
    assert "give the module request.extra.stream_options: null" in found[0].message


def test_every_outcome_of_the_taxonomy_is_reached() -> None:
    cases: list[Row | Outside] = [*ROWS, *OUTSIDE.values()]
    reached = {each.outcome for each in cases}
    assert list(OUTCOMES) == [name for name in OUTCOMES if name in reached]
    assert reached <= set(OUTCOMES)


def test_the_matrix_is_as_wide_as_promised() -> None:
    assert len(ROWS) >= 45
    assert len(FOREIGN) >= 140
    assert set(MODULES) == {each.module for each in ROWS}


@pytest.mark.parametrize("case", ROWS, ids=lambda case: case.name)
async def test_each_fault_has_its_outcome(case: Row, simulator: SimulatorControl) -> None:
    if case.kind:
        simulator.fault(case.kind, **case.faults)
    waited_for = "timeout" in case.outcome and case.kind != "status"
    deadlines = DEADLINES if waited_for else (30.0,)
    left = iter(deadlines)

    async def attempt() -> ProbeResult:
        async with prober_for(configuration(simulator.api_url, within(next(left)))) as prober:
            await prober.warm()
            return (await prober.probe(key_of(case.module))).result

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
    async with case.way(simulator, tmp_path) as (prober, key):
        result = (await prober.probe(key, case.limit)).result
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
    async with prober_for(configuration(simulator.api_url, within(0.3))) as prober:
        await prober.warm()

        async def attempt() -> float:
            result = (await prober.probe(key_of(module))).result
            return result.duration - result.timeout

        overrun = await at_best(attempt, lambda tried: -0.05 < tried < 0.1)
    assert -0.05 < overrun < 0.1
