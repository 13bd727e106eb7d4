# SPDX-License-Identifier: Apache-2.0
"""POST /v1/embeddings: vectors of length 1 that depend on text, model and seed only."""

import base64
import random
import struct
import zlib
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from openai_exporter.simulator.errors import ApiError, invalid_type
from openai_exporter.simulator.faults.kinds import NoUsage
from openai_exporter.simulator.inference import schemas, tokens
from openai_exporter.simulator.inference.pace import Pace
from openai_exporter.simulator.inference.prepare import Job, prepared
from openai_exporter.simulator.inference.streams import compact
from openai_exporter.simulator.world import World

MOST_INPUTS = 2048
MOST_TOKENS = 8192


async def create(world: World, request: Request) -> Response:
    """Answer one embeddings request."""
    job = await prepared(world, request, schemas.EMBEDDINGS, "embedding")
    inputs = _inputs(job.body["input"])
    counts = [len(item) if isinstance(item, list) else tokens.count(item) for item in inputs]
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
