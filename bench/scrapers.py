# SPDX-License-Identifier: Apache-2.0
"""Clients of the exporter as processes of their own: one that scrapes a lot at once, one that times health checks."""

import json
import selectors
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

CHECK_EVERY = 0.005
"""Seconds between two health checks on each connection."""


@contextmanager
def checking(port: int) -> Iterator[list[dict[str, Any]]]:
    """Time health checks beside what runs in the block; the figures are in the list afterwards."""
    argv = [sys.executable, "-m", "bench.scrapers", "check", str(port)]
    found: list[dict[str, Any]] = []
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdout.readline()
        yield found
        child.stdin.close()
        found += json.load(child.stdout)


def scrape(port: int, requests: Sequence[tuple[float, str, float]]) -> list[float]:
    """Send scrapes from a process of its own, each on its own connection.

    Args:
        requests: (seconds after the start, path, scrape timeout in seconds) of each, in order of time.

    Returns: the seconds that each took.
    """
    argv = [sys.executable, "-m", "bench.scrapers", "scrape", str(port)]
    text = json.dumps(list(requests))
    run = subprocess.run(argv, input=text, check=True, stdout=subprocess.PIPE, text=True)
    return [float(each) for each in json.loads(run.stdout)]


def _check(port: int) -> None:
    """Until standard input ends: checks on a kept connection (as Prometheus) and on new ones (as the kubelet)."""
    kept = _connected(port)
    waits: dict[str, list[float]] = {"kept connection": [], "new connection": []}
    late: list[float] = []
    watched = selectors.DefaultSelector()
    watched.register(sys.stdin, selectors.EVENT_READ)
    _health(kept, "keep-alive")
    print("ready", flush=True)
    due = time.perf_counter()
    while not watched.select(max(due - time.perf_counter(), 0.0)):
        late.append(time.perf_counter() - due)
        waits["kept connection"].append(_health(kept, "keep-alive"))
        began = time.perf_counter()
        with _connected(port) as new:
            _health(new, "close")
        waits["new connection"].append(time.perf_counter() - began)
        due = max(due + CHECK_EVERY, time.perf_counter())
    json.dump([{"name": name, "seconds": each} for name, each in (*waits.items(), ("own lateness", late))], sys.stdout)


def _health(sock: socket.socket, connection: str) -> float:
    began = time.perf_counter()
    sock.sendall(f"GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: {connection}\r\n\r\n".encode())
    answer = b""
    while not answer.endswith(b"healthy.\n"):
        data = sock.recv(65_536)
        answer += data
        if not data:
            break
    took = time.perf_counter() - began
    if not answer.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"not healthy: {answer[:200]!r}")
    return took


def _connected(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _scrape(port: int, requests: Sequence[tuple[float, str, float]]) -> list[float]:
    began = time.perf_counter()
    took: dict[int, float] = {}
    with selectors.DefaultSelector() as selector:
        waiting = list(enumerate(requests))[::-1]
        while waiting or selector.get_map():
            now = time.perf_counter() - began
            while waiting and waiting[-1][1][0] <= now:
                number, (_, path, timeout) = waiting.pop()
                selector.register(
                    _sent(port, path, timeout), selectors.EVENT_READ, (number, time.perf_counter(), bytearray())
                )
            pause = max(waiting[-1][1][0] - now, 0.0) if waiting else None
            for key, _ in selector.select(pause):
                number, at, answer = key.data
                answer += (data := _received(key.fileobj))
                if not data:
                    took[number] = time.perf_counter() - at
                    selector.unregister(key.fileobj)
                    key.fileobj.close()  # type: ignore[union-attr]
                    if not answer.startswith(b"HTTP/1.1 200"):
                        raise RuntimeError(f"a scrape failed: {bytes(answer[:300])!r}")
    return [took[number] for number in sorted(took)]


def _received(sock: Any) -> bytes:
    data: bytes = sock.recv(65_536)
    return data


def _sent(port: int, path: str, timeout: float) -> socket.socket:
    sock = _connected(port)
    fields = f"Host: x\r\nX-Prometheus-Scrape-Timeout-Seconds: {timeout}\r\nConnection: close"
    sock.sendall(f"GET {path} HTTP/1.1\r\n{fields}\r\n\r\n".encode())
    return sock


def shown(seconds: Sequence[float]) -> str:
    """Median, p99 and maximum in milliseconds."""
    found = sorted(each * 1000 for each in seconds)
    p99 = found[min(int(len(found) * 0.99), len(found) - 1)]
    return f"median {statistics.median(found):7.2f}   p99 {p99:7.2f}   worst {found[-1]:7.2f} ms of {len(found)}"


if __name__ == "__main__":
    mode, port = sys.argv[1], int(sys.argv[2])
    if mode == "check":
        with suppress(KeyboardInterrupt):
            _check(port)
    else:
        json.dump(_scrape(port, json.load(sys.stdin)), sys.stdout)
