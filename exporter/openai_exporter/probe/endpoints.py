# SPDX-License-Identifier: Apache-2.0
"""How each endpoint is probed: what is sent, and what its answer says."""

import base64
import binascii
import io
import math
import re
import struct
import wave
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType, NoneType
from typing import Any

from openai_exporter.client.exchange import ApiCall, ApiError, Exchange, Files, error_object, refusal, unix_time
from openai_exporter.config.secret import MAX_LABEL
from openai_exporter.config.sections import named
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
    fields = {"model": setting.model, **method.body(setting)} | setting.module.request.extra
    body = {name: value for name, value in fields.items() if value is not None}
    files = method.files(setting) if method.files else {}
    return ApiCall("POST", method.path, body, files, {"Accept": method.accept} if method.accept else {})


def read_reply(exchange: Exchange, setting: Setting) -> Reading:
    """What a success status' answer says, also of one that broke off; what cannot be read is the reading's problem."""
    method = METHODS[setting.module.endpoint]
    try:
        if method.read is None:
            return _read_sound(exchange, setting)
        read_events = method.read_stream if setting.module.stream else None
        # Plain JSON, or nothing, may have come in place of a stream.
        other = exchange.failure is None and exchange.body.lstrip()[:1] in (b"{", b"[", b"")
        if read_events is not None and not other:
            return read_events(read_stream(exchange), exchange.failure is None)
        document = r.load_answer(exchange.body)
        stated = error_object(document)
        if stated is not None:
            return Reading(error=stated)
        try:
            if read_events is not None:
                raise ReplyError("schema_mismatch", "a stream was asked for, but something else came")
            if setting.module.endpoint is Endpoint.MODELS and isinstance(document, list):
                document = {"data": document}
            return method.read(r.checked(document, "the answer", dict))
        except ReplyError as error:
            # What is not the documented answer may be an error in a form of its own, and says so itself.
            words = None
            if isinstance(document, dict):  # Volcengine has the error of an image in its place in the list
                words = error_object(document, refused=True) or error_object(document.get("data"))
            words = words if words is not None and words.message else None
            return Reading(error=words, problem=(error.outcome, str(error)))
    except ReplyError as error:
        return Reading(problem=(error.outcome, str(error)))


FINISHED = frozenset(
    {
        *("", "stop", "length", "tool_calls", "function_call"),  # OpenAI
        *("completed", "incomplete", "max_output_tokens"),  # and its Responses API
        *("end", "eos", "eos_token", "stop_token", "complete", "done", "normal"),  # servers of open models
        *("endoftext", "end_of_text", "end_of_turn"),
        *("end_turn", "stop_sequence", "max_tokens", "tool_use", "tool_call", "pause_turn", "token_limit"),  # gateways
        *("model_length", "max_length", "model_context_window_exceeded"),
    }
)
"""Reasons, in lower case, with which an answer ends well in the documents of some server; any other is a failure."""
FILTERED = frozenset(
    {
        *("content_filter", "content_filtered", "sensitive", "safety", "refusal", "guardrail_intervened"),
        *("recitation", "blocklist", "prohibited_content", "spii", "image_safety", "model_armor", "error_toxic"),
        *("blacklist", "image_prohibited_content", "image_recitation"),
    }
)
"""Reasons with which a provider withholds an answer."""
CUT = frozenset({"length", "max_tokens", "max_output_tokens", "model_length", "max_length", "incomplete"})


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
    first = r.first_of(document, "choices", "the answer has no choices")
    tokens, finish = r.usage_of(document, "prompt", "completion"), r.text_of(first, "finish_reason")
    for choice in document["choices"]:
        if isinstance(choice, dict) and choice.get("error"):
            return Reading(tokens=tokens, error=error_object({"error": choice["error"]}))
    message = r.child(first, "message", dict)
    text = _visible(message)
    produced = text or _worked(message) or (tokens is not None and tokens.output > 0)
    return Reading(
        text=text,
        tokens=tokens,
        served_model=r.text_of(document, "model"),
        service_tier=r.text_of(document, "service_tier"),
        finish=_NULLS.get(finish, finish),
        problem=None if produced or finish.lower() in CUT else ("empty_response", "the answer has no text"),
    )


