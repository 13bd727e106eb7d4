# SPDX-License-Identifier: Apache-2.0
"""What the rules cost Prometheus: CPU seconds per evaluation of each group against its interval, and memory.

A page of usage counters is scraped every ten seconds, so that ten minutes hold the samples of an hour. Each expression
is then asked of Prometheus for the moment at which it stops scraping and evaluating: what its process uses afterwards
is the expression's, whatever else runs on the machine. Busy neighbors still make each CPU second do less, by two to
three times. Ranges of days over recorded series are asked with as many steps over the last minutes.
"""

import http.client
import http.server
import json
import os
import re
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import yaml

from bench import processes

SIZES = (1_000, 100_000)
RULES = Path(__file__).parents[1] / "prometheus/rules"
COUNTERS = ("requests", "input_tokens", "input_cached_tokens", "output_tokens", "estimated_cost_usd")
SCRAPES, SCRAPE = 62, 10
MODELS, USERS, BUDGETS, PROBES = 10, 2, 200, 30
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
SHARE = 0.02
"""Of its interval that a group may use."""


def main() -> None:
    """Print a table for each size."""
    program = os.environ.get("PROMETHEUS_BINARY") or shutil.which("prometheus")
    if program is None:
        print("not measured: no Prometheus")
        return
    for size in SIZES:
        measure(program, size)


def measure(program: str, size: int) -> None:
    """Print one table."""
    port, own = processes.free_port(), processes.free_port()
    pages = {f"/{name}": list(lines) for name, lines in (("usage", usage(size)), ("probes", probes()))}
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler(pages))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "prometheus.yml"
        jobs = [
            {
                "job_name": name,
                "metrics_path": f"/{name}",
                "static_configs": [{"targets": [f"127.0.0.1:{port}"], "labels": {"job": "openai", **more}}],
            }
            for name, more in (("usage", {"organization": "acme"}), ("probes", {}))
        ]
        timing = {"scrape_interval": f"{SCRAPE}s", "scrape_timeout": f"{SCRAPE}s", "evaluation_interval": "60s"}
        document = {"global": timing, "rule_files": [f"{RULES}/*-*.yml"], "scrape_configs": jobs}
        config.write_text(yaml.safe_dump(document))
        argv = [program, f"--config.file={config}", f"--storage.tsdb.path={folder}/tsdb", "--query.timeout=10m"]
        quiet = yaml.safe_dump({"global": timing})
        with processes.running([*argv, f"--web.listen-address=127.0.0.1:{own}"]) as child:
            processes.wait_until_ok(own, "/-/ready", 60)
            time.sleep(SCRAPES * SCRAPE)
            memory = processes.resident_mib(child.pid)
            print(f"\n{size:,} usage series, {PROBES} probes, {BUDGETS} budgets; Prometheus {memory:.0f} MiB\n")
            at = time.time()
            config.write_text(quiet)
            child.send_signal(signal.SIGHUP)
            time.sleep(10)
            print("| group | CPU seconds | interval | share |\n|---|---|---|---|")
            for name, interval, expressions in groups():
                used = sum(cost(own, child.pid, each, at) for each in expressions)
                mark = "" if used < SHARE * interval else " (too much)"
                print(f"| {name} | {used:.2f} | {interval} s | {used / interval:.2%}{mark} |", flush=True)
    server.shutdown()


def groups() -> Iterator[tuple[str, int, list[str]]]:
    """Name, interval in seconds and expressions of every group."""
    for path in sorted(RULES.glob("*-*.yml")):
        for group in yaml.safe_load(path.read_text())["groups"]:
            text = str(group.get("interval", "60s"))
            yield group["name"], int(text[:-1]) * {"s": 1, "m": 60}[text[-1]], [each["expr"] for each in group["rules"]]


def cost(port: int, pid: int, expression: str, at: float) -> float:
    """CPU seconds of Prometheus for one evaluation, the least of two; the count of the result is asked for, as a rule
    renders none of it."""
    expression = re.sub(r"\[7d:20m\] offset 20h", "[504s:1s]", expression)
    found = []
    for _ in range(2):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        before = processes.cpu_seconds(pid)
        asked = {"query": f"count({expression})", "time": f"{at:.3f}"}
        connection.request("POST", "/api/v1/query", urlencode(asked), FORM)
        answer = json.loads(connection.getresponse().read())
        found.append(processes.cpu_seconds(pid) - before)
        if answer["status"] != "success":
            raise RuntimeError(f"{answer['error']}: {expression}")
        connection.close()
    return min(found)


def usage(size: int) -> Iterator[str]:
    """Lines of a page with that many counters, `%d` in place of what grows, and budgets."""
    keys = size // len(COUNTERS) // MODELS // USERS
    for key in range(keys):
        for user in range(USERS):
            for model in range(MODELS):
                labels = (
                    f'operation="completions",project_id="proj_{key % 40}",api_key_id="key_{key}",'
                    f'user_id="user_{key}_{user}",model="gpt-{model}",batch="false",service_tier="default"'
                )
                yield from (f"openai_usage_{name}_total{{{labels}}} %d" for name in COUNTERS)
    yield 'openai_usage_up{dataset="completions"} 1'
    yield 'openai_usage_last_success_timestamp_seconds{dataset="completions"} 1e10'
    for number in range(BUDGETS):
        labels = f'budget="b{number}",scope="organization",period="month"'
        yield f"openai_budget_limit_usd{{{labels}}} 1000000"
        yield f"openai_budget_warn_ratio{{{labels}}} 0.8"
        yield f'openai_budget_spent_usd{{{labels},basis="billed"}} %d'


def probes() -> Iterator[str]:
    """Lines of what probes show."""
    for number in range(PROBES):
        labels = f'target="t",provider="openai",module="m{number}",endpoint="chat",model="gpt-{number}"'
        for name in ("probe_success", "probe_duration_seconds", "openai_probe_availability_valid"):
            yield f"{name}{{{labels}}} 1"
        yield f"openai_probe_availability_good{{{labels}}} 1"
        for outcome in ("success", "timeout_total", "quota_exhausted", "auth", "rate_limited", "model_not_found"):
            yield f'openai_probe_outcome{{{labels},outcome="{outcome}"}} {int(outcome == "success")}'
        for bound in ("0.5", "1", "2.5", "5", "10", "+Inf"):
            yield f'openai_api_latency_seconds_bucket{{{labels},status_code="200",le="{bound}"}} %d'


def handler(pages: dict[str, list[str]]) -> type[http.server.BaseHTTPRequestHandler]:
    """Serves the pages; what grows is the time since the start."""
    began = time.time()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            grown = str(int(time.time() - began))
            body = "\n".join(pages[self.path]).replace("%d", grown).encode() + b"\n"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            """Says nothing."""

    return Handler


if __name__ == "__main__":
    main()
