# SPDX-License-Identifier: Apache-2.0
"""Queries of the usage and costs endpoints: strict decoding, page cursors, and the JSON of time buckets."""

import base64
import binascii
import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from starlette.datastructures import QueryParams

from openai_simulator import errors
from openai_simulator.organization.usage import Filter

WIDTHS = {"1m": 60, "1h": 3600, "1d": 86_400}
_CURSOR = struct.Struct(">qIq")  # time of the first query, check of its parameters, next bucket's start
_CURSOR_PREFIX = "page_"
_LATEST = 1 << 40


USAGE_LIMITS = {"1m": (60, 1440), "1h": (24, 168), "1d": (7, 31)}
COST_LIMITS = {"1d": (7, 180)}
"""How many buckets a page has by default and at most, for each width."""
_COMMON = ("start_time", "end_time", "bucket_width", "limit", "page", "group_by")


@dataclass(frozen=True, slots=True)
class Rules:
    """What an endpoint accepts: widths with their limits, dimensions to group by, filters and their closed sets."""

    limits: Mapping[str, tuple[int, int]]
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
    for name in values:
        if name not in _COMMON and name not in rules.filters:
            raise errors.unknown_parameter(name)
    width_name = _one(values, "bucket_width") or "1d"
    if width_name not in rules.limits:
        raise errors.invalid_value("bucket_width", width_name, errors.quoted(rules.limits))
    start_text = _one(values, "start_time")
    if start_text is None:
        raise errors.missing_parameter("start_time")
    page, check = _one(values, "page"), _check(values)
    asked_at, resumed = (int(now), None) if page is None else _resumed(page, check)
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
        limit=_limit(_one(values, "limit"), *rules.limits[width_name]),
        group_by=_group_by(values.get("group_by", []), rules),
        filters=_filters(values, rules),
        page=page,
        asked_at=asked_at,
        check=check,
    )


def _collected(params: QueryParams) -> dict[str, list[str]]:
    """Values by name; `x=a&x=b` and `x[]=a&x[]=b` are the same."""
    values: dict[str, list[str]] = {}
    for name, value in params.multi_items():
        values.setdefault(name.removesuffix("[]"), []).append(value)
    return values


def _one(values: Mapping[str, list[str]], name: str) -> str | None:
    several = values.get(name, [])
    if len(several) > 1:
        raise _invalid(name, "expected one value, but got several instead")
    return several[0] if several else None


def _integer(name: str, text: str) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 16):
        raise errors.no_integer(name, text)
    number = int(text)
    if not 0 <= number < _LATEST:
        raise _invalid(name, f"expected a time in unix seconds, but got {number} instead")
    return number


def _limit(text: str | None, default: int, most: int) -> int:
    limit = default if text is None else _integer("limit", text)
    if 1 <= limit <= most:
        return limit
    code, bound = ("above_max", f"<= {most}") if limit > most else ("below_min", ">= 1")
    message = f"Invalid 'limit': expected a value {bound}, but got {limit} instead."
    raise errors.ApiError(400, message, param="limit", code=f"integer_{code}_value")


def _group_by(names: list[str], rules: Rules) -> frozenset[str]:
    for name in names:
        if name not in rules.dimensions:
            raise errors.invalid_value("group_by", name, errors.quoted(rules.dimensions))
    return frozenset(names)


def _filters(values: Mapping[str, list[str]], rules: Rules) -> dict[str, Filter]:
    filters: dict[str, Filter] = {}
    for name, dimension in rules.filters.items():
        if name not in values:
            continue
        allowed = ("true", "false") if name == "batch" else rules.allowed.get(name)
        for value in values[name]:
            if allowed and value not in allowed:
                raise errors.invalid_value(name, value, errors.quoted(allowed))
        requested: Iterable[str | bool] = values[name]
        if name == "batch":
            requested = (value == "true" for value in values[name])
        filters[dimension] = frozenset(requested)
    return filters


def _check(values: Mapping[str, list[str]]) -> int:
    """A checksum of all parameters that must stay the same from page to page."""
    fixed = sorted((name, sorted(texts)) for name, texts in values.items() if name != "page")
    return crc32(repr(fixed).encode())


def _resumed(page: str, check: int) -> tuple[int, int]:
    """When the first page was asked for, and the bucket to go on with."""
    try:
        packed = base64.urlsafe_b64decode(page.removeprefix(_CURSOR_PREFIX).encode("ascii"))
        asked_at, checked, start = _CURSOR.unpack(packed)
    except (ValueError, binascii.Error, struct.error):
        raise _invalid("page", "expected a cursor from next_page") from None
    if checked != check:
        raise _invalid("page", "the cursor belongs to a query with other parameters")
    return int(asked_at), int(start)


def _invalid(name: str, problem: str) -> errors.ApiError:
    return errors.ApiError(400, f"Invalid '{name}': {problem}.", param=name, code="invalid_value")


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
