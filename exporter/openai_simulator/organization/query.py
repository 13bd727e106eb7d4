# SPDX-License-Identifier: Apache-2.0
"""Queries of the usage and costs endpoints, decoded strictly, and their pages of time buckets."""

import base64
import binascii
import json
import struct
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from starlette.datastructures import QueryParams

from openai_simulator.errors import ApiError, invalid_value, missing_parameter
from openai_simulator.organization.books import Filter

# Queries of the usage and costs endpoints: strict decoding, time buckets and page cursors. Reads no books.

WIDTHS = {"1m": 60, "1h": 3600, "1d": 86_400}
_CURSOR = struct.Struct(">qIq")  # time of the first query, check of its parameters, next bucket's start
_CURSOR_PREFIX = "page_"
_LATEST = 1 << 40


@dataclass(frozen=True, slots=True)
class Limits:
    """How many buckets a page has by default, and at most."""

    default: int
    most: int


USAGE_LIMITS = {"1m": Limits(60, 1440), "1h": Limits(24, 168), "1d": Limits(7, 31)}
COST_LIMITS = {"1d": Limits(7, 180)}


@dataclass(frozen=True, slots=True)
class Rules:
    """What an endpoint accepts: widths with their limits, dimensions to group by, filters and their closed sets."""

    limits: Mapping[str, Limits]
    dimensions: tuple[str, ...]
    filters: Mapping[str, str]
    allowed: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Query:
    """A decoded query. `width` is in seconds, `start` and `end` are aligned to it; `end` is exclusive."""

    width: int
    start: int
    end: int
    limit: int
    group_by: frozenset[str]
    filters: Mapping[str, Filter]
    page: str | None
    asked_at: int
    check: int

    def starts(self) -> range:
        """The buckets of this page, by their start."""
        return range(self.start, min(self.end, self.start + self.limit * self.width), self.width)

    def next_page(self) -> str | None:
        """The cursor of the next page, None on the last."""
        following = self.start + self.limit * self.width
        return None if following >= self.end else self.cursor(following)

    def cursor(self, start: int) -> str:
        """An opaque cursor for the page whose first bucket begins at `start`."""
        packed = _CURSOR.pack(self.asked_at, self.check, start)
        return _CURSOR_PREFIX + base64.urlsafe_b64encode(packed).decode()


