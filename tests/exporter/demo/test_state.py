# SPDX-License-Identifier: Apache-2.0
"""What the demo asks Prometheus and page-sink, and how it shows the answers."""

import io
from typing import Any

from rich.console import Console

from openai_exporter.demo.state import Event, State, Timeline, read_state
from openai_exporter.demo.watch import line, live_screen

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
    assert texts(timeline.update(6, {}, [page(1)])) == ["Down fires no more"]
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
    assert [each.text for each in timeline.update(3, {}, ())] == ["A fires no more"]
