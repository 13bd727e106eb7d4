# SPDX-License-Identifier: Apache-2.0
"""What a model produces for a request: texts and token counts, whatever the shape of the reply."""

import random
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from openai_simulator.errors import ApiError
from openai_simulator.faults import ReasoningOnly
from openai_simulator.inference.jobs import Job, Pace

# How the simulator counts tokens. Simple and documented; it does not try to match a real tokenizer.
# A token is up to eight word characters or one other visible character, with the white space before it;
# white space at the end of a text is one token. So the tokens of a text, joined, are the text.

_TOKEN = re.compile(r"\s*(?:\w{1,8}|[^\w\s])|\s+")
PER_MESSAGE = 3  # a chat message's frame: role and separators
PRIMING = 3  # the start of the assistant's answer
PER_IMAGE = 85
PER_AUDIO_SECOND = 10
PER_FILE = 200


def pieces(text: str) -> list[str]:
    """The tokens of `text`, in order."""
    return _TOKEN.findall(text)


def count(text: str) -> int:
    """How many tokens `text` has."""
    return len(_TOKEN.findall(text))


def of_messages(messages: list[dict[str, Any]]) -> int:
    """Prompt tokens of chat messages, or of the items of a Responses input."""
    return PRIMING + sum(PER_MESSAGE + of_content(message.get("content")) for message in messages)


def of_content(content: Any) -> int:
    """Tokens of a message's content: text, or parts with text, images, audio and files."""
    if isinstance(content, str):
        return count(content)
    if not isinstance(content, list):
        return 0
    return sum(_of_part(part) for part in content)


def _of_part(part: Any) -> int:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in ("image_url", "input_image"):
        return PER_IMAGE
    if kind in ("input_audio", "file", "input_file"):
        return PER_FILE
    text = part.get("text") if isinstance(part, dict) else None
    return count(text) if isinstance(text, str) else 0


def text_of(content: Any) -> str:
    """The text of a message's content."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return " ".join(text for text in texts if isinstance(text, str))


_ASKED = re.compile(r"\b(?:reply|answer|respond|say|repeat|output)\b", re.IGNORECASE)
_QUOTED = re.compile(r"[\"“'`]([^\"”'`]{1,200})[\"”'`]")
_AFTER_COLON = re.compile(r":\s*(\S[^\n]*?)\s*[.!]?\s*\Z")
_WORD = re.compile(r"\bwords?\b[^\w]*(?:exactly|just|only)?\s*([\w-]+)\s*[.!]?\s*\Z", re.IGNORECASE)
_SENTENCE = (
    "the a simulated model answers with plain words and counts every token so that usage adds up "
    "while latency stays close to what was asked of it and nothing here means very much at all"
)
_VOCABULARY = tuple(_SENTENCE.split())
SHORTEST, LONGEST = 12, 90  # tokens of filler


def reply(prompt: str, rng: random.Random) -> list[str]:
    """The answer to `prompt` as tokens.

    A prompt with "reply", "answer", "respond", "say", "repeat" or "output" gets what it asks for: the
    quoted text, else what follows the last colon, else what follows "the word".
    """
    text = requested_text(prompt)
    return pieces(text) if text else _filler(rng)


def requested_text(prompt: str) -> str | None:
    """The text that `prompt` asks to be replied with, if it asks for one."""
    if not _ASKED.search(prompt):
        return None
    for pattern in (_QUOTED, _AFTER_COLON, _WORD):
        match = pattern.search(prompt)
        if match:
            return match[1]
    return None


def _filler(rng: random.Random) -> list[str]:
    length = rng.randint(SHORTEST, LONGEST)
    words = rng.choices(_VOCABULARY, k=length - 1)
    first, *others = words
    return [first.capitalize(), *(f" {word}" for word in others), "."]


_REASONING = {"none": 0, "minimal": 0, "low": 32, "medium": 128, "high": 512, "xhigh": 1024, "max": 2048}
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
class GenerationRequest:
    """What a request asks of the model, whatever its shape."""

    prompt: str
    input_tokens: int
    limit: int | None
    effort: str | None
    stops: Sequence[str] = ()
    choices: int = 1


def generate(job: Job, request: GenerationRequest) -> tuple[Generation, Pace]:
    """What the model produces for a request that its limits admit, recorded as usage, and its pace."""
    job.admit(max(request.input_tokens, request.limit or 0))
    result = _generated(job, request)
    pace = Pace(job, result.reasoning_tokens)
    job.record(
        "completions",
        input_tokens=result.input_tokens,
        output_tokens=result.output_tokens,
        input_cached_tokens=result.cached_tokens,
        input_cache_write_tokens=result.cache_write_tokens,
        service_tier=result.service_tier,
    )
    return result, pace


def _generated(job: Job, request: GenerationRequest) -> Generation:
    """Produce the answer; the same seed, model and prompt give the same one."""
    rng = random.Random(zlib.crc32(f"{job.world.seed}/{job.model.snapshot}/{request.prompt}".encode()))
    limit = UNLIMITED if request.limit is None else request.limit
    reasoning = _reasoning_tokens(job, request, rng)
    only_reasoning = job.context.fault(ReasoningOnly) is not None
    if only_reasoning:
        reasoning = min(limit, max(reasoning, 64))
    reasoning = min(reasoning, limit)
    room = 0 if only_reasoning else limit - reasoning
    whole = [_stopped(reply(request.prompt, rng), request.stops) for _ in range(request.choices)]
    choices = tuple(tuple(said[:room]) for said in whole)
    cached, written = _caching(job, request)
    return Generation(
        choices=choices,
        cut_off=only_reasoning or any(len(said) > room for said in whole),
        input_tokens=request.input_tokens,
        cached_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=reasoning,
        service_tier=_tier(job.body.get("service_tier")),
    )


def _reasoning_tokens(job: Job, request: GenerationRequest, rng: random.Random) -> int:
    effort = request.effort or job.model.default_effort
    most = _REASONING.get(effort or "none", 0) if job.model.reasoning else 0
    return rng.randint(most // 2, most) if most else 0


def _stopped(said: list[str], stops: Sequence[str]) -> list[str]:
    """The tokens before the first stop sequence."""
    if not stops:
        return said
    whole = "".join(said)
    ends = [place for stop in stops if stop and (place := whole.find(stop)) >= 0]
    return pieces(whole[: min(ends)]) if ends else said


def _caching(job: Job, request: GenerationRequest) -> tuple[int, int]:
    """Tokens read from and written to the prompt cache: long prompts hit it the second time."""
    if request.input_tokens < CACHE_FROM:
        return 0, 0
    length = request.input_tokens // CACHE_STEP * CACHE_STEP
    prompt = hash((job.identity.project_id, job.model.snapshot, request.prompt))
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
