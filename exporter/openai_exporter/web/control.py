# SPDX-License-Identifier: Apache-2.0
"""GET /config, /-/healthy and /-/ready, POST /-/reload."""

from starlette.requests import Request
from starlette.responses import Response

from openai_exporter.config import dump
from openai_exporter.errors import ExporterError
from openai_exporter.web.answers import text
from openai_exporter.web.live import Live


async def healthy(request: Request) -> Response:
    """200 while the process answers."""
    return text("openai-exporter is healthy.")


async def ready(request: Request) -> Response:
    """200 once the configuration is loaded and requests are served, 503 while the process stops."""
    live: Live = request.app.state.live
    if live.ready:
        return text("openai-exporter is ready.")
    return text("openai-exporter is stopping.", 503)


async def reload(request: Request) -> Response:
    """200 when the new configuration is in force, 500 with every problem when the old one stays."""
    live: Live = request.app.state.live
    try:
        config = await live.reload()
    except ExporterError as error:
        return text(live.masker(f"not reloaded, the configuration in force stays:\n{error}"), 500)
    count = sum(len(each.models) or 1 for each in config.probes)
    done = f"reloaded: {count} probes, {len(config.organizations)} organizations."
    lacking = [
        f"this key cannot be read, what needs it fails until it can: {each}"
        for each in config.unreadable_keys
    ]
    return text(live.masker("\n".join([done, *lacking])))


async def configuration(request: Request) -> Response:
    """The configuration in force as YAML, defaults included, secrets masked."""
    live: Live = request.app.state.live
    return text(live.masker(dump(live.services.config)))
