# SPDX-License-Identifier: Apache-2.0
"""The demo's folder: emptied at the start, never somebody else's, and held against a second demo in it."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from openai_exporter.errors import StartError

_MARKER = ".openai-exporter-demo"


@contextmanager
def held(data: Path) -> Iterator[None]:
    """Empty the folder, and keep other demos out of it until the end of the block, however that comes.

    Raises:
        StartError: the folder holds something else, cannot be written, or a demo runs in it.
    """
    with _marker(data) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartError(
                f"a demo runs in {data} already; end it, or choose another with --data-dir"
            ) from None
        _empty(data)
        yield


def _marker(data: Path) -> IO[str]:
    marker = data / _MARKER
    try:
        if data.exists() and any(data.iterdir()) and not marker.exists():
            raise StartError(
                f"{data} is not empty and not a folder of the demo; choose another with --data-dir"
            )
        data.mkdir(parents=True, exist_ok=True)
        return marker.open("a")
    except OSError as error:
        raise StartError(
            f"{data} cannot be written: {error.strerror}; choose another with --data-dir"
        ) from None


def _empty(data: Path) -> None:
    for each in data.iterdir():
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each, ignore_errors=True)
        elif each.name != _MARKER:
            each.unlink()
    (data / "logs").mkdir(exist_ok=True)
