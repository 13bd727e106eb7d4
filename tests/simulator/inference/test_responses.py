# SPDX-License-Identifier: Apache-2.0
"""The Responses API over a socket: shapes, the order of events, usage and refusals."""

from typing import Any

import httpx2
import pytest

from openai_simulator.testing import SimulatorControl
from tests.simulator.conformance import Facts
from tests.simulator.sse import Event, events

PATH = "/v1/responses"
MESSAGE = [
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
]
REASONING = ["response.output_item.added", "response.output_item.done"]


def asked(model: str = "gpt-6-luna", **more: Any) -> dict[str, Any]:
    return {"model": model, "input": "Say: pong", **more}


def stream(api: httpx2.Client, facts: Facts, body: dict[str, Any]) -> list[Event]:
    """All events, each checked: its name is its type, it conforms, and the numbers count up."""
    reply = api.post(PATH, json={**body, "stream": True})
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    found = events(reply.text)
    for number, event in enumerate(found):
        assert event.name is not None
        assert (event.json["type"], event.json["sequence_number"]) == (event.name, number)
        facts.assert_conforms("error_event" if event.name == "error" else event.name, event.json)
    return found


@pytest.mark.parametrize(
    ("body", "names"),
    [
        pytest.param(asked("gpt-4o-mini"), [*MESSAGE, "response.completed"], id="classic model"),
        pytest.param(asked(), [*REASONING, *MESSAGE, "response.completed"], id="reasoning model"),
        pytest.param(asked(reasoning={"effort": "none"}), [*MESSAGE, "response.completed"], id="without reasoning"),
        pytest.param(asked(max_output_tokens=16), [*REASONING, "response.incomplete"], id="nothing but reasoning"),
        pytest.param(
            asked("gpt-4.1-mini", input="Tell me a story", max_output_tokens=16),
            [*MESSAGE[:2], *[MESSAGE[2]] * 16, *MESSAGE[3:], "response.incomplete"],
            id="cut off",
        ),
    ],
)
def test_the_events_come_in_order_and_end_with_the_plain_reply(
    api: httpx2.Client, facts: Facts, body: dict[str, Any], names: list[str]
) -> None:
    found = stream(api, facts, body)
    assert [event.name for event in found] == ["response.created", "response.in_progress", *names]
    plain = api.post(PATH, json=body).json()
    facts.assert_conforms("response", plain)
    last = found[-1].json["response"]
    assert same(last) == same(plain)
    assert (found[0].json["response"]["status"], plain["object"]) == ("in_progress", "response")


def same(response: dict[str, Any]) -> dict[str, Any]:
    """A response without what differs between two calls: ids and times."""
    left_out = ("id", "created_at", "completed_at", "output")
    kept = {name: value for name, value in response.items() if name not in left_out}
    return kept | {"output": [{**item, "id": ""} for item in response["output"]]}


def test_the_text_usage_and_status_are_those_of_the_request(api: httpx2.Client) -> None:
    reply = api.post(PATH, json=asked("gpt-5.4-mini", service_tier="priority")).json()
    message = reply["output"][-1]
    usage = reply["usage"]
    assert message["content"][0]["text"] == "pong"
    assert (reply["status"], message["status"], reply["incomplete_details"]) == ("completed", "completed", None)
    assert (reply["model"], reply["service_tier"]) == ("gpt-5.4-mini-2026-03-17", "priority")
    assert (usage["output_tokens"], usage["output_tokens_details"]["reasoning_tokens"]) == (1, 0)
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


def test_too_few_tokens_leave_it_incomplete_with_a_reason(api: httpx2.Client) -> None:
    reply = api.post(PATH, json=asked(max_output_tokens=16)).json()
    assert (reply["status"], reply["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert [item["type"] for item in reply["output"]] == ["reasoning"]
    assert reply["usage"]["output_tokens"] == 16


def test_items_and_instructions_count_as_input(api: httpx2.Client) -> None:
    short = api.post(PATH, json=asked("gpt-4o-mini")).json()["usage"]["input_tokens"]
    parts = [{"type": "input_text", "text": "Say: pong"}, {"type": "input_image", "image_url": "data:x"}]
    items = [{"role": "user", "content": parts}]
    reply = api.post(PATH, json=asked("gpt-4o-mini", input=items, instructions="Be brief")).json()
    assert reply["usage"]["input_tokens"] == short + 85 + 3 + 2
    assert reply["instructions"] == "Be brief"
    assert reply["output"][0]["content"][0]["text"] == "pong"


REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("no input", {"model": "gpt-6-luna"}, "missing_required_parameter", "input"),
    ("no model", {"input": "hi"}, "missing_required_parameter", "model"),
    ("too few", asked(max_output_tokens=15), "integer_below_min_value", "max_output_tokens"),
    ("temperature", asked(temperature=0.5), "unsupported_value", "temperature"),
    ("chat's parameter", asked(max_tokens=5), "unknown_parameter", "max_tokens"),
    ("item no object", asked(input=[1]), "invalid_type", "input[0]"),
    ("role", asked(input=[{"role": "x"}]), "invalid_value", "input[0].role"),
    ("effort", asked(reasoning={"effort": "huge"}), "invalid_value", "reasoning.effort"),
    (
        "another model's effort", asked("gpt-5-mini", reasoning={"effort": "none"}),
        "unsupported_value", "reasoning_effort",
    ),
]  # fmt: skip


def test_a_wrong_request_is_refused(api: httpx2.Client, facts: Facts) -> None:
    for case, body, code, param in REFUSED:
        reply = api.post(PATH, json=body)
        assert facts.check("error_reply", reply.json()) == [], case
        error = reply.json()["error"]
        assert (reply.status_code, error["code"], error["param"]) == (400, code, param), case


def test_a_stream_can_end_in_an_error_event(api: httpx2.Client, simulator: SimulatorControl, facts: Facts) -> None:
    simulator.fault("stream_error", PATH, after_tokens=0)
    *_, last = stream(api, facts, asked("gpt-4o-mini"))
    assert (last.name, last.json["code"], last.json["param"]) == ("error", "server_error", None)


def test_a_stream_can_end_in_a_failed_response(api: httpx2.Client, simulator: SimulatorControl, facts: Facts) -> None:
    simulator.fault("stream_error", PATH, after_tokens=1, shape="failed", code="rate_limit_exceeded")
    *_, delta, last = stream(api, facts, asked("gpt-4o-mini"))
    assert (delta.name, last.name) == ("response.output_text.delta", "response.failed")
    response = last.json["response"]
    assert (response["status"], response["error"]["code"]) == ("failed", "rate_limit_exceeded")


def test_usage_can_be_missing_and_a_reply_reasoning_only(
    api: httpx2.Client, simulator: SimulatorControl, facts: Facts
) -> None:
    simulator.fault("no_usage", PATH)
    simulator.fault("reasoning_only", PATH)
    found = stream(api, facts, asked())
    assert [event.name for event in found[2:]] == [*REASONING, "response.incomplete"]
    assert "usage" not in found[-1].json["response"]


def test_input_tokens_are_counted_without_generating(
    api: httpx2.Client, simulator: SimulatorControl, facts: Facts
) -> None:
    before = simulator.state()["books"]
    reply = api.post(f"{PATH}/input_tokens", json={"model": "gpt-6-luna", "input": "Say: pong"}).json()
    facts.assert_conforms("input_tokens", reply)
    used = api.post(PATH, json=asked()).json()["usage"]["input_tokens"]
    assert (reply["input_tokens"], before != simulator.state()["books"]) == (used, True)
    assert api.post(f"{PATH}/input_tokens", json={"input": []}).status_code == 400
