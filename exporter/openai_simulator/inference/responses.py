# SPDX-License-Identifier: Apache-2.0
"""POST /v1/responses, plain and streamed: the Response object and the events of its stream."""

from collections.abc import Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from openai_simulator.errors import invalid_type, invalid_value, missing_parameter, quoted
from openai_simulator.faults import NoUsage, StreamError
from openai_simulator.inference import generation, schemas
from openai_simulator.inference.chat import generation_of
from openai_simulator.inference.generation import Generation, GenerationRequest, refuse_for_reasoning
from openai_simulator.inference.jobs import (
    Body,
    EventStream,
    Job,
    Pace,
    Step,
    decoded,
    identified,
    json_reply,
    named_event,
    prepared,
)
from openai_simulator.world import World

Json = dict[str, Any]


class Reply:
    """One Responses reply: the same ids and members from response.created to the end."""

    def __init__(self, job: Job, generation: Generation) -> None:
        self.job = job
        self.generation = generation
        self.words = generation.choices[0]
        self.text = "".join(self.words)
        self.created = job.world.clock.now()
        self.reasons = job.model.reasoning and generation.reasoning_tokens > 0
        self.speaks = bool(self.words) or not generation.cut_off
        self.message_id = f"msg_{job.suffix}"

    @property
    def status(self) -> str:
        """How the reply ends."""
        return "incomplete" if self.generation.cut_off else "completed"

    def unfinished(self) -> Json:
        """The Response while it is in progress."""
        return self._response("in_progress", [], tier="auto")

    def finished(self) -> Json:
        """The Response at its end, with output and usage."""
        response = self._response(self.status, self.output(), tier=self.generation.service_tier)
        if self.generation.cut_off:
            response["incomplete_details"] = {"reason": "max_output_tokens"}
        else:
            response["completed_at"] = int(self.job.world.clock.now())
        if self.job.context.fault(NoUsage) is None:
            response["usage"] = self._usage()
        return response

    def failed(self, code: str, message: str) -> Json:
        """The Response when it failed halfway."""
        response = self._response("failed", [], tier="auto")
        response["error"] = {"code": code, "message": message}
        return response

    def output(self) -> list[Json]:
        """The finished output items: reasoning if there was any, then the message if there is one."""
        items = [self.reasoning_item()] if self.reasons else []
        return [*items, self.message(self.status, [self.text_part(self.text)])] if self.speaks else items

    def reasoning_item(self) -> Json:
        """The reasoning, of which nothing is shown."""
        return {"id": f"rs_{self.job.suffix}", "type": "reasoning", "summary": []}

    def message(self, status: str, content: list[Json]) -> Json:
        """The message item."""
        return {
            "id": self.message_id,
            "type": "message",
            "status": status,
            "content": content,
            "role": "assistant",
        }

    def text_part(self, text: str) -> Json:
        """The message's content part."""
        return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}

    def _response(self, status: str, output: list[Json], tier: str) -> Json:
        body, model = self.job.body, self.job.model
        reasoning = body.get("reasoning") or {}
        effort = reasoning.get("effort") or model.default_effort
        return {
            "id": f"resp_{self.job.suffix}",
            "object": "response",
            "created_at": int(self.created),
            "status": status,
            "background": body.get("background") or False,
            "completed_at": None,
            "error": None,
            "incomplete_details": None,
            "instructions": body.get("instructions"),
            "max_output_tokens": body.get("max_output_tokens"),
            "max_tool_calls": body.get("max_tool_calls"),
            "model": model.snapshot,
            "output": output,
            "parallel_tool_calls": _value(body, "parallel_tool_calls", True),
            "previous_response_id": body.get("previous_response_id"),
            "prompt_cache_key": body.get("prompt_cache_key"),
            "reasoning": {"effort": effort, "summary": reasoning.get("summary")},
            "safety_identifier": body.get("safety_identifier"),
            "service_tier": tier,
            "temperature": _value(body, "temperature", 1.0),
            "text": body.get("text") or {"format": {"type": "text"}, "verbosity": "medium"},
            "tool_choice": _value(body, "tool_choice", "auto"),
            "tools": body.get("tools") or [],
            "top_logprobs": _value(body, "top_logprobs", 0),
            "top_p": _value(body, "top_p", 1.0),
            "truncation": _value(body, "truncation", "disabled"),
            "metadata": body.get("metadata") or {},
        }

    def _usage(self) -> Json:
        generation = self.generation
        return {
            "input_tokens": generation.input_tokens,
            "input_tokens_details": {
                "cached_tokens": generation.cached_tokens,
                "cache_write_tokens": generation.cache_write_tokens,
            },
            "output_tokens": generation.output_tokens,
            "output_tokens_details": {"reasoning_tokens": generation.reasoning_tokens},
            "total_tokens": generation.total_tokens,
        }


def _value(body: Json, name: str, default: Any) -> Any:
    value = body.get(name)
    return default if value is None else value


