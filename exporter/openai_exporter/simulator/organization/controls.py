# SPDX-License-Identifier: Apache-2.0
"""Control endpoints of the books, for tests: the truth over any time, and an end to usage. No part of the API."""

from collections.abc import Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from openai_exporter.simulator.errors import ApiError

PREFIX = "/_simulator/organization"
Rows = Callable[[float, float], list[dict[str, Any]]]


class Controls:
    """`GET usage` and `GET bill` with `start` and `end` (unix seconds), and `POST stop` with {"at": unix or null}."""

    def __init__(self, usage: Rows, bill: Rows, stop: Callable[[float | None], None]) -> None:
        self._usage = usage
        self._bill = bill
        self._stop = stop

    def routes(self) -> list[BaseRoute]:
        """The three routes."""
        return [
            Route(f"{PREFIX}/usage", _rows(self._usage), methods=["GET"]),
            Route(f"{PREFIX}/bill", _rows(self._bill), methods=["GET"]),
            Route(f"{PREFIX}/stop", self._stopped, methods=["POST"]),
        ]

    async def _stopped(self, request: Request) -> JSONResponse:
        try:
            at = dict(await request.json())["at"]
        except (ValueError, TypeError, KeyError):
            raise ApiError(400, 'stop: expected {"at": unix seconds or null}') from None
        if at is not None and (isinstance(at, bool) or not isinstance(at, int | float)):
            raise ApiError(400, f"stop.at: expected unix seconds or null, got {at!r}")
        await run_in_threadpool(self._stop, at)
        return JSONResponse({"at": at})


def _rows(read: Rows) -> Callable[[Request], JSONResponse]:
    def endpoint(request: Request) -> JSONResponse:
        start, end = (_moment(request, name) for name in ("start", "end"))
        return JSONResponse({"data": read(start, end)})

    return endpoint


def _moment(request: Request, name: str) -> float:
    text = request.query_params.get(name, "")
    try:
        return float(text)
    except ValueError:
        raise ApiError(400, f"{name}: expected unix seconds, got {text!r}") from None
