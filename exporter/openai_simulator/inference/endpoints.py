# SPDX-License-Identifier: Apache-2.0
"""The small JSON endpoints (embeddings, moderations, images, models), and the paths of all inference endpoints."""

import base64
import datetime
import random
import struct
import zlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from openai_simulator.catalogue import Model
from openai_simulator.errors import ApiError, invalid_type
from openai_simulator.faults import NoUsage
from openai_simulator.inference import audio, chat, generation, jobs, responses
from openai_simulator.world import World

# POST /v1/embeddings: vectors of length 1 that depend on text, model and seed only.

MOST_INPUTS = 2048
MOST_TOKENS = 8192


async def create_embeddings(world: World, request: Request) -> Response:
    """Answer one embeddings request."""
    job = await jobs.prepared(world, request, jobs.EMBEDDINGS, "embedding")
    inputs = _inputs(job.body["input"])
    counts = [len(item) if isinstance(item, list) else generation.count(item) for item in inputs]
    length = _length(job)
    if max(counts) > MOST_TOKENS:
        message = f"This model's maximum input length is {MOST_TOKENS} tokens, but {max(counts)} were given."
        raise ApiError(400, message, param="input", code="context_length_exceeded")
    await job.small("embeddings", sum(counts), input_tokens=sum(counts))
    as_base64 = job.body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _encoded(_vector(job, item, length), as_base64)}
        for index, item in enumerate(inputs)
    ]
    reply: dict[str, Any] = {"object": "list", "data": data, "model": job.model.snapshot}
    if job.context.fault(NoUsage) is None:
        reply["usage"] = {"prompt_tokens": sum(counts), "total_tokens": sum(counts)}
    return jobs.json_reply(reply)


def _inputs(value: Any) -> list[str | list[int]]:
    """The texts or token lists to embed; raises the API's 400."""
    if isinstance(value, str) or all(isinstance(item, int) for item in value):
        value = [value]
    if len(value) > MOST_INPUTS:
        raise ApiError(400, f"'input' has {len(value)} items; at most {MOST_INPUTS}.", param="input")
    for index, item in enumerate(value):
        if not isinstance(item, str | list):
            raise invalid_type(f"input[{index}]", "a string or an array of integers", item)
        if not item:
            raise ApiError(400, "'$.input' is invalid: no item may be empty.", param="input")
    return list(value)


def _length(job: jobs.Job) -> int:
    asked = job.body.get("dimensions")
    if asked is None:
        return job.model.dimensions
    if job.model.id == "text-embedding-ada-002":
        raise ApiError(400, "This model does not support specifying dimensions.", param="dimensions")
    if asked > job.model.dimensions:
        message = f"Invalid value for 'dimensions': {asked}; at most {job.model.dimensions} for this model."
        raise ApiError(400, message, param="dimensions", code="invalid_value")
    return int(asked)


def _vector(job: jobs.Job, item: str | list[int], length: int) -> list[float]:
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
    job = await jobs.prepared(world, request, jobs.MODERATIONS, "moderation", DEFAULT)
    inputs = _moderation_inputs(job.body["input"])
    count = sum(generation.count(text) for text, _ in inputs)
    await job.small("moderations", count, input_tokens=count)
    reply = {
        "id": f"modr-{job.suffix}",
        "model": job.model.id,
        "results": [_result(job, text, kinds) for text, kinds in inputs],
    }
    return jobs.json_reply(reply)


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


