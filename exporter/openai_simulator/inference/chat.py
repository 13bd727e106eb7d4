# SPDX-License-Identifier: Apache-2.0
"""POST /v1/chat/completions, plain and streamed."""

from collections.abc import Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from openai_simulator.errors import ApiError, invalid_type, invalid_value, missing_parameter, quoted
from openai_simulator.faults import NoUsage, StreamError
from openai_simulator.inference import generation, jobs
from openai_simulator.world import World

ROLES = ("developer", "system", "user", "assistant", "tool", "function")
_SAMPLING = (
    ("temperature", 1), ("top_p", 1), ("presence_penalty", 0), ("frequency_penalty", 0),
    ("logprobs", False), ("top_logprobs", None), ("logit_bias", None),
)  # fmt: skip


async def create(world: World, request: Request) -> Response:
    """Answer one chat completion request."""
    job = await jobs.prepared(world, request, jobs.CHAT, "chat")
    result, pace = generation.generate(job, _request(job))
    if job.body.get("stream"):
        return jobs.EventStream(_steps(job, result, pace), pace, job.context)
    await pace.until(pace.token(max(0, max(map(len, result.choices)) - 1)))
    return jobs.json_reply(_completion(job, result))


def _request(job: jobs.Job) -> generation.GenerationRequest:
    body, model = job.body, job.model
    messages = checked_messages(body["messages"])
    if model.reasoning and body.get("max_tokens") is not None:
        raise generation.unsupported(
            "unsupported_parameter", "max_tokens", model.id, " Use 'max_completion_tokens' instead."
        )
    generation.refuse_for_reasoning(job, body.get("reasoning_effort"), _SAMPLING)
    if body.get("stream_options") is not None and not body.get("stream"):
        raise ApiError(
            400, "The 'stream_options' parameter is only allowed when 'stream' is enabled.", param="stream_options"
        )
    stop = body.get("stop") or ()
    limit = body.get("max_completion_tokens")
    return generation.GenerationRequest(
        prompt=generation.text_of(messages[-1].get("content")),
        input_tokens=generation.of_messages(messages),
        limit=body.get("max_tokens") if limit is None else limit,
        effort=body.get("reasoning_effort"),
        stops=(stop,) if isinstance(stop, str) else tuple(map(str, stop)),
        choices=body.get("n") or 1,
    )


def checked_messages(messages: list[Any]) -> list[dict[str, Any]]:
    """The messages; raises the API's 400 for the first bad one."""
    for index, message in enumerate(messages):
        place = f"messages[{index}]"
        if not isinstance(message, dict):
            raise invalid_type(place, "an object", message)
        if "role" not in message:
            raise missing_parameter(f"{place}.role")
        if message["role"] not in ROLES:
            raise invalid_value(f"{place}.role", message["role"], quoted(ROLES))
        if not isinstance(message.get("content"), str | list | None):
            raise invalid_type(f"{place}.content", "a string or an array", message["content"])
    return messages


def _frame(job: jobs.Job, generation: generation.Generation, kind: str) -> dict[str, Any]:
    """What a completion and all chunks of a stream have in common."""
    fingerprint = {} if job.model.reasoning else {"system_fingerprint": "fp_simulated"}
    return {
        "id": f"chatcmpl-{job.suffix[:29]}",
        "object": kind,
        "created": int(job.world.clock.now()),
        "model": job.model.snapshot,
        "service_tier": generation.service_tier,
        **fingerprint,
    }


def usage(generation: generation.Generation) -> dict[str, Any]:
    """The usage object of chat completions; always adds up."""
    written = {"cache_write_tokens": generation.cache_write_tokens} if generation.cache_write_tokens else {}
    return {
        "prompt_tokens": generation.input_tokens,
        "completion_tokens": generation.output_tokens,
        "total_tokens": generation.total_tokens,
        "prompt_tokens_details": {"cached_tokens": generation.cached_tokens, "audio_tokens": 0} | written,
        "completion_tokens_details": {
            "reasoning_tokens": generation.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _completion(job: jobs.Job, generation: generation.Generation) -> dict[str, Any]:
    reply = _frame(job, generation, "chat.completion")
    reply["choices"] = [
        {
            "index": index,
            "message": {"role": "assistant", "content": "".join(words), "refusal": None, "annotations": []},
            "logprobs": None,
            "finish_reason": "length" if generation.cut_off else "stop",
        }
        for index, words in enumerate(generation.choices)
    ]
    if job.context.fault(NoUsage) is None:
        reply["usage"] = usage(generation)
    return reply


def _steps(job: jobs.Job, generation: generation.Generation, pace: jobs.Pace) -> Iterator[jobs.Step]:
    """Role chunk, one chunk per token, finish chunk, usage chunk if asked for, [DONE]."""
    asked = bool((job.body.get("stream_options") or {}).get("include_usage"))
    frame = _frame(job, generation, "chat.completion.chunk")
    every = {"usage": None} if asked else {}

    def chunk(index: int, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        return jobs.data_event({**frame, "choices": [choice], **every})

    broken = job.context.fault(StreamError)
    for index in range(len(generation.choices)):
        yield jobs.Step(pace.first_event(), chunk(index, {"role": "assistant", "content": "", "refusal": None}))
    last = max(map(len, generation.choices))
    for number in range(last):
        if broken is not None and number >= broken.after_tokens:
            break
        for index, words in enumerate(generation.choices):
            if number < len(words):
                yield jobs.Step(pace.token(number), chunk(index, {"content": words[number]}), token=True)
    if broken is not None:
        error = ApiError(500, broken.message, type=broken.type, code=broken.code)
        yield jobs.Step(pace.token(min(last, broken.after_tokens)), jobs.data_event(error.body()))
        return
    end = pace.token(last)
    for index in range(len(generation.choices)):
        yield jobs.Step(end, chunk(index, {}, "length" if generation.cut_off else "stop"))
    if asked and job.context.fault(NoUsage) is None:
        yield jobs.Step(end, jobs.data_event({**frame, "choices": [], "usage": usage(generation)}))
    yield jobs.Step(end, jobs.DONE)
