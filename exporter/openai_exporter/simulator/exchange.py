# SPDX-License-Identifier: Apache-2.0
"""One request while it is being answered: what middleware and handlers tell each other about it."""

import uuid
from time import monotonic
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.types import Scope

from openai_exporter.simulator.calls import Identity
from openai_exporter.simulator.faults.kinds import Fault
from openai_exporter.simulator.journal import Entry
from openai_exporter.simulator.ratelimits import Header
from openai_exporter.simulator.wire import SCOPE_KEY, Wire

F = TypeVar("F", bound=Fault)
EXCHANGE_KEY = "simulator.exchange"


class Exchange:
    """One request and its answer. Mutable: it lives for one request, inside one task."""

    __slots__ = (
        "azure", "edge", "extra_headers", "identity", "model", "not_processing", "path",
        "request_id", "status", "stripped", "struck", "tokens", "wire",
    )  # fmt: skip

    def __init__(self, scope: Scope, request_id: str) -> None:
        self.wire: Wire = scope[SCOPE_KEY]
        self.path: str = scope["path"]
        self.azure = self.path.startswith("/openai/")
        self.request_id = str(uuid.UUID(request_id.removeprefix("req_"))) if self.azure else request_id
        self.edge = False  # answered by the edge: none of the API's own headers
        self.extra_headers: list[Header] = []
        self.identity: Identity | None = None
        self.model: str | None = None
        self.not_processing = 0.0  # seconds of waiting that openai-processing-ms does not count
        self.status: int | None = None
        self.stripped: frozenset[str] | None = None  # names of headers to leave out
        self.struck: list[Fault] = []
        self.tokens: list[float] = []

    def fault(self, cls: type[F]) -> F | None:
        """The fault of this kind that strikes this request, if any."""
        for fault in self.struck:
            if isinstance(fault, cls):
                return fault
        return None

    def token_written(self) -> None:
        """The write just made carried a visible token."""
        self.tokens.append(self.wire.last_write or monotonic())

    def processing_ms(self) -> int:
        """Milliseconds since the request was received, without what is not processing."""
        return max(1, round((monotonic() - self.wire.received - self.not_processing) * 1000))

    def entry(self) -> Entry:
        """The journal's record of this request, when it is over."""
        wire = self.wire
        return Entry(
            request_id=self.request_id,
            path=self.path,
            model=self.model,
            status=self.status,
            faults=tuple(fault.kind for fault in self.struck),
            received=wire.received,
            first_byte=wire.first_write,
            first_token=self.tokens[0] if self.tokens else None,
            tokens=tuple(self.tokens),
            done=monotonic() if wire.gone or wire.last_write is None else wire.last_write,
        )


def of(request: Request) -> Exchange:
    """The exchange of a Starlette request."""
    exchange: Any = request.scope[EXCHANGE_KEY]
    assert isinstance(exchange, Exchange)
    return exchange
