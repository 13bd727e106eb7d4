# SPDX-License-Identifier: Apache-2.0
"""The routes, put together; the handlers live in the modules beside this one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib import import_module

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from openai_exporter.web import control, discovery, pages, probing
from openai_exporter.web.answers import text
from openai_exporter.web.gate import INTERNAL_ERROR
from openai_exporter.web.live import Live

SCRAPED = ("/probe", "/usage", "/status")
"""Paths whose answers wait for an upstream API."""
HEALTH = ("/-/healthy", "/-/ready")
"""Paths that what starts and restarts the process asks; their answers tell nothing else."""


def build_app(live: Live) -> Starlette:
    """The application; `app.state.live` is what its routes read."""
    app = Starlette(
        routes=_prefixed(live.settings.route_prefix, _routes()),
        exception_handlers={HTTPException: _http_error, Exception: _internal_error},
        lifespan=_lifespan,
    )
    app.state.live = live
    return app


def _routes() -> list[BaseRoute]:
    return [
        Route("/", _landing),
        Route("/history", _history),
        Route("/history/{id:int}", _history_entry),
        Route("/probe", probing.probe),
        Route("/usage", pages.usage),
        Route("/api/v1/usage/{name:str}", _usage_as_json),
        Route("/status", pages.status),
        Route("/metrics", pages.metrics),
        Route("/sd", discovery.discover),
        Route("/config", control.configuration),
        Route("/-/healthy", control.healthy),
        Route("/-/ready", control.ready),
        Route("/-/reload", control.reload, methods=["POST", "PUT"]),
    ]


def _prefixed(prefix: str, routes: list[BaseRoute]) -> list[BaseRoute]:
    if not prefix:
        return routes

    async def to_prefix(request: Request) -> Response:
        return RedirectResponse(f"{prefix}/", 302)

    return [Route("/", to_prefix), Route(prefix, to_prefix), Mount(prefix, routes=routes)]


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    yield
    await app.state.live.close()


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    allow = (error.headers or {}).get("Allow")
    if error.status_code == 404:
        return text("no such page; / lists what there is", 404)
    message = HTTPStatus(error.status_code).phrase
    if allow:
        return text(f"{message}; allowed: {allow}", error.status_code, Allow=allow)
    return text(message, error.status_code)


async def _internal_error(request: Request, error: Exception) -> Response:
    # Raised on to the gate afterwards, which logs it.
    return text(INTERNAL_ERROR, 500)


# The pages for people need a template engine, which takes longer to load than everything else here;
# it is loaded when the first person looks.


async def _landing(request: Request) -> Response:
    from openai_exporter.web.landing import landing

    return await landing(request)


async def _history(request: Request) -> Response:
    from openai_exporter.web.records import history

    return await history(request)


async def _history_entry(request: Request) -> Response:
    from openai_exporter.web.records import entry

    return await entry(request)


async def _usage_as_json(request: Request) -> Response:
    # In a thread: it loads the HTTP library too.
    module = await run_in_threadpool(import_module, "openai_exporter.web.usageapi")
    response: Response = await module.answer(request)
    return response
