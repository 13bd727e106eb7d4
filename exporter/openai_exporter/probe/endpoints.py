# SPDX-License-Identifier: Apache-2.0
"""How each endpoint is probed: what is sent, and what its answer says."""

import base64
import binascii
import io
import math
import re
import struct
import wave
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from functools import cache
from pathlib import Path
from types import MappingProxyType, NoneType
from typing import Any

from openai_exporter.client.exchange import ApiCall, ApiError, Exchange, Files, error_object
from openai_exporter.config.secret import MAX_LABEL
from openai_exporter.files import read_bytes
from openai_exporter.model import Endpoint, ModelCard, Provider, Tokens
from openai_exporter.probe import reading as r
from openai_exporter.probe.reading import Reading, ReplyError, Setting, Stream, read_stream, stream_timing

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Method:
    """How one endpoint is probed.

    Attributes:
        path: below the target's base URL.
        read: what the JSON object of an answer says; raises ReplyError when it is not what the endpoint documents.
            None where the answer is sound.
        body: what the request says besides the model; None for a GET.
        read_stream: as `read`, for the events of a stream, and whether their bytes ended in order.
        files: what the request brings along; raises OSError.
        accept: header Accept, where it is not that of JSON.
    """

    path: str
    read: Callable[[Document], Reading] | None
    body: Callable[[Setting], dict[str, Any]] | None = None
    read_stream: Callable[[Stream, bool], Reading] | None = None
    files: Callable[[Setting], Files] | None = None
    accept: str | None = None


def build_call(setting: Setting) -> ApiCall:
    """The call of a probe.

    Raises:
        OSError: a configured file cannot be read.
    """
    method = METHODS[setting.module.endpoint]
    if method.body is None:
        return ApiCall("GET", method.path)
    body = {"model": setting.model, **method.body(setting)} | setting.module.request.extra
    files = method.files(setting) if method.files else {}
    return ApiCall("POST", method.path, body, files, {"Accept": method.accept} if method.accept else {})


def read_reply(exchange: Exchange, setting: Setting) -> Reading:
    """What a success status' answer says, also of one that broke off; what cannot be read is the reading's problem."""
    method = METHODS[setting.module.endpoint]
    try:
        if method.read is None:
            return _read_sound(exchange, setting)
        read_events = method.read_stream if setting.module.stream else None
        if read_events is not None:
            # Plain JSON, or nothing, may have come in place of a stream.
            declared = "event-stream" in (exchange.header("content-type") or "")
            if declared or exchange.failure is not None or exchange.body.lstrip()[:1] not in (b"{", b"[", b""):
                return read_events(read_stream(exchange), exchange.failure is None)
        document = r.load_object(exchange.body)
        stated = error_object(document)
        if stated is not None:
            return Reading(error=stated)
        if read_events is not None:
            raise ReplyError("wrong_shape", "a stream was asked for, but something else came")
        return method.read(document)
    except ReplyError as error:
        return Reading(problem=(error.outcome, str(error)))


# Endpoint `chat`: POST /chat/completions, plain or streamed.

_NEWER, _OLDER = "max_completion_tokens", "max_tokens"
_REASONING = re.compile(r"(?:.*/)?(?:o[1-9]|gpt-(?:[5-9]|[1-9]\d))(?![0-9a-z])", re.IGNORECASE)
"""OpenAI's names of models that refuse max_tokens, after the prefix of a gateway."""


def _chat_body(setting: Setting) -> dict[str, Any]:
    """The request. Reasoning models refuse max_tokens, temperature and their like, so none of them is sent."""
    request = setting.module.request
    fields: dict[str, Any] = {"messages": [{"role": "user", "content": request.prompt}]}
    if request.max_output_tokens is not None and not {_NEWER, _OLDER} & request.extra.keys():
        # Many compatible servers know only the older name, which OpenAI's reasoning models refuse:
        # a gateway that has these models knows the newer one.
        older = setting.provider is Provider.COMPATIBLE and not _REASONING.match(setting.model)
        fields[_OLDER if older else _NEWER] = request.max_output_tokens
    if request.reasoning_effort is not None:
        fields["reasoning_effort"] = request.reasoning_effort
    if request.service_tier is not None:
        fields["service_tier"] = request.service_tier
    if setting.module.stream:
        options = {"include_usage": True}
        if setting.provider is Provider.OPENAI:
            options["include_obfuscation"] = False
        fields |= {"stream": True, "stream_options": options}
    return fields


