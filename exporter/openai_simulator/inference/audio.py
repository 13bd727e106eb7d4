# SPDX-License-Identifier: Apache-2.0
"""POST /v1/audio/speech and /v1/audio/transcriptions."""

import io
import math
import random
import struct
import wave
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from openai_simulator.errors import ApiError, invalid_value, missing_parameter, quoted
from openai_simulator.faults import NoUsage
from openai_simulator.inference import generation, jobs
from openai_simulator.world import World

# POST /v1/audio/speech: a soft tone as long as the text would take, with the right beginning for its format.

RATE = 24_000  # samples per second, 16 bit mono, as the real API's pcm and wav
CHARACTERS_PER_SECOND = 15
TONE_HERTZ = 440
MEDIA_TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/opus",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
# The head of a 64 kbit/s, 24 kHz mono MPEG-2 layer III frame (192 bytes), an ADTS frame, an Ogg page, a FLAC file.
_HEADS = {
    "mp3": b"\xff\xf3\x84\xc4" + bytes(188),
    "aac": b"\xff\xf1\x58\x40\x18\x1f\xfc" + bytes(185),
    "opus": b"OggS\x00\x02" + bytes(186),
    "flac": b"fLaC" + bytes(188),
}


async def create_speech(world: World, request: Request) -> Response:
    """Answer one speech request."""
    job = await jobs.prepared(world, request, jobs.SPEECH, "speech")
    text, speed = job.body["input"], job.body.get("speed") or 1.0
    await job.small("audio_speeches", len(text), characters=len(text))
    form = job.body.get("response_format") or "mp3"
    return Response(encoded(form, len(text) / CHARACTERS_PER_SECOND / speed), media_type=MEDIA_TYPES[form])


