# SPDX-License-Identifier: Apache-2.0
"""A status page read over real sockets: shared, kept, never the scrape's fault."""

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from openai_exporter.config.organization import StatusPage
from openai_exporter.exposition import Instruments
from openai_exporter.simulator.testing import SimulatorControl, running_simulator
from openai_exporter.status.reading import STATES
from openai_exporter.status.service import StatusService


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def shared_simulator() -> Iterator[SimulatorControl]:
    with running_simulator(latency_scale=0) as control:
        yield control


@pytest.fixture
def simulator(shared_simulator: SimulatorControl) -> Iterator[SimulatorControl]:
    yield shared_simulator
    shared_simulator.clear()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def _service(url: str, clock: Clock, instruments: Instruments | None = None, **page: Any) -> StatusService:
    made = StatusPage(name="page", url=url, **page)
    return StatusService(made, instruments=instruments or Instruments(process=False), now=clock)


async def _text(service: StatusService) -> str:
    return (await service.page(5)).body().decode()


def _calls(simulator: SimulatorControl) -> int:
    return sum("/status/" in each["path"] for each in simulator.journal_since())


async def test_a_page_gives_every_component_with_its_state(simulator: SimulatorControl, clock: Clock) -> None:
    service = _service(f"{simulator.base_url}/status", clock)
    lines = (await _text(service)).splitlines()
    await service.close()
    assert "openai_status_up 1" in lines
    assert f"openai_status_last_success_timestamp_seconds {int(clock.now)}" in lines
    components = [line for line in lines if line.startswith("openai_status_component{")]
    assert len(components) % len(STATES) == 0
    assert len(components) >= 20 * len(STATES)
    on = [line for line in components if line.endswith(" 1")]
    assert len(on) == len(components) // len(STATES)


async def test_scrapes_share_one_read(simulator: SimulatorControl, clock: Clock) -> None:
    service = _service(f"{simulator.base_url}/status", clock, refresh_interval="1m")
    before = _calls(simulator)
    await asyncio.gather(*(_text(service) for _ in range(5)))
    clock.now += 59
    await _text(service)
    assert _calls(simulator) == before + 2
    clock.now += 1
    await _text(service)
    await service.close()
    assert _calls(simulator) == before + 4


async def test_a_page_that_fails_keeps_the_last_good_reading(
    simulator: SimulatorControl, clock: Clock
) -> None:
    instruments = Instruments(process=False)
    service = _service(f"{simulator.base_url}/status", clock, instruments, refresh_interval="1s")
    good = await _text(service)
    read_at = clock.now
    simulator.fault("status", "/status/api/v2/*", status=503)
    clock.now += 100
    stale = await _text(service)
    assert good.replace("openai_status_up 1", "openai_status_up 0") == stale
    assert f"openai_status_last_success_timestamp_seconds {int(read_at)}" in stale
    assert "503" in service.summary().error
    failures = 'openai_exporter_upstream_failures_total{api="status_summary",organization="",reason="server_error"} 1.0'
    assert failures in instruments.render("")[0].decode().splitlines()
    simulator.clear()
    clock.now += 100
    assert "openai_status_up 1" in (await _text(service)).splitlines()
    assert service.summary().error == ""
    await service.close()


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "html"},
        {"kind": "malformed_json"},
        {"kind": "empty"},
        {"kind": "reset"},
        {"kind": "truncate"},
        {"kind": "huge"},
        {"kind": "status", "status": 404},
        {"kind": "status", "status": 429},
    ],
    ids=lambda fault: "-".join(str(value) for value in fault.values()),
)
async def test_a_broken_answer_is_down_and_nothing_else(
    simulator: SimulatorControl, clock: Clock, fault: dict[str, Any]
) -> None:
    simulator.fault(path="/status/api/v2/*", **fault)
    service = _service(f"{simulator.base_url}/status", clock, timeout="3s")
    assert "openai_status_up 0" in (await _text(service)).splitlines()
    await service.close()


@pytest.mark.parametrize("kind", ["hang", "drip"])
async def test_a_scrape_does_not_wait_longer_than_it_may(
    simulator: SimulatorControl, clock: Clock, kind: str
) -> None:
    simulator.fault(kind, "/status/api/v2/*")
    service = _service(f"{simulator.base_url}/status", clock, timeout="1s")
    began = asyncio.get_running_loop().time()
    await service.page(0.2)
    assert asyncio.get_running_loop().time() - began < 0.9
    await service.page(10)
    assert asyncio.get_running_loop().time() - began < 5
    assert "1 s" in service.summary().error
    await service.close()


async def test_without_components_json_the_summary_is_enough(
    simulator: SimulatorControl, clock: Clock
) -> None:
    simulator.fault("status", "/status/api/v2/components.json", status=404)
    service = _service(f"{simulator.base_url}/status", clock)
    assert "openai_status_up 1" in (await _text(service)).splitlines()
    await service.close()


async def test_a_component_that_is_not_listed_is_told_with_what_is(
    simulator: SimulatorControl, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    service = _service(f"{simulator.base_url}/status", clock, components=("Nope",), refresh_interval="1s")
    await _text(service)
    clock.now += 2
    await _text(service)
    await service.close()
    told = [each for each in caplog.messages if "lists no component 'Nope'; listed: " in each]
    assert len(told) == 1


async def test_nobody_listening_is_down(clock: Clock) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        service = _service(f"http://127.0.0.1:{unused.getsockname()[1]}", clock)
        assert (await _text(service)) == (await _text(service))
        assert "openai_status_up 0" in (await _text(service)).splitlines()
        await service.close()


async def test_a_reload_keeps_the_reading_of_an_unchanged_url(
    simulator: SimulatorControl, clock: Clock
) -> None:
    url = f"{simulator.base_url}/status"
    service = _service(url, clock)
    before = await _text(service)
    assert service.replaced_by(StatusPage(name="page", url=url)) is service
    other = service.replaced_by(StatusPage(name="page", url=url, refresh_interval=300.0))
    assert before == other._encoded.body().decode()
    fresh = service.replaced_by(StatusPage(name="page", url="http://127.0.0.1:1"))
    assert not fresh.summary().tried
    await service.close()
