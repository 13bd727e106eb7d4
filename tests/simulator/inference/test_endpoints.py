# SPDX-License-Identifier: Apache-2.0
"""Models, embeddings, moderations and images over a socket; Azure's paths, keys and headers."""

import base64
import struct
import uuid
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from openai_simulator.testing import SimulatorControl
from tests.simulator.conformance import Facts

EMBED = {"model": "text-embedding-3-small", "input": "ping"}
SPEAK = {"model": "gpt-4o-mini-tts", "input": "Hello there", "voice": "alloy"}
DRAW = {"model": "gpt-image-2", "prompt": "a bucket", "quality": "low"}


def test_models_are_listed_and_found(api: httpx2.Client, facts: Facts) -> None:
    listed = api.get("/v1/models").json()
    facts.assert_conforms("model_list", listed)
    for model in listed["data"]:
        assert api.get(f"/v1/models/{model['id']}").json() == model
    assert api.get("/v1/models/gpt-9").json()["error"]["code"] == "model_not_found"


def test_models_retire_as_the_clock_moves(facts: Facts, simulator: SimulatorControl, api: httpx2.Client) -> None:
    assert api.get("/v1/models/tts-1").json()["shutdown_date"] == "2027-01-06"
    present = simulator.clock()
    try:
        simulator.clock(now="2027-01-06T00:00:00Z")
        assert api.get("/v1/models/tts-1").status_code == 404
        assert "tts-1" not in [model["id"] for model in api.get("/v1/models").json()["data"]]
    finally:
        simulator.clock(now=present)


def test_embeddings_are_unit_vectors_of_the_asked_length(api: httpx2.Client, facts: Facts) -> None:
    reply = api.post("/v1/embeddings", json=EMBED).json()
    facts.assert_conforms("embedding_list", reply)
    vector = reply["data"][0]["embedding"]
    assert len(vector) == 1536
    assert sum(value * value for value in vector) == pytest.approx(1, abs=1e-4)
    assert reply["usage"] == {"prompt_tokens": 1, "total_tokens": 1}
    short = api.post("/v1/embeddings", json={**EMBED, "dimensions": 8}).json()
    assert len(short["data"][0]["embedding"]) == 8


def test_embeddings_in_base64_are_the_same_floats(api: httpx2.Client) -> None:
    floats = api.post("/v1/embeddings", json=EMBED).json()["data"][0]["embedding"]
    text = api.post("/v1/embeddings", json={**EMBED, "encoding_format": "base64"}).json()
    raw = base64.b64decode(text["data"][0]["embedding"])
    assert list(struct.unpack(f"<{len(raw) // 4}f", raw)) == pytest.approx(floats, abs=1e-6)


def test_several_inputs_give_several_vectors_in_order(api: httpx2.Client) -> None:
    inputs = {**EMBED, "input": ["ping", "pong pong"], "dimensions": 4}
    reply = api.post("/v1/embeddings", json=inputs).json()
    assert [item["index"] for item in reply["data"]] == [0, 1]
    assert reply["usage"]["prompt_tokens"] == 3
    tokens = api.post("/v1/embeddings", json={**EMBED, "input": [1, 2, 3]}).json()
    assert (len(tokens["data"]), tokens["usage"]["prompt_tokens"]) == (1, 3)


