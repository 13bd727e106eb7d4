# SPDX-License-Identifier: Apache-2.0
"""The HTTP side: takes webhooks on any path, lists and forgets pages."""

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from openai_exporter.pagesink.page import Page
from openai_exporter.pagesink.store import Store
from openai_exporter.pagesink.webhook import page_of

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
        from openai_exporter.pagesink.overview import (
            overview,
        )  # the template engine loads when somebody looks

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
            page = page_of(await _body(request))
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
