# SPDX-License-Identifier: Apache-2.0
"""Lists of the admin endpoints: all pages, each item an object with an id. Decodes no particular object."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from openai_exporter.client.calls import Calls
from openai_exporter.errors import UpstreamError
from openai_exporter.model import Answer
from openai_exporter.usage.rows import MOST, shown

PAGE = "100"
_MOST_PAGES = 1000

Item = Mapping[str, Any]


def everything(
    calls: Calls, path: str, api: str, params: Sequence[tuple[str, str]] = ()
) -> Iterator[list[Item]]:
    """Yield the items of a list, a page at a time.

    Raises:
        UpstreamError: a page failed, or the list does not end.
    """
    after, seen = "", set[str]()
    for _ in range(_MOST_PAGES):
        query = [*params, ("limit", PAGE), *([("after", after)] if after else [])]
        body = calls.get(path, query, api=api).body
        items = _items(body, api)
        yield items
        if body.get("has_more") is not True or not items:
            return
        after = str(items[-1]["id"])
        if after in seen:
            raise UpstreamError(f"{path}: the list comes back to {after!r}", api=api, reason="page_loop")
        seen.add(after)
    raise UpstreamError(f"{path}: more than {_MOST_PAGES} pages", api=api, reason="page_loop")


def optional(calls: Calls, path: str, api: str) -> Answer | None:
    """An object that may not be there: None for HTTP 404.

    Raises:
        UpstreamError: any other failure.
    """
    try:
        return calls.get(path, api=api)
    except UpstreamError as error:
        if error.status == 404:
            return None
        raise


def text(item: Item, name: str, api: str) -> str:
    """A string field; null and absent are empty."""
    found = item.get(name)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise wrong(f"{name}: expected a string or null, got {shown(found)}", api)
    return found


def moment(item: Item, name: str, api: str) -> int | None:
    """A field of Unix seconds; null and absent are None."""
    return _not_negative(item, name, api, "Unix seconds")


def number(item: Item, name: str, api: str) -> int | None:
    """A whole number that is not negative; null and absent are None."""
    return _not_negative(item, name, api, "a whole number")


def _not_negative(item: Item, name: str, api: str, kind: str) -> int | None:
    found = item.get(name)
    if found is None:
        return None
    if type(found) is not int or not 0 <= found <= MOST:
        raise wrong(f"{name}: expected {kind} or null, got {shown(found)}", api)
    return found


def inner(item: Item, name: str, api: str) -> Item:
    """A field that is an object; null and absent are empty."""
    found = item.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise wrong(f"{name}: expected an object or null, got {shown(found)}", api)
    return found


def wrong(message: str, api: str) -> UpstreamError:
    """A field that is not as described."""
    return UpstreamError(message, api=api, reason="malformed")


def _items(body: Mapping[str, object], api: str) -> list[Item]:
    data = body.get("data")
    if not isinstance(data, list):
        raise wrong(f"data: expected an array, got {shown(data)}", api)
    for index, item in enumerate(data):
        if not isinstance(item, dict) or not isinstance(item.get("id"), str):
            raise wrong(f"data[{index}]: expected an object with an id, got {shown(item)}", api)
    return data
