# SPDX-License-Identifier: Apache-2.0
"""How long a probe leaves the API alone after an answer: rate limits, used-up quotas, limits nearly reached. Pure.

Failures of the provider cause no wait: an outage that is not probed is an outage that is not measured. Our own
mistakes cause none either; they cost nothing and must show as soon as they are mended.
"""

import random
from collections.abc import Callable

from openai_exporter.model import ProbeResult, RateLimit
from openai_exporter.probe.outcomes import OUTCOMES, BackOff

LIMIT_BASE, LIMIT_CAP = 5.0, 300.0
RETRY_AFTER_CAP = 3600.0
"""Longest wait that a server can ask for; a nonsensical header must not silence a probe for days."""
QUOTA_BASE, QUOTA_CAP = 60.0, 3600.0
NEAR_ZERO = 0.02
"""Share of a limit below which it counts as nearly reached."""
NEAR_ZERO_CAP = 60.0

Draw = Callable[[float, float], float]


def wait_after(result: ProbeResult, strikes: int, draw: Draw = random.uniform) -> float:
    """Seconds to wait after a result, 0 for none; `strikes` counts the waits in a row before this one.

    `draw(low, high)` yields a random number between the two (full jitter).
    """
    kind = OUTCOMES[result.outcome].backoff
    if kind is BackOff.QUOTA:
        return draw(0.0, min(QUOTA_BASE * 2.0 ** min(strikes, 16), QUOTA_CAP))
    if kind is BackOff.LIMIT:
        if result.retry_after:
            return min(result.retry_after, RETRY_AFTER_CAP)
        return draw(0.0, min(LIMIT_BASE * 2.0 ** min(strikes, 16), LIMIT_CAP))
    return max((_until_relief(limit) for limit in result.rate_limits), default=0.0)


def is_limited(result: ProbeResult) -> bool:
    """Whether the API refused the probe for a limit, so that the next wait is longer."""
    return OUTCOMES[result.outcome].backoff in (BackOff.QUOTA, BackOff.LIMIT)


def _until_relief(limit: RateLimit) -> float:
    """Without a limit to compare with, as Azure often answers, only 0 is near zero; without a reset, a short wait."""
    if limit.remaining is None or (limit.remaining > 0 and limit.remaining >= NEAR_ZERO * (limit.limit or 0)):
        return 0.0
    unknown = 0.0 if limit.remaining else LIMIT_BASE
    return min(unknown if limit.reset_seconds is None else limit.reset_seconds, NEAR_ZERO_CAP)
