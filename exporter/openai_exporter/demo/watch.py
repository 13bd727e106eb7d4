# SPDX-License-Identifier: Apache-2.0
"""The demo's terminal: live values, what happened to alerts, keys, and the outage that they start and end."""

import json
import os
import re
import select
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from openai_exporter.config.base import format_duration
from openai_exporter.demo.plan import Plan
from openai_exporter.demo.processes import DOCKER, GRAFANA

# Values asked of Prometheus, and what happened to alerts since it began.

QUERY_TIMEOUT = 2.0
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
        answer = requests.get(url, params=params, timeout=QUERY_TIMEOUT)
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


_WINDOW = re.compile(r"(?:\[|[a-z_])(\d+)(ms|[smhdw])\b")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def look_back(expression: str) -> float:
    """Seconds of the shortest window of an alert's expression, 0 without any: after that what is over can be forgotten.

    Windows are ranges, and those that names of recorded series end with, such as `ratio5m`.
    """
    return min((int(number) * _SECONDS[unit] for number, unit in _WINDOW.findall(expression)), default=0.0)


def read_windows(prometheus: str, get: Get = get_json) -> dict[str, float]:
    """Seconds that each active alert about probes looks back, by its name; the longest of rules of one name."""
    answer = get(f"{prometheus}/api/v1/rules", {"type": "alert"})
    found: dict[str, float] = {}
    for group in answer["data"]["groups"] if answer else ():
        for rule in group["rules"]:
            if not any("target" in alert["labels"] for alert in rule["alerts"]):
                continue
            seconds = look_back(rule["query"]) + float(rule.get("keepFiringFor", 0))
            found[rule["name"]] = max(seconds, found.get(rule["name"], 0.0))
    return found


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
                self.events.append(Event(at, f"{name} is resolved", "green"))
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


# The screen, the keys and the loop.

TICK = 1.0
PRINTED_EVERY = 5.0
"""Seconds between two lines of values where the terminal cannot redraw."""
SHOWN_EVENTS = 12
TIMEOUT = 5.0
FAULT = {"kind": "outage", "scope": "inference", "mode": "503"}


