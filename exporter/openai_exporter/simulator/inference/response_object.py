# SPDX-License-Identifier: Apache-2.0
"""The Response object and its output items, in each state of a Responses reply."""

from typing import Any

from openai_exporter.simulator.faults.kinds import NoUsage
from openai_exporter.simulator.inference.generation import Generation
from openai_exporter.simulator.inference.prepare import Job

Json = dict[str, Any]


class Reply:
    """One Responses reply: the same ids and members from response.created to the end."""

    def __init__(self, job: Job, generation: Generation) -> None:
        self.job = job
        self.generation = generation
        self.words = generation.choices[0]
        self.text = "".join(self.words)
        self._suffix = job.exchange.request_id.removeprefix("req_").replace("-", "")
        self.created = job.world.clock.now()
        self.reasons = job.model.reasoning and generation.reasoning_tokens > 0
        self.speaks = bool(self.words) or not generation.cut_off
        self.message_id = f"msg_{self._suffix}"

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
        if self.job.exchange.fault(NoUsage) is None:
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
        return {"id": f"rs_{self._suffix}", "type": "reasoning", "summary": []}

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
            "id": f"resp_{self._suffix}",
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
            "parallel_tool_calls": _given(body, "parallel_tool_calls", True),
            "previous_response_id": body.get("previous_response_id"),
            "prompt_cache_key": body.get("prompt_cache_key"),
            "reasoning": {"effort": effort, "summary": reasoning.get("summary")},
            "safety_identifier": body.get("safety_identifier"),
            "service_tier": tier,
            "temperature": _given(body, "temperature", 1.0),
            "text": body.get("text") or {"format": {"type": "text"}, "verbosity": "medium"},
            "tool_choice": _given(body, "tool_choice", "auto"),
            "tools": body.get("tools") or [],
            "top_logprobs": _given(body, "top_logprobs", 0),
            "top_p": _given(body, "top_p", 1.0),
            "truncation": _given(body, "truncation", "disabled"),
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


def _given(body: Json, name: str, default: Any) -> Any:
    value = body.get(name)
    return default if value is None else value
