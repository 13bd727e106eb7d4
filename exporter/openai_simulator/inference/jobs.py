# SPDX-License-Identifier: Apache-2.0
"""One inference request from its key to its reply: members, model, rate limit, record of usage, pacing, streams."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from openai_simulator import errors
from openai_simulator.catalogue import Kind, Model, azure_headers, openai_headers
from openai_simulator.connection import RequestContext, context_of
from openai_simulator.faults import FirstTokenLatency
from openai_simulator.organization.usage import Call, Identity, Operation
from openai_simulator.world import World

# The members of each inference request, from the official API description, and how they are checked.

_TYPES: Mapping[str, tuple[str, type | tuple[type, ...]]] = {
    "string": ("a string", str),
    "integer": ("an integer", int),
    "number": ("a decimal", (int, float)),
    "boolean": ("a boolean", bool),
    "array": ("an array", list),
    "object": ("an object", dict),
}
"""How error messages name a JSON type, and its types in Python."""


@dataclass(frozen=True, slots=True)
class Member:
    """What a member may be: JSON types, range of numbers or lengths, allowed words, null."""

    types: tuple[str, ...]
    least: float | None = None
    most: float | None = None
    words: tuple[str, ...] = ()
    null: bool = True
    required: bool = False


Table = Mapping[str, Member]


def check(body: Mapping[str, Any], table: Table) -> None:
    """Raise the API's 400 for the first member that is missing, unknown, of a wrong type or out of range."""
    for name, member in table.items():
        if member.required and name not in body:
            raise errors.missing_parameter(name)
    for name, value in body.items():
        if name not in table:
            raise errors.unknown_parameter(name)
        _check_member(name, value, table[name])


def _check_member(name: str, value: Any, member: Member) -> None:
    if value is None and member.null and not member.required:
        return
    if not any(_is(kind, value) for kind in member.types):
        raise errors.invalid_type(name, " or ".join(_TYPES[kind][0] for kind in member.types), value)
    if member.words and isinstance(value, str) and value not in member.words:
        raise errors.invalid_value(name, value, errors.quoted(member.words))
    size = len(value) if isinstance(value, str | list) else value
    if member.least is not None and _is("number", size) and size < member.least:
        raise _bound(name, value, "below_min", f"at least {member.least:g}")
    if member.most is not None and _is("number", size) and size > member.most:
        raise _bound(name, value, "above_max", f"at most {member.most:g}")


def _is(kind: str, value: Any) -> bool:
    return isinstance(value, _TYPES[kind][1]) and (kind == "boolean" or not isinstance(value, bool))


def _bound(name: str, value: Any, ending: str, expected: str) -> errors.ApiError:
    """Too small, too large; too short or too long for texts and arrays."""
    if isinstance(value, str | list):
        kind, what, size = ("string" if isinstance(value, str) else "array"), "length", len(value)
    else:
        kind, what, size = ("integer" if isinstance(value, int) else "decimal"), "value", value
    message = f"Invalid '{name}': {kind} {ending.replace('_', ' ')} {what}. Expected {expected}, got {size}."
    return errors.ApiError(400, message, param=name, code=f"{kind}_{ending}_{what}")


EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

_MODEL = Member(("string",), null=False, required=True)
_EITHER = Member(("string", "object"))


def _members(kind: str, names: str) -> dict[str, Member]:
    """Members that may be anything of one type."""
    return dict.fromkeys(names.split(), Member((kind,)))


def _words(*words: str) -> Member:
    return Member(("string",), words=words)


_SAMPLING: Table = {
    **_members("string", "user prompt_cache_key"),
    **_members("boolean", "store stream parallel_tool_calls"),
    **_members("object", "metadata prompt_cache_options stream_options moderation"),
    **_members("array", "tools"),
    "model": _MODEL,
    "temperature": Member(("number",), 0, 2),
    "top_p": Member(("number",), 0, 1),
    "top_logprobs": Member(("integer",), 0, 20),
    "safety_identifier": Member(("string",), 0, 64),
    "prompt_cache_retention": _words("in_memory", "24h"),
    "service_tier": _words("auto", "default", "flex", "scale", "priority", "fast"),
    "tool_choice": _EITHER,
}

