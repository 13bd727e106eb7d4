# SPDX-License-Identifier: Apache-2.0
"""What the running demo shows: values asked of Prometheus, and what happened to alerts since it began."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import requests

# What the running demo shows: figures asked of Prometheus, or of the exporter where there is none.

Get = Callable[[str, dict[str, str]], Any]
TIMEOUT = 2.0


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


def answers(url: str) -> bool:
    """Whether a local URL answers 200."""
    try:
        return requests.get(url, timeout=TIMEOUT).status_code == 200
    except requests.RequestException:
        return False


def read_state(prometheus: str, pages: str | None = None, get: Get = get_json) -> State:
    """The state as Prometheus, and page-sink at `pages`, know it."""

    def asked(text: str) -> list[dict[str, Any]] | None:
        found = get(f"{prometheus}/api/v1/query", {"query": text})
        return found["data"]["result"] if found and found.get("status") == "success" else None

    def query(text: str) -> list[dict[str, Any]]:
        return asked(text) or []

    def value(text: str) -> float | None:
        result = query(text)
        return float(result[0]["value"][1]) if result else None

    def count(text: str) -> int | None:
        found = value(text)
        return None if found is None else int(found)

    return State(
        targets_up=count("count(up == 1) or vector(0)"),
        targets=count("count(up)"),
        probes_good=count("count(probe_success == 1) or vector(0)"),
        probes=count("count(probe_success)"),
        cost=value("sum(openai_costs_month_to_date_usd)"),
        tokens=value("sum(openai_usage_input_tokens_total) + sum(openai_usage_output_tokens_total)"),
        firing=_firing(query('ALERTS{alertstate="firing",severity!="none"}')),
        alerts=_states(asked('ALERTS{severity!="none"}')),
        pages=None if pages is None else _pages(get(f"{pages}/api/v1/pages", {})),
    )


def _states(found: list[dict[str, Any]] | None) -> dict[str, str] | None:
    """An alert fires when one of its series does."""
    if found is None:
        return None
    states: dict[str, str] = {}
    for each in found:
        labels = each["metric"]
        if states.get(labels["alertname"]) != "firing":
            states[labels["alertname"]] = labels["alertstate"]
    return states


def _pages(found: Any) -> tuple[Mapping[str, Any], ...] | None:
    return None if found is None else tuple(found["pages"])


def _firing(found: list[dict[str, Any]]) -> tuple[str, ...]:
    """One word for each alert: with its model while it is alone, else with how many there are."""
    models: dict[str, list[str]] = {}
    for each in found:
        models.setdefault(each["metric"]["alertname"], []).append(each["metric"].get("model", ""))
    names = ((name, of[0] if len(of) == 1 else f"x{len(of)}") for name, of in sorted(models.items()))
    return tuple(f"{name} {suffix}".strip() for name, suffix in names)


# What happened to alerts since the demo began: pending, firing, page delivered, resolved. Asks nobody itself.

PENDING, FIRING = "pending", "firing"
_STYLES = {PENDING: "yellow", FIRING: "bold red"}


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

    def update(
        self, at: float, states: Mapping[str, str] | None, pages: Sequence[Mapping[str, Any]]
    ) -> list[Event]:
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
        for page in sorted(pages, key=lambda each: int(each["id"])):
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