def _worked(message: Document) -> bool:
    """Whether a message, or a part of it, holds work of the model that nobody sees as text."""
    parts = message.get("content")
    if isinstance(parts, list) and any(isinstance(part, dict) and part.get("type") in _UNSEEN for part in parts):
        return True
    return any(map(message.get, _WORK))


def _read_chat_stream(stream: Stream, whole: bool) -> Reading:
    """What a streamed answer says; `whole` when its bytes ended in order."""
    times: list[float] = []
    texts: list[str] = []
    finish, problem = "", stream.problem
    try:
        for at, finish_reason, delta in _deltas(stream):
            if not finish or finish_reason.lower() not in FINISHED:
                finish = finish_reason
            if text := _visible(delta):
                times.append(at)
                texts.append(text)
    except ReplyError as error:
        problem = (error.outcome, str(error))
    tokens: Tokens | None = None
    for _, _, chunk in reversed(stream.events):
        if chunk.get("usage") and (tokens := r.usage_of(chunk, "prompt", "completion")):
            break
    if problem is None and stream.error is None and (whole or stream.done):
        problem = _chat_problem(stream, bool(times), finish, tokens)
    return Reading(
        text="".join(texts),
        tokens=tokens,
        served_model=_newest(stream, "model"),
        service_tier=_newest(stream, "service_tier"),
        finish=finish,
        stream=stream_timing(stream.first_event, times, tokens),
        error=stream.error,
        problem=problem,
        ended=stream.done,
    )


def _deltas(stream: Stream) -> Iterator[tuple[float, str, Document]]:
    """Of each choice in each chunk when it came, its finish reason and its delta, up to one that failed."""
    for at, _, chunk in stream.events:
        # Servers send chunks of their own kind between (usage alone, pings): without choices they say nothing here.
        for choice in r.checked(chunk.get("choices"), "field choices", list, NoneType) or ():
            r.checked(choice, "a choice", dict)
            if choice.get("error"):
                stream.error = stream.error or error_object({"error": choice["error"]})
            delta = r.checked(choice.get("delta"), "field delta", dict, NoneType)
            reason = r.text_of(choice, "finish_reason")
            yield at, _NULLS.get(reason, reason), delta or {}


_NULLS = {"null": "", "None": ""}
"""Words that some servers write in place of null while an answer goes on."""


def _visible(message: Document) -> str:
    """The text that a user would see of a message or delta; some servers send it as a list of parts."""
    content = message.get("content")
    if isinstance(content, list):
        parts = [part for part in content if isinstance(part, dict) and part.get("type", "text") in _TEXT_PARTS]
        content = "".join(r.text_of(part, "text") for part in parts)
    text: str = r.checked(content or message.get("refusal") or "", "field content", str)
    return text


_TEXT_PARTS, _UNSEEN = ("text", "output_text"), ("thinking", "reasoning")
_WORK = (
    *("reasoning_content", "reasoning", "reasoning_details", "thinking", "thinking_blocks"),
    *("tool_calls", "function_call", "audio", "images"),
)
"""Members in which servers put what is no text."""


def _newest(stream: Stream, name: str) -> str:
    for _, _, chunk in reversed(stream.events):
        if text := r.text_of(chunk, name):
            return text
    return ""