class Keys:
    """Keys pressed at the terminal with descriptor `fd`; Ctrl-C stays a signal.

    Attributes:
        gone: whether the terminal was closed; not every parent passes the hang-up on as a signal, make does not.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.gone = False

    def wait(self, seconds: float) -> str:
        """The next key, or nothing when none is pressed in time."""
        try:
            ready, _, _ = select.select([self._fd], [], [], seconds)
            if not ready:
                return ""
            pressed = os.read(self._fd, 1)
        except OSError:
            pressed = b""
        self.gone = not pressed
        return pressed.decode(errors="replace")


@contextmanager
def pressed() -> Iterator[Keys | None]:
    """Read keys while this lasts; None where there is no terminal in the foreground."""
    fd = _foreground_terminal()
    if fd is None:
        yield None
        return
    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd)
        yield Keys(fd)
    finally:
        with suppress(termios.error):
            termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _foreground_terminal() -> int | None:
    try:
        fd = sys.stdin.fileno()
        # A background job that reads its terminal would be stopped.
        return fd if os.isatty(fd) and os.tcgetpgrp(fd) == os.getpgrp() else None
    except (OSError, ValueError, AttributeError):
        return None


def set_outage(simulator: str, broken: bool) -> str:
    """Let every probe of the simulator fail, or end every fault; returns what happened, for people."""
    faults = f"{simulator}/_simulator/faults"
    try:
        if broken:
            answer = requests.post(faults, json=FAULT, timeout=TIMEOUT)
        else:
            answer = requests.delete(faults, timeout=TIMEOUT)
    except requests.RequestException as error:
        return f"the simulator does not answer: {type(error).__name__}"
    if not answer.ok:
        return f"the simulator refuses: {answer.text[:200]}"
    return "outage set: every probe now gets 503" if broken else "outage ended: the API works again"


def overview(plan: Plan, console: Console) -> None:
    """Print what runs where, what to look at, and what is missing."""
    table = Table(title="openai-exporter demo", title_justify="left", title_style="bold", box=None, pad_edge=False)
    for heading in ("", "address", "what to look at"):
        table.add_column(heading, overflow="fold")
    for service in plan.services:
        table.add_row(Text(service.name, style="bold"), service.url, service.hint)
    console.print(table)
    for program in plan.missing:
        console.print(f"[yellow]without {program.title}[/] ({program.remedy})")
    if GRAFANA in plan.missing and DOCKER.find():
        console.print("Docker is here: [cyan]make up PROFILE=demo[/] runs all of this with Grafana.", soft_wrap=True)
    if plan.prometheus is None:
        console.print("The exporter is scraped by the demo itself; nothing is stored.")
    if plan.simulator is None:
        console.print("[bold]These are real probes of the real API[/]: each one costs a fraction of a cent.")
    else:
        _explain_outage(plan, plan.simulator, console)
    if plan.rules is not None:
        console.print(_own_rules(plan.rules), soft_wrap=True, markup=False)
    for note in plan.notes:
        console.print(Text(note, style="yellow"), soft_wrap=True)
    console.print(f"{'q or ' if _takes_keys(console) else ''}Ctrl-C ends it all.\n")


def _own_rules(bundle: Path) -> str:
    """Where a person puts rules; not among the files of an installed package, which the next version replaces."""
    if bundle.is_relative_to(Path(__file__).resolve().parents[1]):
        return "Rules of your own: openai-exporter bundle DIR, edit DIR/alerting, demo --bundle-dir DIR"
    folder = bundle / "alerting"
    return f"Rules of your own: {folder / 'thresholds.yml'} (here at the demo's pace), {folder / 'rules.d'}"


def _takes_keys(console: Console) -> bool:
    return console.is_terminal and _foreground_terminal() is not None


def _explain_outage(plan: Plan, simulator: str, console: Console) -> None:
    watch = f"; a page arrives within a minute, here and at {plan.pages}" if plan.pages and plan.prometheus else ""
    if _takes_keys(console):
        console.print(
            f"Everything shown is simulated. Press [bold cyan]b[/] to break it, [bold cyan]m[/] to mend it{watch}.",
            soft_wrap=True,
        )
        return
    faults = f"{simulator}/_simulator/faults"
    console.print(f"Everything shown is simulated. Try an outage{watch}:", soft_wrap=True)
    console.print(f"  [cyan]curl -X POST {faults} -d '{json.dumps(FAULT)}'[/]", soft_wrap=True)
    console.print(f"  [cyan]curl -X DELETE {faults}[/]   # and mend it", soft_wrap=True)


def live_screen(state: State, seconds: float, events: Sequence[Event] = (), broken: bool = False) -> RenderableType:
    """The live figures and the last events, for rich's Live display."""
    table = Table.grid(padding=(0, 2))
    table.add_row("running", f"{int(seconds) // 60:d} min {int(seconds) % 60:02d} s")
    table.add_row("scrape targets up", _ratio(state.targets_up, state.targets))
    table.add_row("probes that succeed", _ratio(state.probes_good, state.probes))
    table.add_row("tokens this month", "…" if state.tokens is None else f"{state.tokens:,.0f}")
    table.add_row("billed this month", "…" if state.cost is None else f"{state.cost:,.2f} USD")
    firing = Text(", ".join(state.firing), style="red") if state.firing else Text("none", style="green")
    table.add_row("alerts firing", firing)
    if state.pages is not None:
        table.add_row("pages delivered", str(len(state.pages)))
    if broken:
        table.add_row("simulated API", Text("broken; press m to mend it", style="bold red"))
    lines = [
        Text.assemble((f"{event.at:>5.0f} s  ", "dim"), (event.text, event.style)) for event in events[-SHOWN_EVENTS:]
    ]
    return Group(table, *([Text()] if lines else []), *lines)


def _ratio(part: int | None, whole: int | None) -> Text:
    if whole is None:
        return Text("…")
    return Text(f"{part or 0} of {whole}", style="green" if part == whole else "red")


