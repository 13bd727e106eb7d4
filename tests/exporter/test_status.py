# SPDX-License-Identifier: Apache-2.0
"""A status page read over real sockets: shared, kept, never the scrape's fault."""

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, strategies as st

from openai_exporter.config.sections import StatusPage
from openai_exporter.exposition import Instruments
from openai_exporter.status import IMPACTS, STATES, Component, Incident, StatusService, families, reading, select
from openai_simulator.testing import SimulatorControl, running_simulator
from tests.exporter.client.rawserver import Turn, answer, raw_server

# What a status page says, whatever it leaves out or invents.


def _component(identifier: str, name: str, status: Any) -> dict[str, Any]:
    return {"id": identifier, "name": name, "status": status, "position": 1, "group": None}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *((state, state) for state in STATES),
        ("full_outage", "major_outage"),
        ("maintenance", "under_maintenance"),
        ("Operational", "operational"),
        ("PARTIALOUTAGE", "partial_outage"),
        ("on_fire", "unknown"),
        (None, "unknown"),
        (7, "unknown"),
    ],
)
def test_states_become_a_closed_list(status: Any, expected: str) -> None:
    found = reading([{"components": [_component("a", "Chat", status)]}])
    assert (Component("a", "Chat", expected),) == found.components


def test_components_of_one_name_are_kept_apart_by_id() -> None:
    listed = [_component("a", "Login", "operational"), _component("b", "Login", "major_outage")]
    assert ("a", "b") == tuple(each.id for each in reading([{"components": listed}]).components)


def test_what_only_the_second_document_lists_is_added() -> None:
    summary = {"components": [_component("a", "Chat", "operational")]}
    whole = {"components": [_component("a", "Chat", "major_outage"), _component("b", "CLI", "operational")]}
    found = reading([summary, whole]).components
    assert (Component("a", "Chat", "operational"), Component("b", "CLI", "operational")) == found


def test_groups_and_nameless_entries_are_tolerated() -> None:
    listed = [{"id": "g", "name": "API", "group": True}, {"name": "no id"}, {"id": "c"}, "text", None]
    assert (Component("c", "c", "unknown"),) == reading([{"components": listed}]).components


@pytest.mark.parametrize("document", [{}, {"components": None, "incidents": None}, {"components": 3, "incidents": "x"}])
def test_absent_keys_are_empty(document: dict[str, Any]) -> None:
    found = reading([document])
    assert ((), ()) == (found.components, found.incidents)


def test_incidents_that_are_over_do_not_count() -> None:
    listed = [
        {"id": "1", "name": "Slow", "status": "investigating", "impact": "minor", "shortlink": "https://s.example/1"},
        {"id": "2", "name": "Down", "status": "resolved", "impact": "critical"},
        {"id": "3", "name": "Odd", "status": "new_word", "impact": "enormous", "shortlink": "javascript:alert(1)"},
    ]
    expected = (
        Incident("Slow", "minor", "investigating", "https://s.example/1"),
        Incident("Odd", "unknown", "new_word", ""),
    )
    assert expected == reading([{"incidents": listed}]).incidents


def test_names_of_a_page_hold_no_control_or_direction_character() -> None:
    odd = "a\x1b[31m\u202eb\r\nc"
    listed = [{"id": "1", "name": odd, "status": odd, "shortlink": f"https://s.example/{odd}"}]
    found = reading([{"components": listed, "incidents": listed}])
    (component,), (incident,) = found.components, found.incidents
    assert all(map(str.isprintable, (component.name, incident.name, incident.status, incident.url)))


def test_components_are_chosen_by_name_or_id() -> None:
    found = (Component("a", "Chat", "operational"), Component("b", "Batch", "operational"))
    assert (found, ()) == select(found, ())
    assert (found[:1], ("Nope",)) == select(found, ("Chat", "Nope"))
    assert (found[1:], ()) == select(found, ("b",))


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
)
_ENTRIES = st.lists(
    st.dictionaries(st.sampled_from(["id", "name", "status", "impact", "group", "shortlink"]), _VALUES) | _VALUES
)


@given(st.lists(st.dictionaries(st.sampled_from(["components", "incidents", "page"]), _ENTRIES | _VALUES), max_size=3))
def test_any_document_gives_states_of_the_closed_lists(documents: list[dict[str, Any]]) -> None:
    found = reading(documents)
    assert {each.state for each in found.components} <= set(STATES)
    assert {each.impact for each in found.incidents} <= set(IMPACTS)
    identifiers = [each.id for each in found.components]
    assert len(identifiers) == len(set(identifiers))
    families(True, 1.0, found.components, found.incidents)


def test_the_families_are_a_state_set_and_counts() -> None:
    found = families(True, 12.0, [Component("a", "Chat", "partial_outage")], [Incident("x", "major", "monitoring", "")])
    samples = {each.metric.name: dict(each.samples) for each in found}
    assert {"partial_outage"} == {labels[2] for labels, value in samples["openai_status_component"].items() if value}
    assert len(STATES) == len(samples["openai_status_component"])
    assert {("major",)} == {labels for labels, value in samples["openai_status_incident"].items() if value}
    assert len(IMPACTS) == len(samples["openai_status_incident"])
    assert {(): 12.0} == samples["openai_status_last_success_timestamp_seconds"]


def test_before_the_first_read_only_up_is_exposed() -> None:
    found = [each.metric.name for each in families(False, None, (), ()) if each.samples]
    assert ["openai_status_up"] == found


# A status page read over real sockets: shared, kept, never the scrape's fault.


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


