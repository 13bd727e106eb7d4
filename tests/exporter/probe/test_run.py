# SPDX-License-Identifier: Apache-2.0
"""One probe and the turns that it takes, so that many that end at once hold up nothing else."""

import gc
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from openai_exporter.client.connection import Reply
from openai_exporter.client.pool import Terms
from openai_exporter.client.trace import ApiCall, Exchange, Failure, FailureKind, Step, WireError
from openai_exporter.config import Secret
from openai_exporter.config.secret import Masker
from openai_exporter.model import Endpoint, ProbeKey
from openai_exporter.probe.result import Frame
from openai_exporter.probe.run import Clients, located, run_probe
from openai_simulator.testing import SimulatorControl
from tests.exporter.probe.exchanges import exchange, setting, timeout
from tests.exporter.probe.probers import MODULES, configuration, key_of, prober_for

RESET = Failure(FailureKind.RESET, Step.TRANSFER, "reset")


@dataclass(frozen=True)
class Caller:
    """Ends every call with one exchange."""

    found: Exchange

    async def call(self, call: ApiCall, terms: Terms, key: Secret | None) -> Exchange:
        if self.found.failure is not None:
            raise WireError(self.found)
        return self.found


@pytest.mark.parametrize(
    ("failure", "outcome", "turns"),
    [
        pytest.param(None, "success", 2, id="an answer is judged in a turn of its own"),
        pytest.param(RESET, "reset", 2, id="so is a broken one"),
        pytest.param(timeout(), "timeout_total", 1, id="one that was cut had its turn for that"),
    ],
)
async def test_each_piece_of_computing_has_one_turn(failure: Failure | None, outcome: str, turns: int) -> None:
    taken = 0

    async def turn() -> None:
        nonlocal taken
        taken += 1

    frame = Frame(ProbeKey("api", "models", ""), setting(Endpoint.MODELS), 0.0, 5.0, Masker())
    caller = Caller(exchange({"object": "list", "data": [{"id": "m", "object": "model"}]}, failure=failure))
    result = await run_probe(frame, caller.call, Terms(5.0), None, turn)
    assert (outcome, turns) == (result.outcome, taken)


def test_an_exception_is_told_in_one_line() -> None:
    with pytest.raises(KeyError) as raised:
        vars()["x"]
    assert located(raised.value).startswith("KeyError: 'x' at test_run.py:")
    assert located(ValueError("y")) == "ValueError: y"


# Clients are made once per target and move with a reload.

URL = "http://127.0.0.1:1/v1"


async def test_a_target_has_one_client_that_moves_to_the_next_configuration() -> None:
    config = configuration(URL)
    clients = Clients({})
    first = await clients.get(config.targets[0])
    assert first is await clients.get(config.targets[0])
    moved = clients.hand_over(configuration(URL))
    assert first is await moved.get(config.targets[0])
    changed = moved.hand_over(configuration(URL, organization="org-1"))
    assert first is not await changed.get(configuration(URL, organization="org-1").targets[0])
    await moved.aclose()
    assert first is not await moved.get(config.targets[0]), "what was closed is not used again"


async def test_a_proxy_that_cannot_be_used_does_not_stop_a_client_from_being_made() -> None:
    clients = Clients({"all": "socks5://127.0.0.1:1"})
    assert (await clients.get(configuration(URL).targets[0])).pool.host == "127.0.0.1"


# What a probe leaves behind: its answer goes with it, without help of the garbage collector, which rarely runs.


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def _alive() -> list[str]:
    return [type(each).__name__ for each in gc.get_objects() if isinstance(each, Exchange | Reply)]


@pytest.mark.parametrize("module", ["chat", "chat_stream", "responses_stream", "speech", "models"])
async def test_the_answer_is_freed_at_once(simulator: SimulatorControl, no_collector: None, module: str) -> None:
    async with prober_for(configuration(simulator.api_url)) as prober:
        answer = await prober.probe(key_of(module))
        assert answer.result.success
        assert _alive() == []


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("status", {"status": 500}),
        ("hang", {}),
        ("reset", {}),
        ("truncate", {}),
        ("malformed_json", {}),
    ],
)
async def test_so_is_that_of_a_failure(
    simulator: SimulatorControl, no_collector: None, kind: str, parameters: dict[str, int]
) -> None:
    simulator.fault(kind, "/v1/chat/completions", **parameters)
    modules = {"chat": {**MODULES["chat"], "timeout": "1s"}}
    async with prober_for(configuration(simulator.api_url, modules)) as prober:
        answer = await prober.probe(key_of("chat"))
        assert not answer.result.success
        assert _alive() == []
