# SPDX-License-Identifier: Apache-2.0
"""Prints how long each alert took to reach the pager, and what an engine ran, after the tests."""

import pytest

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