def line(state: State, seconds: float) -> str:
    """The same in one line, for a terminal that cannot redraw."""

    def ratio(part: int | None, whole: int | None) -> str:
        return "?" if whole is None else f"{part or 0}/{whole}"

    cost = "?" if state.cost is None else f"{state.cost:.2f}"
    tokens = "?" if state.tokens is None else f"{state.tokens:.0f}"
    return (
        f"t={seconds:.0f}s up={ratio(state.targets_up, state.targets)} "
        f"probe_success={ratio(state.probes_good, state.probes)} tokens={tokens} billed_usd={cost} "
        f"firing={','.join(state.firing) or 'none'} pages={'?' if state.pages is None else len(state.pages)}"
    )


@dataclass(frozen=True, slots=True)
class Schedule:
    """When things happen by themselves, in seconds since the demo was started; None for never."""

    end: float | None = None
    start_outage: float | None = None
    end_outage: float | None = None


class Watch:
    """The demo's loop.

    Args:
        read: the present state.
        check: raises when a service has ended.
        windows: seconds that each alert looks back.
        simulator: its root URL; None when there is none to break.
        began: when the demo was started, by `monotonic`.
    """

    def __init__(
        self,
        read: Callable[[], State],
        check: Callable[[], None],
        windows: Callable[[], Mapping[str, float]],
        simulator: str | None,
        schedule: Schedule,
        console: Console,
        began: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._check = check
        self._windows = windows
        self._simulator = simulator
        self._console = console
        self._monotonic = monotonic
        self._began = began
        self._active: frozenset[str] = frozenset()
        self._before: frozenset[str] = frozenset()
        self._due = {"b": schedule.start_outage, "m": schedule.end_outage}
        self._timeline = Timeline()
        self._printed = -PRINTED_EVERY
        self._broken = False

    def run(self, stop: threading.Event) -> None:
        """Go on until `stop` is set."""
        with ExitStack() as opened:
            keys, live = None, None
            if self._console.is_terminal:
                keys = opened.enter_context(pressed())
                live = opened.enter_context(Live(console=self._console, auto_refresh=False, transient=False))
            while not stop.is_set():
                ran = self._monotonic() - self._began
                self._check()
                self._switch_by_time(ran)
                self._show(self._read(), ran, live)
                self._wait(stop, keys)

    def _switch_by_time(self, ran: float) -> None:
        for key, due in self._due.items():
            if due is not None and ran >= due:
                self._due[key] = None
                self._press(key, ran)

    def _wait(self, stop: threading.Event, keys: Keys | None) -> None:
        if keys is None:
            stop.wait(TICK)
            return
        key = keys.wait(TICK).lower()
        if keys.gone or key == "q":
            stop.set()
        elif key:
            self._press(key, self._monotonic() - self._began)

    def _press(self, key: str, ran: float) -> None:
        if self._simulator is None or key not in ("b", "m"):
            return
        if key == "b" and self._broken:
            return
        self._broken = key == "b"
        self._note(ran, set_outage(self._simulator, self._broken))
        if self._broken:
            self._before = self._active
        else:
            self._explain_healing(ran)

    def _explain_healing(self, ran: float) -> None:
        """Until when each alert of the outage may still see it; a pending one may even begin to fire."""
        started = self._active - self._before
        windows = self._windows() if started else {}
        for name in sorted(started & windows.keys(), key=lambda name: (windows[name], name)):
            if seconds := windows[name]:
                end = f"it may fire until {ran + seconds:.0f} s"
                self._note(ran, f"{name} looks back {format_duration(seconds)}: {end}", "dim")
            else:
                self._note(ran, f"{name} looks at what is now: it ends with the next successful probes", "dim")

    def _note(self, ran: float, text: str, style: str = "bold cyan") -> None:
        self._timeline.note(ran, text, style)
        if not self._console.is_terminal:
            self._print(f"event t={ran:.0f}s {text}")

    def _show(self, state: State, ran: float, live: Live | None) -> None:
        events = self._timeline.update(ran, state.alerts, state.pages or ())
        if state.alerts is not None:
            self._active = frozenset(state.alerts)
        if live is not None:
            live.update(live_screen(state, ran, self._timeline.events, self._broken), refresh=True)
            return
        for event in events:
            self._print(f"event t={event.at:.0f}s {event.text}")
        if ran - self._printed >= PRINTED_EVERY:
            self._printed = ran
            self._print(line(state, ran))

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True, markup=False)
