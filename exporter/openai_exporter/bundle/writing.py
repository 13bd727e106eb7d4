# SPDX-License-Identifier: Apache-2.0
"""Copies the bundle into a folder; looks before it writes, so that nobody's change is lost."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from openai_exporter.errors import StartError

State = Literal["new", "same", "differs"]


@dataclass(frozen=True, slots=True)
class Copy:
    """One file to be written.

    Attributes:
        path: relative to both folders.
        state: `new`, `same` (there already, byte for byte) or `differs` (there, and not the same).
    """

    path: Path
    state: State


def copies(root: Path, into: Path, paths: Iterable[Path]) -> list[Copy]:
    """What there is to do for each file; writes nothing."""
    return [Copy(path, _state(root / path, into / path)) for path in paths]


def _state(source: Path, target: Path) -> State:
    if not os.path.lexists(target):
        return "new"
    return "same" if target.is_file() and target.read_bytes() == source.read_bytes() else "differs"


def write(root: Path, into: Path, planned: Iterable[Copy]) -> None:
    """Write every file that is not there yet as it should be; each whole or not at all.

    Raises:
        StartError: a file cannot be written; the message names it.
    """
    for copy in planned:
        if copy.state == "same":
            continue
        target = into / copy.path
        beside = target.with_name(f".{target.name}.new")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            beside.write_bytes((root / copy.path).read_bytes())
            beside.replace(target)
        except OSError as error:
            beside.unlink(missing_ok=True) if beside.parent.is_dir() else None
            raise StartError(f"{target}: cannot be written: {error.strerror}") from error
