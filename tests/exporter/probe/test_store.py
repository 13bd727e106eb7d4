# SPDX-License-Identifier: Apache-2.0
"""Spend per module and UTC day."""

import gc
from collections.abc import Iterator
from decimal import Decimal

import pytest

from openai_exporter.client.connection import Reply
from openai_exporter.client.trace import Exchange
from openai_exporter.probe.store import DAY, Spend
from openai_simulator.testing import SimulatorControl
from tests.exporter.probe.probers import MODULES, configuration, key_of, prober_for

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


# Spend per module and UTC day.


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def test_spend_adds_up_per_module_and_starts_over_at_midnight_utc() -> None:
    clock = Clock(20_000 * DAY + DAY - 1)
    spend = Spend(clock)
    spend.add("chat", Decimal("0.1"))
    spend.add("chat", Decimal("0.2"))
    spend.add("other", Decimal(5))
    assert spend.today()[1] == {"chat": Decimal("0.3"), "other": Decimal(5)}
    clock.now += 1
    assert spend.today()[1] == {}


def test_a_restart_goes_on_from_the_same_day_only() -> None:
    clock = Clock(20_000 * DAY)
    spend = Spend(clock)
    spend.add("chat", Decimal("0.25"))
    day, sums = spend.today()
    restarted = Spend(clock)
    restarted.restore(day, sums)
    assert restarted.today()[1] == {"chat": Decimal("0.25")}
    clock.now += DAY
    tomorrow = Spend(clock)
    tomorrow.restore(day, sums)
    assert tomorrow.today()[1] == {}


def test_a_limit_is_reached_when_it_is_met_exactly() -> None:
    spend = Spend(Clock(0))
    spend.add("chat", Decimal("0.1"))
    spend.add("chat", Decimal("0.2"))
    assert spend.reached("chat", 0.3)
    assert not spend.reached("chat", 0.31)
    assert not spend.reached("chat", None)
    assert not spend.reached("other", 0.3)
