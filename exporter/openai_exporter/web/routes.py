# SPDX-License-Identifier: Apache-2.0
"""The routes and their handlers: /probe, /usage, /status, /metrics, /sd, /config, health and reload."""

import asyncio
import gzip
import math
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Protocol
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route, Router
from starlette.types import Receive, Scope, Send

from openai_exporter.config import Config, dump
from openai_exporter.config.base import format_duration, parse_duration
from openai_exporter.config.sections import SLOWEST_RESULTS
from openai_exporter.errors import EXHAUSTED, ExporterError, is_exhausted
from openai_exporter.exposition import OPENMETRICS, TEXT, EncodedPage, encode, wants_openmetrics
from openai_exporter.metrics import own
from openai_exporter.model import ProbeKey
from openai_exporter.probe.result import explain, families
from openai_exporter.web.limits import INTERNAL_ERROR, text
from openai_exporter.web.live import Live, Settings, format_address, probe_keys

SCRAPED = ("/probe", "/usage", "/status")
"""Paths whose answers wait for an upstream API."""
ACTING = ("/probe", "/-/reload")
"""Paths that spend money or change something."""
HEALTH = ("/-/healthy", "/-/ready")
"""Paths that what starts and restarts the process asks; their answers tell nothing else."""


def build_app(live: Live) -> Starlette:
    """The application; `app.state.live` is what its routes read."""
    # The pages for people need a template engine, and the JSON an HTTP library; both take long to load.
    routes: list[BaseRoute] = [
        Route("/", _late("html", "landing")),
        Route("/history", _late("html", "history")),
        Route("/history/{id}", _late("html", "entry")),
        Route("/probe", probe),
        Route("/usage", usage),
        Route("/api/v1/usage/{name:str}", _late("api", "answer")),
        Route("/status", status),
        Route("/metrics", in_turn(metrics)),
        Route("/sd", in_turn(discover)),
        Route("/config", in_turn(configuration)),
        Route("/-/healthy", healthy),
        Route("/-/ready", ready),
        Route("/-/reload", reload, methods=["POST", "PUT"]),
    ]
    prefix = live.settings.route_prefix
    if prefix:

        async def to_prefix(request: Request) -> Response:
            return RedirectResponse(f"{prefix}/", 302)

        inner = Router(routes, redirect_slashes=False)
        routes = [Route("/", to_prefix), Route(prefix, to_prefix), Mount(prefix, inner)]
    handlers = {HTTPException: _http_error, BadRequestError: _bad_request, Exception: _internal_error}
    app = Starlette(routes=routes, exception_handlers=handlers, lifespan=_lifespan)
    app.router.redirect_slashes = False  # the address would be made of the request's header Host
    app.state.live = live
    app.state.overviews = {}  # of the JSON API
    app.state.turn = asyncio.Lock()
    return app


Handler = Callable[[Request], Awaitable[Response]]


def in_turn(handler: Handler) -> Handler:
    """A handler whose page is made without a pause: one such page per turn of the loop, so that probes go on."""

    async def alone(request: Request) -> Response:
        async with request.app.state.turn:
            await asyncio.sleep(0)  # the turn of others; else nobody would find the lock taken
            return text("", 503) if request.state.gone() else await handler(request)

    return alone


def _late(module: str, name: str) -> Handler:
    """A handler whose module is loaded by its first request, in a thread."""

    async def handler(request: Request) -> Response:
        loaded = await run_in_threadpool(import_module, f"openai_exporter.web.{module}")
        late: Handler = getattr(loaded, name)
        return await late(request)

    return handler


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    yield
    await app.state.live.close()


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    allow = (error.headers or {}).get("Allow")
    if error.status_code == 404:
        return text("no such page; / lists what there is", 404)
    if allow:
        return text(f"{error.detail}; allowed: {allow}", error.status_code, Allow=allow)
    return text(error.detail, error.status_code)


async def _internal_error(request: Request, error: Exception) -> Response:
    # Raised on to the limits afterwards, which log it.
    if is_exhausted(error):
        return text(f"{EXHAUSTED}; raise the limits of its process", 503)
    return text(INTERNAL_ERROR, 500)


# GET /probe: one probe, now, within the scrape's deadline.


