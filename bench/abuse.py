# SPDX-License-Identifier: Apache-2.0
"""Clients that hang up, send slowly or do not read: how long the next scrape waits, beside blackbox_exporter.

Each row begins one kind of abuse against a process of its own, in turn for the two exporters, then scrapes a probe of
the same simulated API. The median of some rounds counts. After the scrape of a kind that holds connections, the
connections are counted that are open still after some seconds.
"""

import contextlib
import http.client
import json
import resource
import socket
import statistics
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from bench import processes
from openai_simulator.testing import SimulatorControl, running_simulator

ROUNDS = 3
DEAD = 3000
SLOW = 500
CONNECTIONS = 2000
API_SECONDS = 0.3
"""Seconds that the API takes to answer: faster than a chat model."""
SETTLED = 1.0
"""Seconds between the last connection that is held and the scrape."""
HELD_AFTER = 13.0
"""Seconds after which held connections are counted: longer than a request may take to come."""
KEY = "sk-bench-0123456789"
MODEL = "gpt-4.1-mini"
HEAD = b"Host: bench\r\nX-Filler: "
RESET = struct.pack("ii", 1, 0)

Clients = list[socket.socket]


@dataclass(frozen=True, slots=True)
class Peer:
    """A running exporter: its port, and the path of the scrape whose time counts."""

    port: int
    scrape: str


