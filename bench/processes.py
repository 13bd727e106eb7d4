# SPDX-License-Identifier: Apache-2.0
"""Child processes of the measurements, and what the kernel accounts to them (Linux /proc)."""

import http.client
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far, to the clock tick (10 ms)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_mib(pid: int) -> float:
    """Resident memory in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def wait_until_ok(port: int, path: str, seconds: float = 30.0) -> float:
    """Ask a local path until it answers 200; returns how long that took, in seconds."""
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
        try:
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return time.perf_counter() - began
        except OSError:
            time.sleep(0.002)
        finally:
            connection.close()
    raise TimeoutError(f"port {port}{path} did not answer 200 within {seconds} s")


@contextmanager
def running(argv: list[str], env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a child without its output; it is terminated at the end."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(argv, stdout=quiet, stderr=quiet, env={**os.environ, **(env or {})})
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


def exporter_argv(port: int, *flags: str) -> list[str]:
    """The command that serves the exporter on a local port."""
    return [
        sys.executable,
        "-m",
        "openai_exporter",
        "serve",
        "--storage.path=",
        "--web.listen-address",
        f"127.0.0.1:{port}",
        *flags,
    ]


def blackbox_binary() -> str | None:
    """Path of blackbox_exporter under either of its names."""
    return shutil.which("blackbox_exporter") or shutil.which("prometheus-blackbox-exporter")
