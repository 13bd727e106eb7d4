# SPDX-License-Identifier: Apache-2.0
"""A server that throws our key back at us, anywhere and in any shape: nothing that we keep or show holds it."""

import asyncio
import base64
import json
import logging
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from openai_exporter.exposition import Instruments, encode
from openai_exporter.model import Endpoint
from openai_exporter.probe.result import explain, families
from openai_exporter.probe.state import History
from tests.exporter.client.rawserver import Turn, chunk, raw_server
from tests.exporter.probe.probers import MODULES, configuration, key_of, prober_for

KEYS = ("sk-proj-Zk3vQ9xT7bLm2Rw8", "Zk3v/Q9xT+7bLm2R=w8", "0f1e2d3c4b5a69788796a5b4c3d2e1f0")
HEADERS = (
    "x-request-id", "openai-processing-ms", "x-ratelimit-remaining-tokens", "retry-after", "location", "set-cookie",
    "content-type", "x-echo", "openai-organization", "authorization",
)  # fmt: skip
PLACES = ("message", "code", "type", "content", "model", "id", "service_tier", "finish_reason", "owned_by")


def spellings(key: str) -> list[str]:
    return [key, json.dumps(key)[1:-1], quote(key, safe=""), base64.b64encode(key.encode()).decode().rstrip("=")]


def body_with(echo: str, places: list[str], endpoint: str) -> bytes:
    """An answer of the endpoint, an error, or both, with the echo in the named places."""

    def said(place: str, otherwise: str) -> str:
        return f"{otherwise} {echo}" if place in places else otherwise

    document: dict[str, object] = {
        "model": said("model", "m"), "service_tier": said("service_tier", "default"), "id": said("id", "x"),
        "choices": [{
            "message": {"content": said("content", "pong")}, "delta": {"content": said("content", "pong")},
            "finish_reason": said("finish_reason", "stop"),
        }],
        "data": [{"id": said("id", "a"), "owned_by": said("owned_by", "me"), "embedding": said("content", "AAAA")}],
        "status": said("finish_reason", "completed"), "type": said("type", "response.completed"),
        "output": [{"type": "message", "content": [{"type": "output_text", "text": said("content", "pong")}]}],
    }  # fmt: skip
    if "message" in places or "code" in places:
        error = {"message": said("message", "no"), "type": said("type", "t"), "code": said("code", "c")}
        document["error"] = error
    data = json.dumps(document).encode()
    return b"data: " + data + b"\n\ndata: [DONE]\n\n" if "stream" in endpoint else data


@st.composite
def replies(draw: st.DrawFn) -> tuple[str, str, bytes, bool]:
    """(key, module, bytes of an answer, whether the connection breaks after it)."""
    key = draw(st.sampled_from(KEYS))
    module = draw(st.sampled_from(sorted(MODULES)))
    echo = draw(st.sampled_from(spellings(key))) * draw(st.integers(1, 3))
    places = draw(st.lists(st.sampled_from(PLACES), max_size=5))
    status = draw(st.sampled_from(["200 OK", "400 Bad", "401 No", "404 None", "429 Slow", "500 Oops", "302 Go"]))
    lines = [f"HTTP/1.1 {status}"]
    lines += [f"{name}: {echo}" for name in draw(st.lists(st.sampled_from(HEADERS), max_size=4, unique=True))]
    body = draw(st.just(body_with(echo, places, module)) | st.just(b"<html>" + echo.encode()) | st.just(echo.encode()))
    head = "\r\n".join([*lines, "Transfer-Encoding: chunked", "", ""]).encode()
    broken = draw(st.booleans())
    return key, module, head + chunk(body) + (b"" if broken else b"0\r\n\r\n"), broken


@pytest.mark.usefixtures("caplog")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(reply=replies())
def test_the_key_is_nowhere(reply: tuple[str, str, bytes, bool], caplog: pytest.LogCaptureFixture) -> None:
    key, module, data, broken = reply
    caplog.clear()
    caplog.set_level(logging.DEBUG)
    shown = asyncio.run(everything_shown(key, module, data, broken)) + caplog.text
    for spelling in spellings(key):
        assert spelling not in shown