def _chat_problem(stream: Stream, visible: bool, finish: str, tokens: Tokens | None) -> tuple[str, str] | None:
    """What is wrong with a stream whose bytes ended in order."""
    if not (stream.done or finish):
        # Words of a form of their own, outside of any choice, say why.
        words = [error_object(chunk, refused=True) for _, _, chunk in stream.events if "choices" not in chunk]
        stream.error = next((error for error in words if error is not None and error.message), None)
        if visible:
            return ("truncated", "the stream ended without a finish reason")
        return ("schema_mismatch", "the stream's events are no chat completion")
    if visible or finish.lower() in CUT or (tokens is not None and tokens.output > 0):
        return None
    worked = any(_worked(delta) for _, _, delta in _deltas(stream))
    return None if worked else ("empty_response", "the stream had no text")


# Endpoint `responses`: POST /responses, plain or streamed.

VISIBLE = frozenset({"response.output_text.delta", "response.refusal.delta"})
"""Events that carry text a user would see."""
TERMINAL = frozenset(f"response.{end}" for end in ("completed", "done", "incomplete", "failed", "cancelled"))


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


def _read_response(document: Document, streamed: str = "") -> Reading:
    """What a complete response object says, of a plain answer or of the last event of a stream with this text.

    Raises:
        ReplyError: it is not what the endpoint documents.
    """
    error = error_object(document)
    status = r.text_of(document, "status")
    if error is not None or status == "failed":
        return Reading(error=error or ApiError(message="the response failed"))
    output = (document.get("output") or []) if streamed else r.child(document, "output", list)
    text = streamed or "".join(_texts(output))
    tokens = r.usage_of(document, "input", "output")
    final = status in ("completed", "incomplete", "")
    finish = r.text_of(r.mapping_of(document, "incomplete_details"), "reason") or (status if final else "")
    produced = text or any(isinstance(item, dict) and item.get("type") != "message" for item in output)
    problem = None
    if not final:
        problem = ("schema_mismatch", f"the response's status is {status[:40]!r}, not a final one")
    elif status != "incomplete" and not produced and not (tokens and tokens.output > 0):
        problem = ("empty_response", "the response has no text")
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
                # Some servers end a stream with an object that lacks what they streamed, or with none.
                whole_response = event.get("response") or ({"status": kind.partition(".")[2]} if texts else None)
                ending = _read_response(r.checked(whole_response, "field response", dict), "".join(texts))
                last = ending if last is None or last.error is None else last
            elif kind == "response.created":
                model = r.text_of(r.mapping_of(event, "response"), "model")
            elif not kind:
                words = error_object(event, refused=True)
                stream.error = stream.error or (words if words is not None and words.message else None)
                raise ReplyError("schema_mismatch", "an event has no type")
    except ReplyError as error:
        problem = (error.outcome, str(error))
    if stream.error is not None:
        last = Reading(error=stream.error)
    if problem is None and whole and last is None:
        problem = ("truncated", "the stream ended without a final event")
    ended, last = last is not None or stream.done, last or Reading(text="".join(texts))
    return replace(
        last,
        served_model=last.served_model or model,
        stream=stream_timing(stream.first_event, times, last.tokens),
        problem=problem or last.problem,
        ended=ended,
    )


# Embeddings.

_FLOAT32, _MOST_FLOAT = 4, 1e38


def _embeddings_body(setting: Setting) -> dict[str, Any]:
    """base64 is a quarter of the bytes, but not every compatible server knows it."""
    request = setting.module.request
    encoding = "float" if setting.provider is Provider.COMPATIBLE else "base64"
    body: dict[str, Any] = {"input": request.prompt, "encoding_format": encoding}
    return body if request.dimensions is None else body | {"dimensions": request.dimensions}


def _read_embeddings(document: Document) -> Reading:
    length = _length(r.first_of(document, "data", "the answer has no vectors").get("embedding"))
    if length == 0:
        raise ReplyError("empty_response", "the vector has no elements")
    tokens = r.usage_of(document, "prompt", "completion")
    return Reading(tokens=tokens, served_model=r.text_of(document, "model"), vector_length=length)


