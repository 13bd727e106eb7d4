# SPDX-License-Identifier: Apache-2.0
"""Endpoint `embeddings`: POST /embeddings."""

import base64
import binascii
from typing import Any

from openai_exporter.client.trace import Exchange
from openai_exporter.client.wire_call import ApiCall
from openai_exporter.model import Provider, Tokens
from openai_exporter.probe import reading as r
from openai_exporter.probe.reading import Method, Reading, ReplyError, Setting

_FLOAT32 = 4


def build(setting: Setting) -> ApiCall:
    """The call; base64 is a quarter of the bytes, but not every compatible server knows it."""
    request = setting.module.request
    body: dict[str, Any] = {"model": setting.model, "input": request.prompt}
    body["encoding_format"] = "float" if setting.provider is Provider.COMPATIBLE else "base64"
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    return ApiCall("POST", "/embeddings", body | request.extra)


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
        raise ReplyError("empty", "the answer has no vectors")
    if not isinstance(data[0], dict):
        raise ReplyError("wrong_shape", f"data[0] is {r.kind(data[0])}, not an object")
    length = _length(data[0].get("embedding"))
    if length == 0:
        raise ReplyError("empty", "the vector has no elements")
    given = r.count_of(r.mapping_of(document, "usage"), "prompt_tokens")
    return Reading(
        tokens=None if given is None else Tokens(input=given),
        served_model=r.text_of(document, "model"),
        vector_length=length,
    )


METHOD = Method(build, read)


def _length(vector: object) -> int:
    if isinstance(vector, str):
        try:
            size = len(base64.b64decode(vector, validate=True))
        except (binascii.Error, ValueError):
            raise ReplyError("wrong_shape", "the vector is neither an array nor base64") from None
        if size % _FLOAT32:
            raise ReplyError("wrong_shape", "the vector's base64 holds no whole number of floats")
        return size // _FLOAT32
    if not isinstance(vector, list):
        raise ReplyError("wrong_shape", f"the vector is {r.kind(vector)}, not an array")
    if not all(isinstance(each, int | float) and not isinstance(each, bool) for each in vector):
        raise ReplyError("wrong_shape", "the vector holds something that is no number")
    return len(vector)