def _read_chat(document: Document) -> Reading:
    """What a plain answer says; raises ReplyError when it is not what the endpoint documents."""
    choice = r.first_of(document, "choices", "the answer has no choices")
    message = r.child(choice, "message", dict)
    content = r.checked(message.get("content"), "field content", str, NoneType)
    tokens, finish = r.usage_of(document, "prompt", "completion"), r.text_of(choice, "finish_reason")
    text = content or r.text_of(message, "refusal")
    reasoned = message.get("reasoning_content") or message.get("reasoning")
    produced = text or message.get("tool_calls") or reasoned or (tokens is not None and tokens.output > 0)
    return Reading(
        text=text,
        tokens=tokens,
        served_model=r.text_of(document, "model"),
        service_tier=r.text_of(document, "service_tier"),
        finish=finish,
        problem=("empty", "the answer has no text") if not produced and finish in ("stop", "") else None,
    )


def _read_chat_stream(stream: Stream, whole: bool) -> Reading:
    """What a streamed answer says; `whole` when its bytes ended in order."""
    times: list[float] = []
    texts: list[str] = []
    finish, reasoned, problem = "", False, stream.problem
    try:
        for at, finish_reason, delta in _deltas(stream):
            finish = finish_reason or finish
            reasoned = reasoned or bool(delta.get("reasoning_content") or delta.get("reasoning"))
            if text := _visible(delta):
                times.append(at)
                texts.append(text)
    except ReplyError as error:
        problem = (error.outcome, str(error))
    tokens: Tokens | None = None
    for _, _, chunk in reversed(stream.events):
        if chunk.get("usage") and (tokens := r.usage_of(chunk, "prompt", "completion")):
            break
    if problem is None and stream.error is None and whole:
        used = reasoned or (tokens is not None and tokens.output > 0)
        problem = _chat_problem(stream.done or bool(finish), bool(times), finish, used)
    return Reading(
        text="".join(texts),
        tokens=tokens,
        served_model=_newest(stream, "model"),
        service_tier=_newest(stream, "service_tier"),
        finish=finish,
        stream=stream_timing(stream.first_event, times, tokens),
        error=stream.error,
        problem=problem,
    )


def _deltas(stream: Stream) -> Iterator[tuple[float, str, Document]]:
    """Of each choice in each chunk when it came, its finish reason and its delta."""
    for at, _, chunk in stream.events:
        # Servers send chunks of their own kind between (usage alone, pings): without choices they say nothing here.
        for choice in r.checked(chunk.get("choices"), "field choices", list, NoneType) or ():
            r.checked(choice, "a choice", dict)
            delta = r.checked(choice.get("delta"), "field delta", dict, NoneType)
            yield at, r.text_of(choice, "finish_reason"), delta or {}


def _visible(delta: Document) -> str:
    """The text that a user would see of a delta; some servers send it as a list of parts."""
    content = delta.get("content")
    if isinstance(content, list):
        content = "".join(r.text_of(part, "text") for part in content if isinstance(part, dict))
    text: str = r.checked(content or delta.get("refusal") or "", "field content", str)
    return text


def _newest(stream: Stream, name: str) -> str:
    for _, _, chunk in reversed(stream.events):
        if text := r.text_of(chunk, name):
            return text
    return ""


def _chat_problem(ended: bool, visible: bool, finish: str, used: bool) -> tuple[str, str] | None:
    """What is wrong with a stream whose bytes ended in order; `used`: the model did something, if not visibly."""
    if not (ended or visible):
        return ("wrong_shape", "the stream's events are no chat completion")
    if not ended:
        return ("truncated", "the stream ended without a finish reason")
    if not visible and not used and finish in ("stop", ""):
        return ("empty", "the stream had no text")
    return None


# Endpoint `responses`: POST /responses, plain or streamed.

VISIBLE = frozenset({"response.output_text.delta", "response.refusal.delta"})
"""Events that carry text a user would see."""
TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})


def _response_body(setting: Setting) -> dict[str, Any]:
    """The request; nothing is stored at OpenAI, whose default would be 30 days."""
    request = setting.module.request
    fields: dict[str, Any] = {"input": request.prompt}
    if request.max_output_tokens is not None:
        fields["max_output_tokens"] = request.max_output_tokens
    if setting.provider is not Provider.COMPATIBLE:
        fields["store"] = False
    if request.reasoning_effort is not None:
        fields["reasoning"] = {"effort": request.reasoning_effort}
    if request.service_tier is not None:
        fields["service_tier"] = request.service_tier
    if setting.module.stream:
        fields["stream"] = True
        if setting.provider is Provider.OPENAI:
            fields["stream_options"] = {"include_obfuscation": False}
    return fields


