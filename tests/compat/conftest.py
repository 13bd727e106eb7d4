# SPDX-License-Identifier: Apache-2.0
"""Each server runs once for all tests, with one exporter that probes it; both start when a test first asks."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.compat.fixtures import OFFERS
from tests.compat.probing import Bench, running_bench
from tests.compat.servers import SERVERS

_MORE = {
    "litellm": [
        *(("chat", model) for model in ("mock-limited", "mock-broken", "mock-too-long", "unreachable")),
        ("responses_stream", "mock-chat"),
    ]
}


@pytest.fixture(scope="session")
def bench_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Bench]]:
    """The bench of a server by name."""
    running: dict[str, Bench] = {}
    with ExitStack() as stack:

        def find(name: str) -> Bench:
            if name not in running:
                server = SERVERS[name](tmp_path_factory.mktemp(name))
                stack.callback(server.stop)
                server.start()
                probes = [*OFFERS[name].items(), ("chat", "no-such-model"), *_MORE.get(name, [])]
                running[name] = stack.enter_context(running_bench(server, probes))
            return running[name]

        yield find


@pytest.fixture(params=list(SERVERS))
def bench(request: pytest.FixtureRequest, bench_of: Callable[[str], Bench]) -> Bench:
    """Every server in turn."""
    return bench_of(request.param)
