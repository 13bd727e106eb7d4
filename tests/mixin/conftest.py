# SPDX-License-Identifier: Apache-2.0
"""Prints after the tests with which versions of Prometheus' and Alertmanager's tools they ran, and claims no other."""

import pytest

from tests.mixin.bundle import AMTOOLS, PROMTOOLS, version


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line; `version` runs a tool once."""
    tools = [*PROMTOOLS, *AMTOOLS]
    said = ", ".join(version(tool) for tool in tools) or "neither promtool nor amtool, which are not installed"
    terminalreporter.write_line(f"rules and routes were checked with {said}")
