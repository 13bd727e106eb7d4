# SPDX-License-Identifier: Apache-2.0
"""The paths of the inference endpoints, OpenAI's and Azure's."""

import datetime
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from openai_simulator.catalogue import Model
from openai_simulator.errors import ApiError
from openai_simulator.inference import audio, chat, endpoints, responses
from openai_simulator.inference.prepare import identified
from openai_simulator.inference.streams import compact
from openai_simulator.world import World

# Azure's habits where they differ: deployments in the path, a required api-version, its own model list.

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


async def azure_models(world: World, request: Request) -> Response:
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


# The paths of the inference endpoints, OpenAI's and Azure's. No logic.

_POST: dict[str, Handler] = {
    "/chat/completions": chat.create,
    "/responses": responses.create,
    "/responses/input_tokens": responses.count_input,
    "/embeddings": endpoints.create_embeddings,
    "/moderations": endpoints.create_moderation,
    "/audio/transcriptions": audio.create_transcription,
    "/audio/speech": audio.create_speech,
    "/images/generations": endpoints.create_image,
}
_DEPLOYED = (
    "/chat/completions",
    "/embeddings",
    "/audio/transcriptions",
    "/audio/speech",
    "/images/generations",
)


def routes(world: World) -> list[BaseRoute]:
    """All routes, the most used first."""
    found: list[BaseRoute] = []
    for prefix in ("/v1", "/openai/v1"):
        found += [_route(world, prefix + path, handler, "POST") for path, handler in _POST.items()]
        found.append(_route(world, f"{prefix}/models", endpoints.listed, "GET"))
        found.append(_route(world, f"{prefix}/models/{{model:path}}", endpoints.retrieved, "GET"))
    for path in _DEPLOYED:
        handler = deployed(_POST[path])
        found.append(_route(world, "/openai/deployments/{deployment}" + path, handler, "POST"))
    found.append(_route(world, "/openai/models", azure_models, "GET"))
    return found


def _route(world: World, path: str, handler: Handler, method: str) -> Route:
    async def endpoint(request: Request) -> Response:
        return await handler(world, request)

    return Route(path, endpoint, methods=[method])
