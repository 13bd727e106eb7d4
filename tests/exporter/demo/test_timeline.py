# SPDX-License-Identifier: Apache-2.0
"""What the demo says happened to alerts."""

from typing import Any

from openai_exporter.demo.timeline import Event, Timeline


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
    assert texts(timeline.update(5, {"Down": "firing"}, [page(1)])) == [
        "page delivered: critical Down (1 alert)"
    ]
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
