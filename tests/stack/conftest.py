# SPDX-License-Identifier: Apache-2.0
"""Prints how long each alert took to reach the pager, and what an engine ran, after the tests."""

import time
from collections.abc import Iterator

import pytest

from tests.stack.engine.engine import ROOT, Engine, images, running_engine

DETECTIONS = pytest.StashKey[list[tuple[str, float, float]]]()
"""What was paged, seconds that it took, seconds that it might take."""

NOTES = pytest.StashKey[list[str]]()
"""What the tests on a container engine ran on, and how long it took."""


def pytest_configure(config: pytest.Config) -> None:
    config.stash[DETECTIONS] = []
    config.stash[NOTES] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    found = config.stash[DETECTIONS]
    if found:
        terminalreporter.section("from cause to page")
    for what, seconds, bound in found:
        terminalreporter.write_line(f"{what:<32} {seconds:5.1f} s, at most {bound:.0f} s")
    notes = config.stash[NOTES]
    if notes:
        terminalreporter.section("docker-compose.yml on an engine")
    for line in notes:
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Engine]:
    """An engine that has every image of docker-compose.yml, for all tests that need one."""
    log = tmp_path_factory.mktemp("engine") / "log"
    with running_engine(log) as found:
        named = images()
        began = time.monotonic()
        found.docker("compose", "--project-directory", ROOT, "--env-file", "/dev/null", "build", "exporter")
        notes = pytestconfig.stash[NOTES]
        notes.append(f"exporter's image built in {time.monotonic() - began:.0f} s")
        if found.private:
            for name in ("grafana", "mailpit"):
                found.build_double(name, named[name], EXPORTER=named["exporter"])
            thanos = named["thanos-query"]
            found.build_double("thanos", thanos, EXPORTER=named["exporter"], PROMETHEUS=named["prometheus"])
            notes += [
                f"doubles, not the real programs: {named['grafana']}, {named['mailpit']}, {thanos}",
                f"Debian's builds of the real programs: {named['prometheus']}, {named['alertmanager']}",
            ]
        yield found
