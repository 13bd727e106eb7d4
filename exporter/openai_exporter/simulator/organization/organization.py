# SPDX-License-Identifier: Apache-2.0
"""The simulated organization: wires roster, books, bill and endpoints together. Computes nothing itself."""

from threading import RLock
from typing import Any, Literal

from starlette.routing import BaseRoute

from openai_exporter.simulator.calls import Call, Identity, OrganizationSize
from openai_exporter.simulator.clock import SimClock
from openai_exporter.simulator.faults import Faults
from openai_exporter.simulator.organization.arrival import Lateness
from openai_exporter.simulator.organization.billing import Billing
from openai_exporter.simulator.organization.books import Books
from openai_exporter.simulator.organization.controls import Controls
from openai_exporter.simulator.organization.costs import CostsApi
from openai_exporter.simulator.organization.directory import DirectoryApi
from openai_exporter.simulator.organization.flows import Flows
from openai_exporter.simulator.organization.keys import KeyRing
from openai_exporter.simulator.organization.last_use import LastUse
from openai_exporter.simulator.organization.levels import Stores
from openai_exporter.simulator.organization.limits import LimitsApi
from openai_exporter.simulator.organization.recorded import RecordedCalls
from openai_exporter.simulator.organization.seed import roster
from openai_exporter.simulator.organization.sight import Sight
from openai_exporter.simulator.organization.size import SeededSize
from openai_exporter.simulator.organization.statement import Statement
from openai_exporter.simulator.organization.usage import UsageApi


class Organization:
    """The books of a simulated organization and the /v1/organization endpoints on them.

    Everything is a function of `seed`, `size`, the simulated time, the faults in force and the calls recorded.
    `late_seconds` is how long (simulated) the newest usage takes to appear; 0 shows all at once.
    """

    def __init__(
        self,
        *,
        clock: SimClock,
        seed: int,
        faults: Faults,
        size: OrganizationSize | None = None,
        amounts: Literal["number", "string"] = "string",
        late_seconds: float = 600.0,
    ) -> None:
        counted = SeededSize() if size is None else SeededSize.of(size)
        self._clock = clock
        self._lock = RLock()
        people = roster(seed, counted)
        self._recorded = RecordedCalls()
        self._books = books = Books(
            Flows(seed, people, counted), Stores(seed, people, counted), self._recorded
        )
        billing = Billing(seed, books)
        usage, costs = Lateness.of_usage(late_seconds), Lateness.of_costs(late_seconds)
        self._usage_sight = Sight(clock, faults, usage, self._recorded, self._lock)
        self._costs_sight = Sight(clock, faults, costs, self._recorded, self._lock)
        self._keys = KeyRing(people)
        self._statement = Statement(books, billing, self._usage_sight, self._costs_sight)
        self._limits = LimitsApi(seed, people, clock, self._statement, self._lock)
        self._apis = (
            UsageApi(books, self._usage_sight, faults),
            CostsApi(billing, self._costs_sight, faults, amounts),
            DirectoryApi(people, LastUse(people, books), clock, self._lock),
            self._limits,
            Controls(self.truth, self.bill, self.stop_usage),
        )

    def routes(self) -> list[BaseRoute]:
        """All routes under /v1/organization, and the control endpoints under /_simulator/organization."""
        return [route for api in self._apis for route in api.routes()]

    def record_call(self, call: Call) -> None:
        """Enter a call that was really made; it is billed and becomes visible like any other usage. Never waits.

        Raises:
            ValueError: its token counts do not add up.
        """
        self._recorded.record(call)
        self._usage_sight.changed(call.time)
        self._costs_sight.changed(call.time)

    def identify(self, bearer: str) -> Identity | None:
        """Whom an API key belongs to. `sk-` and a key's id is that key; any other `sk-...` maps to one of the
        default project's keys, always the same. None for admin keys and what is no key."""
        return self._keys.identify(bearer)

    def stop_usage(self, at: float | None) -> None:
        """Let no seeded usage happen after `at` (unix seconds), so that the books can settle; None lifts it."""
        with self._lock:
            self._books.stop(at)
            self._usage_sight.changed(float("-inf"))
            self._costs_sight.changed(float("-inf"))

    def truth(self, start: float, end: float) -> list[dict[str, Any]]:
        """What was used in [start, end), whether visible or not: one row per operation and full set of labels."""
        with self._lock:
            return self._statement.rows(start, end)

    def bill(self, start: float, end: float) -> list[dict[str, Any]]:
        """What usage in [start, end) costs, whether visible or not: one row per UTC day and full set of labels."""
        with self._lock:
            return self._statement.bill(start, end)

    def state(self) -> dict[str, Any]:
        """The books at the present simulated time, true and as far as they have arrived; money as strings."""
        with self._lock:
            return {**self._statement.state(self._clock.now()), "limits": self._limits.state()}
