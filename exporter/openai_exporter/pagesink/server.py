# SPDX-License-Identifier: Apache-2.0
"""Runs the receiver: sockets, HTTP by uvicorn, SMTP by aiosmtpd, an orderly end."""

import asyncio
import contextlib
import errno
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from rich.console import Console

from openai_exporter.errors import StartError
from openai_exporter.pagesink.app import MAX_BYTES, build_app
from openai_exporter.pagesink.mail import MailHandler
from openai_exporter.pagesink.page import Page
from openai_exporter.pagesink.store import Store
from openai_exporter.pagesink.terminal import show

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
