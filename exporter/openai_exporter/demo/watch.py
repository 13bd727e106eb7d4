# SPDX-License-Identifier: Apache-2.0
"""Shows the running demo, takes keys, and breaks and mends the simulated API when asked to."""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live

from openai_exporter.demo import screen
from openai_exporter.demo.keys import Keys, pressed
from openai_exporter.demo.outage import Switch
from openai_exporter.demo.state import State
from openai_exporter.demo.timeline import Timeline

TICK = 1.0
PRINTED_EVERY = 5.0
"""Seconds between two lines of figures where the terminal cannot redraw."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When things happen by themselves, in seconds since the demo runs; None for never."""

    end: float | None = None
    break_it: float | None = None
    mend_it: float | None = None


class Watch:
    """The demo's loop.

    Args:
        read: the present state.
        check: raises when a service has ended.
        switch: None when there is no simulator to break.
    """

    def __init__(
        self,
        read: Callable[[], State],
        check: Callable[[], None],
        switch: Switch | None,
        schedule: Schedule,
        console: Console,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._check = check
        self._switch = switch
        self._console = console
        self._monotonic = monotonic
        self._began = monotonic()
        self._end = schedule.end
        self._due = {"b": schedule.break_it, "m": schedule.mend_it}
        self._timeline = Timeline()
        self._printed = -PRINTED_EVERY
        self._broken = False

    def run(self, stop: threading.Event) -> None:
        """Go on until `stop` is set or the time is over."""
        with ExitStack() as opened:
            keys, live = None, None
            if self._console.is_terminal:
                keys = opened.enter_context(pressed())
                live = opened.enter_context(Live(console=self._console, auto_refresh=False, transient=False))
            while not stop.is_set():
                ran = self._monotonic() - self._began
                if self._end is not None and ran >= self._end:
                    return
                self._check()
                self._switch_by_time(ran)
                self._show(self._read(), ran, live)
                self._wait(stop, keys)

    def _switch_by_time(self, ran: float) -> None:
        for key, moment in self._due.items():
            if moment is not None and ran >= moment:
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
        if self._switch is None or key not in ("b", "m"):
            return
        if key == "b" and self._broken:
            return
        self._broken = key == "b"
        text = self._switch.break_it() if self._broken else self._switch.mend_it()
        self._timeline.note(ran, text)
        if not self._console.is_terminal:
            self._print(f"event t={ran:.0f}s {text}")

    def _show(self, state: State, ran: float, live: Live | None) -> None:
        events = self._timeline.update(ran, state.alerts, state.pages or ())
        if live is not None:
            live.update(screen.live_screen(state, ran, self._timeline.events, self._broken), refresh=True)
            return
        for event in events:
            self._print(f"event t={event.at:.0f}s {event.text}")
        if ran - self._printed >= PRINTED_EVERY:
            self._printed = ran
            self._print(screen.line(state, ran))

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True, markup=False)