class Numbered:
    """Makes steps out of events, numbering them."""

    def __init__(self) -> None:
        self._number = -1

    def __call__(self, due: float, kind: str, token: bool = False, **members: Any) -> Step:
        """The next event."""
        self._number += 1
        payload = {"type": kind, "sequence_number": self._number, **members}
        return Step(due, named_event(payload), token)


def steps(reply: Reply, pace: Pace) -> Iterator[Step]:
    """All events of one reply, up to its end or to the error that a fault asks for."""
    event = Numbered()
    first = pace.first_event()
    yield event(first, "response.created", response=reply.unfinished())
    yield event(first, "response.in_progress", response=reply.unfinished())
    index = 0
    if reply.reasons:
        item = reply.reasoning_item()
        yield event(first, "response.output_item.added", output_index=0, item=item)
        yield event(pace.token(0), "response.output_item.done", output_index=0, item=item)
        index = 1
    broken = reply.job.context.fault(StreamError)
    if reply.speaks:
        shown = len(reply.words) if broken is None else min(len(reply.words), broken.after_tokens)
        yield from _spoken(reply, pace, event, index, shown)
        if broken is None:
            yield from _spoken_end(reply, pace, event, index)
    if broken is not None:
        yield _broken(reply, pace, event, broken)
        return
    end = pace.token(len(reply.words))
    yield event(end, f"response.{reply.status}", response=reply.finished())


def _spoken(reply: Reply, pace: Pace, event: Numbered, index: int, shown: int) -> Iterator[Step]:
    start = pace.token(0)
    place: dict[str, Any] = {"item_id": reply.message_id, "output_index": index, "content_index": 0}
    item = reply.message("in_progress", [])
    yield event(start, "response.output_item.added", output_index=index, item=item)
    yield event(start, "response.content_part.added", **place, part=reply.text_part(""))
    for number, word in enumerate(reply.words[:shown]):
        due = pace.token(number)
        yield event(due, "response.output_text.delta", token=True, **place, delta=word, logprobs=[])


def _spoken_end(reply: Reply, pace: Pace, event: Numbered, index: int) -> Iterator[Step]:
    end = pace.token(len(reply.words))
    place: dict[str, Any] = {"item_id": reply.message_id, "output_index": index, "content_index": 0}
    part = reply.text_part(reply.text)
    yield event(end, "response.output_text.done", **place, text=reply.text, logprobs=[])
    yield event(end, "response.content_part.done", **place, part=part)
    item = reply.message(reply.status, [part])
    yield event(end, "response.output_item.done", output_index=index, item=item)


def _broken(reply: Reply, pace: Pace, event: Numbered, fault: StreamError) -> Step:
    due = pace.token(min(len(reply.words), fault.after_tokens))
    if fault.shape == "failed":
        response: Json = reply.failed(fault.code or "server_error", fault.message)
        return event(due, "response.failed", response=response)
    return event(due, "error", code=fault.code, message=fault.message, param=None)


ROLES = ("user", "assistant", "system", "developer")
_SAMPLING = (("temperature", 1), ("top_p", 1), ("top_logprobs", 0))


async def create(world: World, request: Request) -> Response:
    """Answer one Responses request."""
    job = await prepared(world, request, schemas.RESPONSES, "chat")
    generation, pace = generation_of(job, _request(job))
    reply = Reply(job, generation)
    if job.body.get("stream"):
        return EventStream(steps(reply, pace), pace, job.context)
    await pace.until(pace.token(max(0, len(generation.choices[0]) - 1)))
    return json_reply(reply.finished())


async def count_input(world: World, request: Request) -> Response:
    """Count a request's input tokens without generating."""
    identified(world, request)
    body = decoded(await request.body())
    schemas.check(body, schemas.INPUT_TOKENS)
    if body.get("model"):
        world.catalogue.of_kind(body["model"], "chat", request.url.path)
    tokens = generation.of_messages(_items(body))
    return json_reply({"object": "response.input_tokens", "input_tokens": tokens})


def _request(job: Job) -> GenerationRequest:
    items = _items(job.body)
    effort = (job.body.get("reasoning") or {}).get("effort")
    if effort is not None and effort not in schemas.EFFORTS:
        raise invalid_value("reasoning.effort", effort, quoted(schemas.EFFORTS))
    refuse_for_reasoning(job, effort, _SAMPLING)
    return GenerationRequest(
        prompt=generation.text_of(items[-1].get("content")),
        input_tokens=generation.of_messages(items),
        limit=job.body.get("max_output_tokens"),
        effort=effort,
    )


def _items(body: Body) -> list[dict[str, Any]]:
    """Instructions and input as messages; raises the API's 400 for a bad item."""
    content = body.get("input")
    if content is None or content == []:
        raise missing_parameter("input")
    items = [{"role": "user", "content": content}] if isinstance(content, str) else content
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            raise invalid_type(f"input[{index}]", "an object", item)
        if item.get("type", "message") == "message" and item.get("role") not in ROLES:
            raise invalid_value(f"input[{index}].role", item.get("role"), quoted(ROLES))
    instructions = body.get("instructions")
    return [{"role": "developer", "content": instructions}, *items] if instructions else items
