# SPDX-License-Identifier: Apache-2.0
"""POST /v1/responses, plain and streamed, and /v1/responses/input_tokens."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from openai_exporter.simulator.errors import invalid_type, invalid_value, missing_parameter
from openai_exporter.simulator.inference import schemas, tokens
from openai_exporter.simulator.inference.chat import booked
from openai_exporter.simulator.inference.checks import check
from openai_exporter.simulator.inference.events import steps
from openai_exporter.simulator.inference.generation import Wish, generate, refuse_for_reasoning
from openai_exporter.simulator.inference.pace import Pace
from openai_exporter.simulator.inference.prepare import Body, Job, decoded, identified, prepared
from openai_exporter.simulator.inference.response_object import Reply
from openai_exporter.simulator.inference.streams import EventStream, compact
from openai_exporter.simulator.world import World

ROLES = ("user", "assistant", "system", "developer")
_SAMPLING = (("temperature", 1), ("top_p", 1), ("top_logprobs", 0))


async def create(world: World, request: Request) -> Response:
    """Answer one Responses request."""
    job = await prepared(world, request, schemas.RESPONSES, "chat")
    wish = _wish(job)
    job.admit(max(wish.input_tokens, wish.limit or 0))
    generation = generate(job, wish)
    pace = Pace(job, generation.reasoning_tokens)
    job.book("completions", **booked(generation))
    reply = Reply(job, generation)
    if job.body.get("stream"):
        return EventStream(steps(reply, pace), pace, job.exchange)
    await pace.until(pace.token(max(0, len(generation.choices[0]) - 1)))
    return Response(compact(reply.finished()), media_type="application/json")


async def count_input(world: World, request: Request) -> Response:
    """Count a request's input tokens without generating."""
    identified(world, request)
    body = decoded(await request.body())
    check(body, schemas.INPUT_TOKENS)
    if body.get("model"):
        world.catalogue.of_kind(body["model"], "chat", request.url.path)
    counted = {"object": "response.input_tokens", "input_tokens": tokens.of_messages(_items(body))}
    return Response(compact(counted), media_type="application/json")


def _wish(job: Job) -> Wish:
    body = job.body
    items = _items(body)
    effort = _effort(body.get("reasoning") or {})
    refuse_for_reasoning(job, effort, _SAMPLING)
    return Wish(
        prompt=tokens.text_of(items[-1].get("content")),
        input_tokens=tokens.of_messages(items),
        limit=body.get("max_output_tokens"),
        effort=effort,
    )


def _effort(reasoning: dict[str, Any]) -> str | None:
    effort = reasoning.get("effort")
    if effort is not None and effort not in schemas.EFFORTS:
        raise invalid_value("reasoning.effort", effort, ", ".join(f"'{word}'" for word in schemas.EFFORTS))
    return effort


def _items(body: Body) -> list[dict[str, Any]]:
    """Instructions and input as messages; raises the API's 400 for a bad item."""
    given = body.get("input")
    if given is None or given == []:
        raise missing_parameter("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            raise invalid_type(f"input[{index}]", "an object", item)
        if item.get("type", "message") == "message" and item.get("role") not in ROLES:
            allowed = ", ".join(f"'{role}'" for role in ROLES)
            raise invalid_value(f"input[{index}].role", item.get("role"), allowed)
    instructions = body.get("instructions")
    return [{"role": "developer", "content": instructions}, *items] if instructions else items
