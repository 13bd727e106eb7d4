# SPDX-License-Identifier: Apache-2.0
"""What a probe leaves behind: its answer goes with it, without help of the garbage collector, which rarely runs."""

import gc
from collections.abc import Iterator

import pytest

from openai_exporter.client.trace import Exchange
from openai_exporter.client.wire_reply import Reply
from openai_exporter.simulator.testing import SimulatorControl

from .probers import MODULES, configuration, key_of, prober_for


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def _alive() -> list[str]:
    return [type(each).__name__ for each in gc.get_objects() if isinstance(each, Exchange | Reply)]


@pytest.mark.parametrize("module", ["chat", "chat_stream", "responses_stream", "speech", "models"])
async def test_the_answer_is_freed_at_once(
    simulator: SimulatorControl, no_collector: None, module: str
) -> None:
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
