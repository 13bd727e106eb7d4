# SPDX-License-Identifier: Apache-2.0
"""Pages of time buckets and lists of the admin API, followed to their end and decoded as they arrive."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openai_exporter.client.organization import Calls
from openai_exporter.client.reply import Params, Reply
from openai_exporter.errors import UpstreamError
from openai_exporter.model import Answer
from openai_exporter.usage.rows import MOST, JsonText, MalformedError, TooLargeError, shown

# Pages of time buckets, followed to their end and decoded as they arrive. Keeps nothing itself.

MOST_PAGES = 100
MOST_ROWS = 4_000_000

Take = Callable[[Any], None]
Sink = Callable[[int], Take]
"""From the start of a bucket to what takes its results, one by one."""


@dataclass(frozen=True, slots=True)
class Query:
    """One query of buckets.

    Attributes:
        api: name in errors and counters.
        params: without the cursor.
        pause: called after each result, so that other threads get their turn.
    """

    path: str
    api: str
    params: Params
    pause: Callable[[], None]


def read(calls: Calls, query: Query, arrived: Callable[[Reply], Sink | None]) -> bool:
    """Give the results of each bucket to a sink.

    Args:
        arrived: called with the first page before its body is read; returns the sink, or None to stop.

    Returns:
        Whether the query was read to its end.

    Raises:
        UpstreamError: any page failed; what the sink got so far is then incomplete.
    """
    cursor, seen, sink = "", set[str](), None
    for number in range(MOST_PAGES):
        params = [*query.params, ("page", cursor)] if cursor else query.params
        with calls.open(query.path, params, api=query.api) as reply:
            sink = arrived(reply) if number == 0 else sink
            if sink is None:
                return False
            cursor = _page(query, reply, sink)
            if cursor in seen:
                raise _error("the API gives the same page cursor again and again", query, reply, "page_loop")
        if not cursor:
            return True
        seen.add(cursor)
    raise UpstreamError(f"more than {MOST_PAGES} pages", api=query.api, reason="page_loop")


def _page(query: Query, reply: Reply, sink: Sink) -> str:
    """Decode one page; the cursor of the next, empty on the last."""
    text = JsonText(reply.chunks())
    tail: dict[str, Any] = {}
    try:
        for name in text.members("answer"):
            if name == "data":
                tail[name] = _buckets(text, query, sink)
            else:
                tail[name] = text.value()
        text.end()
        return _next(tail)
    except MalformedError as error:
        kind = reply.headers.get("content-type", "none")
        hint = "" if "json" in kind else f" (content type {kind})"
        raise _error(f"{error}{hint}", query, reply, "malformed") from None
    except TooLargeError as error:
        raise _error(str(error), query, reply, "too_large") from None


def _buckets(text: JsonText, query: Query, sink: Sink) -> bool:
    for index in text.elements("data"):
        place = f"data[{index}]"
        start: Any = None
        early: list[Any] = []
        for name in text.members(place):
            if name == "results" and type(start) is int:
                _results(text, place, sink(start), query.pause)
            elif name == "results":
                _results(text, place, early.append, query.pause)
            elif name == "start_time":
                start = text.value()
            else:
                text.value()
        if type(start) is not int:
            raise MalformedError(f"{place}.start_time: expected a whole number, got {start!r}")
        if early:
            take = sink(start)
            for result in early:
                take(result)
    return True


def _results(text: JsonText, place: str, take: Take, pause: Callable[[], None]) -> None:
    for index, result in enumerate(text.values(f"{place}.results")):
        if index > MOST_ROWS:
            raise TooLargeError(f"{place} has more than {MOST_ROWS} results")
        pause()
        try:
            take(result)
        except MalformedError as error:
            raise MalformedError(f"{place}.results[{index}].{error}") from None


def _next(tail: dict[str, Any]) -> str:
    if "data" not in tail:
        raise MalformedError("data: is missing")
    more, cursor = tail.get("has_more", False), tail.get("next_page")
    if not isinstance(more, bool):
        raise MalformedError(f"has_more: expected true or false, got {more!r}")
    if not more:
        return ""
    if not isinstance(cursor, str) or not cursor:
        raise MalformedError(f"next_page: expected a cursor since has_more is true, got {cursor!r}")
    return cursor


def _error(message: str, query: Query, reply: Reply, reason: str) -> UpstreamError:
    request_id = reply.headers.get("x-request-id")
    return UpstreamError(message, api=query.api, reason=reason, status=reply.status, request_id=request_id)


# Lists of the admin endpoints: all pages, each item an object with an id. Decodes no particular object.

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
