# SPDX-License-Identifier: Apache-2.0
"""Calls through the OpenAI SDK to a raw server: what goes out, what comes back, what the environment may not change."""

import os
import subprocess
import sys
from time import monotonic
from typing import Any

import pytest

from openai_exporter.client.exchange import ApiCall, Exchange, WireError
from openai_exporter.client.pool import Pool, Terms
from openai_exporter.client.sdk import TargetClient
from openai_exporter.config import Secret
from openai_exporter.config.sections import Target
from openai_exporter.model import Provider
from tests.exporter.client.exchanges import new_pool
from tests.exporter.client.rawserver import Turn, answer, chunked, raw_server

KEY = Secret("sk-test-0123456789")
CHAT = ApiCall("POST", "/chat/completions", {"model": "m", "messages": []})


def client_of(url: str, **settings: Any) -> TargetClient:
    if not settings.get("no_key"):
        settings["api_key_env"] = "KEY"
    target = Target(name="t", base_url=url, **settings)
    return TargetClient(target, new_pool(url))


async def call(client: TargetClient, call: ApiCall = CHAT, key: Secret | None = KEY, **terms: Any) -> Exchange:
    return await client.call(call, Terms(monotonic() + 5, **terms), key)


def headers_of(request: bytes) -> dict[str, str]:
    lines = request.split(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


async def ok(turn: Turn) -> None:
    await turn.send(answer('{"ok": true}'))


async def test_a_call_carries_key_organization_project_and_our_name() -> None:
    async with raw_server(ok) as server:
        client = client_of(f"{server.url}/v1", organization="org-1", project="proj_1")
        found = await call(client)
    sent = headers_of(server.requests[0])
    assert server.requests[0].startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
    assert "Bearer sk-test-0123456789" == sent["authorization"]
    assert ("org-1", "proj_1") == (sent["openai-organization"], sent["openai-project"])
    assert sent["user-agent"].startswith("openai-exporter/")
    assert "identity" == sent["accept-encoding"]
    assert b'{"ok": true}' == found.body


async def test_the_environment_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "OPENAI_BASE_URL": "http://127.0.0.1:1/v1",
        "OPENAI_API_KEY": "sk-other",
        "OPENAI_ADMIN_KEY": "sk-admin-other",
        "OPENAI_ORG_ID": "org-other",
        "OPENAI_PROJECT_ID": "proj-other",
        "OPENAI_CUSTOM_HEADERS": "X-Other: 1\nAuthorization: Bearer sk-other",
        "OPENAI_API_VERSION": "1999-01-01",
        "AZURE_OPENAI_AD_TOKEN": "other-token",
        "AZURE_OPENAI_API_KEY": "other-azure",
        "AZURE_OPENAI_ENDPOINT": "http://127.0.0.1:1",
        "HTTP_PROXY": "http://127.0.0.1:1",
        "http_proxy": "http://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(name, value)
    async with raw_server(ok) as server:
        await call(client_of(f"{server.url}/v1"))
        await call(client_of(server.url, provider=Provider.AZURE))
        await call(client_of(f"{server.url}/v1", provider=Provider.COMPATIBLE, no_key=True), key=None)
    for request in server.requests:
        text = request.decode().lower()
        assert "other" not in text
        assert "1999" not in text


async def test_a_server_without_keys_gets_none() -> None:
    async with raw_server(ok) as server:
        await call(client_of(f"{server.url}/v1", provider=Provider.COMPATIBLE, no_key=True), key=None)
    assert "authorization" not in headers_of(server.requests[0])


@pytest.mark.parametrize(
    ("base", "settings", "path"),
    [
        ("", {}, "/openai/deployments/m/chat/completions?api-version=2024-10-21"),
        ("/openai", {"api_version": "2025-04-01-preview"},
         "/openai/deployments/m/chat/completions?api-version=2025-04-01-preview"),
        ("/openai/v1", {}, "/openai/v1/chat/completions"),
        ("/openai/v1", {"api_version": "preview"}, "/openai/v1/chat/completions?api-version=preview"),
    ],
)  # fmt: skip
async def test_azure_takes_the_key_in_its_own_header_and_the_deployment_in_the_path(
    base: str, settings: dict[str, Any], path: str
) -> None:
    async with raw_server(ok) as server:
        await call(client_of(f"{server.url}{base}", provider=Provider.AZURE, **settings))
    sent = headers_of(server.requests[0])
    assert path == server.requests[0].split(b" ")[1].decode()
    assert "sk-test-0123456789" == sent["api-key"]
    assert "authorization" not in sent


@pytest.mark.parametrize("status", ["400 Bad", "401 No", "404 No", "429 Slow", "500 Oops", "503 Busy", "302 Found"])
async def test_any_status_is_an_answer_and_is_asked_for_once(status: str) -> None:
    async def refuse(turn: Turn) -> None:
        body = '{"error": {"message": "no", "type": "t", "param": null, "code": null}}'
        await turn.send(answer(body, status, more="Location: http://127.0.0.1:1/\r\nRetry-After: 0\r\n"))

    async with raw_server(refuse) as server:
        found = await call(client_of(f"{server.url}/v1"))
    assert int(status[:3]) == found.status
    assert 1 == len(server.requests)


async def test_a_stream_comes_back_with_its_chunks() -> None:
    async with raw_server(lambda turn: turn.send(chunked(b"data: 1\n\n", b"data: 2\n\n"))) as server:
        found = await call(client_of(f"{server.url}/v1"))
    assert b"data: 1\n\ndata: 2\n\n" == found.body


async def test_a_form_carries_its_file_and_fields() -> None:
    form = ApiCall("POST", "/audio/transcriptions", {"model": "m"}, {"file": ("a.wav", b"RIFF", "audio/wav")})
    async with raw_server(ok) as server:
        await call(client_of(f"{server.url}/v1"), form)
    request = server.requests[0]
    assert headers_of(request)["content-type"].startswith("multipart/form-data; boundary=")
    assert b'name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\nRIFF' in request
    assert b'name="model"\r\n\r\nm' in request


async def test_a_broken_exchange_is_a_wire_error_with_its_record() -> None:
    async def leave(turn: Turn) -> None:
        turn.close()

    async with raw_server(leave) as server:
        with pytest.raises(WireError) as raised:
            await call(client_of(f"{server.url}/v1"))
    assert "/v1/chat/completions" in raised.value.exchange.request.url


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(answer(b"\xff\xfe{", kind="application/json; charset=nonsense"), id="an unknown charset"),
        pytest.param(answer("[" * 100_000, "500 Oops"), id="JSON that nests too deep"),
        pytest.param(answer('{"error": 5}', "400 Bad"), id="an error that is a number"),
        pytest.param(answer('{"error": {"message": {"a": 1}, "code": [1]}}', "400 Bad"), id="an error of odd types"),
        pytest.param(answer("", "401 No", more="Set-Cookie: a=b; Domain=..\r\n"), id="an odd cookie"),
        pytest.param(answer("x", kind="\u00ff;;="), id="an odd content type"),
    ],
)
async def test_no_answer_is_odd_enough_to_upset_the_sdk(reply: bytes) -> None:
    async with raw_server(lambda turn: turn.send(reply)) as server:
        found = await call(client_of(f"{server.url}/v1"))
    assert found.status in (200, 400, 401, 500)


