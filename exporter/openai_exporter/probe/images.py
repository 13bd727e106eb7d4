# SPDX-License-Identifier: Apache-2.0
"""Endpoint `images`: POST /images/generations; costly, so no default configuration uses it."""

from typing import Any

from openai_exporter.client.trace import Exchange
from openai_exporter.client.wire_call import ApiCall
from openai_exporter.model import Tokens
from openai_exporter.probe import reading as r
from openai_exporter.probe.reading import Method, Reading, ReplyError, Setting


def build(setting: Setting) -> ApiCall:
    """The call."""
    request = setting.module.request
    body: dict[str, Any] = {
        "model": setting.model,
        "prompt": request.prompt,
        "n": 1,
        "size": request.size,
        "quality": request.quality,
    }
    return ApiCall("POST", "/images/generations", body | request.extra)


def read(exchange: Exchange, setting: Setting) -> Reading:
    """What the answer says.

    Raises:
        ReplyError: it is not what the endpoint documents.
    """
    document = r.load_object(exchange)
    error = r.error_of(document)
    if error is not None:
        return Reading(error=error)
    data = r.child(document, "data", list)
    if not data:
        raise ReplyError("empty", "the answer has no image")
    if not isinstance(data[0], dict):
        raise ReplyError("wrong_shape", f"data[0] is {r.kind(data[0])}, not an object")
    if not (r.text_of(data[0], "b64_json") or r.text_of(data[0], "url")):
        raise ReplyError("wrong_shape", "the image has neither b64_json nor url")
    usage = r.mapping_of(document, "usage")
    given, made = r.count_of(usage, "input_tokens"), r.count_of(usage, "output_tokens")
    tokens = None if given is None and made is None else Tokens(given or 0, made or 0)
    return Reading(tokens=tokens)


METHOD = Method(build, read)
