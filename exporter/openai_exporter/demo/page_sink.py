# SPDX-License-Identifier: Apache-2.0
"""A receiver of Alertmanager's webhooks for demos and tests: shows and stores notifications, and sends nothing on."""

import asyncio
import contextlib
import errno
import json
import logging
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import uvicorn
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from rich.console import Console
from rich.text import Text
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from openai_exporter.config.secret import printable
from openai_exporter.errors import StartError
from openai_exporter.files import check_replaceable, template_environment, write_atomically

SEVERITIES = ("critical", "warning", "info")
FIRING, RESOLVED = "firing", "resolved"
MAX_BYTES = 1 << 20
"""Largest body that is accepted."""

log = logging.getLogger(__name__)


class Alert(BaseModel):
    """One alert of a notification, read under Alertmanager's names and listed under ours.

    Attributes:
        status: `firing` or `resolved`.
        starts_at, ends_at: RFC 3339; `ends_at` is empty while it fires.
    """

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    status: str
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    starts_at: str = Field(default="", alias="startsAt")
    ends_at: str = Field(default="", alias="endsAt")
    generator_url: str = Field(default="", alias="generatorURL")


class Page(BaseModel):
    """One notification.

    Attributes:
        status: `firing` or `resolved`.
        severity: the worst one of its alerts, empty when none has one.
        receiver: Alertmanager's receiver.
        id: number in the order of arrival, from 1.
        received: Unix seconds.
    """

    model_config = ConfigDict(frozen=True)

    channel: str = "webhook"
    status: str
    severity: str
    title: str
    text: str
    receiver: str = ""
    alerts: tuple[Alert, ...] = ()
    id: int = 0
    received: float = 0.0


class _Notification(BaseModel):
    """The body of Alertmanager's webhook, version 4."""

    status: str = ""
    receiver: str = ""
    alerts: list[Alert]
    commonAnnotations: dict[str, str] = Field(default_factory=dict)  # noqa: N815 - the payload's name


def parse_webhook(body: bytes) -> Page:
    """The page that a posted body is.

    Raises:
        ValueError: it is not a notification of Alertmanager; the message says why.
    """
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("the body is not JSON; post what Alertmanager's webhook_configs send") from None
    if not isinstance(data, dict):
        raise ValueError("the body is not a JSON object; post what Alertmanager's webhook_configs send")
    try:
        notification = _Notification.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{place}: {first['msg'][0].lower()}{first['msg'][1:]}") from None
    # A firing alert's end is a zero time, or when Alertmanager would give it up.
    alerts = tuple(
        alert.model_copy(update={"ends_at": ""}) if alert.status == FIRING else alert for alert in notification.alerts
    )
    names = dict.fromkeys(name for alert in alerts if (name := alert.labels.get("alertname")))
    summaries = dict.fromkeys(text for alert in alerts if (text := alert.annotations.get("summary")))
    return Page(
        status=notification.status,
        severity=_worst([alert.labels.get("severity", "") for alert in alerts]),
        title=", ".join(names) or "alerts without a name",
        text=notification.commonAnnotations.get("summary") or "\n".join(summaries),
        receiver=notification.receiver,
        alerts=alerts,
    )


def _worst(severities: Sequence[str]) -> str:
    """The worst severity; the first one when none is known, empty when there is none."""
    known = [severity for severity in SEVERITIES if severity in severities]
    return next(filter(None, [*known, *severities]), "")


