# SPDX-License-Identifier: Apache-2.0
"""Scrapes begin one per pass of the event loop; everything else at once."""

import asyncio

from starlette.types import Receive, Scope, Send

from openai_exporter.exposition import Instruments
from openai_exporter.web.answers import text
from openai_exporter.web.gate import Gate


class Noting:
    """An application that notes in which pass of the loop it was called."""

    def __init__(self) -> None:
        self.passes = 0
        self.called: dict[str, list[int]] = {"/probe": [], "/-/healthy": []}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.called[scope["path"]].append(self.passes)
        await text("ok")(scope, receive, send)


def scope(path: str) -> Scope:
    return {
        "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"", "headers": [],
    }  # fmt: skip


async def _nothing(*_: object) -> None:
    """Neither receives nor sends."""


async def test_scrapes_that_come_together_begin_one_per_pass_and_health_does_not_wait() -> None:
    app = Noting()
    gate = Gate(app, instruments=Instruments(process=False), max_requests=50, limited=["/probe"])
    paths = ["/probe"] * 20 + ["/-/healthy"]
    tasks = [asyncio.create_task(gate(scope(path), _nothing, _nothing)) for path in paths]  # type: ignore[arg-type]
    while not all(task.done() for task in tasks):
        app.passes += 1
        await asyncio.sleep(0)
    assert len(set(app.called["/probe"])) == 20
    assert app.called["/-/healthy"] == [1]


async def test_a_scrape_that_waits_for_its_turn_counts_and_is_ended() -> None:
    app, answered = Noting(), []

    async def send(message: object) -> None:
        answered.append(message)

    gate = Gate(app, instruments=Instruments(process=False), max_requests=1, limited=["/probe"])
    waiting = asyncio.create_task(gate(scope("/probe"), _nothing, send))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    assert gate.waiting == 1
    gate.stop()
    await waiting
    assert app.called["/probe"] == []
    assert answered[0]["status"] == 503  # type: ignore[index]
