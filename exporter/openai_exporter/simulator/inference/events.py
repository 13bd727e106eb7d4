# SPDX-License-Identifier: Apache-2.0
"""The events of a streamed Responses reply: names, order and sequence numbers as described, each with its time."""

from collections.abc import Iterator
from typing import Any

from openai_exporter.simulator.faults.kinds import StreamError
from openai_exporter.simulator.inference.pace import Pace
from openai_exporter.simulator.inference.response_object import Json, Reply
from openai_exporter.simulator.inference.streams import Step, named_event


class Numbered:
    """Makes steps out of events, numbering them."""

    def __init__(self) -> None:
        self._number = -1

    def __call__(self, due: float, kind: str, token: bool = False, **members: Any) -> Step:
        """The next event."""
        self._number += 1
        payload = {"type": kind, "sequence_number": self._number, **members}
        return Step(due, named_event(payload), token)


def steps(reply: Reply, pace: Pace) -> Iterator[Step]:
    """All events of one reply, up to its end or to the error that a fault asks for."""
    event = Numbered()
    first = pace.first_event()
    yield event(first, "response.created", response=reply.unfinished())
    yield event(first, "response.in_progress", response=reply.unfinished())
    index = 0
    if reply.reasons:
        item = reply.reasoning_item()
        yield event(first, "response.output_item.added", output_index=0, item=item)
        yield event(pace.token(0), "response.output_item.done", output_index=0, item=item)
        index = 1
    broken = reply.job.exchange.fault(StreamError)
    if reply.speaks:
        shown = len(reply.words) if broken is None else min(len(reply.words), broken.after_tokens)
        yield from _spoken(reply, pace, event, index, shown)
        if broken is None:
            yield from _spoken_end(reply, pace, event, index)
    if broken is not None:
        yield _broken(reply, pace, event, broken)
        return
    end = pace.token(len(reply.words))
    yield event(end, f"response.{reply.status}", response=reply.finished())


def _spoken(reply: Reply, pace: Pace, event: Numbered, index: int, shown: int) -> Iterator[Step]:
    start = pace.token(0)
    place: dict[str, Any] = {"item_id": reply.message_id, "output_index": index, "content_index": 0}
    item = reply.message("in_progress", [])
    yield event(start, "response.output_item.added", output_index=index, item=item)
    yield event(start, "response.content_part.added", **place, part=reply.text_part(""))
    for number, word in enumerate(reply.words[:shown]):
        due = pace.token(number)
        yield event(due, "response.output_text.delta", token=True, **place, delta=word, logprobs=[])


def _spoken_end(reply: Reply, pace: Pace, event: Numbered, index: int) -> Iterator[Step]:
    end = pace.token(len(reply.words))
    place: dict[str, Any] = {"item_id": reply.message_id, "output_index": index, "content_index": 0}
    part = reply.text_part(reply.text)
    yield event(end, "response.output_text.done", **place, text=reply.text, logprobs=[])
    yield event(end, "response.content_part.done", **place, part=part)
    item = reply.message(reply.status, [part])
    yield event(end, "response.output_item.done", output_index=index, item=item)


def _broken(reply: Reply, pace: Pace, event: Numbered, fault: StreamError) -> Step:
    due = pace.token(min(len(reply.words), fault.after_tokens))
    if fault.shape == "failed":
        response: Json = reply.failed(fault.code or "server_error", fault.message)
        return event(due, "response.failed", response=response)
    return event(due, "error", code=fault.code, message=fault.message, param=None)