def encoded(form: str, seconds: float) -> bytes:
    """`seconds` of sound; wav and pcm can be played, the compressed formats only look like what they are."""
    if form in _HEADS:
        frames = max(1, math.ceil(seconds * 8000 / len(_HEADS[form])))
        return _HEADS[form] * frames if form in ("mp3", "aac") else _HEADS[form] + bytes(192 * frames)
    samples = max(1, round(seconds * RATE))
    turn = 2 * math.pi * TONE_HERTZ / RATE
    period = [round(3000 * math.sin(turn * index)) for index in range(RATE // 20)]  # 22 whole waves
    values = (period * (samples // len(period) + 1))[:samples]
    pcm = struct.pack(f"<{samples}h", *values)
    return pcm if form == "pcm" else _wav(pcm)


def _wav(pcm: bytes) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE)
        sound.writeframes(pcm)
    return buffer.getvalue()


# POST /v1/audio/transcriptions: multipart in, text out, usage in tokens or seconds as the model has it.

FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
NAMES = ("flac", "mp3", "mp4", "mpeg", "mpga", "m4a", "ogg", "wav", "webm")
BYTES_PER_SECOND = 8_000  # of a compressed file: 64 kbit/s
PER_SECOND_MODELS = ("whisper-1", "gpt-transcribe")  # priced by time; their usage is a duration


async def create_transcription(world: World, request: Request) -> Response:
    """Answer one transcription request."""
    key, identity = jobs.identified(world, request)
    raw = await request.body()
    if len(raw) > jobs.LARGEST_BODY:
        raise ApiError(413, f"The file is too large: {len(raw)} bytes, at most {jobs.LARGEST_BODY}.")
    form = parsed(request.headers.get("content-type", ""), raw)
    job = jobs.let_in(world, request, key, identity, _members(form, request), "transcription")
    sound = _file(form)
    seconds = audio_seconds(sound)
    rng = random.Random(zlib.crc32(sound) ^ world.seed)
    words = generation.reply(job.body["prompt"], rng)
    form_of_reply = _format(job)
    job.admit(math.ceil(seconds * generation.PER_AUDIO_SECOND))
    pace = jobs.Pace(job)
    job.record("audio_transcriptions", seconds=math.ceil(seconds))
    usage = None if job.context.fault(NoUsage) is not None else _usage(job, seconds, words)
    if job.body["stream"] and job.model.id != "whisper-1":
        return jobs.EventStream(_steps(words, usage, pace), pace, job.context)
    await pace.until(pace.processing)
    return _reply(form_of_reply, "".join(words), seconds, usage)


@dataclass(frozen=True, slots=True)
class Form:
    """Text fields by name (lists: `name[]`), and files as (file name, bytes)."""

    fields: dict[str, list[str]]
    files: dict[str, tuple[str, bytes]]


def parsed(content_type: str, raw: bytes) -> Form:
    """The form of a multipart/form-data body; raises the API's 400 for a body that is none."""
    if not content_type.lower().startswith("multipart/form-data"):
        message = f"Content-Type must be multipart/form-data, not {content_type or 'absent'}."
        raise ApiError(400, message)
    head = f"Content-Type: {content_type}\r\nMIME-Version: 1.0\r\n\r\n".encode()
    message_or_form = BytesParser(policy=HTTP).parsebytes(head + raw)
    if not message_or_form.is_multipart():
        raise ApiError(400, "Could not parse the multipart form.")
    form = Form({}, {})
    for part in message_or_form.get_payload():
        assert isinstance(part, Message)
        _add(form, part)
    return form


def _add(form: Form, part: Message) -> None:
    name = str(part.get_param("name", "", header="content-disposition"))
    content = part.get_payload(decode=True)
    data = content if isinstance(content, bytes) else b""
    file_name = part.get_filename()
    if file_name is None:
        form.fields.setdefault(name, []).append(data.decode(errors="replace"))
    else:
        form.files[name] = (file_name, data)


def _members(form: Form, request: Request) -> dict[str, Any]:
    """The form's text fields that matter here; raises the API's 400."""
    fields = {name.removesuffix("[]"): values[-1] for name, values in form.fields.items()}
    model = request.path_params.get("deployment") or fields.get("model")
    if not model:
        raise missing_parameter("model")
    return {
        "model": model,
        "prompt": fields.get("prompt", ""),
        "response_format": fields.get("response_format", "json"),
        "stream": fields.get("stream", "false").lower() == "true",
    }


def _file(form: Form) -> bytes:
    if "file" not in form.files:
        raise missing_parameter("file")
    name, data = form.files["file"]
    ending = name.rpartition(".")[2].lower()
    if ending not in NAMES:
        raise ApiError(400, f"Unrecognized file format. Supported formats: {list(NAMES)}", param="file")
    if not data:
        raise ApiError(400, "The audio file is empty or could not be decoded.", param="file")
    return data


def _format(job: jobs.Job) -> str:
    form = str(job.body["response_format"])
    allowed = FORMATS if job.model.id == "whisper-1" else ("json", "text")
    if form not in allowed:
        raise invalid_value("response_format", form, f"{quoted(allowed)} with {job.model.id}")
    return form


def audio_seconds(data: bytes) -> float:
    """How long a WAV file is; for other formats a guess from its size."""
    try:
        with wave.open(io.BytesIO(data)) as sound:
            return max(0.1, float(sound.getnframes() / sound.getframerate()))
    except (wave.Error, EOFError):
        return max(0.1, len(data) / BYTES_PER_SECOND)


def _usage(job: jobs.Job, seconds: float, words: list[str]) -> dict[str, Any]:
    if job.model.id in PER_SECOND_MODELS:
        return {"type": "duration", "seconds": math.ceil(seconds)}
    audio = math.ceil(seconds * generation.PER_AUDIO_SECOND)
    written = generation.count(job.body["prompt"])
    return {
        "type": "tokens",
        "input_tokens": audio + written,
        "input_token_details": {"text_tokens": written, "audio_tokens": audio},
        "output_tokens": len(words),
        "total_tokens": audio + written + len(words),
    }


def _reply(form: str, spoken: str, seconds: float, usage: dict[str, Any] | None) -> Response:
    end = round(seconds, 2)
    if form == "text":
        return PlainTextResponse(spoken + "\n")
    if form in ("srt", "vtt"):
        comma = "," if form == "srt" else "."
        until = f"00:00:{int(end) % 60:02d}{comma}{int(end * 1000) % 1000:03d}"
        lines = f"00:00:00{comma}000 --> {until}\n{spoken}\n"
        return PlainTextResponse(("1\n" if form == "srt" else "WEBVTT\n\n") + lines)
    reply: dict[str, Any] = {"text": spoken}
    if form == "verbose_json":
        reply |= {"language": "english", "duration": end, "segments": [_segment(spoken, end)]}
    if usage is not None:
        reply["usage"] = usage
    return jobs.json_reply(reply)


def _segment(spoken: str, end: float) -> dict[str, Any]:
    numbers = {"temperature": 0.0, "avg_logprob": -0.2, "compression_ratio": 1.1, "no_speech_prob": 0.01}
    return {"id": 0, "seek": 0, "start": 0.0, "end": end, "text": spoken, "tokens": [], **numbers}


def _steps(words: list[str], usage: dict[str, Any] | None, pace: jobs.Pace) -> Iterator[jobs.Step]:
    for word in words:
        delta = {"type": "transcript.text.delta", "delta": word}
        yield jobs.Step(pace.processing, jobs.data_event(delta), token=True)
    done: dict[str, Any] = {"type": "transcript.text.done", "text": "".join(words)}
    if usage is not None and usage["type"] == "tokens":
        done["usage"] = usage
    yield jobs.Step(pace.processing, jobs.data_event(done))
