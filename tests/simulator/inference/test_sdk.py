# SPDX-License-Identifier: Apache-2.0
"""The official SDK against the running simulator, plain and streamed."""

from collections.abc import Iterator

import openai
import pytest

from openai_simulator.inference.audio import encoded
from openai_simulator.testing import SimulatorControl


@pytest.fixture
def client(simulator: SimulatorControl) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        api_key="sk-test", base_url=simulator.api_url, max_retries=0, _strict_response_validation=True
    ) as sdk:
        yield sdk


def test_chat(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(
        model="gpt-6-luna", messages=[{"role": "user", "content": "Say: pong"}], reasoning_effort="none"
    )
    assert reply.usage is not None
    assert (reply.choices[0].message.content, reply.usage.completion_tokens) == ("pong", 1)
    assert reply._request_id is not None
    assert reply._request_id.startswith("req_")


def test_chat_streamed(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "Say: ping pong"}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "ping pong"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 2


def test_responses(client: openai.OpenAI) -> None:
    reply = client.responses.create(model="gpt-6-luna", input="Say: pong", store=False)
    assert (reply.output_text, reply.status) == ("pong", "completed")
    assert reply.usage is not None
    assert reply.usage.output_tokens_details.reasoning_tokens == reply.usage.output_tokens - 1


def test_responses_streamed(client: openai.OpenAI) -> None:
    with client.responses.stream(model="gpt-6-sol", input="Say: ping pong") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds.count("response.output_text.delta") == 2
    assert (kinds[-1], final.output_text) == ("response.completed", "ping pong")
    assert client.responses.input_tokens.count(model="gpt-6-sol", input="Say: pong").input_tokens > 3


def test_embeddings(simulator: SimulatorControl) -> None:
    # Not strict: the SDK asks for base64 and decodes it only after its validation.
    with openai.OpenAI(api_key="sk-test", base_url=simulator.api_url, max_retries=0) as sdk:
        reply = sdk.embeddings.create(model="text-embedding-3-large", input="ping", dimensions=256)
    assert len(reply.data[0].embedding) == 256


def test_moderations(client: openai.OpenAI) -> None:
    reply = client.moderations.create(input="sheer harassment")
    assert reply.results[0].categories.harassment


def test_models(client: openai.OpenAI) -> None:
    models = {model.id for model in client.models.list()}
    assert "gpt-6-luna" in models
    assert client.models.retrieve("gpt-4o-mini").owned_by == "system"


def test_audio(client: openai.OpenAI) -> None:
    sound = client.audio.speech.create(
        model="gpt-4o-mini-tts", voice="cedar", input="Hello", response_format="wav"
    ).read()
    heard = client.audio.transcriptions.create(model="gpt-transcribe", file=("hello.wav", sound), prompt="Say: hello")
    assert heard.text == "hello"
    streamed = client.audio.transcriptions.create(
        model="gpt-4o-transcribe", file=("hello.wav", encoded("wav", 1)), prompt="Say: hello", stream=True
    )
    assert [event.type for event in streamed] == ["transcript.text.delta", "transcript.text.done"]


def test_images(client: openai.OpenAI) -> None:
    reply = client.images.generate(model="gpt-image-2", prompt="a bucket", size="1024x1024", quality="low")
    assert reply.data is not None
    assert reply.data[0].b64_json
    assert reply.usage is not None
    assert reply.usage.output_tokens == 272


def test_azure_client(simulator: SimulatorControl) -> None:
    with openai.AzureOpenAI(
        azure_endpoint=simulator.base_url, api_version="2024-10-21", api_key="key", max_retries=0
    ) as sdk:
        reply = sdk.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "Say: pong"}])
        assert reply.choices[0].message.content == "pong"
        assert len(sdk.embeddings.create(model="text-embedding-3-small", input="x").data) == 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"status": 400}, openai.BadRequestError),
        ({"status": 401}, openai.AuthenticationError),
        ({"status": 403}, openai.PermissionDeniedError),
        ({"status": 404}, openai.NotFoundError),
        ({"status": 409}, openai.ConflictError),
        ({"status": 422}, openai.UnprocessableEntityError),
        ({"status": 429}, openai.RateLimitError),
        ({"status": 503}, openai.InternalServerError),
    ],
    ids=lambda value: value["status"] if isinstance(value, dict) else "",
)
def test_the_sdk_maps_each_status_to_its_exception(
    client: openai.OpenAI, simulator: SimulatorControl, fault: dict[str, int], error: type[openai.APIError]
) -> None:
    simulator.fault("status", "/v1/models", **fault)
    with pytest.raises(error):
        client.models.list()
