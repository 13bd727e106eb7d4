# SPDX-License-Identifier: Apache-2.0
"""Lists of the admin endpoints: limit, after, before, order and the list envelope. Knows no objects."""

from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol, TypeVar

from starlette.datastructures import QueryParams

from openai_exporter.simulator.errors import ApiError, invalid_value


class Identified(Protocol):
    """Anything with an id."""

    @property
    def id(self) -> str:
        """The identifier that paging goes by."""
        ...


T = TypeVar("T", bound=Identified)
_PAGING = ("limit", "after")


def listing(
    items: Sequence[T],
    show: Callable[[T], dict[str, Any]],
    params: QueryParams,
    *,
    known: Collection[str] = (),
    default: int = 20,
    least: int = 1,
    most: int = 100,
) -> dict[str, Any]:
    """A page of `items`, each shown by `show`; raises the API's 400 for parameters it would not take.

    `known` are the endpoint's own parameters; `order` and `before` are handled here when they are among them.
    """
    refuse_unknown(params, (*_PAGING, *known))
    limit = _limit(params.get("limit"), default, least, most)
    ordered = list(items)
    if "order" in known and choice(params, "order", ("asc", "desc"), "asc") == "desc":
        ordered.reverse()
    if "before" in known and params.get("before"):
        end = _place(ordered, "before", params["before"])
        chosen, more = ordered[max(0, end - limit) : end], end > limit
    else:
        begin = _place(ordered, "after", params["after"]) + 1 if params.get("after") else 0
        chosen, more = ordered[begin : begin + limit], begin + limit < len(ordered)
    return {
        "object": "list",
        "data": [show(item) for item in chosen],
        "first_id": chosen[0].id if chosen else None,
        "last_id": chosen[-1].id if chosen else None,
        "has_more": more,
    }


def refuse_unknown(params: QueryParams, known: Collection[str]) -> None:
    """Raise 400 for a parameter that the endpoint does not have."""
    for name in params:
        if name.removesuffix("[]") not in known:
            raise ApiError(400, f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")


def choice(params: QueryParams, name: str, allowed: Sequence[str], default: str) -> str:
    """The value of a parameter that has a closed set; raises 400 outside of it."""
    value = params.get(name, default)
    if value not in allowed:
        raise invalid_value(name, value, ", ".join(map(repr, allowed)))
    return value


def found(items: Sequence[T], item_id: str, kind: str) -> T:
    """The item of that id; raises the API's 404 naming `kind`."""
    for item in items:
        if item.id == item_id:
            return item
    raise ApiError(404, f"No {kind} found with id '{item_id[:80]}'.", code="not_found")


def _limit(text: str | None, default: int, least: int, most: int) -> int:
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        message = f"Invalid type for 'limit': expected an integer, but got {text[:40]!r} instead."
        raise ApiError(400, message, param="limit", code="invalid_type")
    if not least <= int(text) <= most:
        raise invalid_value("limit", int(text), f"{least} to {most}")
    return int(text)


def _place(items: Sequence[Identified], name: str, item_id: str) -> int:
    for place, item in enumerate(items):
        if item.id == item_id:
            return place
    raise ApiError(
        400, f"Invalid '{name}': no item has the id {item_id[:80]!r}.", param=name, code="invalid_value"
    )
