# SPDX-License-Identifier: Apache-2.0
"""How long a scrape may take: Prometheus' announced timeout less an offset."""

import math
import time
from collections.abc import Mapping
from typing import Any

ARRIVED = "openai_exporter.arrived"
"""Key in the ASGI scope: monotonic seconds at which the request came to us."""

HEADER = "X-Prometheus-Scrape-Timeout-Seconds"


def scrape_limit(headers: Mapping[str, str], offset: float) -> float | None:
    """Seconds that the scrape allows; None when the header is absent or leaves nothing after the offset.

    The second case is blackbox_exporter's rule: the module's own timeout then decides.

    Raises:
        ValueError: the header is not a number of seconds; the message says so.
    """
    text = headers.get(HEADER)
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ValueError(f"header {HEADER}: {text[:40]!r} is not a number of seconds above zero, such as 10")
    left = seconds - offset
    return left if left > 0 else None


def time_left(scope: Mapping[str, Any], headers: Mapping[str, str], offset: float) -> float | None:
    """`scrape_limit` less the time that the request has already waited for its turn; never below zero.

    Raises:
        ValueError: as `scrape_limit`.
    """
    limit = scrape_limit(headers, offset)
    arrived: float | None = scope.get(ARRIVED)
    if limit is None or arrived is None:
        return limit
    return max(limit - (time.monotonic() - arrived), 0.0)
