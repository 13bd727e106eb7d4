# SPDX-License-Identifier: Apache-2.0
"""Endpoint `speech`: POST /audio/speech; the answer is sound."""

from openai_exporter.client.trace import Exchange
from openai_exporter.client.wire_call import ApiCall
from openai_exporter.probe import reading as r
from openai_exporter.probe.reading import Method, Reading, ReplyError, Setting

_MAGIC = {
    "mp3": (b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2", b"\xff\xfa"),
    "opus": (b"OggS",),
    "aac": (b"\xff\xf1", b"\xff\xf9", b"\x00\x00\x00"),
    "flac": (b"fLaC",),
    "wav": (b"RIFF",),
}


def build(setting: Setting) -> ApiCall:
    """The call."""
    request = setting.module.request
    body = {
        "model": setting.model,
        "input": request.prompt,
        "voice": request.voice,
        "response_format": request.audio_format,
    }
    return ApiCall(
        "POST", "/audio/speech", body | request.extra, headers={"Accept": "application/octet-stream"}
    )


def read(exchange: Exchange, setting: Setting) -> Reading:
    """What the answer says.

    Raises:
        ReplyError: it is not sound of the format asked for.
    """
    if not exchange.body:
        raise ReplyError("empty", "the answer has no content")
    wanted = setting.module.request.extra.get("response_format", setting.module.request.audio_format)
    known = _MAGIC.get(str(wanted))
    if known is not None and exchange.body.startswith(known):
        return Reading()
    if (exchange.header("content-type") or "").startswith("application/json"):
        error = r.error_of(r.load_object(exchange))
        if error is not None:
            return Reading(error=error)
        raise ReplyError("wrong_shape", "sound was asked for, but JSON came")
    if known is None:
        return Reading()  # pcm has no mark to know it by
    raise ReplyError("wrong_shape", f"the answer is no {wanted}")


METHOD = Method(build, read)
