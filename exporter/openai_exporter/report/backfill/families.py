# SPDX-License-Identifier: Apache-2.0
"""Samples of several metrics, written as they come, put together metric by metric at the end (OpenMetrics)."""

import contextlib
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from openai_exporter.exposition.labels import LabelWriter
from openai_exporter.exposition.text import number
from openai_exporter.metrics import CATALOGUE, Kind, Metric, recorded
from openai_exporter.metrics.metric import metrics_of

_RECORDED = ("job", "organization")
_METRICS = {**CATALOGUE, **{metric.name: metric for metric in metrics_of(recorded)}}


class Families:
    """One file per metric in a folder; the families of the result do not interleave.

    Args:
        labels: added to each series; a name that a metric has itself is not allowed.

    Attributes:
        samples: how many were written.
    """

    def __init__(self, folder: Path, labels: Iterable[tuple[str, str]]) -> None:
        self._folder = folder
        self._more = tuple(labels)
        self._files: dict[str, IO[str]] = {}
        self._writers: dict[tuple[str, ...], LabelWriter] = {}
        self.samples = 0

    def series(self, metric: Metric, values: tuple[str, ...]) -> str:
        """A series as its lines begin: `name{labels} `."""
        names = (*metric.labels, *(name for name, _ in self._more))
        writer = self._writers.setdefault(names, LabelWriter(names))
        return f"{metric.name}{writer.write((*values, *(value for _, value in self._more)))}"

    def recorded(self, metric: Metric, values: tuple[str, ...]) -> str:
        """The same of a recorded series, which tells no replicas apart: of the added labels it has two."""
        kept = [(name, value) for name, value in self._more if name in _RECORDED]
        writer = LabelWriter((*metric.labels, *(name for name, _ in kept)))
        return f"{metric.name}{writer.write((*values, *(value for _, value in kept)))}"

    def write(self, metric: Metric, series: str, value: float, moment: int) -> None:
        """One sample; the times of a series must not go back."""
        file = self._files.get(metric.name)
        if file is None:
            file = self._files[metric.name] = self._part(metric.name).open(
                "w", encoding="utf-8", buffering=1 << 18
            )
        file.write(f"{series}{number(value)} {moment}\n")
        self.samples += 1

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()

    def discard(self) -> None:
        """Remove what was written: it is made anew from what was read, and takes room until then."""
        for file in self._files.values():
            with contextlib.suppress(OSError):  # there is no room for what it still holds
                file.close()
        for part in (*self._folder.glob("*.family"), self._folder / "output.new"):
            part.unlink(missing_ok=True)

    def assemble(self, output: Path) -> None:
        """Put everything together; `output` is there as a whole or not at all."""
        self.close()
        new = self._folder / "output.new"
        with new.open("wb") as out:
            for name, metric in _METRICS.items():
                if name in self._files:
                    out.write(_head(metric).encode())
                    part = self._part(name)
                    with part.open("rb") as file:
                        shutil.copyfileobj(file, out, 1 << 20)
                    part.unlink()  # else there would be everything twice on the disk
            out.write(b"# EOF\n")
        new.replace(output)

    def _part(self, name: str) -> Path:
        return self._folder / f"{name.replace(':', '-')}.family"


def _head(metric: Metric) -> str:
    name = metric.name.removesuffix("_total") if metric.kind is Kind.COUNTER else metric.name
    text = metric.help.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
    return f"# HELP {name} {text}\n# TYPE {name} {metric.kind}\n"
