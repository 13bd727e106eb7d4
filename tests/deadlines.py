# SPDX-License-Identifier: Apache-2.0
"""Deadlines of tests that wait for a program: what hangs fails, and says so, instead of holding up the run."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SECONDS = 300.0
"""No measure of speed: far more than what is waited for takes on a busy machine."""


@contextmanager
def at_most(process: "subprocess.Popen[str] | subprocess.Popen[bytes]", seconds: float = SECONDS) -> Iterator[None]:
    """Kill a program that keeps the block longer; who reads its output, or waits for its end, goes on then.

    A pipe has no timeout of its own. Fails afterwards, whatever the block made of the sudden end.
    """
    late = threading.Event()

    def kill() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(seconds, kill)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        assert not late.is_set(), f"killed after {seconds} s, in which nothing came: {process.args!r}"


def next_line(process: "subprocess.Popen[str]", seconds: float = SECONDS) -> str:
    """The next line of its standard output; empty when that has ended."""
    assert process.stdout is not None
    with at_most(process, seconds):
        return process.stdout.readline()


def stop(process: "subprocess.Popen[str] | subprocess.Popen[bytes]", seconds: float = SECONDS) -> None:
    """Ask a program to end, and wait for it; fails, and kills it, where it does not."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(60)
        raise AssertionError(f"SIGTERM did not end it in {seconds} s: {process.args!r}") from None
