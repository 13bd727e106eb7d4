# SPDX-License-Identifier: Apache-2.0
"""Bounds on time that hold on a machine under load."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

Found = TypeVar("Found")


async def at_best(attempt: Callable[[], Awaitable[Found]], good: Callable[[Found], bool], tries: int = 10) -> Found:
    """The first attempt that is good, else the last: the bound stays tight, and one busy moment does not break it."""
    found = await attempt()
    for _ in range(tries - 1):
        if good(found):
            break
        found = await attempt()
    return found