async def test_cookies_are_not_kept() -> None:
    async with raw_server(lambda turn: turn.send(answer("{}", more="Set-Cookie: a=b\r\n"))) as server:
        client = client_of(f"{server.url}/v1")
        await call(client)
        await call(client)
    assert "cookie" not in headers_of(server.requests[1])


async def test_a_changed_key_is_used_at_the_next_call() -> None:
    async with raw_server(ok) as server:
        client = client_of(f"{server.url}/v1")
        await call(client)
        await call(client, key=Secret("sk-next-0123456789"))
    sent = [headers_of(request)["authorization"] for request in server.requests]
    assert ["Bearer sk-test-0123456789", "Bearer sk-next-0123456789"] == sent


def test_a_client_never_shows_a_key() -> None:
    client = TargetClient(Target(name="t", api_key_env="K"), Pool("https://api.openai.com/v1"))
    assert "sk-" not in repr(client)


def test_the_environment_cannot_make_the_sdk_log_requests() -> None:
    code = (
        "import logging, openai_exporter.client.sdk;"
        "[logging.getLogger(name).debug('request') for name in ('openai._base_client', 'httpx2')];"
        "logging.getLogger('httpx2').info('HTTP Request')"
    )
    environment = {**os.environ, "OPENAI_LOG": "debug"}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=600
    )
    assert (run.stdout, run.stderr) == ("", "")
