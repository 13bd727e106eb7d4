# SPDX-License-Identifier: Apache-2.0
"""One Docker engine for all tests that need one."""

import time
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import Note
from tests.stack.engine.engine import ROOT, Engine, images, running_engine

NoteLine = Callable[[str], None]


@pytest.fixture(scope="session")
def note_engine(note: Note) -> NoteLine:
    """Prints a line at the end of the run: what the tests on an engine ran on, and how long it took."""
    return lambda line: note("docker-compose.yml on an engine", line)


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory, note_engine: NoteLine) -> Iterator[Engine]:
    """An engine that has every image of docker-compose.yml, for all tests that need one."""
    log = tmp_path_factory.mktemp("engine") / "log"
    with running_engine(log) as found:
        named = images()
        began = time.monotonic()
        found.docker("compose", "--project-directory", ROOT, "--env-file", "/dev/null", "build", "exporter")
        note_engine(f"exporter's image built in {time.monotonic() - began:.0f} s")
        if found.private:
            for name in ("grafana", "mailpit"):
                found.build_double(name, named[name], EXPORTER=named["exporter"])
            thanos = named["thanos-query"]
            found.build_double("thanos", thanos, EXPORTER=named["exporter"], PROMETHEUS=named["prometheus"])
            note_engine(f"doubles, not the real programs: {named['grafana']}, {named['mailpit']}, {thanos}")
            note_engine(f"Debian's builds of the real programs: {named['prometheus']}, {named['alertmanager']}")
        yield found