def _length(vector: object) -> int:
    if isinstance(vector, str):
        try:
            data = base64.b64decode(vector, validate=True)
        except (binascii.Error, ValueError):
            raise ReplyError("schema_mismatch", "the vector is neither an array nor base64") from None
        if len(data) % _FLOAT32:
            raise ReplyError("schema_mismatch", "the vector's base64 holds no whole number of floats")
        vector = list(struct.unpack(f"<{len(data) // _FLOAT32}f", data))
    elements: list[Any] = r.checked(vector, "the vector", list)
    if not {int, float}.issuperset(map(type, elements)):
        raise ReplyError("schema_mismatch", "the vector holds something that is no number")
    if not all(abs(element) < _MOST_FLOAT for element in elements):
        raise ReplyError("schema_mismatch", "the vector holds a number that is not finite")
    if elements and not any(elements):
        raise ReplyError("schema_mismatch", "every element of the vector is 0")
    return len(elements)


# Moderations, free of charge and without usage.


def _read_moderations(document: Document) -> Reading:
    result = r.first_of(document, "results", "the answer has no results")
    categories = r.mapping_of(result, "categories")  # Mistral has these alone
    flagged = any(categories.values()) if categories and "flagged" not in result else r.child(result, "flagged", bool)
    return Reading(text="flagged" if flagged else "not flagged", served_model=r.text_of(document, "model"))


# Models with their shutdown dates, free of charge.

MAX_MODELS = 10_000
"""Models kept of a list; each is a few series."""


def _read_models(document: Document) -> Reading:
    data = _model_list(document)
    if not data:
        raise ReplyError("empty_response", "the list has no models")
    cards: dict[str, ModelCard] = {}
    for entry in data[:MAX_MODELS]:
        card = _card(entry if isinstance(entry, dict) else {"id": entry})
        if card is not None:
            # Label values are bounded: two names that are the same up to there would be one series twice.
            cards.setdefault(card.id[: MAX_LABEL - 1], card)
    if not cards:
        raise ReplyError("schema_mismatch", "no entry of the list has the name of a model")
    more = len(data) > MAX_MODELS or bool(document.get("has_more") or document.get("nextPageToken"))
    return Reading(text="\n".join(cards), models=tuple(cards.values()), more_models=more)


def _model_list(document: Document) -> list[Any]:
    """The list of models: OpenAI's `data`, or what servers of other makers call it, or wrap it in."""
    value: Any = document
    for _ in range(3):
        if isinstance(value, dict):
            value = next((value[name] for name in _LISTS if value.get(name) is not None), None)
    data: list[Any] = r.checked(value, "field data", list)
    return data


_LISTS = ("data", "models", "result", "output")


def _card(entry: Document) -> ModelCard | None:
    """A model of the list; None for an entry without a name."""
    name = next(filter(None, (r.text_of(entry, key) for key in ("id", "name", "model"))), "")
    created = r.count_of(entry, "created")
    if created is None:
        created = r.count_of(entry, "created_at")  # Azure
    # Azure says the shutdown apart for inference and fine-tuning.
    shutdown = entry.get("shutdown_date") or r.mapping_of(entry, "deprecation").get("inference")
    return ModelCard(name, r.text_of(entry, "owned_by"), created, unix_time(shutdown)) if name else None


def statements(expected: Iterable[str], reading: Reading) -> Iterator[tuple[str, bool]]:
    """Of each model that a probe names, whether the list has it; of one that it may mean by another name, nothing."""
    listed = {_spelling(card.id) for card in reading.models}
    lower = {name.lower() for name in listed}
    shorter = {form for name in lower for form in _shorter(name)}
    patterns = [name for name in listed if "*" in name]
    for model in expected:
        name = _spelling(model)
        if name in listed:
            yield model, True
            continue
        alike = name.lower() in lower | shorter or not lower.isdisjoint(_shorter(name.lower()))
        if not (reading.more_models or alike or any(named(pattern, name) for pattern in patterns)):
            yield model, False


