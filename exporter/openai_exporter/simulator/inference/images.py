# SPDX-License-Identifier: Apache-2.0
"""POST /v1/images/generations: a real, tiny picture in the asked format's place, with the usage of a real one."""

import base64
import struct
import zlib
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from openai_exporter.simulator.faults.kinds import NoUsage
from openai_exporter.simulator.inference import schemas, tokens
from openai_exporter.simulator.inference.pace import Pace
from openai_exporter.simulator.inference.prepare import Job, prepared
from openai_exporter.simulator.inference.streams import compact
from openai_exporter.simulator.world import World

DEFAULT = "gpt-image-2"
# Output tokens of one 1024x1024 picture by quality; other sizes cost half as much again.
_TOKENS = {"low": 272, "medium": 1056, "high": 4160}


async def create(world: World, request: Request) -> Response:
    """Answer one image request."""
    job = await prepared(world, request, schemas.IMAGES, "image", DEFAULT)
    prompt = tokens.count(job.body["prompt"])
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
