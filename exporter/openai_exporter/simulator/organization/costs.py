# SPDX-License-Identifier: Apache-2.0
"""The /v1/organization/costs endpoint. Computes no money."""

from decimal import Decimal
from functools import partial
from typing import Literal

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from openai_exporter.simulator.faults import Faults
from openai_exporter.simulator.faults.kinds import PageLoop
from openai_exporter.simulator.organization.access import USAGE_SCOPE, require_admin
from openai_exporter.simulator.organization.arrival import View
from openai_exporter.simulator.organization.billing import COST_DIMENSIONS, Amount, Billing, Key
from openai_exporter.simulator.organization.query import COST_LIMITS, Query, Rules, decode
from openai_exporter.simulator.organization.reports import bucket, dimension_json, looped, page
from openai_exporter.simulator.organization.seed import DAY
from openai_exporter.simulator.organization.sight import Sight

PATH = "/v1/organization/costs"
Amounts = Literal["number", "string"]
_FILTERS = {"project_ids": "project_id", "api_key_ids": "api_key_id", "line_items": "line_item"}
_RULES = Rules(COST_LIMITS, COST_DIMENSIONS, _FILTERS, {})
_FINAL_AFTER = 2 * DAY  # credits are entered late, even when usage is not


class CostsApi:
    """Answers cost queries; `amounts` says whether amount.value is a JSON number or a numeric string."""

    def __init__(self, billing: Billing, sight: Sight, faults: Faults, amounts: Amounts) -> None:
        self._billing = billing
        self._sight = sight
        self._faults = faults
        self._quoted = amounts == "string"

    def routes(self) -> list[BaseRoute]:
        """The one GET route."""
        return [Route(PATH, self._answer, methods=["GET"])]

    async def _answer(self, request: Request) -> Response:
        require_admin(request, USAGE_SCOPE)
        now, view = self._sight.look(PATH)
        query = decode(request.query_params, _RULES, now)
        following = looped(query) if self._faults.first(PATH, PageLoop) else query.next_page()
        buckets = await run_in_threadpool(self._buckets, query, view)
        return Response(page(buckets, following), media_type="application/json")

    def _buckets(self, query: Query, view: View) -> list[bytes]:
        filters = tuple(sorted(query.filters.items(), key=lambda item: item[0]))

        def encoded(start: int) -> bytes:
            bill = self._billing.day(query.group_by, query.filters, start, start + DAY, view)
            return bucket(start, start + DAY, [self._row(query.group_by, *item) for item in bill.items()])

        with self._sight.reading(view) as reading:
            return [
                reading.cached(
                    (query.group_by, filters, start), start + DAY + _FINAL_AFTER, partial(encoded, start)
                )
                for start in query.starts()
            ]

    def _row(self, group_by: frozenset[str], key: Key, amount: Amount) -> str:
        value = plain(amount.usd)
        quoted = f'"{value}"' if self._quoted else value
        pairs = zip(COST_DIMENSIONS, key, strict=True)
        dimensions = ",".join(dimension_json(name, label) for name, label in pairs)
        itemised = "line_item" in group_by
        quantity = plain(amount.quantity) if itemised else "null"
        return (
            f'{{"object":"organization.costs.result","amount":{{"value":{quoted},"currency":"usd"}},{dimensions},'
            f'"quantity":{quantity},{dimension_json("quantity_unit", amount.unit if itemised else None)}}}'
        )


def plain(number: Decimal) -> str:
    """All digits of a number, without an exponent and without trailing zeros."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
