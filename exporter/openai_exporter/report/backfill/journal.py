# SPDX-License-Identifier: Apache-2.0
"""What an import has read so far, in a folder beside its output, so that an interruption loses nothing."""

import errno
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from openai_exporter.errors import StartError
from openai_exporter.report.backfill.plan import Request

Line = list[Any]


class Journal:
    """The folder `OUTPUT.parts`: the request, and one file per query that was read to its end.

    Attributes:
        as_of: the API's time at which the import began; its last sample follows from it.
    """

    def __init__(self, output: Path) -> None:
        self.output = output
        self.folder = output.parent / f"{output.name}.parts"
        self.as_of = 0.0
        self._plan = self.folder / "plan.json"

    def begin(self, request: Request, now: float, *, resume: bool) -> bool:
        """Open the journal, or start it; whether there was one to go on with.

        Raises:
            StartError: it belongs to another request, or the place cannot be written to.
        """
        with writable(self.output):
            if not resume:
                shutil.rmtree(self.folder, ignore_errors=True)
            if self._plan.exists():
                self._check(request)
                return True
            if self.output.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            self.folder.mkdir(exist_ok=True)
            self.as_of = now
            self._save(self._plan, [json.dumps({"as_of": now, "request": request.document()})])
        return False

    def has(self, name: str) -> bool:
        """Whether that query was read to its end."""
        return self._file(name).exists()

    def draft(self, name: str) -> Path:
        """Where a query's lines are written until it is complete."""
        return self._file(name).with_suffix(".new")

    def complete(self, name: str) -> None:
        """The draft is whole."""
        with writable(self.output):
            self.draft(name).replace(self._file(name))

    def buckets(self, name: str) -> Iterator[tuple[int, Iterator[Line]]]:
        """Start and rows of each bucket that has any, in the order of time."""
        with self._file(name).open(encoding="utf-8") as file:
            yield from groupby(map(json.loads, file), key=lambda line: int(line[0]))

    def remove(self) -> None:
        """Forget it all."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.jsonl"

    def _check(self, request: Request) -> None:
        try:
            found = json.loads(self._plan.read_text(encoding="utf-8"))
            self.as_of, kept = float(found["as_of"]), found["request"]
        except (ValueError, KeyError, TypeError):
            raise StartError(f"{self.folder}: is damaged; give --no-resume to begin anew") from None
        if kept != json.loads(json.dumps(request.document())):
            raise StartError(
                f"{self.folder}: belongs to an import with other options or another configuration; "
                "repeat those, or give --no-resume to begin anew"
            )

    def _save(self, path: Path, lines: Iterable[str]) -> None:
        new = path.with_suffix(".new")
        with new.open("w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
        new.replace(path)


class writable:  # noqa: N801 (reads as a statement: with writable(path))
    """Turns a failure to write into one line that names the place."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            reason = error.strerror or error
            raise StartError(f"{self._path}: cannot be written: {reason}; {_remedy(error)}") from None


def _remedy(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "free some and run the same command again, what was read is kept; or choose another --output"
    return "choose another --output"
