# SPDX-License-Identifier: Apache-2.0
"""One request while it is being answered, and the journal of what really happened to each."""

import uuid
from collections import Counter, OrderedDict
from dataclasses import asdict, dataclass
from time import monotonic
from typing import Any, Literal, TypeVar

from starlette.requests import Request
from starlette.types import Scope

from openai_simulator.faults import Fault
from openai_simulator.ratelimits import Header
from openai_simulator.wire import SCOPE_KEY, Wire

# What really happened to each request, in CLOCK_MONOTONIC seconds, to check a client's figures by.
# The stamps compare with `time.monotonic()` of any process on the host. Keeps the last requests only.

KEPT = 20_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One request: `received` when its last byte arrived, the others when bytes went to the socket."""

    request_id: str
    path: str
    model: str | None
    status: int | None
    faults: tuple[str, ...]
    received: float
    first_byte: float | None
    first_token: float | None
    tokens: tuple[float, ...]
    done: float


class Journal:
    """The last `kept` requests by request id, and counts of all of them."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self.counts: Counter[tuple[str, str, int | None]] = Counter()

    def record(self, entry: Entry, method: str) -> None:
        """Add a finished request."""
        self._entries[entry.request_id] = entry
        if len(self._entries) > self._kept:
            self._entries.popitem(last=False)
        self.counts[method, entry.path, entry.status] += 1

    def find(self, request_id: str) -> Entry | None:
        """The request of that id, if it is still kept."""
        return self._entries.get(request_id)

    def since(self, moment: float) -> list[Entry]:
        """The kept requests that ended at or after `moment` (monotonic seconds)."""
        return [entry for entry in self._entries.values() if entry.done >= moment]

    def summary(self) -> list[dict[str, Any]]:
        """Calls per method, path and status; status null when the connection ended before one was sent."""
        return [
            {"method": method, "path": path, "status": status, "count": count}
            for (method, path, status), count in sorted(self.counts.items(), key=str)
        ]


def as_json(entry: Entry) -> dict[str, Any]:
    """The entry as `GET /_simulator/journal` shows it."""
    return asdict(entry)


# What the inference endpoints tell the organization's books. Plain data, no behaviour.

Operation = Literal[
    "completions", "embeddings", "moderations", "images", "audio_speeches", "audio_transcriptions"
]


@dataclass(frozen=True, slots=True)
class OrganizationSize:
    """How many projects, API keys and users the simulated organization has."""

    projects: int = 4
    keys: int = 8
    users: int = 6


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom an API key belongs to, as the usage API names them."""

    project_id: str
    api_key_id: str
    user_id: str


@dataclass(frozen=True, slots=True)
class Call:
    """One billed inference call; `model` is the dated snapshot, `time` simulated unix seconds.

    Token counts follow the usage API: `input_tokens` includes cached and cache-write tokens.
    """

    time: float
    operation: Operation
    model: str
    identity: Identity
    batch: bool = False
    service_tier: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    input_cached_tokens: int = 0
    input_cache_write_tokens: int = 0
    input_audio_tokens: int = 0
    output_audio_tokens: int = 0
    images: int = 0
    characters: int = 0
    seconds: int = 0
    size: str | None = None
    source: str | None = None


# One request while it is being answered: what middleware and handlers tell each other about it.

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
