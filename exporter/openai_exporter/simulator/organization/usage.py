# SPDX-License-Identifier: Apache-2.0
"""The /v1/organization/usage endpoints. Decides nothing about what was used or when it arrives."""

from collections.abc import Awaitable, Callable
from functools import lru_cache, partial

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from openai_exporter.simulator.faults import Faults
from openai_exporter.simulator.faults.kinds import PageLoop
from openai_exporter.simulator.organization.access import USAGE_SCOPE, require_admin
from openai_exporter.simulator.organization.arrival import View
from openai_exporter.simulator.organization.books import Books, Selection
from openai_exporter.simulator.organization.operations import OPERATIONS, UsageOperation
from openai_exporter.simulator.organization.query import USAGE_LIMITS, Query, Rules, decode
from openai_exporter.simulator.organization.reports import bucket, dimension_json, looped, page
from openai_exporter.simulator.organization.sight import Sight
from openai_exporter.simulator.organization.streams import Labels

Endpoint = Callable[[Request], Awaitable[Response]]


class UsageApi:
    """Answers usage queries from the books, as far as `sight` lets them be seen."""

    def __init__(self, books: Books, sight: Sight, faults: Faults) -> None:
        self._books = books
        self._sight = sight
        self._faults = faults

    def routes(self) -> list[BaseRoute]:
        """One GET route for each usage endpoint."""
        return [
            Route(f"/v1{operation.path}", self._endpoint(operation), methods=["GET"])
            for operation in OPERATIONS.values()
        ]

    def _endpoint(self, operation: UsageOperation) -> Endpoint:
        path = f"/v1{operation.path}"
        rules = Rules(USAGE_LIMITS, operation.dimensions, operation.filters, operation.allowed)

        async def answer(request: Request) -> Response:
            require_admin(request, USAGE_SCOPE)
            now, view = self._sight.look(path)
            query = decode(request.query_params, rules, now)
            following = looped(query) if self._faults.first(path, PageLoop) else query.next_page()
            buckets = await run_in_threadpool(self._buckets, operation, query, view)
            return Response(page(buckets, following), media_type="application/json")

        return answer

    def _buckets(self, operation: UsageOperation, query: Query, view: View) -> list[bytes]:
        selection, width = Selection.of(operation.name, query.group_by, query.filters), query.width

        def encoded(start: int) -> bytes:
            rows = self._books.totals(selection, start, start + width, view)
            return bucket(start, start + width, [_row(operation, *row) for row in rows])

        with self._sight.reading(view) as reading:
            return [
                reading.cached((selection, width, start), start + width, partial(encoded, start))
                for start in query.starts()
            ]


def _row(operation: UsageOperation, labels: Labels, parts: list[int]) -> str:
    head, template = _template(operation.name)
    return head + template % tuple(operation.render(parts)) + _dimensions(operation.name, labels)


@lru_cache(maxsize=64)
def _template(name: str) -> tuple[str, str]:
    operation = OPERATIONS[name]
    figures = "".join(f'"{field}":%d,' for field in operation.fields)
    return f'{{"object":"{operation.result}",', figures


@lru_cache(maxsize=200_000)
def _dimensions(name: str, labels: Labels) -> str:
    pairs = zip(OPERATIONS[name].dimensions, labels, strict=True)
    return ",".join(dimension_json(dimension, value) for dimension, value in pairs) + "}"
