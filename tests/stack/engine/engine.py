# SPDX-License-Identifier: Apache-2.0
"""A Docker engine for tests, by way of tools/engine.sh: the running one, or a private one in its own network."""

import ctypes
import json
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

Result = TypeVar("Result")
ROOT = Path(__file__).resolve().parents[3]
DOUBLES = Path(__file__).resolve().parent / "doubles"
_NOT_POSSIBLE = 77
_PREPARED = 840
"""Seconds for the engine to be there: the first time its packages are downloaded, perhaps over a slow network."""
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
            timeout=800,
        )
        assert found.returncode == 0 or not check, f"docker {arguments}: {found.stdout}\n{found.stderr}"
        return found.stdout + ("" if found.returncode == 0 else found.stderr)

    def there(self, what: Callable[..., Result], *arguments: Any) -> Result:
        """Call a function in the engine's network; what it waits for it has to bound, too, or the run would not end."""
        return self._there.submit(what, *arguments).result(timeout=600)

    def kill(self, container: str) -> None:
        """SIGKILL the first process of a container, as a crash or the kernel would; the engine is not told."""
        number = self.docker("inspect", "-f", "{{.State.Pid}}", container).strip()
        assert int(number) > 0, f"{container} does not run"
        enter = [] if self.process is None else ["nsenter", "-t", str(self.process), "-p", "-m", "--"]
        subprocess.run([*enter, "kill", "-KILL", number], check=True, timeout=60)

    def build_double(self, name: str, image: str, **arguments: str) -> None:
        """Build a double under the name of the image that it stands for."""
        given = [part for each in arguments.items() for part in ("--build-arg", "=".join(each))]
        self.docker("build", "-q", *given, "-t", image, DOUBLES / name)


@contextmanager
def running_engine(log: Path) -> Iterator[Engine]:
    """An engine, until the end of the block; skips the test, saying why, where there can be none."""
    argv = [str(ROOT / "tools" / "engine.sh"), "sh", "-c", _HELD]
    with _held(argv, log) as held:
        kind, client, host, config = _first_lines(held, 4, log)
        if not kind:
            said = log.read_text().strip().splitlines()[-1:] or ["nothing said"]
            if held.wait(60) == _NOT_POSSIBLE:
                pytest.skip(said[0])
            raise AssertionError(f"tools/engine.sh failed: {log.read_text()}")
        private = kind == "private"
        env = {"DOCKER_HOST": host, "DOCKER_CONFIG": config} if private else {}
        process = int(re.findall(r"namespaces of process (\d+)", log.read_text())[-1]) if private else None
        with ThreadPoolExecutor(1, initializer=_enter_network, initargs=(process,)) as there:
            yield Engine(private, client, env, process, there)


@contextmanager
def _held(argv: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program that ends with its standard input; one that does not is ended, with all that it started."""
    with log.open("w") as out:
        pipe = subprocess.PIPE
        held = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=out, start_new_session=True)
    assert held.stdin is not None
    assert held.stdout is not None
    try:
        yield held
    finally:
        held.stdin.close()
        for seconds, then in ((180, signal.SIGTERM), (30, signal.SIGKILL)):
            try:
                held.wait(seconds)
                break
            except subprocess.TimeoutExpired:
                os.killpg(held.pid, then)
        held.wait(30)
        held.stdout.close()


def _first_lines(held: subprocess.Popen[bytes], count: int, log: Path) -> list[str]:
    """The first lines that a program prints; empty ones in place of what it does not print before it ends."""
    assert held.stdout is not None
    end, text = time.monotonic() + _PREPARED, b""
    while text.count(b"\n") < count:
        ready, _, _ = select.select([held.stdout], [], [], max(0, end - time.monotonic()))
        assert ready, f"{held.args!r} is not ready after {_PREPARED} s: {log.read_text()[-2000:]}"
        more = os.read(held.stdout.fileno(), 4096)
        if not more:
            break
        text += more
    return [*text.decode().splitlines(), *[""] * count][:count]


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
