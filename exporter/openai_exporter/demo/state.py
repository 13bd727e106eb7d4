# SPDX-License-Identifier: Apache-2.0
"""What the running demo shows: values asked of Prometheus, and what happened to alerts since it began."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import requests

TIMEOUT = 2.0
FIRING = "firing"
_STYLES = {"pending": "yellow", FIRING: "bold red"}
Get = Callable[[str, dict[str, str]], Any]
Series = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class State:
    """Live figures; None where nothing is known yet.

    Attributes:
        targets_up, targets: scrape targets that answer, and all of them.
        probes_good, probes: probes that succeed, and all of them.
        cost: month-to-date billed cost in USD.
        tokens: input and output tokens since the first of the month.
        firing: names of firing alerts, with their model or how many there are.
        alerts: name of each active alert -> `pending` or `firing`; None while it is not known.
        pages: what page-sink has, None while it is not known.
    """

    targets_up: int | None = None
    targets: int | None = None
    probes_good: int | None = None
    probes: int | None = None
    cost: float | None = None
    tokens: float | None = None
    firing: tuple[str, ...] = ()
    alerts: Mapping[str, str] | None = None
    pages: tuple[Mapping[str, Any], ...] | None = None


def get_json(url: str, params: dict[str, str]) -> Any:
    """The JSON that a local URL answers; None when it does not."""
    try:
        answer = requests.get(url, params=params, timeout=TIMEOUT)
        return answer.json() if answer.ok else None
    except (requests.RequestException, ValueError):
        return None


def read_state(prometheus: str, pages: str | None = None, get: Get = get_json) -> State:
    """The state as Prometheus, and page-sink at `pages`, know it."""

    def query(text: str) -> Series | None:
        answer = get(f"{prometheus}/api/v1/query", {"query": text})
        return answer["data"]["result"] if answer and answer.get("status") == "success" else None

    def value(text: str) -> float | None:
        result = query(text)
        return float(result[0]["value"][1]) if result else None

    def count(text: str) -> int | None:
        number = value(text)
        return None if number is None else int(number)

    alerts = query('ALERTS{severity!="none"}')
    listed = None if pages is None else get(f"{pages}/api/v1/pages", {})
    return State(
        targets_up=count("count(up == 1) or vector(0)"),
        targets=count("count(up)"),
        probes_good=count("count(probe_success == 1) or vector(0)"),
        probes=count("count(probe_success)"),
        cost=value("sum(openai_costs_month_to_date_usd)"),
        tokens=value("sum(openai_usage_input_tokens_total) + sum(openai_usage_output_tokens_total)"),
        firing=_firing(alerts or []),
        alerts=None if alerts is None else _states(alerts),
        pages=None if listed is None else tuple(listed["pages"]),
    )


def _states(alerts: Series) -> dict[str, str]:
    """An alert fires when one of its series does."""
    labels = sorted((series["metric"] for series in alerts), key=lambda metric: metric["alertstate"] == FIRING)
    return {metric["alertname"]: metric["alertstate"] for metric in labels}


def _firing(alerts: Series) -> tuple[str, ...]:
    """One word for each firing alert: with its model while it is alone, else with how many there are."""
    models: dict[str, list[str]] = {}
    for labels in (series["metric"] for series in alerts if series["metric"]["alertstate"] == FIRING):
        models.setdefault(labels["alertname"], []).append(labels.get("model", ""))
    names = ((name, of[0] if len(of) == 1 else f"x{len(of)}") for name, of in sorted(models.items()))
    return tuple(f"{name} {suffix}".strip() for name, suffix in names)


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    Attributes:
        at: seconds since the demo began.
        style: rich's.
    """

    at: float
    text: str
    style: str = ""


class Timeline:
    """Turns what is now into what has changed."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._states: Mapping[str, str] = {}
        self._last_page = 0

    def note(self, at: float, text: str, style: str = "bold cyan") -> None:
        """Something that the demo did."""
        self.events.append(Event(at, text, style))

    def update(self, at: float, states: Mapping[str, str] | None, pages: Sequence[Mapping[str, Any]]) -> list[Event]:
        """The events since the last update.

        Args:
            states: name of each alert that is active -> `pending` or `firing`; None while that is not known.
            pages: what page-sink lists, in any order.
        """
        before = len(self.events)
        states = self._states if states is None else states
        for name in sorted({*self._states, *states}):
            old, new = self._states.get(name), states.get(name)
            if new is not None and new != old:
                self.events.append(Event(at, f"{name} {new}", _STYLES.get(new, "")))
            elif new is None and old == FIRING:
                self.events.append(Event(at, f"{name} fires no more", "green"))
            elif new is None:
                self.events.append(Event(at, f"{name} did not last", "dim"))
        self._states = dict(states)
        for page in sorted(pages, key=lambda page: int(page["id"])):
            if int(page["id"]) > self._last_page:
                self._last_page = int(page["id"])
                self.events.append(_delivered(at, page))
        return self.events[before:]


def _delivered(at: float, page: Mapping[str, Any]) -> Event:
    count = len(page["alerts"])
    alerts = f"{count} alert" if count == 1 else f"{count} alerts"
    if page["status"] == "resolved":
        return Event(at, f"page delivered: {page['title']} resolved ({alerts})", "bold green")
    return Event(at, f"page delivered: {page['severity']} {page['title']} ({alerts})", "bold red")
