# SPDX-License-Identifier: Apache-2.0
"""The routes and their handlers: /probe, /usage, /status, /metrics, /config, health and reload."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from importlib import import_module
from typing import Protocol

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from openai_exporter.config import Config, dump
from openai_exporter.errors import ExporterError
from openai_exporter.exposition import EncodedPage
from openai_exporter.metrics import own
from openai_exporter.model import ProbeKey
from openai_exporter.probe.families import families
from openai_exporter.probe.history import explain
from openai_exporter.web import discovery
from openai_exporter.web.limits import INTERNAL_ERROR, exposition, registry, text, time_left
from openai_exporter.web.live import Live, Services, probe_keys

# GET /config, /-/healthy and /-/ready, POST /-/reload.


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


# Which probe, organization or status page a request means; an unknown name is refused, with what is allowed.

_SHOWN = 30


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is answered 400.

    Attributes:
        kind: `target`, `module`, `model`, `organization` or `page`: the parameter's name.
        message: one line that names what is allowed.
        missing: the parameter was left out, rather than unknown.
    """

    kind: str
    message: str
    missing: bool = False


def find_probe(config: Config, query: Mapping[str, str]) -> ProbeKey | Refusal:
    """The probe that the parameters target, module and model name.

    The model may be left out where the module has only one, or needs none.
    """
    keys = probe_keys(config)
    if not keys:
        return Refusal("target", "no probes are configured; add some under `probes:`", missing=True)
    target = _choose("target", query, [key.target for key in keys])
    if isinstance(target, Refusal):
        return target
    keys = [key for key in keys if key.target == target]
    module = _choose("module", query, [key.module for key in keys], f" of target {target}")
    if isinstance(module, Refusal):
        return module
    models = [key.model for key in keys if key.module == module]
    model = _choose("model", query, models, f" of module {module} on target {target}")
    return model if isinstance(model, Refusal) else ProbeKey(target, module, model)


def find_name(kind: str, given: str | None, names: Iterable[str]) -> str | Refusal:
    """An organization or status page by name; it may be left out when there is only one."""
    return _choose(kind, {} if given is None else {kind: given}, list(names))


def _choose(kind: str, query: Mapping[str, str], allowed: list[str], where: str = "") -> str | Refusal:
    names = list(dict.fromkeys(allowed))
    given = query.get(kind, "")
    if given in names:
        return given
    if not given and len(names) == 1 and kind not in ("target", "module"):
        return names[0]
    shown = ", ".join(_word(name) for name in names[:_SHOWN]) or "none"
    if len(names) > _SHOWN:
        shown += f" and {len(names) - _SHOWN} more"
    if not given:
        return Refusal(kind, f"parameter {kind} is missing; configured{where}: {shown}", missing=True)
    return Refusal(kind, f"unknown {kind} {_quoted(given)}; configured{where}: {shown}")


def _word(name: str) -> str:
    return name or "(none)"


def _quoted(given: str) -> str:
    return repr(given if len(given) <= 80 else f"{given[:77]}...")


# GET /probe: one probe, now, within the scrape's deadline.


async def probe(request: Request) -> Response:
    """200 with the probe's metrics, whatever the probe found; 400 for an unknown name or a bad header."""
    live: Live = request.app.state.live
    if request.method == "HEAD":  # asks for headers; a call that is paid for is no way to make some
        return text("", 200)
    services = live.services
    try:
        limit = time_left(request.scope, request.headers, live.settings.timeout_offset)
    except ValueError as error:
        return text(str(error), 400)
    key = _named(services, request.query_params)
    if isinstance(key, Refusal):
        return refused(live, key)
    answer = await services.prober.probe(key, limit)
    live.board.record(answer)
    if request.query_params.get("debug", "").lower() in ("true", "1"):
        return text(live.masker(explain(answer, services.config.modules[key.module])))
    return await exposition(request, EncodedPage(families(answer)))


def _named(services: Services, query: Mapping[str, str]) -> ProbeKey | Refusal:
    """The probe that is asked for; one that is named in full, as Prometheus does it, is not searched for."""
    key = ProbeKey(query.get("target", ""), query.get("module", ""), query.get("model", ""))
    if services.prober.knows(key) is None:
        return key
    return find_probe(services.config, query)


def refused(live: Live, refusal: Refusal) -> Response:
    """400 with the reason, counted when a name is unknown."""
    if not refusal.missing:
        live.instruments.count(own.UNKNOWN_NAMES, (refusal.kind,))
    return text(refusal.message, 400)


# GET /usage, /status and /metrics: pages that are encoded once and served often.

UNANNOUNCED = 9.5
"""Seconds a request may take that announces no scrape timeout, such as a browser's."""


class _Pages(Protocol):
    async def page(self, limit: float | None = None) -> EncodedPage: ...


async def usage(request: Request) -> Response:
    """200 with the organization's metrics; 400 for an unknown organization."""
    live: Live = request.app.state.live
    return await _page(request, "organization", live.services.usages)


async def status(request: Request) -> Response:
    """200 with the status page's metrics; 400 for an unknown page."""
    live: Live = request.app.state.live
    return await _page(request, "page", live.services.statuses)


async def metrics(request: Request) -> Response:
    """The exporter's own metrics and the counters and histograms accumulated over probes."""
    live: Live = request.app.state.live
    return registry(request, live.instruments)


async def _page(request: Request, kind: str, services: Mapping[str, _Pages]) -> Response:
    live: Live = request.app.state.live
    try:
        limit = time_left(request.scope, request.headers, live.settings.timeout_offset)
    except ValueError as error:
        return text(str(error), 400)
    name = find_name(kind, request.query_params.get(kind), services)
    if isinstance(name, Refusal):
        return refused(live, name)
    return await exposition(request, await services[name].page(limit or UNANNOUNCED))


# The routes, put together; the handlers live in the modules beside this one.

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
        Route("/probe", probe),
        Route("/usage", usage),
        Route("/api/v1/usage/{name:str}", _usage_as_json),
        Route("/status", status),
        Route("/metrics", metrics),
        Route("/sd", discovery.discover),
        Route("/config", configuration),
        Route("/-/healthy", healthy),
        Route("/-/ready", ready),
        Route("/-/reload", reload, methods=["POST", "PUT"]),
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
    from openai_exporter.web.history import history

    return await history(request)


async def _history_entry(request: Request) -> Response:
    from openai_exporter.web.history import entry

    return await entry(request)


async def _usage_as_json(request: Request) -> Response:
    # In a thread: it loads the HTTP library too.
    module = await run_in_threadpool(import_module, "openai_exporter.web.api")
    response: Response = await module.answer(request)
    return response
