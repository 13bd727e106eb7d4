# SPDX-License-Identifier: Apache-2.0
"""One OpenAI SDK client per target, over our wire; imports openai (0.3 s, 17 MiB), so import it late."""

import logging
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import httpx2
import openai

from openai_exporter import __version__
from openai_exporter.client.exchange import ApiCall, Exchange, Sent
from openai_exporter.client.network import set_default_headers
from openai_exporter.client.pool import Pool, Terms
from openai_exporter.config import Secret
from openai_exporter.config.sections import Target
from openai_exporter.model import Provider

# The wire has undone the coding and framing; cookies would make one probe depend on the one before.
_NOT_PASSED_ON = frozenset({"content-encoding", "transfer-encoding", "content-length", "set-cookie"})


@dataclass(slots=True)
class Slot:
    """How the running call is to be done, and its record once it is."""

    terms: Terms
    exchange: Exchange | None = None


SLOT: ContextVar[Slot] = ContextVar("slot")
"""The running call; set by whoever calls the SDK."""


class WireTransport(httpx2.AsyncBaseTransport):
    """An httpx2 transport over a `Pool`; each call needs a `Slot`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Do one exchange, put its record into the slot, and hand the answer on.

        Raises:
            WireError: no whole answer came.
        """
        slot = SLOT.get()
        headers = tuple([(k.decode("latin-1"), v.decode("latin-1")) for k, v in request.headers.raw])
        body = await request.aread()
        sent = Sent(request.method, str(request.url), headers, body)
        exchange = await self._pool.exchange(sent, slot.terms)
        slot.exchange = exchange
        passed_on = [(name, value) for name, value in exchange.headers if name not in _NOT_PASSED_ON]
        return httpx2.Response(exchange.status, headers=passed_on, content=exchange.body)


AZURE_API_VERSION = "2024-10-21"
"""The newest version of Azure's dated API that is not a preview."""

# OPENAI_LOG switches these on, and requests hold what must not be logged.
for _name in ("openai", "httpx2"):
    logging.getLogger(_name).setLevel(logging.WARNING)


@dataclass(slots=True)
class TargetClient:
    """Calls one target.

    Attributes:
        pool: the connections; outlives the client when only the configuration around it changed.
    """

    target: Target
    pool: Pool
    _client: openai.AsyncOpenAI | None = field(default=None, repr=False)

    async def call(self, call: ApiCall, terms: Terms, key: Secret | None) -> Exchange:
        """Make one call and return its record, whatever the status; `key` is None for a server without keys.

        Raises:
            WireError: no whole answer came.
        """
        if self._client is None:
            self._client = _client(self.target, WireTransport(self.pool))
        slot = Slot(terms)
        token = SLOT.set(slot)
        try:
            options: Any = {"headers": self._headers(key.reveal() if key else "", call)}
            if call.method == "GET":
                await self._client.get(call.path, cast_to=httpx2.Response, options=options)
            else:
                body, files = dict(call.body or {}), call.files or None
                await self._client.post(call.path, body=body, files=files, cast_to=httpx2.Response, options=options)
        except openai.APIStatusError:
            pass  # an answer like any other; the judge decides what it means
        except Exception:
            if slot.exchange is None:
                raise
        finally:
            SLOT.reset(token)
        # A connection that the call opened keeps this context, and the slot in it, as long as it lives.
        exchange, slot.exchange = slot.exchange, None
        assert exchange is not None
        return exchange

    def _headers(self, key: str, call: ApiCall) -> dict[str, Any]:
        headers: dict[str, Any] = dict(call.headers)
        if self.target.provider is Provider.AZURE:
            headers |= {"api-key": key, "Authorization": openai.Omit()}
        else:
            headers["Authorization"] = f"Bearer {key}" if key else openai.Omit()
        if call.files:
            headers["Content-Type"] = "multipart/form-data"
        return headers


def _client(target: Target, transport: WireTransport) -> openai.AsyncOpenAI:
    """A client that takes nothing from the environment but what it was given here.

    The key goes along with each call, so the client itself holds a placeholder.
    """
    http = httpx2.AsyncClient(transport=transport, trust_env=False, follow_redirects=False, timeout=None)
    common: dict[str, Any] = {
        "api_key": "unused", "organization": target.organization, "project": target.project,
        "http_client": http, "max_retries": 0, "timeout": None,
    }  # fmt: skip
    client: openai.AsyncOpenAI
    if target.provider is Provider.AZURE and not target.base_url.endswith("/v1"):
        base = target.base_url if target.base_url.endswith("/openai") else f"{target.base_url}/openai"
        version = target.api_version or AZURE_API_VERSION
        client = openai.AsyncAzureOpenAI(base_url=base, api_version=version, **common)
    else:
        query = {"api-version": target.api_version} if target.api_version else None
        client = openai.AsyncOpenAI(base_url=target.base_url, default_query=query, **common)
    # The constructor falls back on OPENAI_* variables for all of these.
    client.organization, client.project, client.admin_api_key = target.organization, target.project, None
    set_default_headers(client, {"User-Agent": f"openai-exporter/{__version__}", "Accept-Encoding": "identity"})
    return client