CHAT: Table = {
    **_SAMPLING,
    **_members("object", "web_search_options response_format audio logit_bias prediction"),
    **_members("array", "modalities functions"),
    **_members("boolean", "logprobs"),
    **_members("integer", "seed"),
    "messages": Member(("array",), 1, None, null=False, required=True),
    "verbosity": _words("low", "medium", "high"),
    "reasoning_effort": _words(*EFFORTS),
    "max_completion_tokens": Member(("integer",), 1),
    "max_tokens": Member(("integer",), 1),
    "frequency_penalty": Member(("number",), -2, 2),
    "presence_penalty": Member(("number",), -2, 2),
    "stop": Member(("string", "array")),
    "n": Member(("integer",), 1, 128),
    "function_call": _EITHER,
}

RESPONSES: Table = {
    **_SAMPLING,
    **_members("string", "instructions previous_response_id"),
    **_members("object", "text prompt reasoning"),
    **_members("array", "include context_management"),
    **_members("boolean", "background"),
    "input": Member(("string", "array")),
    "max_tool_calls": Member(("integer",), 1),
    "truncation": _words("auto", "disabled"),
    "conversation": _EITHER,
    "max_output_tokens": Member(("integer",), 16),
}

INPUT_TOKENS: Table = {
    name: RESPONSES[name]
    for name in (
        "input", "instructions", "previous_response_id", "text", "truncation", "reasoning",
        "conversation", "tools", "tool_choice", "parallel_tool_calls",
    )
} | _members("string", "model personality")  # fmt: skip

EMBEDDINGS: Table = {
    **_members("string", "user"),
    "model": _MODEL,
    "input": Member(("string", "array"), 1, null=False, required=True),
    "encoding_format": _words("float", "base64"),
    "dimensions": Member(("integer",), 1),
}

MODERATIONS: Table = {**_members("string", "model"), "input": Member(("string", "array"), null=False, required=True)}

VOICES = (
    "alloy", "ash", "ballad", "coral", "echo", "fable", "onyx", "nova", "sage", "shimmer", "verse",
    "marin", "cedar",
)  # fmt: skip
SPEECH: Table = {
    "model": _MODEL,
    "input": Member(("string",), 1, 4096, null=False, required=True),
    "voice": Member(("string", "object"), words=VOICES, null=False, required=True),
    "instructions": Member(("string",), 0, 4096),
    "response_format": _words("mp3", "opus", "aac", "flac", "wav", "pcm"),
    "speed": Member(("number",), 0.25, 4),
    "stream_format": _words("sse", "audio"),
}

IMAGES: Table = {
    **_members("string", "model user"),
    **_members("boolean", "stream"),
    "prompt": Member(("string",), 1, 32_000, null=False, required=True),
    "n": Member(("integer",), 1, 10),
    "quality": _words("low", "medium", "high", "auto"),
    "output_format": _words("png", "jpeg", "webp"),
    "output_compression": Member(("integer",), 0, 100),
    "partial_images": Member(("integer",), 0, 3),
    "size": _words("auto", "1024x1024", "1536x1024", "1024x1536"),
    "moderation": _words("low", "auto"),
    "background": _words("transparent", "opaque", "auto"),
}

# The request from its key to its reply.

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
        """Count the request against its limits and set the headers of its rate limits; raises the API's 429."""
        limits, project_id = self.world.rate_limits, self.identity.project_id
        headers = azure_headers if self.context.azure else openai_headers
        self.world.organization.admit(project_id)
        try:
            limits.take(self.key, self.model, tokens, project_id)
        finally:
            self.context.extra_headers = headers(limits.buckets(self.key, self.model, project_id))

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
        raise errors.ApiError(401, message, type="invalid_request_error", code="401")
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
        raise errors.ApiError(413, f"The request is larger than {LARGEST_BODY} bytes.")
    try:
        body = json.loads(raw or b"{}")
    except ValueError as error:
        message = f"We could not parse the JSON body of your request. ({error})"
        raise errors.ApiError(400, message) from error
    if not isinstance(body, dict):
        raise errors.invalid_type("body", "an object", body)
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
