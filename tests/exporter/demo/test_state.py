# SPDX-License-Identifier: Apache-2.0
"""What the demo asks Prometheus and page-sink, and how it shows the answers."""

import io
from typing import Any

from rich.console import Console

from openai_exporter.demo.screen import line, live
from openai_exporter.demo.state import State, read_state
from openai_exporter.demo.timeline import Event

ANSWERS: dict[str, list[tuple[dict[str, str], str]]] = {
    "count(up == 1) or vector(0)": [({}, "11")],
    "count(up)": [({}, "11")],
    "count(probe_success == 1) or vector(0)": [({}, "7")],
    "count(probe_success)": [({}, "8")],
    "sum(openai_costs_month_to_date_usd)": [({}, "12.5")],
    'ALERTS{alertstate="firing",severity!="none"}': [
        ({"alertname": "Slow", "model": "gpt-6"}, "1"),
        ({"alertname": "Down", "model": "gpt-6"}, "1"),
        ({"alertname": "Slow"}, "1"),
    ],
    'ALERTS{severity!="none"}': [
        ({"alertname": "Down", "alertstate": "firing"}, "1"),
        ({"alertname": "Down", "alertstate": "pending"}, "1"),
        ({"alertname": "Slow", "alertstate": "pending"}, "1"),
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
    assert state.alerts == {"Down": "firing", "Slow": "pending"}
    assert state.pages == ({"id": 1},)


def test_nothing_is_known_where_nothing_answers() -> None:
    assert read_state("http://prometheus", "http://sink", lambda url, params: None) == State()
    assert read_state("http://prometheus", None, lambda url, params: None).pages is None


def test_the_figures_are_shown_with_the_last_events() -> None:
    state = State(11, 11, 7, 8, 12.5, 1e6, ("Down",), {"Down": "firing"}, ({"id": 1},))
    events = [Event(number, f"event {number}") for number in range(30)]
    out = io.StringIO()

    Console(file=out, width=120).print(live(state, 65, events, broken=True))

    text = out.getvalue()
    assert "7 of 8" in text
    assert "pages delivered" in text
    assert "broken; press m to mend it" in text
    assert "29 s  event 29" in text
    assert "event 17" not in text
    assert line(state, 65) == (
        "t=65s up=11/11 probe_success=7/8 tokens=1000000 billed_usd=12.50 firing=Down pages=1"
    )