def _result(job: jobs.Job, text: str, kinds: list[str]) -> dict[str, Any]:
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
    job = await jobs.prepared(world, request, jobs.IMAGES, "image", DEFAULT_IMAGE_MODEL)
    prompt = generation.count(job.body["prompt"])
    number = job.body.get("n") or 1
    size = _chosen(job, "size", "1024x1024")
    quality = _chosen(job, "quality", "medium")
    output = number * (_TOKENS[quality] if size == "1024x1024" else _TOKENS[quality] * 3 // 2)
    await job.small("images", prompt + output, images=number, size=size, source="image.generation")
    reply: dict[str, Any] = {
        "created": int(world.clock.now()),
        "background": _chosen(job, "background", "opaque"),
        "output_format": _chosen(job, "output_format", "png"),
        "quality": quality,
        "size": size,
        "data": [{"b64_json": base64.b64encode(picture(index)).decode()} for index in range(number)],
    }
    if job.context.fault(NoUsage) is None:
        reply["usage"] = _usage(prompt, output)
    return jobs.json_reply(reply)


def _chosen(job: jobs.Job, name: str, default: str) -> str:
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
    jobs.identified(world, request, "api.model.read")
    data = [model.described() for model in world.catalogue.listed()]
    return jobs.json_reply({"object": "list", "data": data})


async def retrieved(world: World, request: Request) -> Response:
    """One model; 404 model_not_found for an unknown or retired one."""
    jobs.identified(world, request, "api.model.read")
    model = world.catalogue.find(request.path_params["model"])
    return jobs.json_reply(model.described())


# Azure's habits where they differ: deployments in the path, a required api-version, its own model list.

Handler = Callable[[World, Request], Awaitable[Response]]


def deployed(handler: Handler) -> Handler:
    """The handler behind a deployment's path; a deployment is named like the model that it serves."""

    async def checked(world: World, request: Request) -> Response:
        require_version(request)
        jobs.identified(world, request)
        deployment = request.path_params["deployment"]
        if not world.catalogue.exists(deployment):
            message = "The API deployment for this resource does not exist."
            raise ApiError(404, message, code="DeploymentNotFound")
        return await handler(world, request)

    return checked


def require_version(request: Request) -> None:
    """Raise Azure's 404 for a data-plane request without api-version."""
    if not request.query_params.get("api-version"):
        raise ApiError(404, "Resource not found", code="404")


async def azure_models(world: World, request: Request) -> Response:
    """GET /openai/models: Azure's list, with retirement dates as unix seconds."""
    require_version(request)
    jobs.identified(world, request)
    data = [_described(model) for model in world.catalogue.listed()]
    return jobs.json_reply({"object": "list", "data": data})


def _described(model: Model) -> dict[str, Any]:
    described: dict[str, Any] = {
        "id": model.id,
        "object": "model",
        "status": "succeeded",
        "created_at": model.created,
        "updated_at": model.created,
        "capabilities": {
            "fine_tune": False,
            "inference": True,
            "completion": model.kind == "chat",
            "chat_completion": model.kind == "chat",
            "embeddings": model.kind == "embedding",
        },
        "lifecycle_status": "generally-available",
    }
    if model.shutdown_date is not None:
        end = datetime.datetime.fromisoformat(model.shutdown_date).replace(tzinfo=datetime.UTC)
        described["deprecation"] = {"inference": int(end.timestamp())}
    return described


_POST: dict[str, Handler] = {
    "/chat/completions": chat.create,
    "/responses": responses.create,
    "/responses/input_tokens": responses.count_input,
    "/embeddings": create_embeddings,
    "/moderations": create_moderation,
    "/audio/transcriptions": audio.create_transcription,
    "/audio/speech": audio.create_speech,
    "/images/generations": create_image,
}
_NOT_DEPLOYED = ("/responses", "/responses/input_tokens", "/moderations")


def routes(world: World) -> list[BaseRoute]:
    """All routes, the most used first."""
    table: list[tuple[str, str, Handler]] = []
    for prefix in ("/v1", "/openai/v1"):
        table += [("POST", prefix + path, handler) for path, handler in _POST.items()]
        table += [("GET", f"{prefix}/models", listed), ("GET", f"{prefix}/models/{{model:path}}", retrieved)]
    for path, handler in _POST.items():
        if path not in _NOT_DEPLOYED:
            table.append(("POST", "/openai/deployments/{deployment}" + path, deployed(handler)))
    table.append(("GET", "/openai/models", azure_models))
    return [Route(path, partial(handler, world), methods=[method]) for method, path, handler in table]
