# SPDX-License-Identifier: Apache-2.0
"""Speech and transcriptions over a socket."""

import io
import wave
from typing import Any

import httpx2
import pytest

from openai_simulator.inference.audio import encoded
from tests.simulator.conformance import Facts
from tests.simulator.sse import events

SPEAK = {"model": "gpt-4o-mini-tts", "input": "Hello there", "voice": "alloy"}
SOUND = encoded("wav", 2.0)


def hear(api: httpx2.Client, data: dict[str, str], name: str = "a.wav", sound: bytes = SOUND) -> httpx2.Response:
    return api.post("/v1/audio/transcriptions", data=data, files={"file": (name, sound)})


@pytest.mark.parametrize(
    ("model", "usage"),
    [
        ("gpt-transcribe", {"type": "duration", "seconds": 2}),
        ("whisper-1", {"type": "duration", "seconds": 2}),
        (
            "gpt-4o-mini-transcribe",
            {
                "type": "tokens",
                "input_tokens": 26,
                "input_token_details": {"text_tokens": 6, "audio_tokens": 20},
                "output_tokens": 1,
                "total_tokens": 27,
            },
        ),
    ],
)
def test_transcriptions_cost_seconds_or_tokens_by_model(
    api: httpx2.Client, facts: Facts, model: str, usage: dict[str, Any]
) -> None:
    reply = hear(api, {"model": model, "prompt": "Reply with the word: pong"}).json()
    facts.assert_conforms("transcription", reply)
    assert reply == {"text": "pong", "usage": usage}


def test_transcriptions_have_their_other_formats(api: httpx2.Client, facts: Facts) -> None:
    spoken = {"model": "whisper-1", "prompt": "Say: pong"}
    verbose = hear(api, {**spoken, "response_format": "verbose_json"}).json()
    facts.assert_conforms("transcription_verbose", verbose)
    assert verbose["duration"] == 2.0
    assert hear(api, {**spoken, "response_format": "text"}).text == "pong\n"
    assert hear(api, {**spoken, "response_format": "vtt"}).text.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:02.000")
    assert hear(api, {**spoken, "response_format": "srt"}).text.startswith("1\n00:00:00,000 --> ")


def test_a_transcription_can_be_streamed(api: httpx2.Client, facts: Facts) -> None:
    form = {"model": "gpt-4o-transcribe", "prompt": "Say: ping pong", "stream": "true"}
    *deltas, done = events(hear(api, form).text)
    for delta in deltas:
        facts.assert_conforms("transcript_delta", delta.json)
    facts.assert_conforms("transcript_done", done.json)
    assert "".join(delta.json["delta"] for delta in deltas) == done.json["text"] == "ping pong"


@pytest.mark.parametrize(
    ("form", "start", "media_type"),
    [
        ("mp3", b"\xff\xf3", "audio/mpeg"),
        ("opus", b"OggS", "audio/opus"),
        ("aac", b"\xff\xf1", "audio/aac"),
        ("flac", b"fLaC", "audio/flac"),
        ("wav", b"RIFF", "audio/wav"),
        ("pcm", b"\x00\x00", "audio/pcm"),
    ],
)
def test_speech_begins_like_its_format(api: httpx2.Client, form: str, start: bytes, media_type: str) -> None:
    reply = api.post("/v1/audio/speech", json={**SPEAK, "response_format": form})
    assert reply.headers["content-type"] == media_type
    assert reply.content.startswith(start)
    assert len(reply.content) > 1_000


def test_speech_lasts_as_long_as_its_text_takes(api: httpx2.Client) -> None:
    text = {**SPEAK, "input": "x" * 150, "response_format": "wav", "speed": 2}
    with wave.open(io.BytesIO(api.post("/v1/audio/speech", json=text).content)) as sound:
        assert sound.getnframes() / sound.getframerate() == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("form", "name", "sound", "message"),
    [
        ({}, "a.wav", SOUND, "Missing required parameter: 'model'."),
        ({"model": "gpt-transcribe"}, "a.txt", SOUND, "Unrecognized file format."),
        ({"model": "gpt-transcribe"}, "a.wav", b"", "The audio file is empty"),
        ({"model": "gpt-transcribe", "response_format": "srt"}, "a.wav", SOUND, "Invalid value for"),
    ],
)
def test_a_wrong_recording_is_refused(
    api: httpx2.Client, form: dict[str, str], name: str, sound: bytes, message: str
) -> None:
    reply = hear(api, form, name, sound)
    assert reply.status_code == 400
    assert reply.json()["error"]["message"].startswith(message)


def test_a_recording_must_be_a_form_with_a_file(api: httpx2.Client) -> None:
    path = "/v1/audio/transcriptions"
    assert api.post(path, json={}).json()["error"]["message"].startswith("Content-Type must be multipart")
    lone = api.post(path, files={"model": (None, "gpt-transcribe")})
    assert lone.json()["error"]["message"] == "Missing required parameter: 'file'."
    junk = api.post(path, content=b"xyz", headers={"content-type": "multipart/form-data; boundary=b"})
    assert junk.status_code == 400
