# SPDX-License-Identifier: Apache-2.0
"""Real programs on loopback for the tests of the whole chain: exporter and Prometheus as child processes."""

import itertools
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from tests.deadlines import at_most, stop

Found = TypeVar("Found")
PROMETHEUS = os.environ.get("PROMETHEUS_BINARY") or shutil.which("prometheus")
KEYS = {"OPENAI_API_KEY": "sk-test", "OPENAI_ADMIN_KEY": "sk-admin-test"}
"""Both kinds of key, as the simulator takes them."""
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_KEPT = ("PATH", "HOME", "LANG", "PYTHONPATH", "VIRTUAL_ENV", "COVERAGE_PROCESS_START")


def _ports() -> Iterator[int]:
    """Ports that the kernel gives to nobody who asks for any; each worker of a test run has a thousand of its own."""
    first = 20000 + 1000 * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 12)
    start = random.randrange(1000)
    return itertools.cycle([*range(first + start, first + 1000), *range(first, first + start)])


_PORTS = _ports()


def free_port() -> int:
    """A port that was free a moment ago, and that is not given out again soon."""
    for port in _PORTS:
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
    raise AssertionError("the ports never end")


def samples(page: str) -> dict[str, float]:
    """Every sample of a page: `name{labels}` -> value."""
    lines = [line for line in page.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def get(url: str, **headers: str) -> tuple[int, str]:
    """Status and text of a local URL, also of an error; status 0 when nothing answers."""
    try:
        with _OPENER.open(urllib.request.Request(url, headers=headers), timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return 0, ""


def call(url: str, method: str, document: Any = None, **headers: str) -> int:
    """Send JSON, or nothing, to a local URL; the status."""
    body = None if document is None else json.dumps(document).encode()
    given = {"Content-Type": "application/json", **headers}
    with _OPENER.open(urllib.request.Request(url, body, given, method=method), timeout=30) as answer:
        found: int = answer.status
    return found


def wait_for(what: Callable[[], Found], seconds: float, said: str | Callable[[], str]) -> Found:
    """Ask until the answer is true; fails after `seconds`, quoting the last answer.

    Args:
        said: what is waited for; a function is asked when the wait is over, for what is known only then.
    """
    end = time.monotonic() + seconds
    while True:
        found = what()
        if found:
            return found
        if time.monotonic() > end:
            waited_for = said if isinstance(said, str) else said()
            raise AssertionError(f"not within {seconds} s: {waited_for}; last answer: {found!r}")
        time.sleep(0.1)


def wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Wait until a URL of a program that has just been started answers 200; a failure quotes its log."""

    def told() -> str:
        return f"{process.args!r} ready; {log.read_text(errors='replace')[-2000:]}"

    wait_for(lambda: process.poll() is not None or get(url)[0] == 200, 120, told)
    assert process.poll() is None, f"it ended instead: {told()}"


def environment(**more: str) -> dict[str, str]:
    """The variables that a child needs, and nothing else of ours."""
    return {name: os.environ[name] for name in _KEPT if name in os.environ} | more


@dataclass
class Exporter:
    """A running `openai-exporter serve`."""

    url: str
    argv: list[str]
    env: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> None:
        """Start it and wait until it is ready."""
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(self.argv, env=dict(self.env), stdout=out, stderr=out)
        wait_until_ready(self.process, f"{self.url}/-/ready", self.log)

    def kill(self) -> None:
        """`kill -9`."""
        self.process.kill()
        self.process.wait(60)

    def samples(self, path: str) -> dict[str, float]:
        """Every sample of a page: `name{labels}` -> value."""
        status, text = get(f"{self.url}{path}")
        assert status == 200, text
        return samples(text)

    def targets(self) -> list[dict[str, Any]]:
        """What `/sd` lists."""
        found: list[dict[str, Any]] = json.loads(get(f"{self.url}/sd")[1])
        return found


@contextmanager
def running_exporter(
    folder: Path, env: Mapping[str, str], document: Mapping[str, Any] | None = None, *flags: str
) -> Iterator[Exporter]:
    """Run the exporter, with a configuration document or without any."""
    address = f"127.0.0.1:{free_port()}"
    argv = [
        sys.executable,
        "-m",
        "openai_exporter",
        "serve",
        "--storage.path=",
        "--web.listen-address",
        address,
        *flags,
    ]
    if document is not None:
        config = folder / f"exporter-{address.rpartition(':')[2]}.yml"
        config.write_text(yaml.safe_dump(dict(document)))
        argv += ["--config.file", str(config)]
    exporter = Exporter(f"http://{address}", argv, environment(**env), folder / f"exporter-{address[-5:]}.log")
    exporter.start()
    try:
        yield exporter
    finally:
        exporter.process.terminate()
        try:
            exporter.process.wait(60)
        except subprocess.TimeoutExpired:
            exporter.kill()


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus."""

    url: str

    def query(self, text: str) -> list[dict[str, Any]]:
        """An instant query's result vector."""
        status, body = get(f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': text})}")
        assert status == 200, body
        result: list[dict[str, Any]] = json.loads(body)["data"]["result"]
        return result

    def value(self, text: str) -> float | None:
        """The value of a query with one sample; None when it has none."""
        result = self.query(text)
        return float(result[0]["value"][1]) if result else None


@contextmanager
def running_program(argv: Sequence[str], log: Path, ready: str) -> Iterator[None]:
    """Run a program in the folder of its log until the end of the block, from when a URL of it answers."""
    with log.open("wb") as out:
        process = subprocess.Popen(argv, stdout=out, stderr=out, cwd=log.parent)
    try:
        wait_until_ready(process, ready, log)
        yield
    finally:
        stop(process)


@contextmanager
def prometheus_on(config: Path, *flags: str, data: Path | None = None, port: int = 0) -> Iterator[Prometheus]:
    """Run Prometheus on a configuration file; its log, and its data where nothing else is said, lie beside that."""
    assert PROMETHEUS is not None
    found = Prometheus(f"http://127.0.0.1:{port or free_port()}")
    argv = [
        PROMETHEUS,
        f"--config.file={config}",
        f"--storage.tsdb.path={data or config.with_name('tsdb')}",
        f"--web.listen-address={found.url.removeprefix('http://')}",
        *flags,
    ]
    with running_program(argv, config.with_name("prometheus.log"), f"{found.url}/-/ready"):
        yield found


@contextmanager
def running_prometheus(
    folder: Path, sd_url: str, interval: str = "1s", rules: Sequence[Path] = (), alertmanager: str = ""
) -> Iterator[Prometheus]:
    """Run Prometheus with HTTP service discovery on `sd_url`, rules, and an Alertmanager at that URL."""
    scrape = {"job_name": "openai", "http_sd_configs": [{"url": sd_url, "refresh_interval": "1s"}]}
    times = ("scrape_interval", "scrape_timeout", "evaluation_interval")
    document: dict[str, Any] = {
        "global": dict.fromkeys(times, interval),
        "scrape_configs": [scrape],
        "rule_files": [str(path) for path in rules],
    }
    if alertmanager:
        targets = [{"targets": [alertmanager.removeprefix("http://")]}]
        document["alerting"] = {"alertmanagers": [{"static_configs": targets}]}
    config = folder / "prometheus.yml"
    config.write_text(yaml.safe_dump(document))
    with prometheus_on(config) as prometheus:
        yield prometheus


@dataclass(frozen=True)
class PageSink:
    """A running `openai-exporter page-sink`."""

    url: str

    def pages(self, since: int = 0) -> list[dict[str, Any]]:
        """Its pages, oldest first."""
        status, body = get(f"{self.url}/api/v1/pages?since={since}")
        assert status == 200, body
        found: list[dict[str, Any]] = json.loads(body)["pages"]
        return found[::-1]

    def alerts(self, name: str, status: str, since: int = 0) -> list[dict[str, Any]]:
        """The alerts of that name and status on its pages."""
        alerts = (alert for page in self.pages(since) for alert in page["alerts"])
        return [each for each in alerts if each["labels"]["alertname"] == name and each["status"] == status]


@contextmanager
def running_page_sink(*flags: str) -> Iterator[PageSink]:
    """Run page-sink on a free port; with flags."""
    argv = [sys.executable, "-m", "openai_exporter", "page-sink", "--listen-address", "127.0.0.1:0", *flags]
    with subprocess.Popen(argv, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            with at_most(process):
                line = next(line for line in process.stdout if line.startswith("listening on "))
            # Nobody reads on: what it prints must not fill the pipe.
            threading.Thread(target=process.stdout.read, daemon=True).start()
            yield PageSink(line.split()[2])
        finally:
            stop(process)
