# SPDX-License-Identifier: Apache-2.0
"""A receiver of Alertmanager's webhooks for demos and tests: shows and keeps notifications. Sends nothing on."""

import asyncio
import contextlib
import errno
import json
import logging
import re
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from jinja2 import Environment
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from rich.console import Console
from rich.text import Text
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from openai_exporter.config.secret import MASK, mask_keys
from openai_exporter.errors import StartError
from openai_exporter.templates import environment

# What a page is.

SEVERITIES = ("critical", "warning", "info")
FIRING, RESOLVED = "firing", "resolved"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert of a notification.

    Attributes:
        status: `firing` or `resolved`.
        starts_at, ends_at: RFC 3339; `ends_at` is empty while it fires.
    """

    status: str
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    starts_at: str = ""
    ends_at: str = ""
    generator_url: str = ""

    @property
    def name(self) -> str:
        """Name of the alert; empty when it has none."""
        return self.labels.get("alertname", "")

    @property
    def severity(self) -> str:
        """Label severity; empty when it has none."""
        return self.labels.get("severity", "")


@dataclass(frozen=True, slots=True)
class Page:
    """One notification.

    Attributes:
        channel: `webhook`, `slack`, `pagerduty`, `json` or `email`.
        status: `firing`, `resolved`, or empty when it does not say.
        severity: the worst one of it, empty when it does not say.
        receiver: Alertmanager's receiver, the channel, or the recipients of a mail.
        id: number in the order of arrival, from 1.
        received: Unix seconds.
    """

    channel: str
    status: str
    severity: str
    title: str
    text: str
    receiver: str = ""
    alerts: tuple[Alert, ...] = ()
    id: int = 0
    received: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def from_json(data: Mapping[str, Any]) -> Page:
    """A page from what `as_json` made.

    Raises:
        TypeError, KeyError: it is something else.
    """
    alerts = tuple(Alert(**alert) for alert in data["alerts"])
    return Page(**{**data, "alerts": alerts})


def worst(severities: list[str]) -> str:
    """The worst of some severities; the first unknown one when none is known, empty of none."""
    known = [each for each in SEVERITIES if each in severities]
    return (known or [each for each in severities if each] or [""])[0]


# The last pages, in memory and, if wanted, in a file of JSON lines that a restart reads back.

log = logging.getLogger(__name__)


class Store:
    """Pages in the order of arrival.

    Args:
        keep: how many are kept; the file holds at most twice as many.
        file: JSON lines, None for memory alone.
        now: Unix seconds.

    Raises:
        StartError: the file cannot be read or written.
    """

    def __init__(self, keep: int, file: Path | None = None, now: Callable[[], float] = time.time) -> None:
        self._pages: deque[Page] = deque(maxlen=keep)
        self._keep = keep
        self._file = file
        self._now = now
        self._next = 1
        self._lines = 0
        if file is not None:
            self._restore(file)

    def add(self, page: Page) -> Page:
        """Keep a page; returns it with its number and time."""
        kept = replace(page, id=self._next, received=self._now())
        self._next += 1
        self._pages.append(kept)
        if self._file is not None:
            self._record(self._file, kept)
        return kept

    def pages(self) -> tuple[Page, ...]:
        """All that are kept, newest first."""
        return tuple(reversed(self._pages))

    def clear(self) -> int:
        """Forget all, in the file too; returns how many there were. Numbers go on."""
        count = len(self._pages)
        self._pages.clear()
        if self._file is not None:
            self._rewrite(self._file)
        return count

    def _restore(self, file: Path) -> None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError as error:
            raise StartError(
                f"--file {file}: {error.strerror or error}; name a file that can be written"
            ) from None
        self._lines = len(lines)
        for line in lines:
            try:
                self._pages.append(from_json(json.loads(line)))
            except (ValueError, TypeError, KeyError):
                raise StartError(
                    f"--file {file}: holds something else than pages; name another file"
                ) from None
        self._next = max((page.id for page in self._pages), default=0) + 1

    def _record(self, file: Path, page: Page) -> None:
        if self._lines >= 2 * self._keep:
            self._rewrite(file)
            return
        try:
            with file.open("a", encoding="utf-8") as out:
                out.write(_line(page))
            self._lines += 1
        except OSError as error:
            log.warning("page kept in memory only: %s: %s", file, error.strerror or error)

    def _rewrite(self, file: Path) -> None:
        beside = file.with_name(f".{file.name}.new")
        try:
            beside.write_text("".join(_line(page) for page in self._pages), encoding="utf-8")
            beside.replace(file)
            self._lines = len(self._pages)
        except OSError as error:
            log.warning("pages kept in memory only: %s: %s", file, error.strerror or error)


def _line(page: Page) -> str:
    return json.dumps(page.as_json(), ensure_ascii=False) + "\n"


# JSON that Alertmanager posts, to pages: its webhook (version 4), Slack, PagerDuty, or anything else.

_LONGEST_TEXT = 4000
_NO_END = "0001-"
_SECRET = re.compile(r"(?i)(key|token|secret|password)$")
_ACTIONS = {"trigger": FIRING, "resolve": RESOLVED}


class _Alert(BaseModel):
    model_config = ConfigDict(extra="ignore")

    status: str
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    startsAt: str = ""  # noqa: N815 - the payload's name
    endsAt: str = ""  # noqa: N815
    generatorURL: str = ""  # noqa: N815

    def plain(self) -> Alert:
        ended = "" if self.endsAt.startswith(_NO_END) or self.status == FIRING else self.endsAt
        return Alert(self.status, self.labels, self.annotations, self.startsAt, ended, self.generatorURL)


class _Notification(BaseModel):
    model_config = ConfigDict(extra="ignore")

    status: str = ""
    receiver: str = ""
    alerts: list[_Alert]
    commonAnnotations: dict[str, str] = Field(default_factory=dict)  # noqa: N815


class _Attachment(BaseModel):
    model_config = ConfigDict(extra="ignore")

    title: str = ""
    fallback: str = ""
    text: str = ""


class _Slack(BaseModel):
    model_config = ConfigDict(extra="ignore")

    channel: str = ""
    text: str = ""
    attachments: list[_Attachment] = Field(default_factory=list)


def webhook_page_of(body: bytes) -> Page:
    """The page that a posted body is.

    Raises:
        ValueError: no JSON object, or not of the shape that its keys promise; the message says what.
    """
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError("the body is not JSON; post what Alertmanager's webhook_configs send") from None
    if not isinstance(data, dict):
        raise ValueError("the body is not a JSON object; post what Alertmanager's webhook_configs send")
    try:
        if "alerts" in data:
            return _notification(_Notification.model_validate(data))
        if "attachments" in data:
            return _slack(_Slack.model_validate(data))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{place}: {first['msg'][0].lower()}{first['msg'][1:]}") from None
    if isinstance(data.get("payload"), dict) and "event_action" in data:
        return _pagerduty(data)
    return Page("json", "", "", "JSON", _webhook_shown(data))


def _notification(found: _Notification) -> Page:
    alerts = tuple(alert.plain() for alert in found.alerts)
    names = list(dict.fromkeys(alert.name for alert in alerts if alert.name))
    summaries = dict.fromkeys(alert.annotations.get("summary", "") for alert in alerts)
    text = found.commonAnnotations.get("summary") or "\n".join(each for each in summaries if each)
    return Page(
        channel="webhook",
        status=found.status,
        severity=worst([alert.severity for alert in alerts]),
        title=", ".join(names) or "alerts without a name",
        text=text,
        receiver=found.receiver,
        alerts=alerts,
    )


def _slack(found: _Slack) -> Page:
    first = found.attachments[0] if found.attachments else _Attachment()
    title = first.title or first.fallback or found.text
    status, severity = read_words(title)
    text = "\n".join(each.text for each in found.attachments) or found.text
    return Page("slack", status, severity, title, text, found.channel)


def _pagerduty(data: Mapping[str, Any]) -> Page:
    payload = data["payload"]
    status = _ACTIONS.get(str(data["event_action"]), "")
    details = payload.get("custom_details")
    text = _webhook_shown(details) if isinstance(details, dict) else ""
    return Page("pagerduty", status, str(payload.get("severity", "")), str(payload.get("summary", "")), text)


def read_words(title: str) -> tuple[str, str]:
    """Status and severity as a title says them, such as `[FIRING:1]`, `[critical x2]` or `[resolved]`."""
    words = [word.lower() for word in re.findall(r"[A-Za-z]+", title)]
    status = RESOLVED if "resolved" in words else FIRING if words else ""
    return status, worst([word for word in words if word in ("critical", "warning", "info")])


def _webhook_shown(data: Mapping[str, Any]) -> str:
    """JSON for people, without values that are secrets by their name or form."""
    return mask_keys(json.dumps(_masked(data), indent=2, ensure_ascii=False))[:_LONGEST_TEXT]


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: MASK if _SECRET.search(name) else _masked(each) for name, each in value.items()}
    return [_masked(each) for each in value] if isinstance(value, list) else value


# The HTTP side: takes webhooks on any path, lists and forgets pages.

MAX_BYTES = 1 << 20


class TooLargeError(Exception):
    """A body above the bound."""


def build_app(store: Store, deliver: Callable[[Page], Page]) -> Starlette:
    """The application; `deliver` keeps and shows a page."""
    sink = _Sink(store, deliver)
    return Starlette(
        routes=[
            Route("/", sink.overview, methods=["GET"]),
            Route("/api/v1/pages", sink.listed, methods=["GET"]),
            Route("/api/v1/pages", sink.cleared, methods=["DELETE"]),
            Route("/-/healthy", _healthy, methods=["GET"]),
            Route("/-/ready", _healthy, methods=["GET"]),
            Route("/{path:path}", sink.take, methods=["POST"]),
        ],
        exception_handlers={HTTPException: _refused},
    )


async def _healthy(request: Request) -> Response:
    return PlainTextResponse("page-sink is up\n")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    text = "no such page; / shows the pages, /api/v1/pages lists them, POST takes one\n"
    return PlainTextResponse(text, error.status_code, error.headers)


class _Sink:
    def __init__(self, store: Store, deliver: Callable[[Page], Page]) -> None:
        self._store = store
        self._deliver = deliver

    async def overview(self, request: Request) -> Response:
        """The pages for people."""

        return overview(self._store.pages())

    async def listed(self, request: Request) -> Response:
        """JSON, newest first; `?since=ID` only those after it."""
        since = request.query_params.get("since", "0")
        if not since.isdecimal():
            return PlainTextResponse(f"since: {since[:40]!r} is not the id of a page\n", 400)
        pages = [page.as_json() for page in self._store.pages() if page.id > int(since)]
        return JSONResponse({"pages": pages})

    async def cleared(self, request: Request) -> Response:
        """Forget all pages."""
        return JSONResponse({"deleted": self._store.clear()})

    async def take(self, request: Request) -> Response:
        """Take one page."""
        try:
            page = webhook_page_of(await _body(request))
        except TooLargeError:
            return PlainTextResponse(f"the body has more than {MAX_BYTES} bytes\n", 413)
        except ValueError as error:
            return PlainTextResponse(f"{error}\n", 400)
        except ClientDisconnect:
            return Response(status_code=400)
        return JSONResponse({"id": self._deliver(page).id})


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            raise TooLargeError
    return body


# Mail to pages: an SMTP server's handler, and the reading of a message.

_LONGEST = 20_000


class MailHandler:
    """aiosmtpd's handler: hands each mail on as a page.

    Args:
        deliver: takes the page.
    """

    def __init__(self, deliver: Callable[[Page], object]) -> None:
        self._deliver = deliver

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Take one mail; the answer to the client."""
        self._deliver(page_of(envelope.content, list(envelope.rcpt_tos)))
        return "250 page taken"