def _read_response(document: Document) -> Reading:
    """What a complete response object says, of a plain answer or of a stream's last event; raises ReplyError."""
    error = error_object(document)
    status = r.text_of(document, "status")
    if error is not None or status == "failed":
        return Reading(error=error or ApiError(message="the response failed"))
    output = r.child(document, "output", list)
    text = "".join(_texts(output))
    tokens = r.usage_of(document, "input", "output")
    finish = r.text_of(r.mapping_of(document, "incomplete_details"), "reason") or status
    produced = text or any(isinstance(item, dict) and item.get("type") != "message" for item in output)
    problem = None
    if status not in ("completed", "incomplete", ""):
        problem = ("wrong_shape", f"the response's status is {status[:40]!r}, not a final one")
    elif status != "incomplete" and not produced and not (tokens and tokens.output > 0):
        problem = ("empty", "the response has no text")
    return Reading(
        text=text,
        tokens=tokens,
        served_model=r.text_of(document, "model"),
        service_tier=r.text_of(document, "service_tier"),
        finish=finish,
        problem=problem,
    )


def _texts(output: list[Any]) -> Iterator[str]:
    for item in output:
        if r.checked(item, "an output item", dict).get("type") != "message":
            continue
        for part in r.child(item, "content", list):
            r.checked(part, "a content part", dict)
            value = part.get("text") if part.get("type") == "output_text" else part.get("refusal")
            yield r.checked(value, "a part's text", str, NoneType) or ""


def _read_response_stream(stream: Stream, whole: bool) -> Reading:
    """What a streamed answer says; `whole` when its bytes ended in order."""
    times: list[float] = []
    texts: list[str] = []
    model, last, problem = "", None, stream.problem
    try:
        for at, kind, event in stream.events:
            if kind in VISIBLE:
                if delta := r.child(event, "delta", str):
                    times.append(at)
                    texts.append(delta)
            elif kind in TERMINAL:
                last = _read_response(r.child(event, "response", dict))
            elif kind == "response.created":
                model = r.text_of(r.mapping_of(event, "response"), "model")
            elif not kind:
                raise ReplyError("wrong_shape", "an event has no type")
    except ReplyError as error:
        problem = (error.outcome, str(error))
    if stream.error is not None:
        last = Reading(error=stream.error)
    if problem is None and whole and last is None:
        problem = ("truncated", "the stream ended without a final event")
    last = last or Reading()
    return replace(
        last,
        text="".join(texts) or last.text,
        served_model=last.served_model or model,
        stream=stream_timing(stream.first_event, times, last.tokens),
        problem=problem or last.problem,
    )


# Embeddings.

_FLOAT32 = 4


def _embeddings_body(setting: Setting) -> dict[str, Any]:
    """base64 is a quarter of the bytes, but not every compatible server knows it."""
    request = setting.module.request
    encoding = "float" if setting.provider is Provider.COMPATIBLE else "base64"
    body: dict[str, Any] = {"input": request.prompt, "encoding_format": encoding}
    return body if request.dimensions is None else body | {"dimensions": request.dimensions}


def _read_embeddings(document: Document) -> Reading:
    length = _length(r.first_of(document, "data", "the answer has no vectors").get("embedding"))
    if length == 0:
        raise ReplyError("empty", "the vector has no elements")
    tokens = r.usage_of(document, "prompt", "completion")
    return Reading(tokens=tokens, served_model=r.text_of(document, "model"), vector_length=length)


def _length(vector: object) -> int:
    if isinstance(vector, str):
        try:
            size = len(base64.b64decode(vector, validate=True))
        except (binascii.Error, ValueError):
            raise ReplyError("wrong_shape", "the vector is neither an array nor base64") from None
        if size % _FLOAT32:
            raise ReplyError("wrong_shape", "the vector's base64 holds no whole number of floats")
        return size // _FLOAT32
    elements: list[object] = r.checked(vector, "the vector", list)
    if not {int, float}.issuperset(map(type, elements)):
        raise ReplyError("wrong_shape", "the vector holds something that is no number")
    return len(elements)


# Moderations, free of charge and without usage.


def _read_moderations(document: Document) -> Reading:
    flagged = r.child(r.first_of(document, "results", "the answer has no results"), "flagged", bool)
    return Reading(text="flagged" if flagged else "not flagged", served_model=r.text_of(document, "model"))


# Models with their shutdown dates, free of charge.

MAX_MODELS = 10_000
"""Models kept of a list; each is a few series."""


def _read_models(document: Document) -> Reading:
    data = r.child(document, "data", list)
    if not data:
        raise ReplyError("empty", "the list has no models")
    cards: dict[str, ModelCard] = {}
    for entry in data[:MAX_MODELS]:
        card = _card(r.checked(entry, "a model", dict))
        # Label values are bounded: two names that are the same up to there would be one series twice.
        cards.setdefault(card.id[: MAX_LABEL - 1], card)
    return Reading(text="\n".join(cards), models=tuple(cards.values()))


def _card(entry: Document) -> ModelCard:
    name = r.child(entry, "id", str)
    if not name:
        raise ReplyError("wrong_shape", "a model has an empty id")
    created = r.count_of(entry, "created")
    if created is None:
        created = r.count_of(entry, "created_at")  # Azure
    return ModelCard(name, r.text_of(entry, "owned_by"), created, _shutdown(entry))


