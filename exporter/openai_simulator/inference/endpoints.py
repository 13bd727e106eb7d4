# SPDX-License-Identifier: Apache-2.0
"""The small JSON endpoints: embeddings, moderations, images, models."""

import base64
import random
import struct
import zlib
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from openai_simulator.errors import ApiError, invalid_type
from openai_simulator.faults import NoUsage
from openai_simulator.inference import generation, schemas
from openai_simulator.inference.prepare import Job, identified, prepared
from openai_simulator.inference.streams import Pace, compact
from openai_simulator.world import World

# POST /v1/embeddings: vectors of length 1 that depend on text, model and seed only.

MOST_INPUTS = 2048
MOST_TOKENS = 8192


async def create_embeddings(world: World, request: Request) -> Response:
    """Answer one embeddings request."""
    job = await prepared(world, request, schemas.EMBEDDINGS, "embedding")
    inputs = _inputs(job.body["input"])
    counts = [len(item) if isinstance(item, list) else generation.count(item) for item in inputs]
    length = _length(job)
    if max(counts) > MOST_TOKENS:
        message = f"This model's maximum input length is {MOST_TOKENS} tokens, but {max(counts)} were given."
        raise ApiError(400, message, param="input", code="context_length_exceeded")
    job.admit(sum(counts))
    pace = Pace(job)
    job.book("embeddings", input_tokens=sum(counts))
    await pace.until(pace.processing)
    as_base64 = job.body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _encoded(_vector(job, item, length), as_base64)}
        for index, item in enumerate(inputs)
    ]
    reply: dict[str, Any] = {"object": "list", "data": data, "model": job.model.snapshot}
    if job.exchange.fault(NoUsage) is None:
        reply["usage"] = {"prompt_tokens": sum(counts), "total_tokens": sum(counts)}
    return Response(compact(reply), media_type="application/json")


def _inputs(given: Any) -> list[str | list[int]]:
    """The texts or token lists to embed; raises the API's 400."""
    if isinstance(given, str) or all(isinstance(item, int) for item in given):
        given = [given]
    if len(given) > MOST_INPUTS:
        raise ApiError(400, f"'input' has {len(given)} items; at most {MOST_INPUTS}.", param="input")
    for index, item in enumerate(given):
        if not isinstance(item, str | list):
            raise invalid_type(f"input[{index}]", "a string or an array of integers", item)
        if not item:
            raise ApiError(400, "'$.input' is invalid: no item may be empty.", param="input")
    return list(given)


def _length(job: Job) -> int:
    asked = job.body.get("dimensions")
    if asked is None:
        return job.model.dimensions
    if job.model.id == "text-embedding-ada-002":
        raise ApiError(400, "This model does not support specifying dimensions.", param="dimensions")
    if asked > job.model.dimensions:
        message = f"Invalid value for 'dimensions': {asked}; at most {job.model.dimensions} for this model."
        raise ApiError(400, message, param="dimensions", code="invalid_value")
    return int(asked)


def _vector(job: Job, item: str | list[int], length: int) -> list[float]:
    rng = random.Random(zlib.crc32(f"{job.world.seed}/{job.model.snapshot}/{item}".encode()))
    raw = [rng.random() - 0.5 for _ in range(length)]
    size: float = sum(value * value for value in raw) ** 0.5
    return [round(value / size, 8) for value in raw]


