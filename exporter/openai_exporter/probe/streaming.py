# SPDX-License-Identifier: Apache-2.0
"""Walks the events of a recorded stream; what they mean is the endpoint's business."""

from collections.abc import Callable

from openai_exporter.client.trace import Exchange
from openai_exporter.probe.reading import Reading, ReplyError, error_of, load_object
from openai_exporter.probe.sse import Event, parse_events


def walk(exchange: Exchange, take: Callable[[Event], None]) -> tuple[float | None, tuple[str, str] | None]:
    """Hand each event to `take` until one cannot be read.

    Returns: when the first event came (None without one), and the (outcome, message) of the unreadable one.

    Raises:
        ReplyError: the answer is whole and holds no event.
    """
    events, _ = parse_events(exchange.body, exchange.chunks)
    if not events and exchange.failure is None:
        raise ReplyError("wrong_shape", "a stream was asked for, but something else came")
    problem: tuple[str, str] | None = None
    try:
        for event in events:
            if event.data.strip():  # some servers send empty events as heartbeats
                take(event)
    except ReplyError as error:
        problem = (error.outcome, str(error))
    return (events[0].at if events else None), problem


def plain_error(exchange: Exchange) -> Reading | None:
    """The error that came as plain JSON in place of a stream; None when events came.

    Raises:
        ReplyError: the answer is empty or not JSON.
    """
    kind = exchange.header("content-type") or ""
    if (
        exchange.failure is not None
        or "event-stream" in kind
        or exchange.body.lstrip()[:1] not in (b"{", b"[", b"")
    ):
        return None
    error = error_of(load_object(exchange))
    return Reading(error=error) if error is not None else None
