# SPDX-License-Identifier: Apache-2.0
"""One inference request from its key to its reply: checks, model, rate limit, record of usage, pacing, streams."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from openai_simulator import errors
from openai_simulator.catalogue import Kind, Model
from openai_simulator.context import RequestContext, context_of
from openai_simulator.errors import ApiError, invalid_type
from openai_simulator.faults import FirstTokenLatency
from openai_simulator.inference.schemas import Table, check
from openai_simulator.organization.usage import Call, Identity, Operation
from openai_simulator.ratelimits import azure_headers, openai_headers
from openai_simulator.world import World

LARGEST_BODY = 25 << 20
Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Job:
    """A request that was let in: who asks, which model, and the checked body."""

    world: World
    context: RequestContext
    identity: Identity
    key: str
    body: Body
    model: Model

    @property
    def suffix(self) -> str:
        """The hexadecimal part of the request id, which ids of the reply end in."""
        return self.context.request_id.removeprefix("req_").replace("-", "")

    def admit(self, tokens: int) -> None:
        """Count the request against its rate limits and set their headers; raises the API's 429."""
        limits = self.world.rate_limits
        headers = azure_headers if self.context.azure else openai_headers
        try:
            limits.take(self.key, self.model, tokens)
        finally:
            self.context.extra_headers = headers(limits.buckets(self.key, self.model))

    def record(self, operation: Operation, **quantities: Any) -> None:
        """Enter the call in the organization's usage."""
        now, snapshot = self.world.clock.now(), self.model.snapshot
        self.world.organization.record_call(Call(now, operation, snapshot, self.identity, **quantities))

    async def small(self, operation: Operation, tokens: int, **quantities: Any) -> None:
        """All that an endpoint without output tokens does before its reply: limits, usage, and the model's time."""
        self.admit(tokens)
        pace = Pace(self)
        self.record(operation, **quantities)
        await pace.until(pace.processing)


def identified(world: World, request: Request, scope: str = "model.request") -> tuple[str, Identity]:
    """The request's key and whose it is; raises the API's 401 and 403."""
    context = context_of(request)
    key = _azure_key(request) if context.azure else errors.bearer(request)
    if not context.azure:
        errors.refuse_invalid(key)
        if errors.is_admin_key(key):
            raise errors.missing_scopes(scope)
    accepted = world.settings.accepted_keys
    # Azure keys have no prefix; each stands for some key of ours.
    known = f"sk-{key}" if context.azure else key
    identity = None if accepted and key not in accepted else world.organization.identify(known)
    if identity is None:
        raise errors.incorrect(key)
    context.identity = identity
    return key, identity


def _azure_key(request: Request) -> str:
    key = request.headers.get("api-key", "").strip()
    if not key and "authorization" in request.headers:
        key = errors.bearer(request)
    if not key or key.startswith((errors.INVALID_PREFIX, "invalid")):
        message = "Access denied due to invalid subscription key or wrong API endpoint."
        raise ApiError(401, message, type="invalid_request_error", code="401")
    return key


async def prepared(world: World, request: Request, table: Table, kind: Kind, default: str = "") -> Job:
    """Let a JSON request in; `default` is the model when the endpoint has one."""
    key, identity = identified(world, request)
    body = decoded(await request.body())
    deployment = request.path_params.get("deployment")
    if deployment is not None:
        body["model"] = deployment
    check(body, table)
    return let_in(world, request, key, identity, body, kind, default)


def let_in(
    world: World, request: Request, key: str, identity: Identity, body: Body, kind: Kind, default: str = ""
) -> Job:
    """The job of a checked body; raises the API's refusals of the model."""
    context = context_of(request)
    context.model = body.get("model") or default
    model = world.catalogue.of_kind(context.model, kind, context.path)
    return Job(world, context, identity, key, body, model)


def decoded(raw: bytes) -> Body:
    """The request's JSON object; raises the API's 400 or 413."""
    if len(raw) > LARGEST_BODY:
        raise ApiError(413, f"The request is larger than {LARGEST_BODY} bytes.")
    try:
        body = json.loads(raw or b"{}")
    except ValueError as error:
        message = f"We could not parse the JSON body of your request. ({error})"
        raise ApiError(400, message) from error
    if not isinstance(body, dict):
        raise invalid_type("body", "an object", body)
    return body


REASONING_SPEED = 0.1  # of the time of a visible token: reasoning runs faster than it can be shown
FIRST_EVENT = 0.5  # of the time to the first token: when a stream's headers and first event go out


class Pace:
    """Seconds after the start at which things are due; the seeded jitter is drawn once per request."""

    __slots__ = ("_first", "_per_token", "_reasoning", "_start", "processing")

    def __init__(self, job: Job, reasoning_tokens: int = 0) -> None:
        profile, rng, settings = job.model.profile, job.world.rng, job.world.settings
        jitter = profile.jitter if settings.jitter is None else settings.jitter
        spread = settings.latency_scale * (1 + jitter * (2 * rng.random() - 1))
        self._start = monotonic()
        self._per_token = profile.per_token * spread
        self._first = profile.first_token * spread
        self._reasoning = reasoning_tokens * self._per_token * REASONING_SPEED
        self.processing = profile.processing * spread
        late = job.context.fault(FirstTokenLatency)
        if late is not None:
            self._reasoning += late.delay_seconds

    def first_event(self) -> float:
        """When a stream's first event is due."""
        return self._first * FIRST_EVENT

    def token(self, index: int) -> float:
        """When the visible token `index` (from 0) is due."""
        return self._first + self._reasoning + index * self._per_token

    async def until(self, offset: float) -> None:
        """Wait until `offset` seconds after the start; returns at once when that is past."""
        delay = self._start + offset - monotonic()
        if offset > 0 and delay > 0:
            await asyncio.sleep(delay)


DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Step:
    """One piece of a stream: when it is due (seconds after the start), its bytes, and whether it shows a token."""

    due: float
    data: bytes
    token: bool = False


class EventStream(Response):
    """A `text/event-stream` reply that sends `steps` in their own time."""

    media_type = "text/event-stream"

    def __init__(self, steps: Iterator[Step], pace: Pace, context: RequestContext) -> None:
        super().__init__()
        self._steps = steps
        self._pace = pace
        self._context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application; ends early when the client leaves."""
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
        wire = self._context.wire
        step, started = next(self._steps, None), False
        while step is not None:
            await self._pace.until(step.due)
            if wire.gone:
                return
            if not started:
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                started = True
            following = next(self._steps, None)
            more = following is not None
            await send({"type": "http.response.body", "body": step.data, "more_body": more})
            if step.token:
                self._context.token_written()
            step = following


def data_event(payload: Any) -> bytes:
    """An event with data only, as chat streams have them."""
    return b"data: " + compact(payload) + b"\n\n"


def named_event(payload: dict[str, Any]) -> bytes:
    """An event with its type as name, as Responses streams have them."""
    return f"event: {payload['type']}\n".encode() + b"data: " + compact(payload) + b"\n\n"


def json_reply(payload: Any) -> Response:
    """A reply with a JSON body."""
    return Response(compact(payload), media_type="application/json")


def compact(payload: Any) -> bytes:
    """JSON without spaces."""
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
