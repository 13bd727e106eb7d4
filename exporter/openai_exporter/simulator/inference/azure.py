# SPDX-License-Identifier: Apache-2.0
"""Azure's habits where they differ: deployments in the path, a required api-version, its own model list."""

import datetime
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from openai_exporter.simulator.catalogue import Model
from openai_exporter.simulator.errors import ApiError
from openai_exporter.simulator.inference.prepare import identified
from openai_exporter.simulator.inference.streams import compact
from openai_exporter.simulator.world import World

Handler = Callable[[World, Request], Awaitable[Response]]


def deployed(handler: Handler) -> Handler:
    """The handler behind a deployment's path; a deployment is named like the model that it serves."""

    async def checked(world: World, request: Request) -> Response:
        require_version(request)
        identified(world, request)
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


async def models(world: World, request: Request) -> Response:
    """GET /openai/models: Azure's list, with retirement dates as unix seconds."""
    require_version(request)
    identified(world, request)
    data = [_described(model) for model in world.catalogue.listed()]
    return Response(compact({"object": "list", "data": data}), media_type="application/json")


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
