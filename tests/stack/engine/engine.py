# SPDX-License-Identifier: Apache-2.0
"""A Docker engine for tests, by way of tools/engine.sh: the running one, or a private one in its own network."""

import ctypes
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from tests.deadlines import at_most

Result = TypeVar("Result")
ROOT = Path(__file__).resolve().parents[3]
DOUBLES = Path(__file__).resolve().parent / "doubles"
_NOT_POSSIBLE = 77
_HELD = 'printf "%s\\n" "$ENGINE" "$(command -v docker)" "$DOCKER_HOST" "$DOCKER_CONFIG"; exec cat'


@dataclass(frozen=True)
class Engine:
    """An engine that answers.

    Attributes:
        private: started for the tests, without a registry.
        docker_path: the client.
        env: what the client needs to find it.
        process: a process in its network, None where that is this machine's.
    """

    private: bool
    docker_path: str
    env: Mapping[str, str]
    process: int | None
    _there: ThreadPoolExecutor = field(repr=False)

    def docker(self, *arguments: str | Path, env: Mapping[str, str] | None = None, check: bool = True) -> str:
        """Run the client; its standard output. A failure shows both outputs."""
        found = subprocess.run(
            [self.docker_path, *map(str, arguments)],
            env={**os.environ, **self.env, **(env or {})},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=600,
        )
        assert found.returncode == 0 or not check, f"docker {arguments}: {found.stdout}\n{found.stderr}"
        return found.stdout + ("" if found.returncode == 0 else found.stderr)

    def there(self, what: Callable[..., Result], *arguments: Any) -> Result:
        """Call a function in the engine's network."""
        return self._there.submit(what, *arguments).result(600)

    def kill(self, container: str) -> None:
        """SIGKILL the first process of a container, as a crash or the kernel would; the engine is not told."""
        number = self.docker("inspect", "-f", "{{.State.Pid}}", container).strip()
        assert int(number) > 0, f"{container} does not run"
        enter = [] if self.process is None else ["nsenter", "-t", str(self.process), "-p", "-m", "--"]
        subprocess.run([*enter, "kill", "-KILL", number], check=True, timeout=120)

    def build_double(self, name: str, image: str, **arguments: str) -> None:
        """Build a double under the name of the image that it stands for."""
        given = [part for each in arguments.items() for part in ("--build-arg", "=".join(each))]
        self.docker("build", "-q", *given, "-t", image, DOUBLES / name)


@contextmanager
def running_engine(log: Path) -> Iterator[Engine]:
    """An engine, until the end of the block; skips the test, saying why, where there can be none."""
    argv = [str(ROOT / "tools" / "engine.sh"), "sh", "-c", _HELD]
    with (
        log.open("w") as out,
        subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=out, text=True) as held,
    ):
        assert held.stdin is not None
        assert held.stdout is not None
        with at_most(held, 840):  # less than the limit of a test: this failure shows the log
            kind, client, host, config = (held.stdout.readline().rstrip("\n") for _ in range(4))
        if not kind:
            said = log.read_text().strip().splitlines()[-1:] or ["nothing said"]
            if held.wait(60) == _NOT_POSSIBLE:
                pytest.skip(said[0])
            raise AssertionError(f"tools/engine.sh failed: {log.read_text()}")
        private = kind == "private"
        env = {"DOCKER_HOST": host, "DOCKER_CONFIG": config} if private else {}
        process = int(re.findall(r"namespaces of process (\d+)", log.read_text())[-1]) if private else None
        with ThreadPoolExecutor(1, initializer=_enter_network, initargs=(process,)) as there:
            try:
                yield Engine(private, client, env, process, there)
            finally:
                held.stdin.close()
                held.wait(180)


def _enter_network(process: int | None) -> None:
    """Move this thread, alone, into the network of a process."""
    if process is None:
        return
    with Path(f"/proc/{process}/ns/net").open() as network:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(network.fileno(), 0x40000000) != 0:
            raise OSError(ctypes.get_errno(), "setns")


def images() -> dict[str, str]:
    """Service of docker-compose.yml -> its image."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return {name: service["image"] for name, service in services.items()}


def rows(text: str) -> list[dict[str, Any]]:
    """What `--format json` of the client prints: one object a line."""
    return [json.loads(line) for line in text.splitlines() if line.strip()]
