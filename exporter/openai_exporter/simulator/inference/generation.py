# SPDX-License-Identifier: Apache-2.0
"""What a chat model produces for a request: texts, tokens, times. Independent of chat or Responses shapes."""

import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from openai_exporter.simulator.errors import ApiError
from openai_exporter.simulator.faults.kinds import ReasoningOnly
from openai_exporter.simulator.inference import text, tokens
from openai_exporter.simulator.inference.prepare import Job

_REASONING = {"none": 0, "minimal": 0, "low": 32, "medium": 128, "high": 512, "xhigh": 1024, "max": 2048}
REASONING_SPEED = 0.1  # of the time of a visible token: reasoning runs faster than it can be shown
CACHE_FROM = 1024  # shortest prompt that is cached, and the step of cached lengths below
CACHE_STEP = 128
UNLIMITED = 1 << 30


@dataclass(frozen=True, slots=True)
class Generation:
    """Texts (as tokens, one list per choice), their cost in tokens, and whether a limit cut them off."""

    choices: tuple[tuple[str, ...], ...]
    cut_off: bool
    input_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    service_tier: str

    @property
    def output_tokens(self) -> int:
        """Reasoning and visible tokens of all choices."""
        return self.reasoning_tokens + sum(map(len, self.choices))

    @property
    def total_tokens(self) -> int:
        """Input and output."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request asks of the model, whatever its shape."""

    prompt: str
    input_tokens: int
    limit: int | None
    effort: str | None
    stops: Sequence[str] = ()
    choices: int = 1


def generate(job: Job, wish: Wish) -> Generation:
    """Produce the answer; the same seed, model and prompt give the same one."""
    rng = random.Random(zlib.crc32(f"{job.world.seed}/{job.model.snapshot}/{wish.prompt}".encode()))
    limit = UNLIMITED if wish.limit is None else wish.limit
    reasoning = _reasoning_tokens(job, wish, rng)
    only_reasoning = job.exchange.fault(ReasoningOnly) is not None
    if only_reasoning:
        reasoning = min(limit, max(reasoning, 64))
    reasoning = min(reasoning, limit)
    room = 0 if only_reasoning else limit - reasoning
    whole = [_stopped(text.reply(wish.prompt, rng), wish.stops) for _ in range(wish.choices)]
    choices = tuple(tuple(said[:room]) for said in whole)
    cached, written = _caching(job, wish)
    return Generation(
        choices=choices,
        cut_off=only_reasoning or any(len(said) > room for said in whole),
        input_tokens=wish.input_tokens,
        cached_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=reasoning,
        service_tier=_tier(job.body.get("service_tier")),
    )


def _reasoning_tokens(job: Job, wish: Wish, rng: random.Random) -> int:
    effort = wish.effort or job.model.default_effort
    most = _REASONING.get(effort or "none", 0) if job.model.reasoning else 0
    return rng.randint(most // 2, most) if most else 0


def _stopped(said: list[str], stops: Sequence[str]) -> list[str]:
    """The tokens before the first stop sequence."""
    if not stops:
        return said
    whole = "".join(said)
    ends = [place for stop in stops if stop and (place := whole.find(stop)) >= 0]
    return tokens.pieces(whole[: min(ends)]) if ends else said


def _caching(job: Job, wish: Wish) -> tuple[int, int]:
    """Tokens read from and written to the prompt cache: long prompts hit it the second time."""
    if wish.input_tokens < CACHE_FROM:
        return 0, 0
    length = wish.input_tokens // CACHE_STEP * CACHE_STEP
    prompt = hash((job.identity.project_id, job.model.snapshot, wish.prompt))
    if prompt in job.world.seen_prompts:
        return length, 0
    job.world.seen_prompts.add(prompt)
    return 0, length if job.model.cache_writes else 0


def _tier(asked: Any) -> str:
    """The tier that served the request: `fast` shows as priority, auto as default."""
    return {"fast": "priority", "auto": "default", None: "default"}.get(asked, str(asked))


def refuse_for_reasoning(job: Job, effort: Any, sampling: Sequence[tuple[str, Any]]) -> None:
    """Raise the 400s that reasoning models have for efforts and for parameters at other than default values."""
    model = job.model
    if not model.reasoning:
        if effort is not None:
            raise unsupported("unsupported_parameter", "reasoning_effort", model.id)
        return
    if effort is not None and effort not in model.efforts:
        allowed = ", ".join(f"'{word}'" for word in model.efforts)
        message = f"Unsupported value: 'reasoning_effort' does not support '{effort}' with this model."
        message += f" Supported: {allowed}."
        raise ApiError(400, message, param="reasoning_effort", code="unsupported_value")
    if (effort or model.default_effort) == "none":
        return
    for name, default in sampling:
        if job.body.get(name) not in (None, default):
            remedy = f" Only the default ({default}) is supported."
            raise unsupported("unsupported_value", name, model.id, remedy)


def unsupported(code: str, name: str, model: str, remedy: str = "") -> ApiError:
    """400 for a parameter that this model refuses."""
    what = "parameter" if code == "unsupported_parameter" else "value"
    message = f"Unsupported {what}: '{name}' is not supported with {model}.{remedy}"
    return ApiError(400, message, param=name, code=code)
