# SPDX-License-Identifier: Apache-2.0
"""Chat requests and keys that are refused, with the errors of the real API."""

from typing import Any

import httpx2
import pytest

from openai_simulator.testing import SimulatorControl
from tests.simulator.conformance import Facts

CHAT = "/v1/chat/completions"
STORY = [{"role": "user", "content": "Tell me about buckets"}]


def asked(model: str = "gpt-4o-mini", messages: Any = STORY, **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": messages, **more}


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        pytest.param({"messages": STORY}, 400, "missing_required_parameter", "model", id="no model"),
        pytest.param({"model": "gpt-4o-mini"}, 400, "missing_required_parameter", "messages", id="no messages"),
        pytest.param(asked(messages=[]), 400, "array_below_min_length", "messages", id="empty messages"),
        pytest.param(asked(messages="hi"), 400, "invalid_type", "messages", id="messages no array"),
        pytest.param(asked(messages=["hi"]), 400, "invalid_type", "messages[0]", id="message no object"),
        pytest.param(
            asked(messages=[{"content": "hi"}]), 400, "missing_required_parameter", "messages[0].role",
            id="no role",
        ),
        pytest.param(
            asked(messages=[{"role": "king", "content": "hi"}]), 400, "invalid_value", "messages[0].role",
            id="wrong role",
        ),
        pytest.param(
            asked(messages=[{"role": "user", "content": 5}]), 400, "invalid_type", "messages[0].content",
            id="content a number",
        ),
        pytest.param(asked(temperature=3), 400, "integer_above_max_value", "temperature", id="too hot"),
        pytest.param(asked(temperature="1"), 400, "invalid_type", "temperature", id="text for a number"),
        pytest.param(asked(max_tokens=0), 400, "integer_below_min_value", "max_tokens", id="no tokens"),
        pytest.param(asked(stream="yes"), 400, "invalid_type", "stream", id="stream no boolean"),
        pytest.param(asked(stream_options={}), 400, None, "stream_options", id="options without stream"),
        pytest.param(asked(service_tier="gold"), 400, "invalid_value", "service_tier", id="no such tier"),
        pytest.param(asked(nonsense=1), 400, "unknown_parameter", "nonsense", id="unknown parameter"),
        pytest.param(asked("gpt-9"), 404, "model_not_found", None, id="unknown model"),
        pytest.param(asked("gpt-3.5-turbo"), 404, "model_not_found", None, id="retired model"),
        pytest.param(asked("whisper-1"), 404, None, "model", id="no chat model"),
        pytest.param(asked("gpt-6-luna", max_tokens=5), 400, "unsupported_parameter", "max_tokens", id="max_tokens"),
        pytest.param(asked("gpt-6-luna", temperature=0), 400, "unsupported_value", "temperature", id="temperature"),
        pytest.param(asked("gpt-6-luna", logprobs=True), 400, "unsupported_value", "logprobs", id="logprobs"),
        pytest.param(
            asked("gpt-6-astra", reasoning_effort="none"), 400, "unsupported_value", "reasoning_effort",
            id="effort none",
        ),
        pytest.param(
            asked(reasoning_effort="low"), 400, "unsupported_parameter", "reasoning_effort",
            id="effort without reasoning",
        ),
    ],
)  # fmt: skip
def test_a_wrong_request_is_refused_as_the_api_does(
    api: httpx2.Client, facts: Facts, body: dict[str, Any], status: int, code: str | None, param: str | None
) -> None:
    reply = api.post(CHAT, json=body)
    facts.assert_conforms("error_reply", reply.json())
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["param"]) == (status, code, param)
    assert error["type"] == "invalid_request_error"


def test_a_body_that_is_not_json_or_too_large_is_refused(api: httpx2.Client) -> None:
    assert api.post(CHAT, content=b"{").status_code == 400
    assert api.post(CHAT, content=b"[]").json()["error"]["code"] == "invalid_type"
    assert api.post(CHAT, content=b" " * (26 << 20)).status_code == 413


@pytest.mark.parametrize(
    ("authorization", "status", "code", "message"),
    [
        pytest.param(None, 401, None, "You didn't provide an API key.", id="no key"),
        pytest.param("Basic abc", 401, None, "You didn't provide an API key.", id="not bearer"),
        pytest.param(
            "Bearer sk-invalid-0123456789abcd", 401, "invalid_api_key",
            "Incorrect API key provided: sk-inval*************abcd", id="invalid key",
        ),
        pytest.param("Bearer secret", 401, "invalid_api_key", "Incorrect API key provided: sec***", id="no key's form"),
        pytest.param("Bearer sk-admin-0123", 403, None, "You have insufficient permissions", id="admin key"),
    ],
)  # fmt: skip
def test_a_wrong_key_is_refused_and_masked(
    simulator: SimulatorControl, authorization: str | None, status: int, code: str | None, message: str
) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    reply = httpx2.post(simulator.base_url + CHAT, json=asked(), headers=headers, trust_env=False)
    error = reply.json()["error"]
    assert (reply.status_code, error["code"]) == (status, code)
    assert error["message"].startswith(message)
    assert ("openai-processing-ms" in reply.headers) is (status != 401)
    assert ("openai-version" in reply.headers) is (status != 401)
