# SPDX-License-Identifier: Apache-2.0
"""From the arrival times of a stream's events to its timing. Pure."""

from collections.abc import Sequence
from itertools import pairwise

from openai_exporter.model import StreamTiming, Tokens


def stream_timing(
    first_event: float | None, token_times: Sequence[float], tokens: Tokens | None
) -> StreamTiming:
    """Timing of a stream; times in seconds since the start of the request, in order.

    Tokens per second are the visible output tokens after the first, as the usage object counts them, by the time
    from the first to the last visible one; without usage, each event counts as one token.
    """
    if not token_times:
        return StreamTiming(first_event=first_event)
    first, last = token_times[0], token_times[-1]
    if len(token_times) == 1:
        return StreamTiming(first_event, first)
    gaps = [later - earlier for earlier, later in pairwise(token_times)]
    count = tokens.output - tokens.reasoning if tokens is not None else len(token_times)
    rate = (count - 1) / (last - first) if last > first and count > 1 else None
    return StreamTiming(first_event, first, (last - first) / len(gaps), max(gaps), rate)
