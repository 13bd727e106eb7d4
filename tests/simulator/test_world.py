# SPDX-License-Identifier: Apache-2.0
"""The control endpoints and their client."""

import threading
from typing import Any

import httpx2
import pytest
from starlette.requests import Request

from openai_simulator.testing import SimulatorControl, SimulatorError
from openai_simulator.world import Control, Settings, World

ASKED = {"model": "text-embedding-3-small", "input": "ping"}


def test_the_root_says_what_it_is_and_what_it_serves(api: httpx2.Client) -> None:
    text = api.get("/").text
    assert text.startswith("This is a simulated OpenAI API (seed 7).")
    assert "POST /v1/chat/completions\n" in text
    assert "GET /v1/organization/costs\n" in text


def test_the_state_tells_clock_faults_calls_and_books(api: httpx2.Client, simulator: SimulatorControl) -> None:
    before = calls(simulator.state())
    fault_id = simulator.fault("status", "/v1/embeddings", status=429, probability=0.5, seconds=60)
    simulator.clear(fault_id)
    fault_id = simulator.fault("drip", "/v1/chat")
    api.post("/v1/embeddings", json=ASKED)
    api.post("/v1/embeddings", json={})
    state = simulator.state()
    assert (state["simulated"], state["seed"]) == (True, 7)
    assert set(state["clock"]) == {"now", "iso", "speed"}
    assert [fault["id"] for fault in state["faults"]] == [fault_id]
    after = calls(state)
    assert after["POST /v1/embeddings 200"] == before.get("POST /v1/embeddings 200", 0) + 1
    assert after["POST /v1/embeddings 400"] == before.get("POST /v1/embeddings 400", 0) + 1
    assert state["books"]


def calls(state: dict[str, Any]) -> dict[str, int]:
    return {f"{call['method']} {call['path']} {call['status']}": call["count"] for call in state["calls"]}


def test_the_clock_can_be_set_advanced_and_sped_up(simulator: SimulatorControl) -> None:
    present = simulator.clock()
    try:
        assert simulator.clock(now="2026-12-01T00:00:00", speed=0) == 1_796_083_200
        assert simulator.clock(advance=-3_600) == 1_796_079_600
        assert simulator.clock(now=5) == simulator.clock() == 5
        assert simulator.clock(speed=1e6) < 1e6
    finally:
        simulator.clock(now=present, speed=1)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"now": "noon"}, "now: 'noon' is neither unix seconds nor ISO 8601"),
        ({"now": True}, "now: True is neither"),
        ({"tomorrow": 1}, "clock: tomorrow given; allowed: now, advance, speed"),
        ({}, "clock: nothing given; allowed:"),
        ({"speed": -1}, "speed must be a finite number of at least 0"),
        ({"speed": "fast"}, "speed: expected a number, got 'fast'"),
    ],
)
def test_a_wrong_change_of_the_clock_is_refused(api: httpx2.Client, body: dict[str, Any], message: str) -> None:
    reply = api.post("/_simulator/clock", json=body)
    assert reply.status_code == 400
    assert reply.json()["error"]["message"].startswith(message)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda control: control.fault("explode"), "kind: 'explode' is not a kind of fault; allowed: drip"),
        (lambda control: control.fault("drip", speed=1), "drip: 'speed' not known; allowed: kind, path"),
        (lambda control: control.clear("fault_0"), "No fault 'fault_0' is in force."),
        (lambda control: control.rate_limits("gpt-9", 1, 1), "model: 'gpt-9' is not a model; allowed: gpt-6"),
        (lambda control: control.rate_limits("gpt-6-luna", 0, 1), "requests: expected an integer of at least 1"),
    ],
)  # fmt: skip
def test_the_control_client_raises_what_the_simulator_says(
    simulator: SimulatorControl, call: Any, message: str
) -> None:
    with pytest.raises(SimulatorError) as caught:
        call(simulator)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(("content", "message"), [(b"{", "The body is not JSON"), (b"[]", "The body is not a JSON")])
def test_a_control_body_must_be_an_object(api: httpx2.Client, content: bytes, message: str) -> None:
    reply = api.post("/_simulator/faults", content=content)
    assert (reply.status_code, reply.json()["error"]["message"][: len(message)]) == (400, message)


def test_a_fault_on_everything_does_not_lock_the_control_out(api: httpx2.Client, simulator: SimulatorControl) -> None:
    simulator.fault("outage", "*", mode="reset")
    assert len(simulator.faults()) == 1
    simulator.clear()
    assert api.get("/v1/models").status_code == 200


async def test_the_books_are_added_up_beside_the_event_loop() -> None:
    """It takes hundreds of milliseconds, in which no reply would be streamed."""
    world, threads = World(Settings()), []

    def state() -> dict[str, Any]:
        threads.append(threading.get_ident())
        return {}

    world.organization.state = state  # type: ignore[method-assign]
    await Control(world, []).state(Request({"type": "http"}))
    assert threads != [threading.get_ident()]
    assert len(threads) == 1
