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

    Gaps are those between events that carry visible text, as vLLM's serving benchmark takes inter-token latency. Events
    that came together have none between them that could be measured: they pull the mean down, as it is to be,
    and when there was only one arrival there is no gap at all, rather than one of zero.
    """
    if not token_times:
        return StreamTiming(first_event=first_event)
    first, last = token_times[0], token_times[-1]
    arrivals = len(set(token_times))
    if arrivals == 1:
        return StreamTiming(first_event, first, arrivals=1)
    gaps = [later - earlier for earlier, later in pairwise(token_times)]
    count = tokens.output - tokens.reasoning if tokens is not None else len(token_times)
    rate = (count - 1) / (last - first) if count > 1 else None
    return StreamTiming(first_event, first, (last - first) / len(gaps), max(gaps), rate, arrivals)
