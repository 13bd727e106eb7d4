# SPDX-License-Identifier: Apache-2.0
"""Cost of a plain probe: CPU, memory and start time of the whole process, beside blackbox_exporter's http prober.

Both probe the same simulated chat completion (no simulated latency), one probe at a time, over one kept connection.
"""

import http.client
import json
import statistics
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import yaml

from bench import processes
from openai_simulator.testing import SimulatorControl, running_simulator

PROBES = 2000
WARM_UP = 200
STARTS = 7
KEYS = {"OPENAI_API_KEY": "sk-bench", "OPENAI_ADMIN_KEY": "sk-admin-bench"}


def main() -> None:
    """Print the figures."""
    with running_simulator(latency_scale=0) as simulator, tempfile.TemporaryDirectory() as folder:
        models = chat_models(simulator, 20)
        simulator_limits(simulator, models)
        ours = exporter(simulator, models, Path(folder))
        theirs = blackbox(simulator, models[0], Path(folder))
    if theirs is None:
        print("blackbox_exporter is not installed: no ratio")
        return
    print(f"CPU per probe, exporter / blackbox_exporter: {ours / theirs:.1f} times")


def chat_models(simulator: SimulatorControl, count: int) -> list[str]:
    """Names of models that answer plain chat requests."""
    host = simulator.base_url.removeprefix("http://")
    headers = {"Authorization": "Bearer sk-bench", "Content-Type": "application/json"}
    connection = http.client.HTTPConnection(host)
    connection.request("GET", "/v1/models", headers=headers)
    listed = [each["id"] for each in json.load(connection.getresponse())["data"]]
    found = []
    for model in listed:
        body = {"model": model, "messages": [{"role": "user", "content": "Reply with the word: pong"}]}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status == 200 and b"pong" in text:
            found.append(model)
    connection.close()
    return found[:count]


def simulator_limits(simulator: SimulatorControl, models: list[str]) -> None:
    """Lift the simulated rate limits out of the way."""
    for model in models:
        simulator.rate_limits(model, 10_000_000, 2_000_000_000)


def exporter(simulator: SimulatorControl, models: list[str], folder: Path) -> float:
    """CPU seconds per probe of the exporter; prints all its figures."""
    config = folder / "exporter.yml"
    document = {
        "targets": [{"name": "openai", "base_url": simulator.api_url, "api_key_env": "OPENAI_API_KEY"}],
        "modules": {"chat": {"endpoint": "chat"}},
        "probes": [{"target": "openai", "module": "chat", "models": models}],
    }
    config.write_text(yaml.safe_dump(document))
    starts = [start_seconds(config) for _ in range(STARTS)]
    print(f"start to healthy: median {statistics.median(starts):.3f} s of {STARTS} (min {min(starts):.3f})")
    port = processes.free_port()
    paths = [f"/probe?target=openai&module=chat&model={quote(model)}" for model in models]
    with processes.running(processes.exporter_argv(port, "--config.file", str(config)), KEYS) as child:
        processes.wait_until_ok(port, "/-/healthy")
        cost, wall = measure(child.pid, port, paths)
        print(
            f"resident after {PROBES + WARM_UP} probes over {len(models)} models: "
            f"{processes.resident_mib(child.pid):.1f} MiB"
        )
    print(
        f"exporter: {cost * 1000:.2f} ms CPU per probe, {wall * 1000:.2f} ms wall, "
        f"{1 / wall:.0f} probes/s one at a time"
    )
    return cost


def start_seconds(config: Path) -> float:
    """Time from starting the process to its first healthy answer."""
    port = processes.free_port()
    with processes.running(processes.exporter_argv(port, "--config.file", str(config)), KEYS):
        return processes.wait_until_ok(port, "/-/healthy")


def blackbox(simulator: SimulatorControl, model: str, folder: Path) -> float | None:
    """CPU seconds per probe of blackbox_exporter; None when it is not installed."""
    binary = processes.blackbox_binary()
    if binary is None:
        return None
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Reply with the word: pong"}]})
    headers = {"Authorization": "Bearer sk-bench", "Content-Type": "application/json"}
    http_module = {"method": "POST", "body": body, "headers": headers, "fail_if_body_not_matches_regexp": ["pong"]}
    config = folder / "blackbox.yml"
    config.write_text(yaml.safe_dump({"modules": {"chat": {"prober": "http", "http": http_module}}}))
    port = processes.free_port()
    argv = [binary, f"--config.file={config}", f"--web.listen-address=127.0.0.1:{port}"]
    path = f"/probe?module=chat&target={quote(simulator.api_url + '/chat/completions', safe='')}"
    with processes.running(argv) as child:
        processes.wait_until_ok(port, "/-/healthy")
        cost, wall = measure(child.pid, port, [path])
    print(f"blackbox_exporter: {cost * 1000:.2f} ms CPU per probe, {wall * 1000:.2f} ms wall")
    return cost


def measure(pid: int, port: int, paths: list[str]) -> tuple[float, float]:
    """(CPU seconds, wall seconds) per probe of a process, after a warm-up; every probe must succeed."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for number in range(WARM_UP):
        probe(connection, paths[number % len(paths)])
    cpu, wall = processes.cpu_seconds(pid), time.perf_counter()
    for number in range(PROBES):
        probe(connection, paths[number % len(paths)])
    spent = processes.cpu_seconds(pid) - cpu, time.perf_counter() - wall
    connection.close()
    return spent[0] / PROBES, spent[1] / PROBES


def probe(connection: http.client.HTTPConnection, path: str) -> None:
    """One probe over a kept connection."""
    connection.request("GET", path, headers={"X-Prometheus-Scrape-Timeout-Seconds": "10"})
    text = connection.getresponse().read()
    if b"\nprobe_success 1\n" not in text:
        raise RuntimeError(f"the probe failed: {text.decode()[:2000]}")


if __name__ == "__main__":
    main()
