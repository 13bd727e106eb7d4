# SPDX-License-Identifier: Apache-2.0
"""Which requests a fault strikes, delays and missing headers, on a real socket."""

from typing import Any

import httpx2
import pytest

from openai_exporter.simulator.testing import SimulatorControl

CHAT = "/v1/chat/completions"
ASKED = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Tell me about buckets"}]}
STREAMED = {**ASKED, "stream": True, "stream_options": {"include_usage": True}}
OTHER = {"model": "text-embedding-3-small", "input": "ping"}


def chat(api: httpx2.Client, **more: Any) -> httpx2.Response:
    return api.post(CHAT, json={**ASKED, **more})


def test_latency_delays_the_reply_and_is_part_of_the_processing(
    api: httpx2.Client, simulator: SimulatorControl
) -> None:
    simulator.fault("latency", CHAT, delay_seconds=0.15)
    reply = chat(api)
    entry = simulator.journal(reply.headers["x-request-id"])
    assert 0.15 <= entry["first_byte"] - entry["received"] < 0.3
    assert 150 <= int(reply.headers["openai-processing-ms"]) < 300
    assert entry["faults"] == ["latency"]


def test_latency_of_the_network_is_not_processing(api: httpx2.Client, simulator: SimulatorControl) -> None:
    simulator.fault("latency", CHAT, delay_seconds=0.15, in_processing=False)
    reply = chat(api)
    assert reply.elapsed.total_seconds() >= 0.15
    assert int(reply.headers["openai-processing-ms"]) < 100


def test_first_token_latency_holds_back_the_first_token_only(
    api: httpx2.Client, simulator: SimulatorControl
) -> None:
    simulator.fault("first_token_latency", CHAT, delay_seconds=0.2)
    reply = api.post(CHAT, json=STREAMED)
    entry = simulator.journal(reply.headers["x-request-id"])
    assert entry["first_byte"] - entry["received"] < 0.1
    assert 0.2 <= entry["first_token"] - entry["received"] < 0.4


def test_headers_can_be_missing_by_name_or_all(api: httpx2.Client, simulator: SimulatorControl) -> None:
    simulator.fault("missing_headers", CHAT, names=["X-Request-Id", "x-ratelimit-reset-tokens"])
    names = set(chat(api).headers)
    assert not names & {"x-request-id", "x-ratelimit-reset-tokens"}
    assert {"x-ratelimit-limit-tokens", "openai-processing-ms"} <= names
    simulator.clear()
    simulator.fault("missing_headers", CHAT)
    reply = chat(api)
    assert set(reply.headers) == {"content-length", "content-type", "date", "x-simulated"}


@pytest.mark.parametrize("path", ["/v1/models", "/v1/organization/projects", "/status/api/v2/summary.json"])
def test_an_outage_takes_in_everything(api: httpx2.Client, simulator: SimulatorControl, path: str) -> None:
    simulator.fault("outage")
    reply = api.get(path)
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "server_is_overloaded")
    simulator.clear()
    simulator.fault("outage", mode="reset")
    with pytest.raises(httpx2.NetworkError):
        api.get(path)
    simulator.clear()
    simulator.fault("outage", mode="hang")
    with pytest.raises(httpx2.ReadTimeout):
        api.get(path, timeout=0.2)
    assert simulator.state()["faults"][0]["mode"] == "hang"


@pytest.mark.parametrize("kind", ["html", "malformed_json", "empty", "wrong_types", "rate_limit", "status"])
@pytest.mark.parametrize(
    ("path", "key"),
    [("/v1/organization/projects", "sk-admin-test"), ("/status/api/v2/components.json", "sk-test")],
)
def test_organization_and_status_page_are_struck_as_well(
    api: httpx2.Client, simulator: SimulatorControl, kind: str, path: str, key: str
) -> None:
    headers = {"authorization": f"Bearer {key}"}
    good = api.get(path, headers=headers)
    assert good.status_code == 200
    simulator.fault(kind, path)
    struck = api.get(path, headers=headers)
    assert (struck.status_code, struck.content) != (200, good.content)


def test_a_fault_for_one_model_leaves_the_others_alone(
    api: httpx2.Client, simulator: SimulatorControl
) -> None:
    simulator.fault("status", "/v1", model="text-embedding-3-small")
    assert chat(api).status_code == 200
    assert api.post("/v1/embeddings", json=OTHER).status_code == 500
    assert api.post("/v1/embeddings", json={**OTHER, "model": "text-embedding-3-large"}).status_code == 200


def test_a_fault_for_one_model_finds_it_in_forms_and_deployments(
    api: httpx2.Client, simulator: SimulatorControl
) -> None:
    simulator.fault("status", "*", model="gpt-transcribe")
    simulator.fault("status", "*", model="gpt-4o-mini")
    form, sound = {"model": "gpt-transcribe"}, {"file": ("a.wav", b"RIFF")}
    assert api.post("/v1/audio/transcriptions", data=form, files=sound).status_code == 500
    path = "/openai/deployments/gpt-4o-mini/chat/completions?api-version=2024-10-21"
    assert api.post(path, json={"messages": ASKED["messages"]}).status_code == 500


def test_faults_combine(api: httpx2.Client, simulator: SimulatorControl) -> None:
    simulator.fault("latency", CHAT, delay_seconds=0.1)
    simulator.fault("status", CHAT, status=418)
    simulator.fault("missing_headers", CHAT, names=["x-request-id"])
    reply = chat(api)
    assert (reply.status_code, reply.elapsed.total_seconds() >= 0.1) == (418, True)
    assert "x-request-id" not in reply.headers


def test_a_fault_without_luck_does_not_strike(api: httpx2.Client, simulator: SimulatorControl) -> None:
    simulator.fault("status", CHAT, probability=0)
    assert chat(api).status_code == 200
