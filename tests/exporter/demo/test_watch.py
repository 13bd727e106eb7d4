# SPDX-License-Identifier: Apache-2.0
"""The demo's loop against a real simulator: outages by time, and what it prints."""

import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console

from openai_exporter.demo.watch import (
    Event,
    Keys,
    Schedule,
    State,
    Timeline,
    Watch,
    line,
    live_screen,
    look_back,
    read_state,
    read_windows,
)
from openai_exporter.errors import StartError
from openai_simulator.testing import SimulatorControl, running_simulator
from tests.exporter.demo.terminal import Terminal

# Key presses: a real pseudo-terminal.

PROGRAM = """
from openai_exporter.demo.watch import pressed
with pressed() as keys:
    print("ready" if keys else "no terminal", flush=True)
    while keys:
        key = keys.wait(0.2)
        if key:
            print(f"key {key}", flush=True)
        if key == "q" or keys.gone:
            break
"""
ARGV = [sys.executable, "-c", PROGRAM]


def test_a_key_is_read_without_enter() -> None:
    terminal = Terminal(ARGV)
    terminal.shows("ready")

    terminal.press("b")
    terminal.shows("key b")
    terminal.press("q")

    assert terminal.end() == 0


def test_ctrl_c_stays_a_signal() -> None:
    terminal = Terminal(ARGV)
    terminal.shows("ready")

    terminal.press("\x03")

    assert terminal.end() in (1, -signal.SIGINT)
    assert "KeyboardInterrupt" in terminal.text


def test_a_terminal_that_was_closed_is_noticed_without_a_signal() -> None:
    """As under make, which is hung up itself and passes nothing on."""
    master, slave = os.openpty()
    keys = Keys(slave)
    open_still = (keys.wait(0), keys.gone)
    os.close(master)
    try:
        assert (open_still, keys.wait(5), keys.gone) == (("", False), "", True)
    finally:
        os.close(slave)


