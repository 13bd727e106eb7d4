# SPDX-License-Identifier: Apache-2.0
"""Servers that speak OpenAI's API and that others wrote, installed from packages, as child processes on loopback."""

import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.compat import fixtures
from tests.stack.programs import environment, free_port, get, wait_for

HOME = Path(os.environ.get("COMPAT_HOME", Path(__file__).parents[2] / ".compat"))
"""Where `tools/compat.sh` installs the servers, one folder each."""

COMPAT = [
    pytest.mark.compat,
    pytest.mark.skipif(
        os.environ.get("COMPAT") != "1",
        reason="runs servers from other packages; install them and run it with tools/compat.sh",
    ),
]


@dataclass
class Server:
    """One server; it can be stopped and started again at the same address.

    Attributes:
        key: the one key that it accepts.
        ready: path that answers 200 once it serves.
    """

    name: str
    key: str
    port: int
    argv: Sequence[str]
    folder: Path
    env: Mapping[str, str] = field(default_factory=dict)
    ready: str = "/v1/models"
    process: subprocess.Popen[bytes] | None = None

    @property
    def base_url(self) -> str:
        """What a target's `base_url` is set to."""
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        """Start it and wait until it serves; fails with its log."""
        log = self.folder / f"{self.name}.log"
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                self.argv, stdout=out, stderr=out, cwd=self.folder, env=environment(**self.env)
            )
        wait_for(self._serves, 180, f"{self.name} serves; its log is {log}")

    def stop(self) -> None:
        """Stop it and wait until it is gone."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(60)
        self.process = None

    def _serves(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            pytest.fail(f"{self.name} ended: {(self.folder / f'{self.name}.log').read_text()[-2000:]}")
        status, _ = get(f"http://127.0.0.1:{self.port}{self.ready}", Authorization=f"Bearer {self.key}")
        return status == 200


def litellm(folder: Path, upstream: str = "") -> Server:
    """LiteLLM's proxy: models with mocked replies, and with `upstream` models that it passes on to that API."""
    config = folder / "litellm.yml"
    config.write_text(yaml.safe_dump(fixtures.litellm(upstream)))
    program = _installed("litellm/bin/litellm")
    port = free_port()
    argv = [program, "--config", config, "--host", "127.0.0.1", "--port", port, "--telemetry", "False"]
    offline = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}  # or it fetches a price list from the Internet
    return Server("litellm", fixtures.KEY, port, [str(each) for each in argv], folder, offline)


def llama_cpp(folder: Path) -> Server:
    """llama.cpp's own server, with a model made here."""
    program, port = _installed("llama/bin/llama-server"), free_port()
    argv = [
        *(program, "--host", "127.0.0.1", "--port", port, "--api-key", fixtures.KEY, "--offline"),
        *("--model", _model(folder), "--alias", fixtures.MODEL, "--ctx-size", "512", "--threads", "1"),
        *("--embeddings", "--pooling", "mean", "--no-ui"),
    ]
    return Server("llama_cpp", fixtures.KEY, port, [str(each) for each in argv], folder, {}, ready="/health")


def llama_cpp_python(folder: Path) -> Server:
    """The server of llama-cpp-python, another program on the same library."""
    python, port = _installed("llama/bin/python"), free_port()
    argv = [
        *(python, "-m", "llama_cpp.server", "--host", "127.0.0.1", "--port", port, "--api_key", fixtures.KEY),
        *("--model", _model(folder), "--model_alias", fixtures.MODEL, "--n_ctx", "512", "--n_threads", "1"),
        *("--embedding", "True"),
    ]
    return Server("llama_cpp_python", fixtures.KEY, port, [str(each) for each in argv], folder)


def aimock(folder: Path) -> Server:
    """CopilotKit's aimock on Node.js: the only one that has every endpoint, and it can misbehave."""
    program, port = _installed("aimock/node_modules/.bin/aimock"), free_port()
    replies = folder / "aimock-fixtures.json"
    replies.write_text(json.dumps(fixtures.AIMOCK))
    config = folder / "aimock.json"
    document: dict[str, Any] = {
        "auth": {"apiKeys": [fixtures.KEY]},
        "strict": True,
        "services": {"moderate": True},
        "llm": {"fixtures": str(replies), "logLevel": "info"},
    }
    config.write_text(json.dumps(document))
    argv = [program, "--config", config, "--host", "127.0.0.1", "--port", port]
    return Server("aimock", fixtures.KEY, port, [str(each) for each in argv], folder)


SERVERS: Mapping[str, Callable[[Path], Server]] = {
    "litellm": litellm,
    "llama_cpp": llama_cpp,
    "llama_cpp_python": llama_cpp_python,
    "aimock": aimock,
}


def _installed(path: str) -> Path:
    found = HOME / path
    if not found.exists():
        pytest.fail(f"{found} is missing; install the servers with tools/compat.sh, or deselect this one")
    return found


def _model(folder: Path) -> Path:
    path = folder / "nonsense.gguf"
    if not path.exists():
        maker = Path(__file__).with_name("tiny_model.py")
        subprocess.run([_installed("llama/bin/python"), maker, path], check=True, env=environment(), timeout=800)
    return path
