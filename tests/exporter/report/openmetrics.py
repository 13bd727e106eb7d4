# SPDX-License-Identifier: Apache-2.0
"""Reads a file of samples with times, as an import makes it."""

import re
from pathlib import Path

_LINE = re.compile(r"([a-z0-9_:]+)(?:\{(.*)\})? (\S+) (\d+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

Series = tuple[str, tuple[tuple[str, str], ...]]
Samples = dict[Series, list[tuple[int, float]]]


def samples(path: Path, *without: str) -> Samples:
    """Times and values of each series, in the order of the file; without some labels."""
    found: Samples = {}
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            match = _LINE.fullmatch(line)
            assert match is not None, line
            labels = tuple(sorted(pair for pair in _LABEL.findall(match[2] or "") if pair[0] not in without))
            found.setdefault((match[1], labels), []).append((int(match[4]), float(match[3])))
    return found


def families(path: Path) -> list[str]:
    """The metric of each line, those side by side taken as one."""
    found: list[str] = []
    for line in path.read_text().removesuffix("# EOF\n").splitlines():
        name = line.split()[2] if line.startswith("# ") else line.partition("{")[0].partition(" ")[0]
        name = name.removesuffix("_total")
        if found[-1:] != [name]:
            found.append(name)
    return found


def at(found: Samples, metric: str, moment: int, *labels: tuple[str, str]) -> float:
    """The sum over all series of a metric with some labels at a time."""
    chosen = [each for (name, own), each in found.items() if name == metric and set(labels) <= set(own)]
    return sum(value for each in chosen for t, value in each if t == moment)