def test_without_a_terminal_there_are_no_keys() -> None:
    null = subprocess.run(ARGV, stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
    pipe = subprocess.run(ARGV, input=b"b", capture_output=True, timeout=30)

    assert (null.stdout, pipe.stdout) == (b"no terminal\n", b"no terminal\n")


# The demo's loop against a real simulator: outages by time, and what it prints.


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


class Until(threading.Event):
    """An event that is set at a time, and that is waited for in no time."""

    def __init__(self, clock: Clock, end: float) -> None:
        super().__init__()
        self._clock, self._end = clock, end

    def is_set(self) -> bool:
        return self._clock.now >= self._end

    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set()


def watched(
    simulator: str | None, schedule: Schedule, states: list[State], windows: dict[str, float] | None = None
) -> str:
    """What is printed while the states come one after the other, the last one staying."""
    out, clock = io.StringIO(), Clock()
    seen, last = iter(states), states[-1]
    console = Console(file=out, width=200)
    watch = Watch(
        lambda: next(seen, last), lambda: None, lambda: windows or {}, simulator, schedule, console, 0.5, clock
    )
    watch.run(Until(clock, schedule.end or 0))
    return out.getvalue()


def test_it_breaks_and_mends_by_itself(simulator: SimulatorControl) -> None:
    broken = watched(simulator.base_url, Schedule(end=3, start_outage=1), [State()])
    faults = [fault["kind"] for fault in simulator.faults()]
    mended = watched(simulator.base_url, Schedule(end=3, end_outage=1), [State()])

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


def test_after_the_outage_it_says_which_alert_looks_back_and_until_when(simulator: SimulatorControl) -> None:
    before, during = (
        State(alerts={"Old": "firing"}),
        State(alerts={"Old": "firing", "Burn": "pending", "Down": "firing", "OfUsage": "firing"}),
    )
    states = [*[before] * 4, *[during] * 20]

    said = watched(simulator.base_url, Schedule(5, 1.5, 3), states, {"Burn": 300.0, "Old": 60.0, "Down": 0.0})

    assert [line.partition(" ")[2] for line in said.splitlines() if line.startswith("event") and " look" in line] == [
        "t=3s Down looks at what is now: it ends with the next successful probes",
        "t=3s Burn looks back 5m: it may fire until 303 s",
    ]


@pytest.mark.parametrize(
    ("expression", "seconds"),
    [
        ("up == 0", 0),
        ("max_over_time(up[2m]) == 0", 120),
        ("probe:openai_sli_error:ratio1h > 0.1 and probe:openai_sli_error:ratio5m > 0.1", 300),
        ("target_model:openai_api_latency_seconds:p95_20m > 5", 1200),
        ("rate(x_total[750ms]) > 1", 0.75),
        ("probe:openai_sli_error:ratio30d > 1", 30 * 86_400),
    ],
)
def test_an_alert_looks_back_over_the_shortest_of_its_windows(expression: str, seconds: float) -> None:
    assert look_back(expression) == seconds


def test_the_rules_that_prometheus_runs_say_how_far_alerts_look_back() -> None:
    of_probes, of_usage = [{"labels": {"target": "openai"}}], [{"labels": {"organization": "acme"}}]
    rules = [
        {"name": "Burn", "query": "a:b:ratio1h > 1 and a:b:ratio5m > 1", "alerts": of_probes},
        {"name": "Burn", "query": "a:b:ratio6h > 1 and a:b:ratio30m > 1", "keepFiringFor": 60, "alerts": of_probes},
        {"name": "Unused", "query": "a > 1", "alerts": of_usage},
        {"name": "Silent", "query": "a > 1", "alerts": []},
    ]

    assert read_windows("", lambda url, params: {"data": {"groups": [{"rules": rules}]}}) == {"Burn": 1860}
    assert read_windows("", lambda url, params: None) == {}


def test_a_simulator_that_is_gone_is_told() -> None:
    assert "the simulator does not answer" in watched("http://127.0.0.1:9", Schedule(end=2, start_outage=0), [State()])


def test_a_service_that_ended_ends_the_demo() -> None:
    def complain() -> None:
        raise StartError("prometheus ended by itself")

    watch = Watch(State, complain, dict, None, Schedule(), Console(file=io.StringIO()), 0.0)
    with pytest.raises(StartError, match="prometheus ended"):
        watch.run(threading.Event())


# What the demo asks Prometheus and page-sink, and how it shows the answers.

ANSWERS: dict[str, list[tuple[dict[str, str], str]]] = {
    "count(up == 1) or vector(0)": [({}, "11")],
    "count(up)": [({}, "11")],
    "count(probe_success == 1) or vector(0)": [({}, "7")],
    "count(probe_success)": [({}, "8")],
    "sum(openai_costs_month_to_date_usd)": [({}, "12.5")],
    'ALERTS{severity!="none"}': [
        ({"alertname": "Slow", "alertstate": "firing", "model": "gpt-6"}, "1"),
        ({"alertname": "Slow", "alertstate": "firing"}, "1"),
        ({"alertname": "Down", "alertstate": "firing", "model": "gpt-6"}, "1"),
        ({"alertname": "Down", "alertstate": "pending"}, "1"),
        ({"alertname": "Late", "alertstate": "pending"}, "1"),
    ],
}


def get(url: str, params: dict[str, str]) -> Any:
    if url == "http://sink/api/v1/pages":
        return {"pages": [{"id": 1}]}
    found = ANSWERS.get(params["query"], [])
    result = [{"metric": metric, "value": [0, value]} for metric, value in found]
    return {"status": "success", "data": {"result": result}}


def test_the_state_is_what_prometheus_and_page_sink_say() -> None:
    state = read_state("http://prometheus", "http://sink", get)

    assert (state.targets_up, state.probes_good, state.probes, state.cost) == (11, 7, 8, 12.5)
    assert state.tokens is None
    assert state.firing == ("Down gpt-6", "Slow x2")
    assert state.alerts == {"Down": "firing", "Slow": "firing", "Late": "pending"}
    assert state.pages == ({"id": 1},)


def test_nothing_is_known_where_nothing_answers() -> None:
    assert read_state("http://prometheus", "http://sink", lambda url, params: None) == State()
    assert read_state("http://prometheus", None, lambda url, params: None).pages is None


def test_the_figures_are_shown_with_the_last_events() -> None:
    state = State(11, 11, 7, 8, 12.5, 1e6, ("Down",), {"Down": "firing"}, ({"id": 1},))
    events = [Event(number, f"event {number}") for number in range(30)]
    out = io.StringIO()

    Console(file=out, width=120).print(live_screen(state, 65, events, broken=True))

    text = out.getvalue()
    assert "7 of 8" in text
    assert "pages delivered" in text
    assert "broken; press m to mend it" in text
    assert "29 s  event 29" in text
    assert "event 17" not in text
    assert line(state, 65) == ("t=65s up=11/11 probe_success=7/8 tokens=1000000 billed_usd=12.50 firing=Down pages=1")


# What the demo says happened to alerts.


def page(number: int, status: str = "firing", alerts: int = 1) -> dict[str, Any]:
    return {"id": number, "status": status, "severity": "critical", "title": "Down", "alerts": [{}] * alerts}


def texts(events: list[Event]) -> list[str]:
    return [event.text for event in events]


def test_an_alert_goes_from_pending_to_a_page_and_back() -> None:
    timeline = Timeline()

    assert texts(timeline.update(1, {}, [])) == []
    assert texts(timeline.update(2, {"Down": "pending"}, [])) == ["Down pending"]
    assert texts(timeline.update(3, {"Down": "pending"}, [])) == []
    assert texts(timeline.update(4, {"Down": "firing"}, [])) == ["Down firing"]
    assert texts(timeline.update(5, {"Down": "firing"}, [page(1)])) == ["page delivered: critical Down (1 alert)"]
    assert texts(timeline.update(6, {}, [page(1)])) == ["Down is resolved"]
    assert texts(timeline.update(7, {}, [page(2, "resolved", 3), page(1)])) == [
        "page delivered: Down resolved (3 alerts)"
    ]
    assert [event.at for event in timeline.events] == [2, 4, 5, 6, 7]


def test_an_alert_that_only_waited_did_not_last() -> None:
    timeline = Timeline()
    timeline.update(1, {"Down": "pending"}, [])

    assert texts(timeline.update(2, {}, [])) == ["Down did not last"]


def test_what_the_demo_does_is_noted() -> None:
    timeline = Timeline()
    timeline.note(3, "outage set")

    assert texts(timeline.events) == ["outage set"]


def test_what_is_not_known_for_a_moment_has_not_ended() -> None:
    timeline = Timeline()
    timeline.update(1, {"A": "firing"}, ())

    assert timeline.update(2, None, ()) == []
    assert [each.text for each in timeline.update(3, {}, ())] == ["A is resolved"]