def main() -> None:
    """Print a row for each kind."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(f"{'':34}{'ours, ms':>10}{'theirs, ms':>12}{'ratio':>8}   open after {HELD_AFTER:.0f} s, ours and theirs")
    with running_simulator(latency_scale=0) as simulator, tempfile.TemporaryDirectory() as folder:
        simulator.fault("latency", path="/v1/chat/completions", delay_seconds=API_SECONDS)
        peers = [ours(simulator, Path(folder))]
        if (binary := processes.blackbox_binary()) is not None:
            peers.append(theirs(simulator, Path(folder), binary))
        for name, abuse in ABUSES.items():
            measured = [_measured(peer, abuse) for peer in peers]
            times = [statistics.median(seconds) * 1000 for seconds, _ in measured]
            held = " ".join(f"{open_still:>6}" for _, open_still in measured)
            columns = [f"{times[0]:>10.1f}", *(f"{other:>12.1f}{times[0] / other:>8.2f}" for other in times[1:])]
            print(f"{name:34}{''.join(columns)}   {held}", flush=True)


@contextmanager
def _running(start: "Start") -> Iterator[Peer]:
    port = processes.free_port()
    argv, scrape = start(port)
    with processes.running(argv, {"OPENAI_API_KEY": KEY}):
        processes.wait_until_ok(port, "/-/healthy")
        peer = Peer(port, scrape)
        for _ in range(3):
            scrape_seconds(peer)
        yield peer


Start = Callable[[int], tuple[list[str], str]]


def ours(simulator: SimulatorControl, folder: Path) -> Start:
    """The exporter with one probe."""
    config = folder / "exporter.yml"
    document = {
        "targets": [{"name": "api", "base_url": simulator.api_url, "api_key_env": "OPENAI_API_KEY"}],
        "modules": {"chat": {"endpoint": "chat"}},
        "probes": [{"target": "api", "module": "chat", "models": [MODEL]}],
    }
    config.write_text(json.dumps(document))

    def start(port: int) -> tuple[list[str], str]:
        argv = processes.exporter_argv(port, "--config.file", str(config), "--log.level", "error")
        return argv, f"/probe?target=api&module=chat&model={MODEL}"

    return start


def theirs(simulator: SimulatorControl, folder: Path, binary: str) -> Start:
    """blackbox_exporter with the same request."""
    config = folder / "blackbox.yml"
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "Reply with the word: pong"}]})
    request = {"method": "POST", "body": body, "headers": headers, "preferred_ip_protocol": "ip4"}
    config.write_text(json.dumps({"modules": {"chat": {"prober": "http", "timeout": "60s", "http": request}}}))

    def start(port: int) -> tuple[list[str], str]:
        argv = [binary, f"--config.file={config}", f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
        return argv, f"/probe?module=chat&target={quote(f'{simulator.api_url}/chat/completions')}"

    return start


def scrape_seconds(peer: Peer) -> float:
    """Seconds to the end of a scrape that succeeds, on a connection of its own."""
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", peer.port, timeout=120)
    try:
        connection.request("GET", peer.scrape)
        body = connection.getresponse().read().decode()
    finally:
        connection.close()
    if "probe_success 1" not in body.splitlines():
        raise RuntimeError(f"a scrape of {peer.scrape} did not succeed:\n{body[:500]}")
    return time.perf_counter() - began


def _measured(start: Start, abuse: Callable[[Peer], Clients]) -> tuple[list[float], str]:
    """Seconds of the next scrape, of each round, and how many connections stay open."""
    seconds, held = [], "-"
    for number in range(ROUNDS):
        with _running(start) as peer, contextlib.ExitStack() as stack:
            clients = [stack.enter_context(client) for client in abuse(peer)]
            time.sleep(SETTLED if clients else 0)
            seconds.append(scrape_seconds(peer))
            if clients and number == ROUNDS - 1:
                time.sleep(HELD_AFTER)
                held = str(sum(map(_open, clients)))
    return seconds, held


def _connect(peer: Peer, count: int, sent: bytes) -> Clients:
    clients = []
    for _ in range(count):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", peer.port))
        client.sendall(sent)
        clients.append(client)
    return clients


def _open(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        while client.recv(65536):
            pass
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def _hang_up(path: str, linger: bytes) -> Callable[[Peer], Clients]:
    def abuse(peer: Peer) -> Clients:
        request = f"GET {path or peer.scrape} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()
        for _ in range(DEAD):
            with socket.create_connection(("127.0.0.1", peer.port)) as client:
                client.sendall(request)
                if linger:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        return []

    return abuse


def _hold(sent: bytes, then: bytes = b"", count: int = SLOW) -> Callable[[Peer], Clients]:
    """Clients that send this, and then one byte of `then` each after every tenth of a second."""

    def abuse(peer: Peer) -> Clients:
        clients = _connect(peer, count, sent)
        for byte in then:
            time.sleep(0.1)
            for client in clients:
                with contextlib.suppress(OSError):
                    client.send(bytes([byte]))
        return clients

    return abuse


_WHOLE = b"GET /-/healthy HTTP/1.1\r\n" + b"Host: bench\r\n\r\n"
_HALF = b"GET /-/healthy HTTP/1.1\r\n" + HEAD
_BODY = b"POST /-/healthy HTTP/1.1\r\nHost: bench\r\nContent-Length: 9000\r\n\r\n"
_PAGE = b"GET /metrics HTTP/1.1\r\nHost: bench\r\n\r\n"
_DRIP = b"aaaaaaaaaa"

ABUSES: dict[str, Callable[[Peer], Clients]] = {
    "none": lambda peer: [],
    f"{DEAD} resets, /metrics": _hang_up("/metrics", RESET),
    f"{DEAD} hang-ups, /metrics": _hang_up("/metrics", b""),
    f"{DEAD} resets, /probe": _hang_up("", RESET),
    f"{DEAD} hang-ups, /probe": _hang_up("", b""),
    f"{SLOW} silent": _hold(b""),
    f"{SLOW} dripping a head": _hold(_HALF, _DRIP),
    f"{SLOW} silent in a second head": _hold(_WHOLE + _HALF),
    f"{SLOW} dripping a second head": _hold(_WHOLE + _HALF, _DRIP),
    f"{SLOW} silent in a body": _hold(_BODY),
    f"{SLOW} dripping a body": _hold(_BODY, _DRIP),
    f"{SLOW} dripping a second body": _hold(_WHOLE + _BODY, _DRIP),
    f"{SLOW} that do not read": _hold(_PAGE * 20),
    f"{CONNECTIONS} connections": _hold(_WHOLE, count=CONNECTIONS),
}


if __name__ == "__main__":
    main()
