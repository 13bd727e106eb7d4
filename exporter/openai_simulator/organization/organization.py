# SPDX-License-Identifier: Apache-2.0
"""The simulated organization: wires roster, books, bill and endpoints together."""

from collections.abc import Callable
from threading import RLock
from typing import Any, Literal
from zlib import crc32

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from openai_simulator.clock import SimClock
from openai_simulator.errors import ADMIN_PREFIX, INVALID_PREFIX, ApiError
from openai_simulator.exchange import Call, Identity, OrganizationSize
from openai_simulator.faults import Faults
from openai_simulator.organization.arrival import Lateness
from openai_simulator.organization.billing import Billing
from openai_simulator.organization.books import Books, RecordedCalls
from openai_simulator.organization.directory import DirectoryApi, LastUse
from openai_simulator.organization.flows import Flows, Stores
from openai_simulator.organization.limits import LimitsApi
from openai_simulator.organization.reports import CostsApi, Sight, UsageApi
from openai_simulator.organization.seed import ApiKey, Roster, SeededSize, roster
from openai_simulator.organization.statement import Statement

# Control endpoints of the books, for tests: the truth over any time, and an end to usage. No part of the API.

PREFIX = "/_simulator/organization"
Rows = Callable[[float, float], list[dict[str, Any]]]


class Controls:
    """`GET usage` and `GET bill` with `start` and `end` (unix seconds), and `POST stop` with {"at": unix or null}."""

    def __init__(self, usage: Rows, bill: Rows, stop: Callable[[float | None], None]) -> None:
        self._usage = usage
        self._bill = bill
        self._stop = stop

    def routes(self) -> list[BaseRoute]:
        """The three routes."""
        return [
            Route(f"{PREFIX}/usage", _rows(self._usage), methods=["GET"]),
            Route(f"{PREFIX}/bill", _rows(self._bill), methods=["GET"]),
            Route(f"{PREFIX}/stop", self._stopped, methods=["POST"]),
        ]

    async def _stopped(self, request: Request) -> JSONResponse:
        try:
            at = dict(await request.json())["at"]
        except (ValueError, TypeError, KeyError):
            raise ApiError(400, 'stop: expected {"at": unix seconds or null}') from None
        if at is not None and (isinstance(at, bool) or not isinstance(at, int | float)):
            raise ApiError(400, f"stop.at: expected unix seconds or null, got {at!r}")
        await run_in_threadpool(self._stop, at)
        return JSONResponse({"at": at})


def _rows(read: Rows) -> Callable[[Request], JSONResponse]:
    def endpoint(request: Request) -> JSONResponse:
        start, end = (_moment(request, name) for name in ("start", "end"))
        return JSONResponse({"data": read(start, end)})

    return endpoint


def _moment(request: Request, name: str) -> float:
    text = request.query_params.get(name, "")
    try:
        return float(text)
    except ValueError:
        raise ApiError(400, f"{name}: expected unix seconds, got {text!r}") from None


# Which API key of a request is which key of the organization. Holds no secrets: there are none.


class KeyRing:
    """Identifies keys."""

    def __init__(self, roster: Roster) -> None:
        self._by_secret = {f"sk-{key.id}": key for key in roster.keys}
        default = roster.projects[0].id
        usable = [
            key for key in roster.keys if key.project_id == default and key.used and key.expiry != "expired"
        ]
        self._usable = usable or list(roster.keys[:1])

    def identify(self, bearer: str) -> Identity | None:
        """Whom `bearer` belongs to, None for admin keys and what is no key."""
        if not bearer.startswith("sk-") or bearer.startswith((ADMIN_PREFIX, INVALID_PREFIX)):
            return None
        key = self._by_secret.get(bearer) or self._usable[crc32(bearer.encode()) % len(self._usable)]
        return identity(key)


def identity(key: ApiKey) -> Identity:
    """The identity that a key's calls are booked under."""
    return Identity(project_id=key.project_id, api_key_id=key.id, user_id=key.owner_id)


# The simulated organization: wires roster, books, bill and endpoints together. Computes nothing itself.


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
