# SPDX-License-Identifier: Apache-2.0
"""Endpoint `moderations`: POST /moderations; free of charge, and without usage."""

from openai_exporter.client.trace import Exchange
from openai_exporter.client.wire_call import ApiCall
from openai_exporter.probe import reading as r
from openai_exporter.probe.reading import Method, Reading, ReplyError, Setting


def build(setting: Setting) -> ApiCall:
    """The call."""
    request = setting.module.request
    return ApiCall("POST", "/moderations", {"model": setting.model, "input": request.prompt} | request.extra)


def read(exchange: Exchange, setting: Setting) -> Reading:
    """What the answer says.

    Raises:
        ReplyError: it is not what the endpoint documents.
    """
    document = r.load_object(exchange)
    error = r.error_of(document)
    if error is not None:
        return Reading(error=error)
    results = r.child(document, "results", list)
    if not results:
        raise ReplyError("empty", "the answer has no results")
    if not isinstance(results[0], dict):
        raise ReplyError("wrong_shape", f"results[0] is {r.kind(results[0])}, not an object")
    flagged = results[0].get("flagged")
    if not isinstance(flagged, bool):
        raise ReplyError("wrong_shape", f"field flagged is {r.kind(flagged)}, not a boolean")
    return Reading(text="flagged" if flagged else "not flagged", served_model=r.text_of(document, "model"))


METHOD = Method(build, read)
