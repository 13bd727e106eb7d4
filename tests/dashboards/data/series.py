# SPDX-License-Identifier: Apache-2.0
"""One time series of the made-up data, and how it is written in the OpenMetrics text format."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from openai_exporter.metrics import CATALOGUE
from tests.dashboards.data.timeline import Timeline


@dataclass(frozen=True)
class Series:
    """A name, its labels and a value for each sample; None where there is no sample."""

    name: str
    labels: Mapping[str, str]
    values: Sequence[float | None]


def series(name: str, values: Sequence[float | None], target: Mapping[str, str], /, **labels: str) -> Series:
    """A series of the catalogue; an empty label is absent, as Prometheus stores it.

    Raises:
        AssertionError: the catalogue has no such metric or it has no such label.
    """
    base = name if name in CATALOGUE else name.rpartition("_")[0]
    unknown = set(labels) - set(CATALOGUE[base].labels) - {"le"}
    assert not unknown, f"{name} has no label {', '.join(unknown)}"
    given = {**target, **labels}
    return Series(name, {label: value for label, value in given.items() if value}, values)


def write(path: Path, timeline: Timeline, found: Iterable[Series]) -> int:
    """Write series as OpenMetrics text; returns how many samples it holds."""
    stamps = [f" {t}\n" for t in timeline.times]
    samples = 0
    with path.open("w", encoding="utf-8") as out:
        for each in found:
            lines = list(_lines(each, stamps))
            samples += len(lines)
            out.write("".join(lines))
        out.write("# EOF\n")
    return samples


def _lines(each: Series, stamps: Sequence[str]) -> Iterator[str]:
    labels = ",".join(f'{label}="{value}"' for label, value in each.labels.items())
    head = f"{each.name}{{{labels}}} "
    for value, stamp in zip(each.values, stamps, strict=True):
        if value is not None:
            yield f"{head}{value:.10g}{stamp}"
