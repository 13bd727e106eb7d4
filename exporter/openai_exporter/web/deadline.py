# SPDX-License-Identifier: Apache-2.0
"""How long a scrape may take: Prometheus' announced timeout less an offset."""

import math
from collections.abc import Mapping

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
