# SPDX-License-Identifier: Apache-2.0
"""The demo's loop against a real simulator: breaking and mending by time, and what it prints."""

import io
import threading
from collections.abc import Iterator

import pytest
from rich.console import Console

from openai_exporter.demo.outage import Switch
from openai_exporter.demo.state import State
from openai_exporter.demo.watch import Schedule, Watch
from openai_exporter.errors import StartError
from openai_exporter.simulator.testing import SimulatorControl, running_simulator


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorControl]:
    with running_simulator(latency_scale=0) as control:
        yield control


class Clock:
    """Each reading is half a second later."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.5
        return self.now


class NeverWaiting(threading.Event):
    """An event that is waited for in no time."""

    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set()


def watched(simulator: str | None, schedule: Schedule, states: list[State]) -> str:
    """What is printed while the states come one after the other, the last one staying."""
    out = io.StringIO()
    seen = iter(states)
    last = states[-1]
    watch = Watch(
        lambda: next(seen, last),
        lambda: None,
        Switch(simulator) if simulator else None,
        schedule,
        Console(file=out, width=200),
        Clock(),
    )
    watch.run(NeverWaiting())
    return out.getvalue()


def test_it_breaks_and_mends_by_itself(simulator: SimulatorControl) -> None:
    broken = watched(simulator.base_url, Schedule(end=3, break_it=1), [State()])
    faults = [fault["kind"] for fault in simulator.faults()]
    mended = watched(simulator.base_url, Schedule(end=3, mend_it=1), [State()])

    assert faults == ["outage"]
    assert simulator.faults() == []
    assert "event t=1s outage set: every probe now gets 503" in broken
    assert "event t=1s outage ended: the API works again" in mended


def test_what_alerts_and_pages_do_is_printed_between_the_figures() -> None:
    page = {"id": 1, "status": "firing", "severity": "critical", "title": "Down", "alerts": [{}]}
    states = [
        State(probes=8, probes_good=8),
        State(alerts={"Down": "pending"}),
        State(alerts={"Down": "firing"}, pages=(page,)),
    ]

    lines = watched(None, Schedule(end=4), states).splitlines()

    assert lines[0].endswith("probe_success=8/8 tokens=? billed_usd=? firing=none pages=?")
    assert [line.partition(" ")[2].partition(" ")[2] for line in lines if line.startswith("event")] == [
        "Down pending",
        "Down firing",
        "page delivered: critical Down (1 alert)",
    ]


def test_a_simulator_that_is_gone_is_told() -> None:
    assert "the simulator does not answer" in watched(
        "http://127.0.0.1:9", Schedule(end=2, break_it=0), [State()]
    )


def test_a_service_that_ended_ends_the_demo() -> None:
    def complain() -> None:
        raise StartError("prometheus ended by itself")

    watch = Watch(State, complain, None, Schedule(), Console(file=io.StringIO()))
    with pytest.raises(StartError, match="prometheus ended"):
        watch.run(threading.Event())