async def test_a_page_that_fails_keeps_the_last_good_reading(simulator: SimulatorControl, clock: Clock) -> None:
    instruments = Instruments(process=False)
    service = _service(f"{simulator.base_url}/status", clock, instruments, refresh_interval="1s")
    good = await _text(service)
    read_at = clock.now
    simulator.fault("status", "/status/api/v2/*", status=503)
    clock.now += 100
    stale = await _text(service)
    assert good.replace("openai_status_up 1", "openai_status_up 0") == stale
    assert f"openai_status_last_success_timestamp_seconds {int(read_at)}" in stale
    assert "503" in service.error
    failures = 'openai_exporter_upstream_failures_total{api="status_summary",organization="",reason="server_error"} 1.0'
    assert failures in instruments.render("")[0].decode().splitlines()
    simulator.clear()
    clock.now += 100
    assert "openai_status_up 1" in (await _text(service)).splitlines()
    assert service.error == ""
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


UNREADABLE = {
    "nothing": ("{}", "lists no component"),
    "another schema": ('{"page": {"id": "x"}, "monitors": [{"name": "API", "up": true}]}', "lists no component"),
    "no components": ('{"components": [], "incidents": []}', "lists no component"),
    "components that are groups": (
        '{"components": [{"id": "a", "name": "APIs", "group": true}]}',
        "lists no component",
    ),
    "components without id": ('{"components": [{"name": "API", "status": "operational"}]}', "lists no component"),
    "components of another form": (
        '{"components": [{"id": "a", "status": 1}]}',
        "component whose status is a known word",
    ),
    "components that are a mapping": ('{"components": {"API": "operational"}}', "lists no component"),
    "a list": ("[]", "expected an object"),
    "a page": ("<html>", "not JSON"),
}


@pytest.mark.parametrize("name", UNREADABLE)
async def test_a_page_on_which_nothing_is_seen_is_unreadable_and_said_so(
    name: str, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    body, words = UNREADABLE[name]

    async def reply(turn: Turn) -> None:
        await turn.send(answer(body))

    async with raw_server(reply) as server:
        service = _service(server.url, clock)
        lines = (await _text(service)).splitlines()
        await service.close()
    assert "openai_status_up 0" in lines
    assert not any(line.startswith(("openai_status_component", "openai_status_incident")) for line in lines)
    assert words in service.error
    assert any(words in message for message in caplog.messages)


@pytest.mark.parametrize(
    "location", ["https://status.example.com/api/v2/summary.json", "https://status.example.com", "/status"]
)
async def test_a_page_that_moved_says_where_to(location: str, clock: Clock) -> None:
    async def reply(turn: Turn) -> None:
        await turn.send(answer("", "301 Moved", more=f"Location: {location}\r\n"))

    async with raw_server(reply) as server:
        service = _service(server.url, clock)
        assert "openai_status_up 0" in (await _text(service)).splitlines()
        await service.close()
    expected = location.removesuffix("/api/v2/summary.json")
    assert f"HTTP 301, moved to {expected}; set url to it" in service.error


@pytest.mark.parametrize("kind", ["hang", "drip"])
async def test_a_scrape_does_not_wait_longer_than_it_may(simulator: SimulatorControl, clock: Clock, kind: str) -> None:
    simulator.fault(kind, "/status/api/v2/*")
    service = _service(f"{simulator.base_url}/status", clock, timeout="1s")
    began = asyncio.get_running_loop().time()
    await service.page(0.2)
    assert asyncio.get_running_loop().time() - began < 0.9
    await service.page(10)
    assert asyncio.get_running_loop().time() - began < 5
    assert "1 s" in service.error
    await service.close()


async def test_without_components_json_the_summary_is_enough(simulator: SimulatorControl, clock: Clock) -> None:
    simulator.fault("status", "/status/api/v2/components.json", status=404)
    service = _service(f"{simulator.base_url}/status", clock)
    assert "openai_status_up 1" in (await _text(service)).splitlines()
    await service.close()


async def test_a_component_that_is_not_listed_is_told_with_what_is(
    simulator: SimulatorControl, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    service = _service(f"{simulator.base_url}/status", clock, components=("Nope", "Batch"), refresh_interval="1s")
    lines = (await _text(service)).splitlines()
    clock.now += 2
    await _text(service)
    await service.close()
    told = [each for each in caplog.messages if "lists no component 'Nope'; listed: " in each]
    assert len(told) == 1
    assert "openai_status_up 1" in lines


async def test_a_page_that_lists_none_of_the_components_is_unreadable(
    simulator: SimulatorControl, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    service = _service(f"{simulator.base_url}/status", clock, components=("Nope", "Nothing"))
    assert "openai_status_up 0" in (await _text(service)).splitlines()
    await service.close()
    assert "lists no component 'Nope', 'Nothing'; listed: " in service.error
    assert any("lists no component 'Nope', 'Nothing'; listed: " in each for each in caplog.messages)


async def test_nobody_listening_is_down(clock: Clock) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        service = _service(f"http://127.0.0.1:{unused.getsockname()[1]}", clock)
        assert (await _text(service)) == (await _text(service))
        assert "openai_status_up 0" in (await _text(service)).splitlines()
        await service.close()


async def test_a_reload_keeps_the_reading_of_an_unchanged_url(simulator: SimulatorControl, clock: Clock) -> None:
    url = f"{simulator.base_url}/status"
    service = _service(url, clock)
    before = await _text(service)
    assert service.replaced_by(StatusPage(name="page", url=url)) is service
    other = service.replaced_by(StatusPage(name="page", url=url, refresh_interval=300.0))
    assert before == other._encoded.body().decode()
    fresh = service.replaced_by(StatusPage(name="page", url="http://127.0.0.1:1"))
    assert not fresh.tried
    await service.close()