def page_of(content: bytes, recipients: list[str]) -> Page:
    """The page that a mail is; the subject is its title, the plain text its text."""
    message = message_from_bytes(content, policy=default)
    subject = str(message.get("Subject", "")) or "mail without a subject"
    status, severity = read_words(subject)
    return Page("email", status, severity, subject, _text(message)[:_LONGEST].strip(), ", ".join(recipients))


def _text(message: EmailMessage) -> str:
    try:
        part = message.get_body(("plain", "html"))
        return "" if part is None else str(part.get_content()).replace("\r\n", "\n")
    except (LookupError, ValueError, AttributeError):
        # A character set or structure that is none: the mail is shown without its text rather than lost.
        return "(text that cannot be decoded)"


# The HTML page; loads the template engine. Nothing on it is loaded from elsewhere, and no script runs.

_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


@cache
def _environment() -> Environment:
    made = environment("openai_exporter.demo")
    made.filters.update(clock=_clock, link=_link)
    return made


def overview(pages: Sequence[Page]) -> Response:
    """All pages, newest first."""
    body = _environment().get_template("pages.html").render(pages=pages)
    return Response(body, 200, _HEADERS, "text/html")


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _link(url: str) -> str:
    """The URL if it is one for a browser, else nothing: an annotation may hold any text."""
    return url if urlsplit(url).scheme in ("http", "https") else ""


