# SPDX-License-Identifier: Apache-2.0
"""The state that all routes share: clock, randomness, faults, rate limits, journal and the organization."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from starlette.routing import BaseRoute

from openai_simulator.catalogue import Catalogue
from openai_simulator.clock import SimClock
from openai_simulator.exchange import Call, Identity, Journal, OrganizationSize
from openai_simulator.faults import Faults
from openai_simulator.ratelimits import RateLimits

Amounts = Literal["number", "string"]


class Books(Protocol):
    """What the rest of the simulator needs of the organization."""

    def routes(self) -> list[BaseRoute]:
        """The routes under /v1/organization."""
        ...

    def record_call(self, call: Call) -> None:
        """Enter a call in the books."""
        ...

    def identify(self, bearer: str) -> Identity | None:
        """Whom a key belongs to; None for a key that is not known."""
        ...

    def state(self) -> dict[str, Any]:
        """The books, for tests."""
        ...


@dataclass(frozen=True, slots=True)
class Settings:
    """How a simulator is set up. `clock` is the simulated start in unix seconds (None: now).

    `accepted_keys` empty accepts every `sk-...` key; `latency_scale` 0 answers without waiting;
    `jitter` replaces the relative spread of the models' latencies; a `size` that is no `SeededSize` has five usage
    streams per key.
    """

    seed: int = 1
    clock: float | None = None
    speed: float = 1.0
    amounts: Amounts = "string"
    late_seconds: float = 300.0
    latency_scale: float = 1.0
    jitter: float | None = None
    size: OrganizationSize = field(default_factory=OrganizationSize)
    accepted_keys: frozenset[str] = frozenset()


class World:
    """One simulated world; `organization` builds its books from the shared clock and faults."""

    def __init__(
        self, settings: Settings, organization: Callable[[Settings, SimClock, Faults], Books]
    ) -> None:
        self.settings = settings
        self.seed = settings.seed
        self.clock = SimClock(settings.clock, settings.speed)
        self.rng = random.Random(settings.seed)
        self.faults = Faults(random.Random(settings.seed + 1))
        self.rate_limits = RateLimits()
        self.journal = Journal()
        self.catalogue = Catalogue(self.clock)
        self.organization = organization(settings, self.clock, self.faults)
        self.seen_prompts: set[int] = set()

    def request_id(self) -> str:
        """A new request id, reproducible from the seed."""
        return f"req_{self.rng.getrandbits(128):032x}"