def _encoded(vector: list[float], as_base64: bool) -> list[float] | str:
    """Floats, or little-endian 32-bit floats in base64."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode() if as_base64 else vector


# POST /v1/moderations: flags texts that contain a category's name, scores the rest near zero. Free, no usage.

CATEGORIES = (
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent",
    "self-harm", "self-harm/intent", "self-harm/instructions", "sexual", "sexual/minors", "violence",
    "violence/graphic",
)  # fmt: skip
WITH_IMAGES = {
    "self-harm", "self-harm/intent", "self-harm/instructions", "sexual", "violence", "violence/graphic",
}  # fmt: skip
DEFAULT = "omni-moderation-latest"


async def create_moderation(world: World, request: Request) -> Response:
    """Answer one moderation request."""
    job = await prepared(world, request, schemas.MODERATIONS, "moderation", DEFAULT)
    inputs = _moderation_inputs(job.body["input"])
    count = sum(generation.count(text) for text, _ in inputs)
    job.admit(count)
    pace = Pace(job)
    job.book("moderations", input_tokens=count)
    await pace.until(pace.processing)
    reply = {
        "id": "modr-" + job.exchange.request_id.removeprefix("req_").replace("-", ""),
        "model": job.model.id,
        "results": [_result(job, text, kinds) for text, kinds in inputs],
    }
    return Response(compact(reply), media_type="application/json")


def _moderation_inputs(given: Any) -> list[tuple[str, list[str]]]:
    """Texts with the kinds of input behind them: one per string, one for a whole list of parts."""
    if isinstance(given, str):
        return [(given, ["text"])]
    if not given:
        raise ApiError(400, "'input' must not be empty.", param="input")
    if all(isinstance(item, str) for item in given):
        return [(item, ["text"]) for item in given]
    if not all(isinstance(item, dict) and item.get("type") in ("text", "image_url") for item in given):
        raise invalid_type("input", "strings, or parts of type text or image_url", given)
    kinds = {"image" if part["type"] == "image_url" else "text" for part in given}
    return [(generation.text_of(given), sorted(kinds))]


def _result(job: Job, text: str, kinds: list[str]) -> dict[str, Any]:
    rng = random.Random(zlib.crc32(f"{job.world.seed}/{text}".encode()))
    scores = {name: round(rng.random() * 1e-4, 8) for name in CATEGORIES}
    lowered = text.lower()
    found = {name: name in lowered for name in CATEGORIES}
    scores |= {name: 0.97 for name in CATEGORIES if found[name]}
    return {
        "flagged": any(found.values()),
        "categories": found,
        "category_scores": scores,
        "category_applied_input_types": {
            name: [kind for kind in kinds if kind == "text" or name in WITH_IMAGES] for name in CATEGORIES
        },
    }


# POST /v1/images/generations: a real, tiny picture in the asked format's place, with the usage of a real one.

DEFAULT_IMAGE_MODEL = "gpt-image-2"
# Output tokens of one 1024x1024 picture by quality; other sizes cost half as much again.
_TOKENS = {"low": 272, "medium": 1056, "high": 4160}


async def create_image(world: World, request: Request) -> Response:
    """Answer one image request."""
    job = await prepared(world, request, schemas.IMAGES, "image", DEFAULT_IMAGE_MODEL)
    prompt = generation.count(job.body["prompt"])
    number = job.body.get("n") or 1
    size = _chosen(job, "size", "1024x1024")
    quality = _chosen(job, "quality", "medium")
    output = number * (_TOKENS[quality] if size == "1024x1024" else _TOKENS[quality] * 3 // 2)
    job.admit(prompt + output)
    pace = Pace(job)
    job.book("images", images=number, size=size, source="image.generation")
    await pace.until(pace.processing)
    reply: dict[str, Any] = {
        "created": int(world.clock.now()),
        "background": _chosen(job, "background", "opaque"),
        "output_format": _chosen(job, "output_format", "png"),
        "quality": quality,
        "size": size,
        "data": [{"b64_json": base64.b64encode(picture(index)).decode()} for index in range(number)],
    }
    if job.exchange.fault(NoUsage) is None:
        reply["usage"] = _usage(prompt, output)
    return Response(compact(reply), media_type="application/json")


def _chosen(job: Job, name: str, default: str) -> str:
    """What was asked for, where `auto` and nothing mean the default."""
    value = job.body.get(name)
    return default if value in (None, "auto") else str(value)


def _usage(prompt: int, output: int) -> dict[str, Any]:
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"text_tokens": prompt, "image_tokens": 0},
        "output_tokens": output,
        "output_tokens_details": {"text_tokens": 0, "image_tokens": output},
        "total_tokens": prompt + output,
    }


def picture(shade: int) -> bytes:
    """An 8 x 8 grey PNG."""
    grey = bytes([40 + shade * 20 % 200])
    rows = b"".join(b"\x00" + grey * 8 for _ in range(8))
    head = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
    chunks = (b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


# GET /v1/models and /v1/models/{model}.


async def listed(world: World, request: Request) -> Response:
    """All models that are served at the simulated time."""
    identified(world, request, "api.model.read")
    data = [model.described() for model in world.catalogue.listed()]
    return Response(compact({"object": "list", "data": data}), media_type="application/json")


async def retrieved(world: World, request: Request) -> Response:
    """One model; 404 model_not_found for an unknown or retired one."""
    identified(world, request, "api.model.read")
    model = world.catalogue.find(request.path_params["model"])
    return Response(compact(model.described()), media_type="application/json")