# Pages in the terminal. Control characters of a page are shown, never obeyed.

STYLES = {"critical": "bold white on red", "warning": "bold black on yellow", "info": "bold white on blue"}
_RESOLVED_STYLE = "bold black on green"
_LINKS = ("runbook_url", "dashboard_url")


def show(page: Page, console: Console) -> None:
    """Print a page: one headline, then each alert with its texts and links."""
    console.print(_headline(page), soft_wrap=True)
    for text in _terminal_body(page):
        console.print(Text.assemble(" " * 10, text), soft_wrap=True)


def _headline(page: Page) -> Text:
    clock = time.strftime("%H:%M:%S", time.localtime(page.received))
    resolved = page.status == RESOLVED
    word = RESOLVED if resolved else page.severity or page.status or page.channel
    style = _RESOLVED_STYLE if resolved else STYLES.get(page.severity, "bold")
    text = Text.assemble(
        (clock, "dim"), "  ", (f" {_safe(word).upper()} ", style), "  ", (_safe(page.title), "bold")
    )
    return text.append(
        f"  {page.channel}" + (f" to {_safe(page.receiver)}" if page.receiver else ""), style="dim"
    )


def _terminal_body(page: Page) -> Iterator[Text]:
    if not page.alerts:
        yield from (Text(_safe(line)) for line in page.text.splitlines() if line.strip())
    for alert in page.alerts:
        yield from _alert(alert)


