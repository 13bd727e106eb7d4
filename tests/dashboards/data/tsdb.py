# SPDX-License-Identifier: Apache-2.0
"""Prometheus databases from made-up series: import, recording rules filled in, and a server to ask."""

import json
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.dashboards.data.series import Series, write
from tests.dashboards.data.timeline import Timeline
from tests.stack.programs import prometheus_on

PROMTOOL = shutil.which("promtool")
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Server:
    """A running Prometheus at `url`."""

    url: str

    def ask(self, path: str, **params: str | float) -> dict[str, Any]:
        """The API's JSON document, also of a refusal."""
        body = urllib.parse.urlencode(params).encode()
        try:
            with _OPENER.open(f"{self.url}{path}", data=body, timeout=600) as answer:
                found: dict[str, Any] = json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                found = json.load(error)
        return found


def load(folder: Path, timeline: Timeline, found: Iterable[Series]) -> int:
    """Add series to the database in `folder`; returns how many samples."""
    assert PROMTOOL is not None
    text = folder.parent / f"{folder.name}.om"
    samples = write(text, timeline, found)
    # One block per three weeks: promtool reads the file once for each block.
    argv = [PROMTOOL, "tsdb", "create-blocks-from", "--quiet", "openmetrics", "--max-block-duration=486h"]
    done = subprocess.run([*argv, str(text), str(folder)], capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stderr
    text.unlink()
    return samples


@contextmanager
def serving(folder: Path, config: Mapping[str, Any] | None = None, port: int = 0) -> Iterator[Server]:
    """Run Prometheus on the database in `folder`; it scrapes only what `config` tells it to."""
    settings = folder.parent / f"{folder.name}.yml"
    settings.write_text(json.dumps(config or {}))
    flags = ("--storage.tsdb.retention.time=400d", "--enable-feature=exemplar-storage", "--log.level=warn")
    with prometheus_on(settings, *flags, data=folder, port=port) as running:
        yield Server(running.url)
