# SPDX-License-Identifier: Apache-2.0
"""A usage page of many series: what a scrape and a refresh cost, memory, and how long a refresh holds up others.

`python -m bench.usage 1000 50000` measures other sizes. The exporter reads a server that gives pages as large as
the API's would be: every series in every hour. The ratio is that of prometheus_client's own encoder on the same
families to a scrape, in the same run. `held up` is the slowest of other answers (/-/healthy) during a refresh, and
`idle` the same without one; all but the first refresh are medians.
"""

import http.client
import json
import multiprocessing
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.openmetrics.exposition import generate_latest

from bench import processes

SIZES = (1_000, 10_000, 100_000, 300_000)
COLUMNS = 9
"""Series that one set of labels of completions has."""
ROUNDS = 5
EVERY = 6.0
"""Least seconds between two refreshes; many series take longer, as a refresh must be over before the next is due."""
HOUR, DAY = 3600, 86_400
MODELS = ("gpt-6-luna", "gpt-6-sol", "gpt-5.4-2026-03-05", "gpt-4o-mini-2024-07-18", "gpt-6.1-terra")
_LINE = re.compile(r"^(\w+?)(_total)?(?:\{(.*)\})? (\S+)$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def main(sizes: Sequence[int] = SIZES) -> None:
    """Print a table."""
    names = list(Figures.__dataclass_fields__)
    print("  ".join(name.replace("_", " ").rjust(14) for name in names))
    for size in sizes:
        found = measured(size)
        print("  ".join(shown(getattr(found, name)).rjust(14) for name in names), flush=True)


@dataclass
class Figures:
    """One line of the table: seconds (s), milliseconds (ms), MiB."""

    series: int
    page_mib: float
    first_refresh_s: float
    refresh_s: float
    refresh_cpu_s: float
    held_up_ms: float
    idle_ms: float
    resident_mib: float
    peak_mib: float
    scrape_ms: float
    scrape_gzip_ms: float
    encoder_ms: float
    ratio: float = field(default=0.0)


def measured(series: int) -> Figures:
    """Everything about one size, in an exporter of its own."""
    every = max(EVERY, series / 10_000)
    with upstream(max(1, series // COLUMNS)) as url, tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "exporter.yml"
        config.write_text(
            f"organizations:\n- name: bench\n  base_url: {url}\n  admin_key_env: OPENAI_ADMIN_KEY\n"
            f"  costs: null\n  names: false\n  limits: false\n  timeout: 10m\n  refresh_interval: {every:g}s\n"
            "  series_limit: 1000000\n  usage: {completions: {group_by: "
            "[project_id, api_key_id, model, batch, service_tier]}}\n"
        )
        port = processes.free_port()
        argv = processes.exporter_argv(port, "--config.file", str(config))
        with processes.running(argv, {"OPENAI_ADMIN_KEY": "sk-admin-bench"}) as child:
            processes.wait_until_ok(port, "/-/healthy")
            return _figures(port, child.pid, every)


def _figures(port: int, pid: int, every: float) -> Figures:
    first, text = scrape(port)
    refreshes, spent, waits = [], [], []
    with Watch(port) as idle:
        time.sleep(every / 2)
    for _ in range(ROUNDS):
        time.sleep(every)
        cpu = processes.cpu_seconds(pid)
        with Watch(port) as busy:
            refreshes.append(scrape(port)[0])
        spent.append(processes.cpu_seconds(pid) - cpu)
        waits.append(busy.slowest)
    plain = [scrape(port)[0] for _ in range(9)]
    small = [scrape(port, {"Accept-Encoding": "gzip"})[0] for _ in range(9)]
    encoder = encoder_seconds(text.decode())
    status = Path(f"/proc/{pid}/status").read_text()
    peak = re.search(r"VmHWM:\s+(\d+)", status)
    scraped = statistics.median(plain)
    return Figures(
        series=sum(not line.startswith(b"#") for line in text.splitlines()),
        page_mib=len(text) / 2**20,
        first_refresh_s=first,
        refresh_s=statistics.median(refreshes),
        refresh_cpu_s=statistics.median(spent),
        held_up_ms=statistics.median(waits) * 1e3,
        idle_ms=idle.slowest * 1e3,
        resident_mib=processes.resident_mib(pid),
        peak_mib=int(peak.group(1)) / 1024 if peak else 0.0,
        scrape_ms=scraped * 1e3,
        scrape_gzip_ms=statistics.median(small) * 1e3,
        encoder_ms=encoder * 1e3,
        ratio=encoder / scraped,
    )


def scrape(port: int, headers: dict[str, str] | None = None) -> tuple[float, bytes]:
    """(seconds, body) of one scrape as Prometheus makes it, over a new connection."""
    accept = {"Accept": "application/openmetrics-text;version=1.0.0", "X-Prometheus-Scrape-Timeout-Seconds": "600"}
    start = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    connection.request("GET", "/usage?organization=bench", headers={**accept, **(headers or {})})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"HTTP {answer.status}: {body[:500]!r}")
    return time.perf_counter() - start, body


class Watch:
    """Asks /-/healthy over and over, in a process of its own so that only the exporter's delays count.

    Attributes:
        slowest: seconds of the slowest answer, once it is over.
    """

    def __init__(self, port: int) -> None:
        self.slowest = 0.0
        self._ours, theirs = multiprocessing.Pipe()
        self._child = multiprocessing.Process(target=watch, args=(port, theirs), daemon=True)

    def __enter__(self) -> "Watch":
        self._child.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ours.send("over")
        self.slowest = self._ours.recv()
        self._child.join()


def watch(port: int, parent: Connection) -> None:
    """Ask until told that it is over; answer with the longest time in seconds."""
    connection, slowest = http.client.HTTPConnection("127.0.0.1", port, timeout=60), 0.0
    while not parent.poll(0.002):
        start = time.perf_counter()
        connection.request("GET", "/-/healthy")
        connection.getresponse().read()
        slowest = max(slowest, time.perf_counter() - start)
    parent.send(slowest)


def encoder_seconds(text: str) -> float:
    """What prometheus_client takes to encode the families of a page."""
    made: dict[str, Any] = {}
    for line in text.splitlines():
        found = _LINE.match(line)
        if found is None:
            continue
        name, total, labels, value = found.groups()
        pairs = _LABEL.findall(labels or "")
        kind = CounterMetricFamily if total else GaugeMetricFamily
        each = made.setdefault(name + str([key for key, _ in pairs]), kind(name, "x", labels=[k for k, _ in pairs]))
        each.add_metric([label for _, label in pairs], float(value))
    registry = CollectorRegistry()
    registry.collect = lambda: iter(made.values())  # type: ignore[method-assign]
    start = time.perf_counter()
    generate_latest(registry)  # type: ignore[no-untyped-call]
    return time.perf_counter() - start


@contextmanager
def upstream(count: int) -> Iterator[str]:
    """A server of `count` results per bucket in a child process; yields its base URL."""
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.Process(target=serve, args=(count, theirs), daemon=True)
    child.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        child.terminate()
        child.join()


def serve(count: int, ready: Connection) -> None:
    """Answer queries of completions until killed; a bucket is made once, the running one changes each time."""
    made: dict[tuple[int, int, int], bytes] = {}
    asked = iter(range(1 << 30))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            width = DAY if query["bucket_width"] == ["1d"] else HOUR
            start, now, turn = int(query["start_time"][0]), time.time(), next(asked) % 2
            end = int(query.get("end_time", [str(int(now) + 1)])[0])
            parts = []
            rows = count if "group_by[]" in query else 1
            for begin in range(start, end, width):
                key = (begin, turn if begin + width > now else 0, rows)
                made[key] = made.get(key) or bucket(rows, begin, width, turn)
                parts.append(made[key])
            body = b'{"object":"page","data":[' + b",".join(parts) + b'],"has_more":false,"next_page":null}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    ready.send(server.server_port)
    server.serve_forever()


def bucket(count: int, start: int, width: int, turn: int) -> bytes:
    """One bucket with results as large as the API's."""
    zeros = ("input_audio", "input_cached_audio", "output_audio", "input_image", "input_cached_image", "output_image")
    rest = {f"{name}_tokens": 0 for name in zeros} | {"user_id": None, "batch": False, "service_tier": "default"}
    tail = json.dumps(rest, separators=(",", ":"))[1:]
    rows = []
    for number in range(count):
        size = 1000 + (number * 7919 + start // HOUR + turn) % 50_000
        rows.append(
            f'{{"object":"organization.usage.completions.result","input_tokens":{size * 12},'
            f'"input_cached_tokens":{size * 5},"input_cache_write_tokens":{size},"input_uncached_tokens":{size * 6},'
            f'"input_text_tokens":{size * 6},"input_cached_text_tokens":{size * 5},"output_text_tokens":{size * 2},'
            f'"output_tokens":{size * 2},"num_model_requests":{size // 100},"project_id":"proj_{number % 40:024d}",'
            f'"api_key_id":"key_{number // len(MODELS):016d}","model":"{MODELS[number % len(MODELS)]}",{tail}'
        )
    head = f'{{"object":"bucket","start_time":{start},"end_time":{start + width},"results":['
    return (head + ",".join(rows) + "]}").encode()


def shown(value: float) -> str:
    """A figure with three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    main([int(each) for each in sys.argv[1:]] or SIZES)
