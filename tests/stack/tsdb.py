# SPDX-License-Identifier: Apache-2.0
"""Samples with times of their own in a real Prometheus: recorded scrapes become blocks, blocks are served."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.stack.programs import PROMETHEUS, Prometheus, prometheus_on

PROMTOOL = os.environ.get("PROMTOOL_BINARY", "").partition(os.pathsep)[0] or shutil.which("promtool")
MISSING = not (PROMETHEUS and PROMTOOL)


class Recording:
    """Scrapes at given times, as OpenMetrics.

    Args:
        labels: target labels, as Prometheus would add them.
    """

    def __init__(self, **labels: str) -> None:
        self._labels = ",".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
        self._lines: dict[str, dict[str, list[str]]] = {}

    def add(self, moment: float, page: Mapping[str, float]) -> None:
        """One scrape."""
        for series, value in page.items():
            name, _, own = series.partition("{")
            labels = ",".join(part for part in (self._labels, own.rstrip("}")) if part)
            line = f"{name}{{{labels}}} {value!r} {moment:.3f}\n"
            self._lines.setdefault(name, {}).setdefault(series, []).append(line)

    def write(self, path: Path) -> Path:
        """All of it, family by family and series by series."""
        with path.open("w", encoding="utf-8") as file:
            for name, series in self._lines.items():
                base = name.removesuffix("_total")
                file.write(f"# TYPE {base} {'gauge' if base == name else 'counter'}\n")
                for lines in series.values():
                    file.writelines(lines)
            file.write("# EOF\n")
        return path


def make_blocks(openmetrics: Path, folder: Path) -> None:
    """`promtool tsdb create-blocks-from openmetrics`."""
    assert PROMTOOL is not None
    argv = [
        PROMTOOL, "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=162h",
        str(openmetrics), str(folder),
    ]  # fmt: skip
    made = subprocess.run(argv, capture_output=True, timeout=800, text=True)
    assert made.returncode == 0, made.stderr


@contextmanager
def prometheus_of(folder: Path, blocks: Path) -> Iterator[Prometheus]:
    """A Prometheus that has nothing but these blocks."""
    config = folder / "prometheus.yml"
    config.write_text("global: {}\n")
    with prometheus_on(config, "--storage.tsdb.retention.time=3650d", data=blocks) as found:
        yield found
