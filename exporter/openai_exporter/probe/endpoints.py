# SPDX-License-Identifier: Apache-2.0
"""Which code probes which endpoint, and the small JSON endpoints."""

import base64
import binascii
import io
import math
import struct
import wave
from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from openai_exporter.client.trace import ApiCall, Exchange
from openai_exporter.model import Endpoint, ModelCard, Provider, Tokens
from openai_exporter.probe import chat, responses
from openai_exporter.probe import reading as r
from openai_exporter.probe.reading import Method, Reading, ReplyError, Setting
from openai_exporter.probe.redact import MAX_LABEL

# Endpoint `embeddings`: POST /embeddings.

_FLOAT32 = 4


def build_embeddings(setting: Setting) -> ApiCall:
    """The call; base64 is a quarter of the bytes, but not every compatible server knows it."""
    request = setting.module.request
    body: dict[str, Any] = {"model": setting.model, "input": request.prompt}
    body["encoding_format"] = "float" if setting.provider is Provider.COMPATIBLE else "base64"
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    return ApiCall("POST", "/embeddings", body | request.extra)


def read_embeddings(exchange: Exchange, setting: Setting) -> Reading:
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


# Endpoint `moderations`: POST /moderations; free of charge, and without usage.


def build_moderations(setting: Setting) -> ApiCall:
    """The call."""
    request = setting.module.request
    return ApiCall("POST", "/moderations", {"model": setting.model, "input": request.prompt} | request.extra)


def read_moderations(exchange: Exchange, setting: Setting) -> Reading:
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


# Endpoint `models`: GET /models, with shutdown dates; free of charge.

MAX_MODELS = 10_000
"""Models kept of a list; each is a few series."""


def build_models(setting: Setting) -> ApiCall:
    """The call."""
    return ApiCall("GET", "/models")


def read_models(exchange: Exchange, setting: Setting) -> Reading:
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
        raise ReplyError("empty", "the list has no models")
    cards: dict[str, ModelCard] = {}
    for entry in data[:MAX_MODELS]:
        if not isinstance(entry, dict):
            raise ReplyError("wrong_shape", f"a model is {r.kind(entry)}, not an object")
        card = _card(entry)
        # Label values are bounded: two names that are the same up to there would be one series twice.
        cards.setdefault(card.id[: MAX_LABEL - 1], card)
    return Reading(text="\n".join(cards), models=tuple(cards.values()))


def _card(entry: Mapping[str, Any]) -> ModelCard:
    name = r.child(entry, "id", str)
    if not name:
        raise ReplyError("wrong_shape", "a model has an empty id")
    created = r.count_of(entry, "created")
    if created is None:
        created = r.count_of(entry, "created_at")  # Azure
    return ModelCard(name, r.text_of(entry, "owned_by"), created, _shutdown(entry))


def _shutdown(entry: Mapping[str, Any]) -> float | None:
    given = entry.get("shutdown_date")
    if isinstance(given, str):
        try:
            day = date.fromisoformat(given)
        except ValueError:
            return None
        return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
    # Azure says it in Unix seconds, and apart for inference and fine-tuning.
    return r.count_of(r.mapping_of(entry, "deprecation"), "inference")


# Endpoint `images`: POST /images/generations; costly, so no default configuration uses it.


def build_images(setting: Setting) -> ApiCall:
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


def read_images(exchange: Exchange, setting: Setting) -> Reading:
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


# Endpoint `speech`: POST /audio/speech; the answer is sound.

_MAGIC = {
    "mp3": (b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2", b"\xff\xfa"),
    "opus": (b"OggS",),
    "aac": (b"\xff\xf1", b"\xff\xf9", b"\x00\x00\x00"),
    "flac": (b"fLaC",),
    "wav": (b"RIFF",),
}


def build_speech(setting: Setting) -> ApiCall:
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


def read_speech(exchange: Exchange, setting: Setting) -> Reading:
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


# Endpoint `transcriptions`: POST /audio/transcriptions with a file, or with a second of tone made here.

_RATE = 16_000
_PITCH = 440.0
_TYPES = {
    ".mp3": "audio/mpeg",
    ".wav": "audio/wav",
    ".ogg": "audio/ogg",
    ".flac": "audio/flac",
    ".m4a": "audio/mp4",
}


def build_transcriptions(setting: Setting) -> ApiCall:
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


def read_transcriptions(exchange: Exchange, setting: Setting) -> Reading:
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


# Which code probes which endpoint.

METHODS: Mapping[Endpoint, Method] = MappingProxyType(
    {
        Endpoint.CHAT: chat.METHOD,
        Endpoint.RESPONSES: responses.METHOD,
        Endpoint.EMBEDDINGS: Method(build_embeddings, read_embeddings),
        Endpoint.MODERATIONS: Method(build_moderations, read_moderations),
        Endpoint.MODELS: Method(build_models, read_models),
        Endpoint.TRANSCRIPTIONS: Method(build_transcriptions, read_transcriptions),
        Endpoint.SPEECH: Method(build_speech, read_speech),
        Endpoint.IMAGES: Method(build_images, read_images),
    }
)

MAX_BODY = {Endpoint.IMAGES: 16 * 1024 * 1024, Endpoint.SPEECH: 8 * 1024 * 1024}
"""Bytes of body accepted where an ordinary answer is larger than the common bound."""