def decode(params: QueryParams, rules: Rules, now: float) -> Query:
    """The query of a request at simulated time `now`; raises the API's 400 for anything it would not take."""
    values = _collected(params)
    _refuse_unknown(values, rules)
    width_name = _one(values, "bucket_width") or "1d"
    if width_name not in rules.limits:
        raise invalid_value("bucket_width", width_name, _words(rules.limits))
    start_text = _one(values, "start_time")
    if start_text is None:
        raise missing_parameter("start_time")
    page = _one(values, "page")
    asked_at, resumed = _resumed(page, _check(values), int(now))
    end_text = _one(values, "end_time")
    start = _integer("start_time", start_text)
    end = asked_at + 1 if end_text is None else _integer("end_time", end_text)
    if end_text is not None and end <= start:
        raise _invalid("end_time", f"expected a time after start_time ({start}), but got {end} instead")
    width = WIDTHS[width_name]
    # Buckets lie on the UTC grid; those that have not begun yet do not exist, whatever end_time says.
    return Query(
        width=width,
        start=start - start % width if resumed is None else resumed,
        end=-(-min(end, asked_at + 1) // width) * width,
        limit=_limit(values, rules.limits[width_name]),
        group_by=_group_by(values, rules),
        filters=_filters(values, rules),
        page=page,
        asked_at=asked_at,
        check=_check(values),
    )


def _collected(params: QueryParams) -> dict[str, list[str]]:
    """Values by name; `x=a&x=b` and `x[]=a&x[]=b` are the same."""
    values: dict[str, list[str]] = {}
    for name, value in params.multi_items():
        values.setdefault(name.removesuffix("[]"), []).append(value)
    return values


def _refuse_unknown(values: Iterable[str], rules: Rules) -> None:
    known = {"start_time", "end_time", "bucket_width", "limit", "page", "group_by", *rules.filters}
    for name in values:
        if name not in known:
            raise ApiError(400, f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")


def _one(values: Mapping[str, list[str]], name: str) -> str | None:
    given = values.get(name, [])
    if len(given) > 1:
        raise _invalid(name, "expected one value, but got several instead")
    return given[0] if given else None


def _integer(name: str, text: str) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 16):
        message = f"Invalid type for '{name}': expected an integer, but got {text[:40]!r} instead."
        raise ApiError(400, message, param=name, code="invalid_type")
    number = int(text)
    if not 0 <= number < _LATEST:
        raise _invalid(name, f"expected a time in unix seconds, but got {number} instead")
    return number


def _limit(values: Mapping[str, list[str]], limits: Limits) -> int:
    text = _one(values, "limit")
    if text is None:
        return limits.default
    limit = _integer("limit", text)
    if limit < 1:
        raise _bad_limit("integer_below_min_value", ">= 1", limit)
    if limit > limits.most:
        raise _bad_limit("integer_above_max_value", f"<= {limits.most}", limit)
    return limit


def _bad_limit(code: str, bound: str, limit: int) -> ApiError:
    message = f"Invalid 'limit': expected a value {bound}, but got {limit} instead."
    return ApiError(400, message, param="limit", code=code)


def _group_by(values: Mapping[str, list[str]], rules: Rules) -> frozenset[str]:
    for name in values.get("group_by", []):
        if name not in rules.dimensions:
            raise invalid_value("group_by", name, _words(rules.dimensions))
    return frozenset(values.get("group_by", []))


def _filters(values: Mapping[str, list[str]], rules: Rules) -> dict[str, Filter]:
    found: dict[str, Filter] = {}
    for name, dimension in rules.filters.items():
        if name not in values:
            continue
        allowed = ("true", "false") if name == "batch" else rules.allowed.get(name)
        for value in values[name] if allowed else ():
            if value not in (allowed or ()):
                raise invalid_value(name, value, _words(allowed or ()))
        wanted = values[name]
        found[dimension] = (
            frozenset(value == "true" for value in wanted) if name == "batch" else frozenset(wanted)
        )
    return found


def _check(values: Mapping[str, list[str]]) -> int:
    """A checksum of all parameters that must stay the same from page to page."""
    kept = sorted((name, sorted(given)) for name, given in values.items() if name != "page")
    return crc32(repr(kept).encode())


def _resumed(page: str | None, check: int, now: int) -> tuple[int, int | None]:
    """When the first page was asked for, and the bucket to go on with (None on the first page)."""
    if page is None:
        return now, None
    try:
        packed = base64.urlsafe_b64decode(page.removeprefix(_CURSOR_PREFIX).encode("ascii"))
        asked_at, checked, start = _CURSOR.unpack(packed)
    except (ValueError, binascii.Error, struct.error):
        raise _invalid("page", "expected a cursor from next_page") from None
    if checked != check:
        raise _invalid("page", "the cursor belongs to a query with other parameters")
    return int(asked_at), int(start)


def _invalid(name: str, problem: str) -> ApiError:
    return ApiError(400, f"Invalid '{name}': {problem}.", param=name, code="invalid_value")


def _words(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


# Pages of time buckets as JSON bytes, with a cache of encoded buckets. Knows no endpoint's fields.

_MOST_BYTES = 128 << 20


class BucketCache:
    """Encoded buckets, least recently used out first; bounded by their size in bytes."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most = most_bytes
        self._size = 0
        self._kept: OrderedDict[Hashable, tuple[Hashable, bytes]] = OrderedDict()

    def get(self, key: Hashable, stamp: Hashable, make: Callable[[], bytes]) -> bytes:
        """The bucket under `key`, made when it is not there or has another `stamp`."""
        known = self._kept.get(key)
        if known is not None and known[0] == stamp:
            self._kept.move_to_end(key)
            return known[1]
        made = make()
        self._size += len(made) - (0 if known is None else len(known[1]))
        self._kept[key] = stamp, made
        self._kept.move_to_end(key)
        while self._size > self._most and len(self._kept) > 1:
            self._size -= len(self._kept.popitem(last=False)[1][1])
        return made

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
        self._size = 0


def bucket(start: int, end: int, rows: list[str]) -> bytes:
    """One bucket; `rows` are encoded results."""
    head = f'{{"object":"bucket","start_time":{start},"end_time":{end},"results":['
    return (head + ",".join(rows) + "]}").encode()


def page(buckets: list[bytes], next_page: str | None) -> bytes:
    """The reply."""
    more = "true" if next_page else "false"
    tail = f'],"has_more":{more},"next_page":{json.dumps(next_page)}}}'
    return b'{"object":"page","data":[' + b",".join(buckets) + tail.encode()


def looped(query: Query) -> str:
    """The cursor of a paging loop: every page says that the same page comes next, and so on for ever."""
    return query.page or query.next_page() or query.cursor(query.start)


def dimension_json(name: str, value: Any) -> str:
    """`"name":value`, the value null where it is not grouped by."""
    return f'"{name}":{json.dumps(value)}'
