# SPDX-License-Identifier: Apache-2.0
"""Short ways to make one exchange, whole or broken."""

import asyncio
import contextlib
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest

from openai_exporter.client.exchange import Exchange, Sent, WireError
from openai_exporter.client.network import ProxyError
from openai_exporter.client.pool import Pool, Terms

_OPEN: list[Pool] = []


def new_pool(url: str, **settings: Any) -> Pool:
    """A pool that is closed when the test ends."""
    pool = Pool(url, **settings)
    _OPEN.append(pool)
    return pool


def close_pools() -> None:
    """Close every pool that `new_pool` made."""
    while _OPEN:
        _OPEN.pop().close()


async def exchange(
    pool: Pool, url: str, *, seconds: float = 30.0, fresh: bool = False, cap: int = 1 << 20, body: bytes = b""
) -> Exchange:
    """One exchange that ends with a whole answer."""
    headers = [("Host", "test"), ("Authorization", "Bearer sk-test-0123456789")]
    if body:
        headers.append(("Content-Length", str(len(body))))
    sent = Sent("POST" if body else "GET", url, tuple(headers), body)
    with contextlib.suppress(ProxyError):  # the exchange itself reports it
        await pool.prepare()
    return await pool.exchange(sent, Terms(monotonic() + seconds, fresh, cap))


async def broken(pool: Pool, url: str, *, seconds: float = 30.0, fresh: bool = False, cap: int = 1 << 20) -> Exchange:
    """The partial record of an exchange that fails."""
    with pytest.raises(WireError) as raised:
        await exchange(pool, url, seconds=seconds, fresh=fresh, cap=cap)
    return raised.value.exchange


async def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Let the loop run until something has become true."""
    ends = monotonic() + seconds
    while not condition():
        assert monotonic() < ends, "it did not happen in time"
        await asyncio.sleep(0.001)