async def probe(request: Request) -> Response:
    """200 with the probe's metrics, whatever its outcome; 400 for an unknown name or a bad header."""
    live: Live = request.app.state.live
    if request.method == "HEAD":  # asks for headers; a call that is paid for is no way to make some
        return text("", 200)
    services, query = live.services, request.query_params
    limit = time_left(request, live.settings.timeout_offset)
    key = ProbeKey(query.get("target", ""), query.get("module", ""), query.get("model", ""))
    if not services.prober.knows(key):  # one that is named in full is not searched for
        key = find_probe(services.config, query)
    answer = await services.prober.probe(key, limit)
    if answer.result.outcome != "deadline_too_short":  # which is told to this scrape alone
        live.board.record(answer)
    if query.get("debug", "").lower() in ("true", "1"):
        explained = live.masker(explain(answer, services.config.modules[key.module]))
        return await _text_or_page(request, "Probe", f"{key.module} on {key.target} {key.model}", explained)
    if answer.result.models:  # thousands of series: encoded in a thread
        return await exposition(request, EncodedPage(families(answer)))
    openmetrics = wants_openmetrics(request.headers.get("accept", ""))
    body = encode(families(answer), openmetrics=openmetrics)
    return exposed(request, body, OPENMETRICS if openmetrics else TEXT)


TIMEOUT_HEADER = "X-Prometheus-Scrape-Timeout-Seconds"


def time_left(request: Request, offset: float) -> float | None:
    """Seconds that the scrape still allows: what Prometheus announces, less an offset and the time since it arrived.

    None when nothing is announced, or nothing is left after the offset. The second case is blackbox_exporter's rule:
    the module's own timeout then decides.

    Raises:
        BadRequestError: the header is not a number of seconds; the message says so.
    """
    announced = request.headers.get(TIMEOUT_HEADER)
    if announced is None:
        return None
    try:
        seconds = float(announced)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        message = f"{announced[:40]!r} is not a number of seconds above zero, such as 10"
        raise BadRequestError(f"header {TIMEOUT_HEADER}: {message}")
    if seconds <= offset:
        return None
    now = time.monotonic()
    return max(seconds - offset - (now - getattr(request.state, "arrived", now)), 0.0)


# Which probe, organization or status page a request means; an unknown name is refused, with what is allowed.

_LISTED = 30


class BadRequestError(ValueError):
    """Why a request is answered 400: one line that names what is allowed.

    Attributes:
        unknown: the parameter whose value is unknown, such as `target` or `organization`; else empty.
    """

    def __init__(self, message: str, unknown: str = "") -> None:
        super().__init__(message)
        self.unknown = unknown


def find_probe(config: Config, query: Mapping[str, str]) -> ProbeKey:
    """The probe that the parameters target, module and model name.

    The model may be left out where the module has only one, or needs none.

    Raises:
        BadRequestError: there is no such probe.
    """
    keys = probe_keys(config)
    if not keys:
        raise BadRequestError("no probes are configured; add some under `probes:`")
    target = find_name("target", query, [key.target for key in keys])
    keys = [key for key in keys if key.target == target]
    module = find_name("module", query, [key.module for key in keys], f" of target {target}")
    models = [key.model for key in keys if key.module == module]
    return ProbeKey(target, module, find_name("model", query, models, f" of module {module} on target {target}"))


def find_name(kind: str, query: Mapping[str, str], allowed: Iterable[str], where: str = "") -> str:
    """The allowed name that a parameter gives; all but target and module may be left out when there is only one.

    Raises:
        BadRequestError: it is missing or unknown.
    """
    names = list(dict.fromkeys(allowed))
    name = query.get(kind, "")
    if name in names:
        return name
    if not name and len(names) == 1 and kind not in ("target", "module"):
        return names[0]
    listed = ", ".join(each or "(none)" for each in names[:_LISTED]) or "none"
    if len(names) > _LISTED:
        listed += f" and {len(names) - _LISTED} more"
    if not name:
        raise BadRequestError(f"parameter {kind} is missing; configured{where}: {listed}")
    quoted = repr(name if len(name) <= 80 else f"{name[:77]}...")
    raise BadRequestError(f"unknown {kind} {quoted}; configured{where}: {listed}", kind)


async def _bad_request(request: Request, error: Exception) -> Response:
    """400 with the reason, counted when a name is unknown."""
    assert isinstance(error, BadRequestError)
    if error.unknown:
        request.app.state.live.instruments.count(own.UNKNOWN_NAMES, (error.unknown,))
    return text(str(error), 400)


# GET /usage, /status and /metrics: pages that are encoded once and served often.

UNANNOUNCED = 9.5
"""Seconds a request may take that announces no scrape timeout, such as a browser's."""


class _Pages(Protocol):
    async def page(self, limit: float | None = None) -> EncodedPage: ...


async def usage(request: Request) -> Response:
    """200 with the organization's metrics; 400 for an unknown organization."""
    return await _page(request, "organization", request.app.state.live.services.usages)


async def status(request: Request) -> Response:
    """200 with the status page's metrics; 400 for an unknown page."""
    return await _page(request, "page", request.app.state.live.services.statuses)


