# SPDX-License-Identifier: Apache-2.0
"""What every inference endpoint refuses: requests and keys, with the errors of the real API."""

from typing import Any

import httpx2
import pytest

from openai_simulator.testing import SimulatorControl
from tests.simulator.conformance import Facts

CHAT = "/v1/chat/completions"
STORY = [{"role": "user", "content": "Tell me about buckets"}]


def asked(model: str = "gpt-4o-mini", messages: Any = STORY, **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": messages, **more}


REFUSED: list[tuple[str, dict[str, Any], int, str | None, str | None]] = [
    ("no model", {"messages": STORY}, 400, "missing_required_parameter", "model"),
    ("no messages", {"model": "gpt-4o-mini"}, 400, "missing_required_parameter", "messages"),
    ("empty messages", asked(messages=[]), 400, "array_below_min_length", "messages"),
    ("messages no array", asked(messages="hi"), 400, "invalid_type", "messages"),
    ("message no object", asked(messages=["hi"]), 400, "invalid_type", "messages[0]"),
    ("no role", asked(messages=[{"content": "hi"}]), 400, "missing_required_parameter", "messages[0].role"),
    ("wrong role", asked(messages=[{"role": "king", "content": "hi"}]), 400, "invalid_value", "messages[0].role"),
    ("content a number", asked(messages=[{"role": "user", "content": 5}]), 400, "invalid_type", "messages[0].content"),
    ("too hot", asked(temperature=3), 400, "integer_above_max_value", "temperature"),
    ("text for a number", asked(temperature="1"), 400, "invalid_type", "temperature"),
    ("no tokens", asked(max_tokens=0), 400, "integer_below_min_value", "max_tokens"),
    ("stream no boolean", asked(stream="yes"), 400, "invalid_type", "stream"),
    ("options without stream", asked(stream_options={}), 400, None, "stream_options"),
    ("no such tier", asked(service_tier="gold"), 400, "invalid_value", "service_tier"),
    ("unknown parameter", asked(nonsense=1), 400, "unknown_parameter", "nonsense"),
    ("unknown model", asked("gpt-9"), 404, "model_not_found", None),
    ("retired model", asked("gpt-3.5-turbo"), 404, "model_not_found", None),
    ("no chat model", asked("whisper-1"), 404, None, "model"),
    ("max_tokens", asked("gpt-6-luna", max_tokens=5), 400, "unsupported_parameter", "max_tokens"),
    ("temperature", asked("gpt-6-luna", temperature=0), 400, "unsupported_value", "temperature"),
    ("logprobs", asked("gpt-6-luna", logprobs=True), 400, "unsupported_value", "logprobs"),
    ("effort none", asked("gpt-6-astra", reasoning_effort="none"), 400, "unsupported_value", "reasoning_effort"),
    ("effort without reasoning", asked(reasoning_effort="low"), 400, "unsupported_parameter", "reasoning_effort"),
]  # fmt: skip


def test_a_wrong_request_is_refused_as_the_api_does(api: httpx2.Client, facts: Facts) -> None:
    for case, body, status, code, param in REFUSED:
        reply = api.post(CHAT, json=body)
        assert facts.check("error_reply", reply.json()) == [], case
        error = reply.json()["error"]
        expected = (status, code, param, "invalid_request_error")
        assert (reply.status_code, error["code"], error["param"], error["type"]) == expected, case


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
