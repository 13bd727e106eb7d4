# SPDX-License-Identifier: Apache-2.0
"""The exporter's process and its command `probe` against one foreign server, and what every good answer has."""

import json
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.compat.fixtures import MODULES, WRONG_KEY
from tests.compat.servers import Server
from tests.stack.programs import Exporter, environment, running_exporter

_OUTCOME = "openai_probe_outcome{"
_SLACK = 1e-6
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Bench:
    """A server, an exporter process that probes it, and the same configuration for the terminal.

    Its targets: `right`, `wrong` (another key), `keyless` and `elsewhere` (a path that is not there).
    """

    server: Server
    exporter: Exporter
    config: Path

    def scrape(self, module: str, model: str, target: str = "right", **more: str) -> dict[str, float]:
        """The samples of one GET /probe."""
        return self.exporter.samples(probe_path(module, model, target, **more))

    def terminal(self, module: str, model: str, target: str = "right") -> tuple[int, dict[str, Any]]:
        """Exit status and document of one `openai-exporter probe --json`."""
        argv = [sys.executable, "-m", "openai_exporter", "probe", "--json", "--config.file", str(self.config)]
        argv += ["--target", target, "--module", module] + (["--model", model] if model else [])
        done = subprocess.run(argv, capture_output=True, text=True, env=environment(**_keys(self.server)), timeout=800)
        assert done.stdout, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return done.returncode, document


def probe_path(module: str, model: str, target: str = "right", **more: str) -> str:
    """The path of a probe's page."""
    query = {"target": target, "module": module} | ({"model": model} if model else {}) | more
    return f"/probe?{urllib.parse.urlencode(query)}"


@contextmanager
def running_bench(
    server: Server, probes: Iterable[tuple[str, str]], modules: Mapping[str, Mapping[str, Any]] = MODULES
) -> Iterator[Bench]:
    """Run an exporter that probes these (module, model) on a server that runs already."""
    config = server.folder / "exporter.yml"
    config.write_text(yaml.safe_dump(_document(server, list(probes), modules)))
    with running_exporter(server.folder, _keys(server), None, "--config.file", str(config)) as exporter:
        yield Bench(server, exporter, config)


def _keys(server: Server) -> dict[str, str]:
    return {"COMPAT_KEY": server.key, "COMPAT_WRONG_KEY": WRONG_KEY}


def _document(
    server: Server, probes: list[tuple[str, str]], modules: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    common: dict[str, Any] = {"provider": "compatible", "base_url": server.base_url}
    targets: list[dict[str, Any]] = [
        {"name": "right", "api_key_env": "COMPAT_KEY"},
        {"name": "wrong", "api_key_env": "COMPAT_WRONG_KEY"},
        {"name": "keyless", "no_key": True},
        {"name": "elsewhere", "api_key_env": "COMPAT_KEY", "base_url": f"{server.base_url}/nowhere"},
    ]
    used = {module for module, _ in probes}
    return {
        "targets": [common | target for target in targets],
        "modules": {name: dict(module) for name, module in modules.items() if name in used},
        "probes": [
            {"target": target["name"], "module": module} | ({"models": [model]} if model else {})
            for target in targets
            for module, model in probes
        ],
    }


def outcome(samples: Mapping[str, float]) -> str:
    """The one outcome that a page's state set names."""
    states = {name: value for name, value in samples.items() if name.startswith(_OUTCOME)}
    named = [name for name, value in states.items() if value == 1]
    assert (1, set(states.values())) == (len(named), {0.0, 1.0})
    return named[0].removeprefix(_OUTCOME + 'outcome="').removesuffix('"}')


def judged(samples: Mapping[str, float]) -> tuple[float, str, float]:
    """HTTP status, outcome, and whether it counts in the availability SLI."""
    return (samples["probe_http_status_code"], outcome(samples), samples["openai_probe_availability_valid"])


def headers_of(document: Mapping[str, Any]) -> dict[str, str]:
    """The headers of the answer that a probe got."""
    lines = document["reply"].partition("\n\n")[0].splitlines()[1:]
    return {name: value for name, _, value in (line.partition(": ") for line in lines)}


def check_success(samples: Mapping[str, float], stream: bool, wall: float) -> None:
    """What the page of a good answer says, whatever the server; `wall` are the seconds that the scrape took."""
    expected = {
        "probe_success": 1,
        "probe_http_status_code": 200,
        "openai_probe_availability_valid": 1,
        "openai_probe_availability_good": 1,
        "openai_probe_cached_age_seconds": 0,
        "openai_probe_backoff_seconds": 0,
    }
    assert expected == {name: samples[name] for name in expected}
    assert outcome(samples) == "success"
    duration = samples["probe_duration_seconds"]
    phases = [value for name, value in samples.items() if name.startswith("probe_http_duration_seconds{")]
    assert len(phases) == 5
    assert all(value >= 0 for value in phases)
    assert 0 < duration <= wall
    assert sum(phases) <= duration + _SLACK
    check_stream(samples, stream, duration)


def check_stream(samples: Mapping[str, float], stream: bool, duration: float) -> None:
    """First event, first token and end come in that order; a plain answer has neither."""
    event = samples.get("openai_probe_time_to_first_event_seconds")
    token = samples.get("openai_probe_time_to_first_token_seconds")
    if not stream:
        assert (event, token) == (None, None)
        return
    assert event is not None
    assert token is not None
    assert 0 < event <= token <= duration


def rate_limits(samples: Mapping[str, float]) -> dict[str, float]:
    """The samples of the rate-limit families, without their common prefix."""
    start = "openai_api_rate_limit_"
    return {name.removeprefix(start): value for name, value in samples.items() if name.startswith(start)}


def replayed(document: Mapping[str, Any], key: str) -> str:
    """The body that another client gets for the request that a probe sent; the probe's own excerpt for a form."""
    head, _, body = document["request"].partition("\n\n")
    method, url = head.splitlines()[0].split()
    if "multipart/form-data" in head:
        text: str = document["reply"].partition("\n\n")[2]
        return text
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, body.encode() or None, headers, method=method)
    with _OPENER.open(request, timeout=30) as answer:
        return str(answer.read().decode(errors="replace"))


def usage_in(body: str) -> tuple[int, int] | None:
    """Input and output tokens as an answer states them; None without."""
    lines = [line.removeprefix("data: ") for line in body.splitlines() if line.startswith("data: {")]
    found = None
    for text in lines or [body]:
        document = json.loads(text)
        usage = (document.get("response") or document).get("usage") or {}
        given = usage.get("prompt_tokens", usage.get("input_tokens"))
        if given is not None:
            found = (given, usage.get("completion_tokens", usage.get("output_tokens", 0)))
    return found
