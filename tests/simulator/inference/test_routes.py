# SPDX-License-Identifier: Apache-2.0
"""Azure's paths, keys and headers."""

import uuid
from collections.abc import Iterator

import httpx2
import pytest

from openai_simulator.testing import SimulatorControl
from tests.simulator.conformance import Facts

VERSION = {"api-version": "2024-10-21"}
CHAT = "/openai/deployments/gpt-4o-mini/chat/completions"
ASKED = {"messages": [{"role": "user", "content": "Say: pong"}]}


@pytest.fixture
def azure(simulator: SimulatorControl) -> Iterator[httpx2.Client]:
    headers = {"api-key": "0123456789abcdef"}
    with httpx2.Client(base_url=simulator.base_url, headers=headers, trust_env=False) as client:
        yield client


def test_a_deployment_answers_with_azures_headers(azure: httpx2.Client, facts: Facts) -> None:
    reply = azure.post(CHAT, params=VERSION, json=ASKED)
    facts.assert_conforms("chat_completion", reply.json())
    assert reply.json()["choices"][0]["message"]["content"] == "pong"
    assert str(uuid.UUID(reply.headers["apim-request-id"])) == reply.headers["x-request-id"]
    assert {"x-ms-region", "azureml-model-session"} <= set(reply.headers)
    assert not [name for name in reply.headers if name.startswith("openai-") or "project" in name]
    assert reply.headers["x-ratelimit-reset-tokens"].isdecimal()
    assert reply.headers["x-simulated"] == "true"


def test_the_journal_knows_azures_request_id(azure: httpx2.Client, simulator: SimulatorControl) -> None:
    reply = azure.post(CHAT, params=VERSION, json=ASKED)
    assert simulator.journal(reply.headers["x-request-id"])["model"] == "gpt-4o-mini"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/openai/deployments/text-embedding-3-small/embeddings", {"input": "ping"}),
        ("/openai/v1/responses", {"model": "gpt-6-luna", "input": "ping"}),
        ("/openai/v1/chat/completions", {"model": "gpt-6-luna", **ASKED}),
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
        (CHAT, {}, "k", 404, "404"),
        (CHAT, VERSION, "", 401, "401"),
        (CHAT, VERSION, "invalid", 401, "401"),
        (CHAT.replace("gpt-4o-mini", "nothing"), VERSION, "k", 404, "DeploymentNotFound"),
    ],
    ids=["no version", "no key", "wrong key", "no deployment"],
)
def test_azure_refuses_in_its_own_way(
    azure: httpx2.Client, path: str, params: dict[str, str], key: str, status: int, code: str
) -> None:
    reply = azure.post(path, params=params, json=ASKED, headers={"api-key": key})
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)


def test_a_bearer_token_is_accepted_as_well(simulator: SimulatorControl) -> None:
    headers = {"authorization": "Bearer entra-token"}
    reply = httpx2.post(
        simulator.base_url + CHAT, params=VERSION, json=ASKED, headers=headers, trust_env=False
    )
    assert reply.status_code == 200
