# SPDX-License-Identifier: Apache-2.0
"""What every request passes first: limits on method, head and concurrency, errors, and the end of the process."""

import asyncio
import logging
from collections.abc import Collection

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openai_exporter.client.turns import Turns
from openai_exporter.exposition import Instruments
from openai_exporter.metrics import own
from openai_exporter.web.answers import text

log = logging.getLogger(__name__)

MAX_HEAD_BYTES = 16 * 1024
"""Bytes of request line and headers together; Prometheus sends under 1 KiB."""

INTERNAL_ERROR = "internal error; the exporter's log says more"

ALLOWED_METHODS = ("GET", "HEAD", "POST", "PUT")
REASONS = ("concurrency", "method", "head_size", "rate_limit", "unauthorized", "stopping")
"""Values of the label `reason` of refused requests; all are exposed from the start."""


class Gate:
    """ASGI middleware; `stop()` ends it.

    Args:
        limited: paths that count against `max_requests` and begin in turns. Health, metrics and pages never wait
            for probes.
        turns: one scrape begins per pass of the event loop, however many came together.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        instruments: Instruments,
        max_requests: int,
        limited: Collection[str],
        turns: Turns | None = None,
    ) -> None:
        self._app = app
        self._instruments = instruments
        self._max_requests = max_requests
        self._limited = frozenset(limited)
        self._turns = turns or Turns()
        self._waiting: set[asyncio.Task[None]] = set()
        self._stopping = False
        for reason in REASONS:
            instruments.prepare(own.REQUESTS_REFUSED, (reason,))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            reason, status, message = refusal
            self._instruments.count(own.REQUESTS_REFUSED, (reason,))
            headers = {"Allow": ", ".join(ALLOWED_METHODS)} if status == 405 else {}
            await text(message, status, **headers)(scope, receive, send)
        elif scope["path"] in self._limited:
            await self._limit(scope, receive, send)
        else:
            await self._guarded(scope, receive, send)

    def stop(self) -> None:
        """Refuse scrapes from now on, and end those that still wait."""
        self._stopping = True
        for task in self._waiting:
            task.cancel()

    @property
    def waiting(self) -> int:
        """Scrapes that are being answered now."""
        return len(self._waiting)

    def _refusal(self, scope: Scope) -> tuple[str, int, str] | None:
        if scope["method"] not in ALLOWED_METHODS:
            return "method", 405, f"method not allowed; allowed: {', '.join(ALLOWED_METHODS)}"
        head = len(scope["raw_path"]) + len(scope["query_string"])
        head += sum(len(name) + len(value) + 4 for name, value in scope["headers"])
        if head > MAX_HEAD_BYTES:
            return "head_size", 431, f"request line and headers are above {MAX_HEAD_BYTES} bytes"
        if scope["path"] not in self._limited:
            return None
        if self._stopping:
            return "stopping", 503, "the exporter is stopping"
        if len(self._waiting) >= self._max_requests:
            return (
                "concurrency",
                503,
                f"{self._max_requests} scrapes are being answered already; raise --web.max-requests",
            )
        return None

    async def _limit(self, scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._waiting.add(task)
        try:
            await self._turns.turn()
            await self._guarded(scope, receive, send)
        except asyncio.CancelledError:
            if not self._stopping:
                raise
            await text("the exporter is stopping", 503)(scope, receive, send)
        finally:
            self._waiting.discard(task)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = finished = False

        async def watched(message: Message) -> None:
            nonlocal started, finished
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message).setdefault("cache-control", "no-store")
            else:
                finished = not message.get("more_body", False)
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception:
            log.exception("request failed", extra={"fields": {"path": scope["path"]}})
            if not started:
                await text(INTERNAL_ERROR, 500)(scope, receive, send)
            elif not finished:
                raise
