# SPDX-License-Identifier: Apache-2.0
"""Pages of time buckets as JSON bytes, with a cache of encoded buckets. Knows no endpoint's fields."""

import json
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

from openai_exporter.simulator.organization.query import Query

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
