# SPDX-License-Identifier: Apache-2.0
"""The state that all endpoints share, and `/_simulator/...` to read and change it for tests, demos and benchmarks."""

import datetime
import json
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from openai_simulator.catalogue import MODELS, Catalogue, RateLimits, SimClock, parse_time
from openai_simulator.connection import KEPT, Journal
from openai_simulator.errors import ApiError
from openai_simulator.faults import Faults, InvalidFaultError
from openai_simulator.organization.organization import Organization
from openai_simulator.organization.reports import Amounts
from openai_simulator.organization.seed import OrganizationSize


@dataclass(frozen=True, slots=True)
class Settings:
    """How a simulator is set up. `clock` is the simulated start in unix seconds (None: now).

    `accepted_keys` empty accepts every `sk-...` key; `latency_scale` 0 answers without waiting;
    `jitter` replaces the relative spread of the models' latencies.
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
    """One simulated world."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.seed = settings.seed
        self.clock = SimClock(settings.clock, settings.speed)
        self.rng = random.Random(settings.seed)
        self.faults = Faults(random.Random(settings.seed + 1))
        self.rate_limits = RateLimits()
        self.journal = Journal()
        self.catalogue = Catalogue(self.clock)
        self.organization = Organization(
            clock=self.clock,
            seed=settings.seed,
            faults=self.faults,
            size=settings.size,
            amounts=settings.amounts,
            late_seconds=settings.late_seconds,
            limit_rates=self.rate_limits.limit_project,
        )
        self.seen_prompts: set[int] = set()

    def request_id(self) -> str:
        """A new request id, reproducible from the seed."""
        return f"req_{self.rng.getrandbits(128):032x}"


class Control:
    """The control endpoints of one world; `paths` is the list that the root page shows."""

    def __init__(self, world: World, paths: list[str]) -> None:
        self._world = world
        self._paths = paths

    def routes(self) -> list[BaseRoute]:
        """The routes of the root page and of /_simulator."""
        return [
            Route("/", self.root, methods=["GET"]),
            Route("/_simulator/state", self.state, methods=["GET"]),
            Route("/_simulator/clock", self.clock, methods=["GET", "POST"]),
            Route("/_simulator/journal", self.journal, methods=["GET"]),
            Route("/_simulator/rate_limits", self.rate_limits, methods=["POST"]),
            Route("/_simulator/faults", self.faults, methods=["GET", "POST", "DELETE"]),
            Route("/_simulator/faults/{fault_id}", self.fault, methods=["DELETE"]),
        ]

    async def root(self, _request: Request) -> Response:
        """What this is, and what it serves."""
        head = f"This is a simulated OpenAI API (seed {self._world.seed}). Nothing here is real.\n\n"
        return PlainTextResponse(head + "\n".join(self._paths) + "\n")

    async def state(self, _request: Request) -> Response:
        """Clock, seed, faults, calls so far, and the organization's usage."""
        world = self._world
        state = {
            "simulated": True,
            "seed": world.seed,
            "clock": self._clock(),
            "faults": [fault.model_dump(mode="json") for fault in world.faults.all()],
            "calls": world.journal.summary(),
            # Adding up a month takes long enough to hold up replies that are being streamed.
            "books": await run_in_threadpool(world.organization.state),
        }
        return JSONResponse(state)

    async def clock(self, request: Request) -> Response:
        """Read the clock, or set, advance or speed it."""
        if request.method == "POST":
            change_clock(self._world, await _object(request))
        return JSONResponse(self._clock())

    def _clock(self) -> dict[str, Any]:
        clock = self._world.clock
        now = clock.now()
        iso = datetime.datetime.fromtimestamp(now, datetime.UTC).isoformat()
        return {"now": now, "iso": iso, "speed": clock.speed}

    async def journal(self, request: Request) -> Response:
        """One request by id, or those that ended since a monotonic time (default: all that are kept)."""
        journal = self._world.journal
        request_id = request.query_params.get("request_id")
        if request_id is None:
            since = _number("since", request.query_params.get("since", "0"))
            return JSONResponse({"data": [asdict(entry) for entry in journal.since(since)]})
        entry = journal.find(request_id)
        if entry is None:
            raise ApiError(404, f"No finished request {request_id!r} among the last {KEPT}.")
        return JSONResponse(asdict(entry))

    async def rate_limits(self, request: Request) -> Response:
        """Set a model's limits: {"model", "requests", "tokens"} per minute."""
        body = await _object(request)
        model, requests, tokens = (body.get(name) for name in ("model", "requests", "tokens"))
        if model not in MODELS:
            raise ApiError(400, f"model: {model!r} is not a model; allowed: {', '.join(MODELS)}")
        for name, value in (("requests", requests), ("tokens", tokens)):
            if not isinstance(value, int) or value < 1:
                raise ApiError(400, f"{name}: expected an integer of at least 1 per minute, got {value!r}")
        self._world.rate_limits.limit(str(model), int(str(requests)), int(str(tokens)))
        return JSONResponse(body)

    async def faults(self, request: Request) -> Response:
        """List, add, or end all faults."""
        faults = self._world.faults
        if request.method == "DELETE":
            return JSONResponse({"deleted": faults.clear()})
        if request.method == "GET":
            return JSONResponse({"data": [fault.model_dump(mode="json") for fault in faults.all()]})
        try:
            fault_id = faults.add(await _object(request))
        except InvalidFaultError as error:
            raise ApiError(400, str(error), code="invalid_fault") from error
        return JSONResponse({"id": fault_id}, status_code=201)

    async def fault(self, request: Request) -> Response:
        """End one fault."""
        fault_id = request.path_params["fault_id"]
        if not self._world.faults.remove(fault_id):
            raise ApiError(404, f"No fault {fault_id!r} is in force.")
        return JSONResponse({"deleted": 1})


def change_clock(world: World, body: Mapping[str, Any]) -> None:
    """Apply {"now": ISO 8601 or unix seconds}, {"advance": seconds} and {"speed": factor}; raises ApiError."""
    unknown = body.keys() - {"now", "advance", "speed"}
    if unknown or not body:
        named = ", ".join(sorted(unknown)) or "nothing"
        raise ApiError(400, f"clock: {named} given; allowed: now, advance, speed")
    now = _time(body["now"]) if "now" in body else None
    seconds = _number("advance", body.get("advance", 0))
    if "speed" in body:
        try:
            world.clock.speed = _number("speed", body["speed"])
        except ValueError as error:
            raise ApiError(400, str(error)) from error
    if now is not None:
        world.clock.set(now)
    if seconds:
        world.clock.advance(seconds)


def _time(value: Any) -> float:
    try:
        return parse_time(value)
    except (TypeError, ValueError):
        message = f"now: {value!r} is neither unix seconds nor ISO 8601, such as 2026-11-21T09:30:00Z"
        raise ApiError(400, message) from None


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise ApiError(400, f"{name}: expected a number, got {value!r}") from error


async def _object(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body() or b"{}")
    except ValueError as error:
        raise ApiError(400, f"The body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise ApiError(400, "The body is not a JSON object.")
    return body
