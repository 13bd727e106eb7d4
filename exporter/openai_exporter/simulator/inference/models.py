# SPDX-License-Identifier: Apache-2.0
"""GET /v1/models and /v1/models/{model}."""

from starlette.requests import Request
from starlette.responses import Response

from openai_exporter.simulator.inference.prepare import identified
from openai_exporter.simulator.inference.streams import compact
from openai_exporter.simulator.world import World


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