def _shutdown(entry: Document) -> float | None:
    day = entry.get("shutdown_date")
    if isinstance(day, str):
        try:
            midnight = datetime.combine(date.fromisoformat(day), time.min, UTC)
        except ValueError:
            return None
        return midnight.timestamp()
    # Azure says it in Unix seconds, and apart for inference and fine-tuning.
    return r.count_of(r.mapping_of(entry, "deprecation"), "inference")


# Images, costly, so no default configuration uses them.


def _images_body(setting: Setting) -> dict[str, Any]:
    request = setting.module.request
    return {"prompt": request.prompt, "n": 1, "size": request.size, "quality": request.quality}


def _read_images(document: Document) -> Reading:
    image = r.first_of(document, "data", "the answer has no image")
    if not (r.text_of(image, "b64_json") or r.text_of(image, "url")):
        raise ReplyError("wrong_shape", "the image has neither b64_json nor url")
    return Reading(tokens=r.usage_of(document, "input", "output"))


# Speech, whose answer is sound.

_MAGIC = {
    "mp3": (b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2", b"\xff\xfa"),
    "opus": (b"OggS",),
    "aac": (b"\xff\xf1", b"\xff\xf9", b"\x00\x00\x00"),
    "flac": (b"fLaC",),
    "wav": (b"RIFF",),
}


def _speech_body(setting: Setting) -> dict[str, Any]:
    request = setting.module.request
    return {"input": request.prompt, "voice": request.voice, "response_format": request.audio_format}


def _read_sound(exchange: Exchange, setting: Setting) -> Reading:
    if not exchange.body:
        raise ReplyError("empty", "the answer has no content")
    request = setting.module.request
    requested = request.extra.get("response_format", request.audio_format)
    marks = _MAGIC.get(str(requested))
    if marks is not None and exchange.body.startswith(marks):
        return Reading()
    if (exchange.header("content-type") or "").startswith("application/json"):
        error = error_object(r.load_object(exchange.body))
        if error is not None:
            return Reading(error=error)
        raise ReplyError("wrong_shape", "sound was asked for, but JSON came")
    if marks is None:
        return Reading()  # pcm has no mark to know it by
    raise ReplyError("wrong_shape", f"the answer is no {requested}")


# Transcriptions of a file, or of a second of tone made here.

_RATE = 16_000
_PITCH = 440.0
_TYPES = {".mp3": "audio/mpeg", ".wav": "audio/wav", ".ogg": "audio/ogg", ".flac": "audio/flac", ".m4a": "audio/mp4"}


def _recording(setting: Setting) -> Files:
    file = setting.module.request.audio_file
    if file is None:
        return {"file": ("probe.wav", tone(), "audio/wav")}
    path = Path(file).expanduser()
    kind = _TYPES.get(path.suffix.lower(), "application/octet-stream")
    return {"file": (path.name, read_bytes(path), kind)}


@cache
def tone(seconds: float = 1.0) -> bytes:
    """A WAV file with a sine tone: 16 kHz, 16 bit, mono."""
    samples = (int(8000 * math.sin(2 * math.pi * _PITCH * index / _RATE)) for index in range(int(seconds * _RATE)))
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE)
        file.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))
    return buffer.getvalue()


def _read_transcriptions(document: Document) -> Reading:
    """A tone has no words, so an empty text is a fine answer."""
    return Reading(text=r.child(document, "text", str), tokens=r.usage_of(document, "input", "output"))


METHODS: Mapping[Endpoint, Method] = MappingProxyType(
    {
        Endpoint.CHAT: Method("/chat/completions", _read_chat, _chat_body, _read_chat_stream),
        Endpoint.RESPONSES: Method("/responses", _read_response, _response_body, _read_response_stream),
        Endpoint.EMBEDDINGS: Method("/embeddings", _read_embeddings, _embeddings_body),
        Endpoint.MODERATIONS: Method("/moderations", _read_moderations, lambda s: {"input": s.module.request.prompt}),
        Endpoint.MODELS: Method("/models", _read_models),
        Endpoint.IMAGES: Method("/images/generations", _read_images, _images_body),
        Endpoint.SPEECH: Method("/audio/speech", None, _speech_body, accept="application/octet-stream"),
        Endpoint.TRANSCRIPTIONS: Method(
            "/audio/transcriptions", _read_transcriptions, lambda _: {"response_format": "json"}, files=_recording
        ),
    }
)

MAX_BODY = {Endpoint.IMAGES: 16 * 1024 * 1024, Endpoint.SPEECH: 8 * 1024 * 1024}
"""Bytes of body accepted where an ordinary answer is larger than the common bound."""
