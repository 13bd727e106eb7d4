# SPDX-License-Identifier: Apache-2.0
"""POST /v1/responses, plain and streamed: the Response object and the events of its stream."""

from collections.abc import Iterator
from itertools import count
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from openai_simulator.errors import invalid_type, invalid_value, missing_parameter, quoted
from openai_simulator.faults import NoUsage, StreamError
from openai_simulator.inference import generation, jobs
from openai_simulator.world import World

Json = dict[str, Any]


class Reply:
    """One Responses reply: the same ids and members from response.created to the end."""

    def __init__(self, job: jobs.Job, generation: generation.Generation, pace: jobs.Pace) -> None:
        self.job = job
        self.pace = pace
        self._numbers = count()
        self.generation = generation
        self.words = generation.choices[0]
        self.text = "".join(self.words)
        self.created = job.world.clock.now()
        self.reasons = job.model.reasoning and generation.reasoning_tokens > 0
        self.speaks = bool(self.words) or not generation.cut_off
        self.message_id = f"msg_{job.suffix}"

    def event(self, due: float, kind: str, token: bool = False, **members: Any) -> jobs.Step:
        """The next event of its stream, numbered."""
        payload = {"type": kind, "sequence_number": next(self._numbers), **members}
        return jobs.Step(due, jobs.named_event(payload), token)

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
        return {"id": self.message_id, "type": "message", "status": status, "content": content, "role": "assistant"}

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
            **_echoed(body, background=False),
            "completed_at": None,
            "error": None,
            "incomplete_details": None,
            **_echoed(body, instructions=None, max_output_tokens=None, max_tool_calls=None),
            "model": model.snapshot,
            "output": output,
            **_echoed(body, parallel_tool_calls=True, previous_response_id=None, prompt_cache_key=None),
            "reasoning": {"effort": effort, "summary": reasoning.get("summary")},
            **_echoed(body, safety_identifier=None),
            "service_tier": tier,
            **_echoed(body, temperature=1.0),
            "text": body.get("text") or {"format": {"type": "text"}, "verbosity": "medium"},
            **_echoed(body, tool_choice="auto", tools=[], top_logprobs=0, top_p=1.0),
            **_echoed(body, truncation="disabled", metadata={}),
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


def _echoed(body: Json, **defaults: Any) -> Json:
    """Members of the request that the Response repeats, with the values of those that were not sent."""
    return {name: default if body.get(name) is None else body[name] for name, default in defaults.items()}


def steps(reply: Reply) -> Iterator[jobs.Step]:
    """All events of one reply, up to its end or to the error that a fault asks for."""
    event, pace = reply.event, reply.pace
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
        yield from _message(reply, index, broken)
    if broken is None:
        yield event(pace.token(len(reply.words)), f"response.{reply.status}", response=reply.finished())
        return
    due = pace.token(min(len(reply.words), broken.after_tokens))
    if broken.shape == "failed":
        failed = reply.failed(broken.code or "server_error", broken.message)
        yield event(due, "response.failed", response=failed)
    else:
        yield event(due, "error", code=broken.code, message=broken.message, param=None)


def _message(reply: Reply, index: int, broken: StreamError | None) -> Iterator[jobs.Step]:
    """The events of the message, up to where a fault breaks it off."""
    event, pace = reply.event, reply.pace
    place: Json = {"item_id": reply.message_id, "output_index": index, "content_index": 0}
    start, end = pace.token(0), pace.token(len(reply.words))
    item = reply.message("in_progress", [])
    yield event(start, "response.output_item.added", output_index=index, item=item)
    yield event(start, "response.content_part.added", **place, part=reply.text_part(""))
    for number, word in enumerate(reply.words[: broken.after_tokens if broken else None]):
        due = pace.token(number)
        yield event(due, "response.output_text.delta", token=True, **place, delta=word, logprobs=[])
    if broken is None:
        part = reply.text_part(reply.text)
        yield event(end, "response.output_text.done", **place, text=reply.text, logprobs=[])
        yield event(end, "response.content_part.done", **place, part=part)
        item = reply.message(reply.status, [part])
        yield event(end, "response.output_item.done", output_index=index, item=item)


ROLES = ("user", "assistant", "system", "developer")
_SAMPLING = (("temperature", 1), ("top_p", 1), ("top_logprobs", 0))


async def create(world: World, request: Request) -> Response:
    """Answer one Responses request."""
    job = await jobs.prepared(world, request, jobs.RESPONSES, "chat")
    result, pace = generation.generate(job, _request(job))
    reply = Reply(job, result, pace)
    if job.body.get("stream"):
        return jobs.EventStream(steps(reply), pace, job.context)
    await pace.until(pace.token(max(0, len(result.choices[0]) - 1)))
    return jobs.json_reply(reply.finished())


async def count_input(world: World, request: Request) -> Response:
    """Count a request's input tokens without generating."""
    jobs.identified(world, request)
    body = jobs.decoded(await request.body())
    jobs.check(body, jobs.INPUT_TOKENS)
    if body.get("model"):
        world.catalogue.of_kind(body["model"], "chat", request.url.path)
    tokens = generation.of_messages(_items(body))
    return jobs.json_reply({"object": "response.input_tokens", "input_tokens": tokens})


def _request(job: jobs.Job) -> generation.GenerationRequest:
    items = _items(job.body)
    effort = (job.body.get("reasoning") or {}).get("effort")
    if effort is not None and effort not in jobs.EFFORTS:
        raise invalid_value("reasoning.effort", effort, quoted(jobs.EFFORTS))
    generation.refuse_for_reasoning(job, effort, _SAMPLING)
    return generation.GenerationRequest(
        prompt=generation.text_of(items[-1].get("content")),
        input_tokens=generation.of_messages(items),
        limit=job.body.get("max_output_tokens"),
        effort=effort,
    )


def _items(body: jobs.Body) -> list[dict[str, Any]]:
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
