# SPDX-License-Identifier: Apache-2.0
"""Which of the programs that the demo can run are on this machine, and how to get the others."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass

Which = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Program:
    """A program under the names that its distributions give it."""

    title: str
    names: tuple[str, ...]
    remedy: str


PROMETHEUS = Program("Prometheus", ("prometheus",), "Debian: sudo apt-get install prometheus")
ALERTMANAGER = Program(
    "Alertmanager",
    ("alertmanager", "prometheus-alertmanager"),
    "Debian: sudo apt-get install prometheus-alertmanager",
)
PROMTOOL = Program("promtool", ("promtool",), "Debian: part of the package prometheus")
GRAFANA = Program("Grafana", ("grafana", "grafana-server"), "it runs here when `grafana` is on PATH")


def find(program: Program, which: Which = shutil.which) -> str | None:
    """Path of the program's executable, None when it is not on PATH."""
    return next((path for name in program.names if (path := which(name))), None)