class Store:
    """The last pages in the order of arrival: in memory, and in a file of JSON lines that a restart reads back.

    Args:
        keep: how many are stored; the file holds at most twice as many.
        file: None for memory alone.
        now: Unix seconds.

    Raises:
        StartError: the file cannot be read or written.
    """

    def __init__(self, keep: int, file: Path | None = None, now: Callable[[], float] = time.time) -> None:
        self._pages: deque[Page] = deque(maxlen=keep)
        self._keep = keep
        self._file = file
        self._now = now
        self._lines = 0
        if file is not None:
            self._restore(file)
        self._next = max((page.id for page in self._pages), default=0) + 1

    def add(self, page: Page) -> Page:
        """Store a page; returns it with its number and time."""
        numbered = page.model_copy(update={"id": self._next, "received": self._now()})
        self._next += 1
        self._pages.append(numbered)
        if self._file is not None:
            self._append(self._file, numbered)
        return numbered

    def pages(self) -> tuple[Page, ...]:
        """All stored pages, newest first."""
        return tuple(reversed(self._pages))

    def clear(self) -> int:
        """Delete all pages, in the file too; returns how many there were. Numbers go on."""
        count = len(self._pages)
        self._pages.clear()
        if self._file is not None:
            with _warn_when_unwritable(self._file):
                self._rewrite(self._file)
        return count

    def _restore(self, file: Path) -> None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            check_replaceable(file)
            file.touch()
            lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
            lines = [line for line in lines if line]
            self._pages.extend(Page.model_validate_json(line) for line in lines)
            self._lines = len(lines)
        except OSError as error:
            raise StartError(f"--file {file}: {error.strerror or error}; name a file that can be written") from None
        except ValidationError:
            raise StartError(f"--file {file}: holds something else than pages; name another file") from None

    def _append(self, file: Path, page: Page) -> None:
        with _warn_when_unwritable(file):
            if self._lines >= 2 * self._keep:
                self._rewrite(file)
                return
            with file.open("a", encoding="utf-8") as out:
                out.write(page.model_dump_json() + "\n")
            self._lines += 1

    def _rewrite(self, file: Path) -> None:
        write_atomically(file, (page.model_dump_json() + "\n" for page in self._pages))
        self._lines = len(self._pages)


