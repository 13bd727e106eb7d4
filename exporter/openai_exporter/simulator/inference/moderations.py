# SPDX-License-Identifier: Apache-2.0
"""POST /v1/moderations: flags texts that contain a category's name, scores the rest near zero. Free, no usage."""

import random
import zlib
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from openai_exporter.simulator.errors import ApiError, invalid_type
from openai_exporter.simulator.inference import schemas, tokens
from openai_exporter.simulator.inference.pace import Pace
from openai_exporter.simulator.inference.prepare import Job, prepared
from openai_exporter.simulator.inference.streams import compact
from openai_exporter.simulator.world import World

CATEGORIES = (
    "harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent",
    "self-harm", "self-harm/intent", "self-harm/instructions", "sexual", "sexual/minors", "violence",
    "violence/graphic",
)  # fmt: skip
WITH_IMAGES = {
    "self-harm", "self-harm/intent", "self-harm/instructions", "sexual", "violence", "violence/graphic",
}  # fmt: skip
DEFAULT = "omni-moderation-latest"


async def create(world: World, request: Request) -> Response:
    """Answer one moderation request."""
    job = await prepared(world, request, schemas.MODERATIONS, "moderation", DEFAULT)
    inputs = _inputs(job.body["input"])
    count = sum(tokens.count(text) for text, _ in inputs)
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


def _inputs(given: Any) -> list[tuple[str, list[str]]]:
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
    return [(tokens.text_of(given), sorted(kinds))]


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
