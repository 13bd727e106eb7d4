# SPDX-License-Identifier: Apache-2.0
"""The paths of the inference endpoints, OpenAI's and Azure's. No logic."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from openai_exporter.simulator.inference import (
    azure,
    chat,
    embeddings,
    images,
    models,
    moderations,
    responses,
    speech,
    transcriptions,
)
from openai_exporter.simulator.world import World

Handler = Callable[[World, Request], Awaitable[Response]]

_POST: dict[str, Handler] = {
    "/chat/completions": chat.create,
    "/responses": responses.create,
    "/responses/input_tokens": responses.count_input,
    "/embeddings": embeddings.create,
    "/moderations": moderations.create,
    "/audio/transcriptions": transcriptions.create,
    "/audio/speech": speech.create,
    "/images/generations": images.create,
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
        found.append(_route(world, f"{prefix}/models", models.listed, "GET"))
        found.append(_route(world, f"{prefix}/models/{{model:path}}", models.retrieved, "GET"))
    for path in _DEPLOYED:
        handler = azure.deployed(_POST[path])
        found.append(_route(world, "/openai/deployments/{deployment}" + path, handler, "POST"))
    found.append(_route(world, "/openai/models", azure.models, "GET"))
    return found


def _route(world: World, path: str, handler: Handler, method: str) -> Route:
    async def endpoint(request: Request) -> Response:
        return await handler(world, request)

    return Route(path, endpoint, methods=[method])
