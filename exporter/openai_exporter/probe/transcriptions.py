# SPDX-License-Identifier: Apache-2.0
"""Endpoint `transcriptions`: POST /audio/transcriptions with a file, or with a second of tone made here."""

import io
import math
import struct
import wave
from functools import cache
from pathlib import Path
from typing import Any

from openai_exporter.client.trace import Exchange
from openai_exporter.client.wire_call import ApiCall
from openai_exporter.model import Tokens
from openai_exporter.probe import reading as r
from openai_exporter.probe.reading import Method, Reading, ReplyError, Setting

_RATE = 16_000
_PITCH = 440.0
_TYPES = {
    ".mp3": "audio/mpeg",
    ".wav": "audio/wav",
    ".ogg": "audio/ogg",
    ".flac": "audio/flac",
    ".m4a": "audio/mp4",
}


def build(setting: Setting) -> ApiCall:
    """The call.

    Raises:
        OSError: the configured file cannot be read.
    """
    request = setting.module.request
    if request.audio_file is None:
        file = ("probe.wav", tone(), "audio/wav")
    else:
        path = Path(request.audio_file).expanduser()
        file = (path.name, path.read_bytes(), _TYPES.get(path.suffix.lower(), "application/octet-stream"))
    body: dict[str, Any] = {"model": setting.model, "response_format": "json"}
    return ApiCall("POST", "/audio/transcriptions", body | request.extra, {"file": file})


def read(exchange: Exchange, setting: Setting) -> Reading:
    """What the answer says; a tone has no words, so an empty text is a fine answer.

    Raises:
        ReplyError: it is not what the endpoint documents.
    """
    document = r.load_object(exchange)
    error = r.error_of(document)
    if error is not None:
        return Reading(error=error)
    text = document.get("text")
    if not isinstance(text, str):
        raise ReplyError("wrong_shape", f"field text is {r.kind(text)}, not a string")
    usage = r.mapping_of(document, "usage")
    given, made = r.count_of(usage, "input_tokens"), r.count_of(usage, "output_tokens")
    tokens = None if given is None and made is None else Tokens(given or 0, made or 0)
    return Reading(text=text, tokens=tokens)


METHOD = Method(build, read)


@cache
def tone(seconds: float = 1.0) -> bytes:
    """A WAV file with a sine tone: 16 kHz, 16 bit, mono."""
    samples = (
        int(8000 * math.sin(2 * math.pi * _PITCH * index / _RATE)) for index in range(int(seconds * _RATE))
    )
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE)
        file.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))
    return buffer.getvalue()
