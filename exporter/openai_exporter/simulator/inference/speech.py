# SPDX-License-Identifier: Apache-2.0
"""POST /v1/audio/speech: a soft tone as long as the text would take, with the right beginning for its format."""

import io
import math
import struct
import wave

from starlette.requests import Request
from starlette.responses import Response

from openai_exporter.simulator.inference import schemas
from openai_exporter.simulator.inference.pace import Pace
from openai_exporter.simulator.inference.prepare import prepared
from openai_exporter.simulator.world import World

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


async def create(world: World, request: Request) -> Response:
    """Answer one speech request."""
    job = await prepared(world, request, schemas.SPEECH, "speech")
    text, speed = job.body["input"], job.body.get("speed") or 1.0
    job.admit(len(text))
    pace = Pace(job)
    job.book("audio_speeches", characters=len(text))
    await pace.until(pace.processing)
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
