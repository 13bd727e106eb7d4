# SPDX-License-Identifier: Apache-2.0
"""Calls of an organization client against a raw server."""

import asyncio
from collections.abc import Callable

import pytest

from openai_exporter.client.organization import OrganizationClient
from openai_exporter.client.session import Network
from openai_exporter.config.secret import Credential, Secret
from openai_exporter.errors import UpstreamError
from openai_exporter.model import Answer

from .rawserver import Turn, raw_server

KEY = "sk-admin-0123456789abcdef"
DATE = "Date: Sat, 21 Nov 2026 09:30:00 GMT\r\n"
TIMEOUT = 0.5
"""Seconds, of calls that are to run into their deadline."""
PATIENCE = 20.0
"""Seconds, of every other call: a machine under load is slow."""


def client(url: str, timeout: float = PATIENCE, network: Network | None = None) -> OrganizationClient:
    credential = Credential("environment variable OPENAI_ADMIN_KEY", value=Secret(KEY))
    return OrganizationClient(url, credential, timeout, network)


async def get(made: OrganizationClient, *params: tuple[str, str]) -> Answer:
    return await asyncio.to_thread(made.get, "/organization/costs", params, api="costs")


async def failure(reply: Callable[[Turn], object], timeout: float = PATIENCE) -> UpstreamError:
    """The failure of one call that is answered so."""

    async def respond(turn: Turn) -> None:
        found = reply(turn)
        if isinstance(found, bytes):
            await turn.send(found)
        elif asyncio.iscoroutine(found):
            await found

    async with raw_server(respond) as server:
        made = client(server.url, timeout)
        with pytest.raises(UpstreamError) as found:
            await get(made)
        made.close()
    assert KEY not in f"{found.value!r} {found.value}"
    assert "costs" == found.value.api
    return found.value