async def metrics(request: Request) -> Response:
    """The exporter's own metrics and the counters and histograms accumulated over probes."""
    live: Live = request.app.state.live
    live.instruments.set(own.SIMULATED_WITH_REAL_KEY, live.simulated_with_real_key())
    return exposed(request, *live.instruments.render(request.headers.get("accept", "")))


async def _page(request: Request, kind: str, services: Mapping[str, _Pages]) -> Response:
    limit = time_left(request, request.app.state.live.settings.timeout_offset)
    name = find_name(kind, request.query_params, services)
    return await exposition(request, await services[name].page(limit or UNANNOUNCED))


# Exposition text in the format and the coding that the client accepts.

LARGE = 2000
"""Samples above which a page is encoded in a thread, so that it does not delay other answers."""

PIECE = 256 * 1024
"""Bytes of a body that are handed to the connection at a time: as one piece, what the socket does not take at once
is copied, and copied again each time that the socket takes some of it."""

_COMPRESS_FROM = 1024


async def exposition(request: Request, page: EncodedPage) -> Response:
    """A page that is kept, in the format that this request accepts."""
    openmetrics, compressed = wants_openmetrics(request.headers.get("accept", "")), accepts_gzip(request)
    body = page.made(openmetrics=openmetrics, compressed=compressed)
    if body is None and sum(len(each.samples) for each in page.families) > LARGE:
        body = await run_in_threadpool(page.body, openmetrics=openmetrics, compressed=compressed)
    elif body is None:
        body = page.body(openmetrics=openmetrics, compressed=compressed)
    return _coded(body, OPENMETRICS if openmetrics else TEXT, compressed)


def exposed(request: Request, body: bytes, kind: str) -> Response:
    """Exposition text that is made for this request."""
    compressed = len(body) > _COMPRESS_FROM and accepts_gzip(request)
    return _coded(gzip.compress(body, compresslevel=1, mtime=0) if compressed else body, kind, compressed)


def _coded(body: bytes, kind: str, compressed: bool) -> Response:
    headers = {"content-type": kind, "vary": "Accept, Accept-Encoding"}
    if compressed:
        headers["content-encoding"] = "gzip"
    return (Pieces if len(body) > PIECE else Response)(body, headers=headers)


def accepts_gzip(request: Request) -> bool:
    """Whether the header Accept-Encoding allows gzip."""
    for part in request.headers.get("accept-encoding", "").lower().split(","):
        name, _, parameters = part.strip().partition(";")
        if name.strip() in ("gzip", "*"):
            weight = parameters.replace(" ", "").removeprefix("q=")
            return weight not in ("0", "0.0", "0.00", "0.000")
    return False


class Pieces(Response):
    """A long body, sent piece by piece as the client reads it; nothing of it is copied, and others get their turn."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        body = memoryview(self.body)
        for start in range(0, len(body), PIECE):
            piece, more = body[start : start + PIECE], start + PIECE < len(body)
            await send({"type": "http.response.body", "body": piece, "more_body": more})
            await asyncio.sleep(0)


# GET /sd: everything of the configuration as Prometheus HTTP service discovery.

DEFAULT_SCRAPE_TIMEOUT = 10.0
"""Prometheus' own default."""
DEFAULT_SCRAPE_INTERVAL = 60.0
"""Prometheus' own default."""

Labels = dict[str, str]

_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.%]{2,60}\])(?::\d{1,5})?")


def document(
    config: Config, offset: float, address: str, scheme: str, prefix: str, interval: float
) -> list[dict[str, object]]:
    """The JSON that Prometheus reads: one group per target, since each has its own labels.

    Args:
        offset: seconds that a probe ends before the scrape's timeout.
        address, scheme, prefix: where Prometheus reaches this exporter.
        interval: seconds between scrapes, for targets that need an interval of their own.
    """
    common = {"__scheme__": scheme} if scheme != "http" else {}
    return [
        {
            "targets": [address],
            "labels": {
                "__metrics_path__": f"{prefix}{path}",
                **common,
                **{f"__param_{name}": value for name, value in parameters.items()},
                **(_timeout(needed, interval) if needed > DEFAULT_SCRAPE_TIMEOUT else {}),
                **labels,
            },
        }
        for path, parameters, labels, needed in _targets(config, offset)
    ]


