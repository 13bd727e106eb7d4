# SPDX-License-Identifier: Apache-2.0
"""The headers of every response, and the outermost middleware that adds them and keeps the journal."""

from contextlib import suppress
from email.utils import formatdate

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openai_exporter.simulator.exchange import EXCHANGE_KEY, Exchange
from openai_exporter.simulator.ratelimits import Header
from openai_exporter.simulator.world import World

ORGANIZATION = b"org-simulated"
API_VERSION = b"2020-10-01"
CONTROL_PREFIX = "/_simulator"
_OWN_PREFIXES = ("x-request-id", "openai-", "x-ratelimit-", "retry-after", "apim-", "x-ms-", "azureml-")


class Envelope:
    """Gives each request its Exchange, completes the headers of its answer, and enters it in the journal."""

    def __init__(self, app: ASGIApp, world: World) -> None:
        self._app = app
        self._world = world
        self._date = (-1, b"")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] != "http":
            return
        world = self._world
        exchange = Exchange(scope, world.request_id())
        scope[EXCHANGE_KEY] = exchange

        async def complete(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                message["headers"] = self._headers(exchange, message["status"], list(message["headers"]))
            await send(message)

        try:
            with suppress(ClientDisconnect):
                await self._app(scope, receive, complete)
        finally:
            if exchange.path != "/" and not exchange.path.startswith(CONTROL_PREFIX):
                world.journal.record(exchange.entry(), scope["method"])

    def _headers(self, exchange: Exchange, status: int, headers: list[Header]) -> list[Header]:
        headers.append((b"date", self._http_date()))
        headers.append((b"x-simulated", b"true"))
        if exchange.edge:
            headers.append((b"server", b"cloudflare"))
            headers.append((b"cf-ray", exchange.request_id[4:20].encode() + b"-SIM"))
        elif exchange.azure:
            headers += _azure(exchange)
        elif exchange.path.startswith("/v1"):
            headers += _openai(exchange, status)
        else:
            headers.append((b"x-request-id", exchange.request_id.encode()))
        if exchange.stripped is not None:
            return [header for header in headers if not _left_out(header[0].decode(), exchange.stripped)]
        return headers

    def _http_date(self) -> bytes:
        second = int(self._world.clock.now())
        if second != self._date[0]:
            self._date = (second, formatdate(second, usegmt=True).encode())
        return self._date[1]


def _openai(exchange: Exchange, status: int) -> list[Header]:
    headers = [(b"x-request-id", exchange.request_id.encode())]
    if status != 401:
        headers.append((b"openai-version", API_VERSION))
        headers.append((b"openai-organization", ORGANIZATION))
        headers.append((b"openai-processing-ms", b"%d" % exchange.processing_ms()))
    if exchange.identity is not None:
        headers.append((b"openai-project", exchange.identity.project_id.encode()))
    return headers + exchange.extra_headers


def _azure(exchange: Exchange) -> list[Header]:
    request_id = exchange.request_id.encode()
    return [
        (b"x-request-id", request_id),
        (b"apim-request-id", request_id),
        (b"x-ms-region", b"Sweden Central"),
        (b"azureml-model-session", b"simulated-session"),
        *exchange.extra_headers,
    ]


def _left_out(name: str, stripped: frozenset[str]) -> bool:
    """Whether a header is left out; an empty set stands for all that are the API's own."""
    return name in stripped if stripped else name.startswith(_OWN_PREFIXES)