def _spelling(model: str) -> str:
    """A name without what some servers add: Gemini's prefix, and the tag that Ollama implies."""
    return model.removeprefix("models/").removesuffix(":latest")


_DATED = re.compile(r"[-@](?:\d{8}|\d{4}-\d{2}-\d{2}|\d{4}|latest)$")


def _shorter(name: str) -> Iterator[str]:
    """What a name may be called for short: without its maker, its tag or its date."""
    yield name.rpartition("/")[2]
    yield name.partition(":")[0]
    yield _DATED.sub("", name)
    yield _DATED.sub("", name.rpartition("/")[2].partition(":")[0])


# Images, costly, so no default configuration uses them.


def _images_body(setting: Setting) -> dict[str, Any]:
    request = setting.module.request
    return {"prompt": request.prompt, "n": 1, "size": request.size, "quality": request.quality}


def _read_images(document: Document) -> Reading:
    image = r.first_of(document, "data", "the answer has no image")
    encoded, url = r.text_of(image, "b64_json"), r.text_of(image, "url")
    if encoded:
        try:
            picture = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            raise ReplyError("schema_mismatch", "the image is not base64") from None
        if not any(picture.startswith(mark, start) for start, mark in _PICTURES) or len(picture) < _LEAST_PICTURE:
            raise ReplyError("schema_mismatch", f"{len(picture)} bytes came that are no image")
    elif not _LINK.match(url):
        raise ReplyError("schema_mismatch", "the image has neither b64_json nor the URL of one")
    return Reading(tokens=r.usage_of(document, "input", "output"))


_PICTURES = ((0, b"\x89PNG\r\n\x1a\n"), (0, b"\xff\xd8\xff"), (8, b"WEBP"), (0, b"GIF8"), (4, b"ftypavi"))
"""Where the marks of image formats stand."""
_LEAST_PICTURE = 35
"""Bytes of the smallest image, a GIF of one pixel."""
_LINK = re.compile(r"https?://[^\s/]|data:image/[^,]+,.", re.IGNORECASE)


# Speech, whose answer is sound.

_MARKS = {
    "mp3": re.compile(rb"ID3|\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff]"),
    "opus": re.compile(rb"OggS"),
    "aac": re.compile(rb"\xff[\xf0\xf1\xf8\xf9]|ADIF|(?s:....)ftyp"),
    "flac": re.compile(rb"fLaC"),
    "wav": re.compile(rb"(?s)(?:RIFF|RF64)....WAVE"),
}
_LEAST_SOUND = 128
"""Bytes; less is at most the head of a file, or some milliseconds."""


def _speech_body(setting: Setting) -> dict[str, Any]:
    request = setting.module.request
    return {"input": request.prompt, "voice": request.voice, "response_format": request.audio_format}


def _read_sound(exchange: Exchange, setting: Setting) -> Reading:
    body, request = exchange.body, setting.module.request
    if not body:
        raise ReplyError("empty_response", "the answer has no content")
    requested = str(request.extra.get("response_format") or request.audio_format)
    mark = _MARKS.get(requested)
    if mark is None and not _TEXTUAL.match(exchange.header("content-type") or ""):
        mark = _ANYTHING  # pcm has no mark to know it by, but it is not all silence
    if mark is None or not mark.match(body):
        error, stated = refusal(body)
        if stated:
            return Reading(error=error)
        raise ReplyError(
            "schema_mismatch", f"{requested} was asked for, but this came: {error.message[: r.MAX_QUOTED]!r}"
        )
    if len(body) < _LEAST_SOUND:
        raise ReplyError("empty_response", f"{len(body)} bytes are no sound")
    return Reading()


_TEXTUAL = re.compile("(?i)text/|application/(?:[a-z.]+\\+)?(?:json|xml)")
_ANYTHING = re.compile(rb"(?s)(?!\s*[{\[]\s*[{\"]).*?[^\x00]")


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