async def everything_shown(key: str, module: str, data: bytes, broken: bool) -> str:
    async def answer(turn: Turn) -> None:
        await turn.send(data)
        if broken:
            turn.close()

    instruments, history = Instruments(process=False), History(3)
    with tempfile.TemporaryDirectory() as folder:
        shown = await _everything(answer, key, module, instruments, history, Path(folder))
        return "\n".join([shown, *(path.read_text() for path in Path(folder).iterdir())])


async def _everything(
    answer: Callable[[Turn], Awaitable[None]],
    key: str,
    module: str,
    instruments: Instruments,
    history: History,
    folder: Path,
) -> str:
    async with raw_server(answer) as server:
        config = configuration(server.url, key=key)
        async with prober_for(config, instruments=instruments, history=history, storage=folder) as prober:
            found = await prober.probe(key_of(module))
            again = await prober.probe(key_of(module))
            sent = b"".join(server.requests)
            assert key.encode() in sent, "the key went where it belongs"
            pieces = [repr(found), repr(again), repr(history.recent()), repr(prober), repr(vars(prober))]
    pieces += [explain(each, config.modules[module]) for each in (found, again)]
    pieces += [encode(families(found)).decode(), instruments.render("application/openmetrics-text")[0].decode()]
    pieces += [found.result.request, found.result.reply, "\n".join(found.result.log)]
    assert found.result.outcome != "exporter_error"
    return "\n".join(pieces)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("module", MODULES)
async def test_no_field_of_a_good_answer_carries_the_key_out(module: str, key: str) -> None:
    places = [place for place in PLACES if place not in ("message", "code", "type", "finish_reason")]
    body = body_with(key, places, module)
    head = f"HTTP/1.1 200 OK\r\nX-Request-Id: {key}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    assert key not in await everything_shown(key, module, head + chunk(body) + b"0\r\n\r\n", False)


async def test_a_proxys_password_is_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def refuse(turn: Turn) -> None:
        await turn.send(b"HTTP/1.1 407 No\r\nX: correct-horse\r\nContent-Length: 14\r\n\r\ncorrect-horse!")

    async with raw_server(refuse) as proxy:
        proxies = {"all": f"http://user:correct-horse@127.0.0.1:{proxy.port}"}
        config = configuration("http://api.example.org/v1")
        async with prober_for(config, proxies=proxies) as prober:
            found = await prober.probe(key_of("chat"))
    assert b"Proxy-Authorization: Basic dXNlcjpjb3JyZWN0LWhvcnNl\r\n" in proxy.requests[0]
    assert ("proxy", 407) == (found.result.outcome, found.result.status_code)
    shown = repr(found) + caplog.text + explain(found, config.modules["chat"])
    assert "correct-horse" not in shown
    assert "dXNlcjpjb3JyZWN0LWhvcnNl" not in shown


async def test_a_redirect_does_not_take_the_key_along() -> None:
    async def forbidden(turn: Turn) -> None:
        raise AssertionError("the redirect was followed")

    async with raw_server(forbidden) as elsewhere:

        async def redirect(turn: Turn) -> None:
            head = f"HTTP/1.1 307 Go\r\nLocation: {elsewhere.url}/v1\r\nContent-Length: 0\r\n\r\n"
            await turn.send(head)

        async with raw_server(redirect) as server:
            for module in MODULES:
                async with prober_for(configuration(server.url)) as prober:
                    found = await prober.probe(key_of(module))
                assert ("redirect", 307) == (found.result.outcome, found.result.status_code)
                assert f"redirects to {elsewhere.url}/v1" in found.result.message
    assert elsewhere.connections == 0
    assert set(Endpoint) == {MODULES[module]["endpoint"] for module in MODULES}


async def test_a_secret_in_the_request_of_a_module_is_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    module = {**MODULES["chat"], "request": {"extra": {"access_token": "hunter-22"}}}

    async def echo(turn: Turn) -> None:
        await turn.send(b"HTTP/1.1 400 No\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(turn.request) + b"0\r\n\r\n")

    async with raw_server(echo) as server:
        config = configuration(server.url, {"chat": module})
        async with prober_for(config) as prober:
            found = await prober.probe(key_of("chat"))
    assert b'"access_token":"hunter-22"' in server.requests[0].replace(b'": "', b'":"')
    assert "hunter-22" not in repr(found) + explain(found, config.modules["chat"]) + caplog.text