def test_moderations_flag_what_names_a_category(api: httpx2.Client, facts: Facts) -> None:
    reply = api.post("/v1/moderations", json={"input": ["ping", "pure violence"]}).json()
    facts.assert_conforms("moderation", reply)
    calm, violent = reply["results"]
    assert (reply["model"], calm["flagged"], violent["flagged"]) == ("omni-moderation-latest", False, True)
    assert [name for name, found in violent["categories"].items() if found] == ["violence"]
    parts = [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": "data:x"}}]
    mixed = api.post("/v1/moderations", json={"input": parts}).json()
    facts.assert_conforms("moderation", mixed)
    assert mixed["results"][0]["category_applied_input_types"]["violence"] == ["image", "text"]


def test_images_are_pictures_with_usage(api: httpx2.Client, facts: Facts) -> None:
    reply = api.post("/v1/images/generations", json={**DRAW, "n": 2}).json()
    facts.assert_conforms("images_reply", reply)
    assert [base64.b64decode(image["b64_json"])[:8] for image in reply["data"]] == [b"\x89PNG\r\n\x1a\n"] * 2
    assert reply["usage"]["output_tokens"] == 2 * 272
    large = api.post("/v1/images/generations", json={**DRAW, "size": "1536x1024"}).json()
    assert (large["size"], large["usage"]["output_tokens"]) == ("1536x1024", 408)


def test_faults_apply_here_too(api: httpx2.Client, simulator: SimulatorControl) -> None:
    for kind in ("no_usage", "status"):
        for path, body in (("/v1/embeddings", EMBED), ("/v1/images/generations", DRAW)):
            simulator.fault(kind, path)
            assert "usage" not in api.post(path, json=body).json(), (kind, path)
            simulator.clear()


REFUSED: list[tuple[str, dict[str, Any], str | None, str]] = [
    ("/v1/embeddings", {**EMBED, "input": ""}, "string_below_min_length", "input"),
    ("/v1/embeddings", {**EMBED, "input": [""]}, None, "input"),
    ("/v1/embeddings", {**EMBED, "input": [{}]}, "invalid_type", "input[0]"),
    ("/v1/embeddings", {**EMBED, "input": "word " * 9_000}, "context_length_exceeded", "input"),
    ("/v1/embeddings", {**EMBED, "input": ["x"] * 2_049}, None, "input"),
    ("/v1/embeddings", {**EMBED, "dimensions": 4_000}, "invalid_value", "dimensions"),
    ("/v1/embeddings", {**EMBED, "encoding_format": "hex"}, "invalid_value", "encoding_format"),
    ("/v1/embeddings", {**EMBED, "model": "text-embedding-ada-002", "dimensions": 2}, None, "dimensions"),
    ("/v1/moderations", {"input": []}, None, "input"),
    ("/v1/moderations", {"input": [{"type": "video"}]}, "invalid_type", "input"),
    ("/v1/audio/speech", {**SPEAK, "voice": "donald"}, "invalid_value", "voice"),
    ("/v1/audio/speech", {**SPEAK, "input": "x" * 4_097}, "string_above_max_length", "input"),
    ("/v1/audio/speech", {"model": "tts-1", "input": "x"}, "missing_required_parameter", "voice"),
    ("/v1/images/generations", {"model": "gpt-image-2"}, "missing_required_parameter", "prompt"),
    ("/v1/images/generations", {**DRAW, "size": "1x1"}, "invalid_value", "size"),
    ("/v1/images/generations", {**DRAW, "n": 11}, "integer_above_max_value", "n"),
]


def test_a_wrong_request_is_refused(api: httpx2.Client, facts: Facts) -> None:
    for path, body, code, param in REFUSED:
        reply = api.post(path, json=body)
        case = f"{path} {str(body)[:80]}"
        assert facts.check("error_reply", reply.json()) == [], case
        error = reply.json()["error"]
        assert (reply.status_code, error["code"], error["param"]) == (400, code, param), case


# Azure's paths, keys and headers.

VERSION = {"api-version": "2024-10-21"}
DEPLOYMENT = "/openai/deployments/gpt-4o-mini/chat/completions"
MESSAGES = {"messages": [{"role": "user", "content": "Say: pong"}]}


@pytest.fixture
def azure(simulator: SimulatorControl) -> Iterator[httpx2.Client]:
    headers = {"api-key": "0123456789abcdef"}
    with httpx2.Client(base_url=simulator.base_url, headers=headers, trust_env=False) as client:
        yield client


def test_a_deployment_answers_with_azures_headers(azure: httpx2.Client, facts: Facts) -> None:
    reply = azure.post(DEPLOYMENT, params=VERSION, json=MESSAGES)
    facts.assert_conforms("chat_completion", reply.json())
    assert reply.json()["choices"][0]["message"]["content"] == "pong"
    assert str(uuid.UUID(reply.headers["apim-request-id"])) == reply.headers["x-request-id"]
    assert {"x-ms-region", "azureml-model-session"} <= set(reply.headers)
    assert not [name for name in reply.headers if name.startswith("openai-") or "project" in name]
    assert reply.headers["x-ratelimit-reset-tokens"].isdecimal()
    assert reply.headers["x-simulated"] == "true"


def test_the_journal_knows_azures_request_id(azure: httpx2.Client, simulator: SimulatorControl) -> None:
    reply = azure.post(DEPLOYMENT, params=VERSION, json=MESSAGES)
    assert simulator.journal(reply.headers["x-request-id"])["model"] == "gpt-4o-mini"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/openai/deployments/text-embedding-3-small/embeddings", {"input": "ping"}),
        ("/openai/v1/responses", {"model": "gpt-6-luna", "input": "ping"}),
        ("/openai/v1/chat/completions", {"model": "gpt-6-luna", **MESSAGES}),
    ],
)
def test_the_other_endpoints_are_there_too(azure: httpx2.Client, path: str, body: dict[str, str]) -> None:
    assert azure.post(path, params=VERSION, json=body).status_code == 200


def test_the_model_list_has_azures_shape(azure: httpx2.Client) -> None:
    models = {model["id"]: model for model in azure.get("/openai/models", params=VERSION).json()["data"]}
    assert models["gpt-4o-mini"]["deprecation"] == {"inference": 1799884800}
    assert "deprecation" not in models["gpt-6-luna"]
    assert not any({"created", "owned_by", "shutdown_date"} & model.keys() for model in models.values())


@pytest.mark.parametrize(
    ("path", "params", "key", "status", "code"),
    [
        (DEPLOYMENT, {}, "k", 404, "404"),
        (DEPLOYMENT, VERSION, "", 401, "401"),
        (DEPLOYMENT, VERSION, "invalid", 401, "401"),
        (DEPLOYMENT.replace("gpt-4o-mini", "nothing"), VERSION, "k", 404, "DeploymentNotFound"),
    ],
    ids=["no version", "no key", "wrong key", "no deployment"],
)
def test_azure_refuses_in_its_own_way(
    azure: httpx2.Client, path: str, params: dict[str, str], key: str, status: int, code: str
) -> None:
    reply = azure.post(path, params=params, json=MESSAGES, headers={"api-key": key})
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)


def test_a_bearer_token_is_accepted_as_well(simulator: SimulatorControl) -> None:
    headers = {"authorization": "Bearer entra-token"}
    reply = httpx2.post(
        simulator.base_url + DEPLOYMENT, params=VERSION, json=MESSAGES, headers=headers, trust_env=False
    )
    assert reply.status_code == 200