@contextlib.contextmanager
def _warn_when_unwritable(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        log.warning("pages kept in memory only: %s: %s", file, error.strerror or error)


class _TooLargeError(Exception):
    pass


def build_app(store: Store, show: Callable[[Page], None]) -> Starlette:
    """The HTTP side: takes webhooks on any path, lists and deletes pages; `show` gets each page that arrives."""
    sink = _Sink(store, show)
    return Starlette(
        routes=[
            Route("/", sink.overview, methods=["GET"]),
            Route("/api/v1/pages", sink.list_pages, methods=["GET"]),
            Route("/api/v1/pages", sink.clear, methods=["DELETE"]),
            Route("/-/healthy", _healthy, methods=["GET"]),
            Route("/-/ready", _healthy, methods=["GET"]),
            Route("/{path:path}", sink.take, methods=["POST"]),
        ],
        exception_handlers={HTTPException: _not_found},
    )


async def _healthy(request: Request) -> Response:
    return PlainTextResponse("page-sink is up\n")


async def _not_found(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    text = "no such page; / shows the pages, /api/v1/pages lists them, POST takes one\n"
    return PlainTextResponse(text, error.status_code, error.headers)


class _Sink:
    def __init__(self, store: Store, show: Callable[[Page], None]) -> None:
        self._store = store
        self._show = show
        templates = template_environment("openai_exporter.demo")
        templates.filters.update(clock=_clock, link=_link)
        self._page = templates.get_template("pages.html")

    async def overview(self, request: Request) -> Response:
        """The pages for people, newest first. Nothing on it is loaded from elsewhere, and no script runs."""
        body = self._page.render(pages=self._store.pages())
        return Response(body, 200, _HEADERS, "text/html")

    async def list_pages(self, request: Request) -> Response:
        """JSON, newest first; `?since=ID` only those after it."""
        since = request.query_params.get("since", "0")
        if not since.isdecimal():
            return PlainTextResponse(f"since: {since[:40]!r} is not the id of a page\n", 400)
        pages = [page.model_dump() for page in self._store.pages() if page.id > int(since)]
        return JSONResponse({"pages": pages})

    async def clear(self, request: Request) -> Response:
        """Delete all pages."""
        return JSONResponse({"deleted": self._store.clear()})

    async def take(self, request: Request) -> Response:
        """Take one page."""
        try:
            page = parse_webhook(await _body(request))
        except _TooLargeError:
            return PlainTextResponse(f"the body has more than {MAX_BYTES} bytes\n", 413)
        except ValueError as error:
            return PlainTextResponse(f"{error}\n", 400)
        except ClientDisconnect:
            return Response(status_code=400)
        page = self._store.add(page)
        self._show(page)
        return JSONResponse({"id": page.id})


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            raise _TooLargeError
    return body


_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _link(url: str) -> str:
    """The URL if it is one for a browser, else nothing: an annotation may hold any text."""
    return url if urlsplit(url).scheme in ("http", "https") else ""


STYLES = {"critical": "bold white on red", "warning": "bold black on yellow", "info": "bold white on blue"}
_RESOLVED_STYLE = "bold black on green"
_LINKS = ("runbook_url", "dashboard_url")


def show(page: Page, console: Console) -> None:
    """Print a page: one headline, then each alert with its texts and links.

    Control characters of a page are shown, never obeyed.
    """
    console.print(_headline(page), soft_wrap=True)
    for alert in page.alerts:
        for text in _alert(alert):
            console.print(Text.assemble(" " * 10, text), soft_wrap=True)


def _headline(page: Page) -> Text:
    clock = time.strftime("%H:%M:%S", time.localtime(page.received))
    resolved = page.status == RESOLVED
    word = RESOLVED if resolved else page.severity or page.status or page.channel
    style = _RESOLVED_STYLE if resolved else STYLES.get(page.severity, "bold")
    text = Text.assemble(
        (clock, "dim"), "  ", (f" {printable(word).upper()} ", style), "  ", (printable(page.title), "bold")
    )
    return text.append(f"  {page.channel}" + (f" to {printable(page.receiver)}" if page.receiver else ""), style="dim")


def _alert(alert: Alert) -> Iterator[Text]:
    texts = alert.annotations
    mark = Text("✓ ", style="green") if alert.status == RESOLVED else Text("● ", style="red")
    labels = " ".join(f"{name}={value}" for name, value in sorted(alert.labels.items()))
    yield mark.append(printable(texts.get("description") or texts.get("summary") or labels), style="default")
    for name in _LINKS:
        if texts.get(name):
            yield Text(f"  {name.removesuffix('_url')} {printable(texts[name])}", style="dim")


Address = tuple[str, int]


def run(address: Address, console: Console, *, keep: int = 200, file: Path | None = None) -> None:
    """Receive pages at `address` until SIGTERM or Ctrl-C; `keep` and `file` are the store's.

    Raises:
        StartError: the address cannot be listened on, or the file cannot be written.
    """
    store = Store(keep, file)
    config = uvicorn.Config(
        build_app(store, lambda page: show(page, console)), ws="none", loop="asyncio", lifespan="off",
        log_config=None, access_log=False, server_header=False, proxy_headers=False,
        timeout_graceful_shutdown=1,
    )  # fmt: skip
    with _listen(address) as listener:
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        console.print(f"listening on http://{shown} (webhooks; pages at / and /api/v1/pages)", soft_wrap=True)
        asyncio.run(_serve(uvicorn.Server(config), listener))


async def _serve(server: uvicorn.Server, listener: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT, which uvicorn would end the process by."""
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, setattr, server, "should_exit", True)
    server.capture_signals = contextlib.nullcontext  # type: ignore[assignment, method-assign]
    await server.serve(sockets=[listener])


def _listen(address: Address) -> socket.socket:
    host, port = address
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        reason = "the port is in use" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
        raise StartError(
            f"cannot listen on {host}:{port}: {reason}; choose another with --listen-address HOST:PORT"
        ) from None