def _alert(alert: Alert) -> Iterator[Text]:
    texts = alert.annotations
    mark = Text("✓ ", style="green") if alert.status == RESOLVED else Text("● ", style="red")
    yield mark.append(
        _safe(texts.get("description") or texts.get("summary") or _labels(alert)), style="default"
    )
    for name in _LINKS:
        if texts.get(name):
            yield Text(f"  {name.removesuffix('_url')} {_safe(texts[name])}", style="dim")


def _labels(alert: Alert) -> str:
    return " ".join(f"{name}={value}" for name, value in sorted(alert.labels.items()))


def _safe(text: str) -> str:
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


# Runs the receiver: sockets, HTTP by uvicorn, SMTP by aiosmtpd, an orderly end.

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line asks for.

    Attributes:
        http: where webhooks are taken.
        smtp: where mail is taken, None for nowhere.
        keep: how many pages are kept.
        file: where they are kept besides memory.
    """

    http: Address
    smtp: Address | None = None
    keep: int = 200
    file: Path | None = None


class _Server(uvicorn.Server):
    """uvicorn's server, ended with status 0 by SIGTERM and SIGINT."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGTERM, signal.SIGINT)
        for number in numbers:
            loop.add_signal_handler(number, self._end)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    def _end(self) -> None:
        self.should_exit = True


def run(settings: Settings, console: Console) -> None:
    """Receive pages until SIGTERM or Ctrl-C.

    Raises:
        StartError: an address cannot be listened on, or the file cannot be written.
    """
    store = Store(settings.keep, settings.file)

    def deliver(page: Page) -> Page:
        kept = store.add(page)
        show(kept, console)
        return kept

    with contextlib.ExitStack() as opened:
        http = opened.enter_context(_listening(settings.http, "--listen-address"))
        smtp = None
        if settings.smtp is not None:
            smtp = opened.enter_context(_listening(settings.smtp, "--smtp-listen-address"))
        config = uvicorn.Config(
            build_app(store, deliver), ws="none", loop="asyncio", lifespan="off", log_config=None,
            access_log=False, server_header=False, proxy_headers=False, timeout_graceful_shutdown=1,
        )  # fmt: skip
        asyncio.run(_serve(_Server(config), http, smtp, MailHandler(deliver), console))


async def _serve(
    server: _Server, http: socket.socket, smtp: socket.socket | None, mail: MailHandler, console: Console
) -> None:
    listener = None
    if smtp is not None:
        from aiosmtpd.smtp import SMTP  # slow to load, and many never take mail

        loop = asyncio.get_running_loop()
        listener = await loop.create_server(
            lambda: SMTP(mail, data_size_limit=MAX_BYTES, hostname="page-sink", ident="page-sink", loop=loop),
            sock=smtp,
        )
        console.print(f"taking mail on smtp://{_shown(smtp)}", soft_wrap=True)
    console.print(
        f"listening on http://{_shown(http)} (webhooks; pages at / and /api/v1/pages)", soft_wrap=True
    )
    try:
        await server.serve(sockets=[http])
    finally:
        if listener is not None:
            listener.close()


def _listening(address: Address, flag: str) -> socket.socket:
    host, port = address
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        reason = "the port is in use" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
        raise StartError(
            f"cannot listen on {host}:{port}: {reason}; choose another with {flag} HOST:PORT"
        ) from None


def _shown(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
