# SPDX-License-Identifier: Apache-2.0
"""Key presses: a real pseudo-terminal."""

import os
import signal
import subprocess
import sys

from openai_exporter.demo.keys import Keys
from tests.stack.programs import wait_for

from .terminal import Terminal

PROGRAM = """
from openai_exporter.demo.keys import pressed
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


def shows(terminal: Terminal, wanted: str) -> None:
    wait_for(lambda: wanted in terminal.text, 20, f"{wanted}; it shows {terminal.text!r}")


def test_a_key_is_read_without_enter() -> None:
    terminal = Terminal(ARGV)
    shows(terminal, "ready")

    terminal.press("b")
    shows(terminal, "key b")
    terminal.press("q")

    assert terminal.end() == 0


def test_ctrl_c_stays_a_signal() -> None:
    terminal = Terminal(ARGV)
    shows(terminal, "ready")

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