def _targets(config: Config, offset: float) -> Iterator[tuple[str, Labels, Labels, float]]:
    """Path, URL parameters, labels and needed seconds of every scrape target."""
    for probe in config.probes:
        module, target = config.modules[probe.module], config.target(probe.target)
        for model in probe.models or ("",):
            named = {"target": probe.target, "module": probe.module} | ({"model": model} if model else {})
            provider = target.provider.value if target else ""
            labels = {**probe.labels, **named, "endpoint": module.endpoint.value, "provider": provider}
            yield "/probe", named, labels, module.timeout + offset
    for organization in config.organizations:
        named = {"organization": organization.name}
        yield "/usage", named, named, 0.0
    for page in config.status_pages:
        yield "/status", {"page": page.name}, {"status_page": page.name}, 0.0
    yield "/metrics", {}, {}, 0.0


def _timeout(needed: float, interval: float) -> Labels:
    """Of a module that needs more than Prometheus' default timeout.

    Prometheus drops a target whose timeout exceeds its interval, and the job's interval is not known here; so such a
    target gets its interval too: `interval`, or the timeout where that is longer.
    """
    timeout = math.ceil(needed)
    longest = max(interval, timeout)
    return {"__scrape_timeout__": format_duration(timeout), "__scrape_interval__": format_duration(longest)}


async def discover(request: Request) -> Response:
    """200 with the targets; `?scrape_interval=5m` sets the interval of those that need their own."""
    live: Live = request.app.state.live
    try:
        scheme, address, prefix = _reached_at(request, live.settings)
        interval = _interval(request.query_params.get("scrape_interval"))
    except ValueError as error:
        return text(str(error), 400)
    offset = live.settings.timeout_offset
    return JSONResponse(document(live.services.config, offset, address, scheme, prefix, interval))


def _reached_at(request: Request, settings: Settings) -> tuple[str, str, str]:
    if settings.external_url:
        parts = urlsplit(settings.external_url)
        return parts.scheme, parts.netloc, parts.path.rstrip("/")
    host = request.headers.get("host") or format_address(*request.scope["server"])
    if not _HOST.fullmatch(host):
        raise ValueError("header Host is not an address; give --web.external-url to the exporter")
    return request.url.scheme, host, settings.route_prefix


def _interval(requested: str | None) -> float:
    if requested is None:
        return DEFAULT_SCRAPE_INTERVAL
    try:
        seconds = parse_duration(requested)
    except ValueError as error:
        raise ValueError(f"parameter scrape_interval: {error}") from None
    if seconds <= 0:
        raise ValueError("parameter scrape_interval: must be longer than zero")
    if seconds > SLOWEST_RESULTS:
        raise ValueError(
            f"parameter scrape_interval: must be at most {format_duration(SLOWEST_RESULTS)}, as alerts need a result "
            f"each {format_duration(SLOWEST_RESULTS)}: {requested!r}; to call the API less often, set min_interval"
        )
    return seconds


# GET /config, /-/healthy and /-/ready, POST /-/reload.


async def healthy(request: Request) -> Response:
    """200 while the process answers."""
    return text("openai-exporter is healthy.")


async def ready(request: Request) -> Response:
    """200 while requests are served, 503 with the reason while the process stops or cannot serve scrapes."""
    live: Live = request.app.state.live
    if not live.ready:
        return text("openai-exporter is stopping.", 503)
    # Said without a password, so it names nothing of the configuration.
    if any(usage.broken for usage in live.services.usages.values()):
        return text("openai-exporter is not ready: /usage has nothing to serve; the log says why.", 503)
    if live.full():
        return text("openai-exporter is not ready: as many scrapes wait as --web.max-requests allows.", 503)
    return text("openai-exporter is ready.")


async def reload(request: Request) -> Response:
    """200 when the new configuration is active, 500 with every problem when the old one stays."""
    live: Live = request.app.state.live
    try:
        config = await live.reload()
    except ExporterError as error:
        return text(live.masker(f"config reload failed, keeping the current config:\n{error}"), 500)
    done = f"reloaded: {len(probe_keys(config))} probes, {len(config.organizations)} organizations."
    lacking = [f"this key cannot be read, what needs it fails until it can: {each}" for each in config.unreadable_keys]
    return text(live.masker("\n".join([done, *lacking])))


async def configuration(request: Request) -> Response:
    """The active configuration as YAML, defaults included, secrets masked."""
    live: Live = request.app.state.live
    file = live.settings.config_file or "built in"
    return await _text_or_page(request, "Configuration", str(file), live.masker(dump(live.services.config)))


async def _text_or_page(request: Request, title: str, subject: str, body: str) -> Response:
    """A text as it is, or for a browser in the frame of the other pages."""
    if "text/html" not in request.headers.get("accept", ""):
        return text(body, vary="Accept")
    html = await run_in_threadpool(import_module, "openai_exporter.web.html")
    page: Response = html.framed(request, title, subject, body)
    page.headers["vary"] = "Accept"
    return page
