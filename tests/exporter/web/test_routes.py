# SPDX-License-Identifier: Apache-2.0
"""The HTTP surface, over a real socket and against a real upstream."""

import asyncio
import gzip
import json
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
import yaml
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from openai_exporter.config.load import parse_config
from openai_exporter.exposition import EncodedPage, Family
from openai_exporter.metrics import usage
from openai_exporter.web import routes
from openai_exporter.web.limits import protocol_factory, text
from openai_exporter.web.routes import PIECE, TIMEOUT_HEADER, Pieces, document as sd_document, exposition, time_left
from openai_exporter.web.webconfig import WebFile
from openai_simulator.testing import SimulatorControl
from tests.deadlines import stop
from tests.exporter.web.exporters import ENV, MODEL, Exporter, document, free_port, poll, request, running

PROBE = f"/probe?target=sim&module=chat&model={MODEL}"
# As Prometheus 3.5 sends it.
PROMETHEUS_ACCEPT = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PAGES = [
    PROBE,
    "/probe?target=sim&module=models",
    "/usage",
    "/usage?organization=acme",
    "/status?page=page",
    "/metrics",
]


def _value(text: str, name: str) -> str:
    return next(line.split(" ")[1] for line in text.splitlines() if line.split(" ")[0] == name)


def test_a_probe_that_succeeds_says_so(exporter: Exporter, simulator: SimulatorControl) -> None:
    reply = exporter.get(PROBE)
    assert reply.status == 200
    assert _value(reply.text, "probe_success") == "1"


def test_a_probe_that_fails_is_still_200(exporter: Exporter, simulator: SimulatorControl) -> None:
    simulator.fault("status", "/v1/chat/completions", status=503)
    reply = exporter.get(PROBE)
    assert reply.status == 200
    assert _value(reply.text, "probe_success") == "0"
    assert _value(reply.text, "probe_http_status_code") == "503"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/probe", "parameter target is missing; configured: sim"),
        ("/probe?target=x", "unknown target 'x'; configured: sim"),
        ("/probe?target=sim", "parameter module is missing; configured of target sim: models, chat, chat_stream, slow"),
        ("/probe?target=sim&module=x", "unknown module 'x'; configured of target sim: models, chat, chat_stream, slow"),
        (
            "/probe?target=sim&module=chat_stream",
            "parameter model is missing; configured of module chat_stream on target sim: gpt-6-luna, gpt-5.4-mini",
        ),
        (
            "/probe?target=sim&module=chat&model=x",
            "unknown model 'x'; configured of module chat on target sim: gpt-6-luna",
        ),
        ("/probe?target=http%3A%2F%2Fexample.org%2F", "unknown target 'http://example.org/'; configured: sim"),
        ("/usage?organization=x", "unknown organization 'x'; configured: acme"),
        ("/status?page=x", "unknown page 'x'; configured: page"),
    ],
)
def test_an_unknown_name_is_refused_with_what_is_allowed(exporter: Exporter, path: str, message: str) -> None:
    reply = exporter.get(path)
    assert (reply.status, reply.text) == (400, f"{message}\n")


def test_a_refusal_quotes_no_more_than_a_line_of_what_was_asked_for(exporter: Exporter) -> None:
    reply = exporter.get(f"/probe?target={'x' * 3000}")
    assert reply.status == 400
    assert len(reply.text) < 200


@pytest.mark.parametrize("value", ["abc", "-1", "0", "nan", "inf", ""])
@pytest.mark.parametrize("path", [PROBE, "/usage", "/status"])
def test_an_unreadable_scrape_timeout_is_refused(exporter: Exporter, path: str, value: str) -> None:
    reply = exporter.get(path, X_Prometheus_Scrape_Timeout_Seconds=value)
    assert reply.status == 400
    assert "X-Prometheus-Scrape-Timeout-Seconds" in reply.text
    assert len(reply.text.splitlines()) == 1


@pytest.mark.parametrize(
    ("module", "header", "expected"),
    [("chat", "10", 5.0), ("chat", "3", 2.5), ("chat", "0.4", 5.0), ("slow", "30", 25.0), ("slow", "2.25", 1.75)],
    ids=["the module caps", "less the offset", "nothing is left: the module decides", "slow", "fractions"],
)
def test_the_deadline_follows_the_scrape_timeout(exporter: Exporter, module: str, header: str, expected: float) -> None:
    reply = exporter.get(f"/probe?target=sim&module={module}&model={MODEL}", X_Prometheus_Scrape_Timeout_Seconds=header)
    assert expected == pytest.approx(float(_value(reply.text, "probe_timeout_seconds")), abs=0.05)


# What one client does is no trouble of another's.

SHARED = f"/probe?target=sim&module=shared&model={MODEL}"


@contextmanager
def slow_api(simulator: SimulatorControl, folder: Path, **module: Any) -> Iterator[Exporter]:
    """An exporter on an API that takes 0.3 s, with a module `shared`."""
    simulator.fault("latency", path="/v1/chat/completions", delay_seconds=0.3)
    config = document(simulator.api_url)
    config["modules"]["shared"] = {"endpoint": "chat", **module}
    config["probes"].append({"target": "sim", "module": "shared", "models": [MODEL]})
    with running(folder, config) as exporter:
        yield exporter


def _scraped(exporter: Exporter, timeout: float) -> str:
    return exporter.get(SHARED, X_Prometheus_Scrape_Timeout_Seconds=str(timeout)).text


def _outcome(page: str) -> str:
    (found,) = re.findall(r'^openai_probe_outcome\{outcome="(\w+)"\} 1$', page, re.MULTILINE)
    return str(found)


def _calls(exporter: Exporter) -> float:
    found = re.search(r'^openai_api_requests_total\{.*module="shared".*\} (\S+)$', exporter.get("/metrics").text, re.M)
    return float(found[1]) if found else 0.0


@pytest.mark.parametrize("interval", ["0s", "1s", "1h"])
@pytest.mark.parametrize("short", [0.500001, 0.55, 0.7, 0.79])
def test_clients_with_too_little_time_are_told_so_and_nobody_else(
    simulator: SimulatorControl, tmp_path: Path, interval: str, short: float
) -> None:
    with slow_api(simulator, tmp_path, min_interval=interval) as exporter, ThreadPoolExecutor(8) as pool:
        hasty = [pool.submit(_scraped, exporter, short) for _ in range(20)]
        patient = [_scraped(exporter, 10) for _ in range(4)]
        hurried = [each.result(60) for each in hasty]
        metrics = exporter.get("/metrics").text
    assert {"success"} == {_outcome(page) for page in patient}
    assert {_outcome(page) for page in hurried} <= {"success", "deadline_too_short"}
    for page in hurried:
        refused = _outcome(page) == "deadline_too_short"
        assert not (refused and "openai_probe_availability" in page)
        assert not (refused and "openai_probe_last_result" in page)
    assert not re.search(r"^openai_api_errors_total\{.*\} (?!0\.0$)", metrics, re.MULTILINE)
    assert not re.search(r'^openai_api_latency_seconds_count\{.*status_code="0"', metrics, re.MULTILINE)


@pytest.mark.parametrize(("interval", "most"), [("0s", 2), ("1h", 1)])
def test_a_crowd_with_falling_timeouts_makes_one_call(
    simulator: SimulatorControl, tmp_path: Path, interval: str, most: int
) -> None:
    with slow_api(simulator, tmp_path, min_interval=interval) as exporter, ThreadPoolExecutor(60) as pool:
        pages = list(pool.map(lambda i: _scraped(exporter, 9.9 - i * 0.1), range(60)))
        calls = _calls(exporter)
    assert {"success"} == {_outcome(page) for page in pages}
    assert 1 <= calls <= most


def test_two_prometheus_servers_both_watch_a_probe_that_they_share(simulator: SimulatorControl, tmp_path: Path) -> None:
    with slow_api(simulator, tmp_path, min_interval="1h") as exporter, ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: _scraped(exporter, 10), range(2)))
        later = _scraped(exporter, 10)
    pages = [*both, later]
    (made,) = {_value(page, "openai_probe_last_result_timestamp_seconds") for page in pages}
    sources = [re.findall(r'^openai_probe_result_source\{result_source="(\w+)"\} 1$', page, re.M)[0] for page in pages]
    assert float(made) > 0
    assert (["own", "shared"], "min_interval") == (sorted(sources[:2]), sources[2])
    assert ["openai_probe_availability_good 1\n" in page for page in pages] == [True, True, False]


def test_the_landing_page_and_the_history_show_nothing_of_a_hasty_client(
    simulator: SimulatorControl, tmp_path: Path
) -> None:
    with slow_api(simulator, tmp_path) as exporter:
        assert "success" == _outcome(_scraped(exporter, 10))
        assert "deadline_too_short" == _outcome(_scraped(exporter, 0.55))
        pages = exporter.get("/").text + exporter.get("/history").text
    assert "deadline_too_short" not in pages


def test_debug_explains_the_probe_as_text(exporter: Exporter) -> None:
    reply = exporter.get(f"{PROBE}&debug=true")
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    for title in ("Logs for the probe:", "Metrics that would have been returned:", "Module configuration:"):
        assert title in reply.text


@pytest.mark.parametrize("path", PAGES)
def test_prometheus_gets_openmetrics(exporter: Exporter, path: str) -> None:
    reply = exporter.get(path, Accept=PROMETHEUS_ACCEPT)
    assert reply.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert reply.text.endswith("# EOF\n")


@pytest.mark.parametrize("path", PAGES)
def test_gzip_holds_the_same_page(exporter: Exporter, path: str) -> None:
    plain, packed = exporter.get(path), exporter.get(path, Accept_Encoding="gzip")
    assert packed.headers["content-encoding"] == "gzip"
    names = {line.split("{")[0].split(" ")[0] for line in plain.text.splitlines() if line[0] != "#"}
    unpacked = gzip.decompress(packed.body).decode()
    assert names == {line.split("{")[0].split(" ")[0] for line in unpacked.splitlines() if line[0] != "#"}


@pytest.mark.parametrize("path", PAGES)
def test_gzip_can_be_declined(exporter: Exporter, path: str) -> None:
    reply = exporter.get(path, Accept_Encoding="gzip;q=0, identity")
    assert "content-encoding" not in reply.headers


@pytest.mark.stack
@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not on PATH")
@pytest.mark.parametrize("path", PAGES)
def test_promtool_finds_nothing_to_say(exporter: Exporter, path: str) -> None:
    found = subprocess.run(
        ["promtool", "check", "metrics"], input=exporter.get(path).body, capture_output=True, check=False, timeout=600
    )
    assert (found.returncode, found.stdout + found.stderr) == (0, b"")


@pytest.mark.parametrize("path", ["/", "/metrics", "/sd", "/config", "/-/healthy", "/-/ready", "/history", "/status"])
def test_head_answers_headers_only(exporter: Exporter, path: str) -> None:
    reply = exporter.send("HEAD", path)
    assert (reply.status, reply.body) == (200, b"")
    assert int(reply.headers["content-length"]) > 0


def test_head_makes_no_probe(exporter: Exporter, simulator: SimulatorControl) -> None:
    """It asks for headers only; a call that is paid for is no way to make some."""
    before = simulator.state()["calls"]
    reply = exporter.send("HEAD", f"/probe?target=sim&module=chat&model={MODEL}")
    assert (reply.status, reply.body) == (200, b"")
    assert [each for each in simulator.state()["calls"] if each not in before] == []


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/metrics", {"GET", "HEAD"}),
        ("GET", "/-/reload", {"POST", "PUT"}),
        ("DELETE", "/-/reload", {"GET", "HEAD", "POST", "PUT"}),
        ("BREW", "/", {"GET", "HEAD", "POST", "PUT"}),
    ],
)
def test_a_wrong_method_is_405_with_allow(exporter: Exporter, method: str, path: str, allowed: set[str]) -> None:
    reply = exporter.send(method, path)
    if method == "BREW":
        assert reply.status == 400
        return
    assert reply.status == 405
    assert allowed == set(reply.headers["allow"].split(", "))


def test_health_and_readiness(exporter: Exporter) -> None:
    assert exporter.get("/-/healthy").status == 200
    assert exporter.get("/-/ready").status == 200


def test_an_unknown_page_is_404_in_one_line(exporter: Exporter) -> None:
    reply = exporter.get("/nope")
    assert (reply.status, reply.text) == (404, "no such page; / lists what there is\n")


def test_an_upstream_that_is_gone_gives_no_5xx(exporter: Exporter, simulator: SimulatorControl) -> None:
    simulator.fault("status", status=500)
    for path in ("/usage", "/status", PROBE):
        assert exporter.get(path).status == 200


def test_unknown_names_are_counted(exporter: Exporter) -> None:
    exporter.get("/probe?target=never-heard-of")
    assert 'openai_exporter_unknown_names_total{kind="target"}' in exporter.get("/metrics").text


def test_the_own_page_says_version_and_reload(exporter: Exporter) -> None:
    found = exporter.get("/metrics").text
    assert "openai_exporter_build_info{" in found
    assert _value(found, "openai_exporter_config_last_reload_successful") == "1.0"


def test_answers_are_not_cached_by_anyone(exporter: Exporter) -> None:
    assert exporter.get(PROBE).headers["cache-control"] == "no-store"


def test_an_unexpected_error_is_one_line_without_a_traceback(
    exporter: Exporter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> object:
        raise RuntimeError("a bug")

    monkeypatch.setattr(exporter.live, "board", type("Board", (), {"record": broken})())
    reply = exporter.get(PROBE)
    assert (reply.status, reply.text) == (500, "internal error; the exporter's log says more\n")
    # It is logged after it is answered.
    poll(lambda: "request failed" in caplog.text)


# A long page over a real socket: whole, in pieces, and never in the way of another request.

_REST = ("",) * (len(usage.REQUESTS.labels) - 2)
LONG = EncodedPage(
    [Family(usage.REQUESTS, [(("completions", f"proj_{number}", *_REST), number) for number in range(40_000)])]
)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    long = scope["path"] == "/long"
    answer = await exposition(Request(scope, receive), LONG) if long else text("short")
    await answer(scope, receive, send)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        http = protocol_factory(WebFile(None))
        server = uvicorn.Server(uvicorn.Config(app, http=http, lifespan="off", log_config=None))
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        poll(lambda: server.started)
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join(10)


def test_a_long_page_arrives_whole(port: int) -> None:
    answer = request(port, "/long")
    assert LONG.body() == answer.body
    assert str(len(LONG.body())) == answer.headers["content-length"]
    assert len(answer.body) > 4 * PIECE


def test_it_arrives_whole_in_every_format(port: int) -> None:
    headers = {"Accept": "application/openmetrics-text;version=1.0.0", "Accept-Encoding": "gzip"}
    answer = request(port, "/long", headers=headers)
    assert LONG.body(openmetrics=True) == gzip.decompress(answer.body)


def test_head_names_its_length_and_sends_nothing(port: int) -> None:
    answer = request(port, "/long", "HEAD")
    assert b"" == answer.body
    assert str(len(LONG.body())) == answer.headers["content-length"]


def test_clients_that_do_not_read_on_hold_up_nobody(port: int) -> None:
    with (
        socket.create_connection(("127.0.0.1", port), 30) as one,
        socket.create_connection(("127.0.0.1", port), 30) as other,
    ):
        for each in (one, other):
            each.sendall(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
            assert each.recv(100).startswith(b"HTTP/1.1 200")
        assert b"short\n" == request(port, "/short").body
        assert LONG.body() == request(port, "/long").body


async def test_pieces_are_views_of_the_page_and_wait_for_the_client() -> None:
    body = LONG.body()
    sent: list[Message] = []
    room = asyncio.Semaphore(2)  # the head, and one piece

    async def send(message: Message) -> None:
        await room.acquire()
        sent.append(message)

    answer = asyncio.create_task(Pieces(body)({"type": "http"}, lambda: asyncio.Future(), send))
    for _ in range(20):
        await asyncio.sleep(0)
    assert 2 == len(sent)
    assert not answer.done()
    for _ in range(len(body) // PIECE):
        room.release()
    await answer
    pieces = [message["body"] for message in sent[1:]]
    assert body == b"".join(pieces)
    assert all(piece.obj is body and len(piece) <= PIECE for piece in pieces)
    assert [True] * (len(pieces) - 1) + [False] == [message["more_body"] for message in sent[1:]]


# What is left of a scrape's time.


def scrape(announced: str | None = None, waited: float = 0.0) -> Request:
    headers = [] if announced is None else [(TIMEOUT_HEADER.lower().encode(), announced.encode())]
    return Request({"type": "http", "headers": headers, "state": {"arrived": time.monotonic() - waited}})


@pytest.mark.parametrize(("announced", "limit"), [("10", 9.5), ("0.5", None), ("0.2", None), ("1e1", 9.5)], ids=str)
def test_the_announced_timeout_less_the_offset(announced: str, limit: float | None) -> None:
    assert time_left(scrape(announced), 0.5) == (limit and pytest.approx(limit, abs=0.1))


@pytest.mark.parametrize("announced", ["", "ten", "-1", "0", "inf", "nan"])
def test_what_is_no_number_of_seconds_is_refused(announced: str) -> None:
    with pytest.raises(ValueError, match="is not a number of seconds above zero"):
        time_left(scrape(announced), 0.5)


def test_time_spent_waiting_is_taken_off() -> None:
    left = time_left(scrape("10", waited=4), 0.5)
    assert left is not None
    assert 5.0 < left <= 5.5


def test_a_request_that_waited_too_long_has_no_time_left() -> None:
    assert time_left(scrape("10", waited=20), 0.5) == 0.0


def test_without_an_announced_timeout_waiting_takes_nothing_off() -> None:
    assert time_left(scrape(waited=4), 0.5) is None


# What /sd gives Prometheus.


def _labels(exporter: Exporter, path: str = "/sd", **headers: str) -> list[dict[str, str]]:
    return [group["labels"] for group in exporter.get(path, **headers).json()]


def test_every_target_stands_in_it_with_its_path_parameters_and_labels(exporter: Exporter) -> None:
    chat = {
        "__metrics_path__": "/probe",
        "__param_target": "sim",
        "__param_module": "chat",
        "__param_model": MODEL,
        "team": "search",
        "target": "sim",
        "module": "chat",
        "model": MODEL,
        "endpoint": "chat",
        "provider": "openai",
    }
    models = {
        "__metrics_path__": "/probe",
        "__param_target": "sim",
        "__param_module": "models",
        "target": "sim",
        "module": "models",
        "endpoint": "models",
        "provider": "openai",
    }
    streamed = {name: value for name, value in chat.items() if name != "team"}
    streamed |= {"__param_module": "chat_stream", "module": "chat_stream"}
    other = streamed | {"__param_model": "gpt-5.4-mini", "model": "gpt-5.4-mini"}
    slow = streamed | {"__param_module": "slow", "module": "slow"}
    slow |= {"__scrape_timeout__": "26s", "__scrape_interval__": "1m"}
    rest = [
        {"__metrics_path__": "/usage", "__param_organization": "acme", "organization": "acme"},
        {"__metrics_path__": "/status", "__param_page": "page", "status_page": "page"},
        {"__metrics_path__": "/metrics"},
    ]
    assert [models, chat, streamed, other, slow, *rest] == _labels(exporter)


def test_every_target_can_be_scraped_as_it_says(exporter: Exporter) -> None:
    for labels in _labels(exporter):
        query = "&".join(f"{k.removeprefix('__param_')}={v}" for k, v in labels.items() if k.startswith("__param_"))
        assert exporter.get(f"{labels['__metrics_path__']}?{query}").status == 200


def test_the_address_is_the_one_that_was_asked(exporter: Exporter) -> None:
    found = exporter.get("/sd", Host="exporter.example.org:1234").json()
    assert {"exporter.example.org:1234"} == {each["targets"][0] for each in found}


def test_without_a_host_it_is_the_address_of_the_connection(exporter: Exporter) -> None:
    with socket.create_connection(("127.0.0.1", exporter.port), timeout=30) as client:
        client.sendall(b"GET /sd HTTP/1.0\r\n\r\n")
        answer = b""
        while part := client.recv(65_536):
            answer += part
    found = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert {f"127.0.0.1:{exporter.port}"} == {each["targets"][0] for each in found}


@pytest.mark.parametrize("host", ["a/b", "user@host", "x y", "[::1", "a:99999999", "<b>"])
def test_a_host_that_is_none_is_refused(exporter: Exporter, host: str) -> None:
    reply = exporter.get("/sd", Host=host)
    assert reply.status == 400
    assert "--web.external-url" in reply.text


@pytest.mark.parametrize(("asked", "expected"), [("10s", "26s"), ("5m", "5m"), ("26s", "26s"), ("1h", "1h")])
def test_a_slow_module_is_never_scraped_more_often_than_its_timeout(
    exporter: Exporter, asked: str, expected: str
) -> None:
    found = [each for each in _labels(exporter, f"/sd?scrape_interval={asked}") if "__scrape_timeout__" in each]
    assert [("26s", expected)] == [(each["__scrape_timeout__"], each["__scrape_interval__"]) for each in found]


@pytest.mark.parametrize("asked", ["61m", "2h", "1d"])
def test_an_interval_beyond_what_alerts_cover_is_refused_with_the_fix(exporter: Exporter, asked: str) -> None:
    reply = exporter.get(f"/sd?scrape_interval={asked}")
    assert reply.status == 400
    assert "must be at most 1h" in reply.text
    assert "min_interval" in reply.text


@pytest.mark.parametrize("asked", ["0", "x", "-5s", ""])
def test_an_interval_that_is_none_is_refused(exporter: Exporter, asked: str) -> None:
    reply = exporter.get(f"/sd?scrape_interval={asked}")
    assert reply.status == 400
    assert reply.text.startswith("parameter scrape_interval: must")


def test_an_external_url_replaces_the_address(tmp_path: Path, simulator: SimulatorControl) -> None:
    with running(
        tmp_path, document(simulator.api_url), external_url="https://mon.example.org/openai", route_prefix="/openai"
    ) as exporter:
        found = exporter.get("/openai/sd").json()
        assert {"mon.example.org"} == {each["targets"][0] for each in found}
        assert {"https"} == {each["labels"]["__scheme__"] for each in found}
        assert "/openai/metrics" in {each["labels"]["__metrics_path__"] for each in found}
        assert exporter.get("/openai/-/healthy").status == 200
        assert (302, "/openai/") == ((moved := exporter.get("/")).status, moved.headers["location"])
        assert exporter.get("/openai/").status == 200


def test_an_offset_that_fits_the_default_timeout_asks_for_nothing() -> None:
    plain = document("http://127.0.0.1:1/v1")
    config = parse_config(yaml.safe_dump(plain), "test", ENV, Path())
    found = sd_document(config, 0.5, "x:1", "http", "", 60)
    with_timeout = [each["labels"]["module"] for each in found if "__scrape_timeout__" in each["labels"]]  # type: ignore[index, operator]
    assert ["slow"] == with_timeout


@pytest.mark.stack
@pytest.mark.skipif(shutil.which("prometheus") is None, reason="Prometheus is not on PATH")
def test_prometheus_scrapes_all_that_it_finds(tmp_path: Path, exporter: Exporter) -> None:
    """A job with an interval below the slow module's timeout: the target must not be dropped."""
    port = free_port()
    config = {
        "scrape_configs": [
            {
                "job_name": "openai",
                "scrape_interval": "2s",
                "scrape_timeout": "2s",
                "http_sd_configs": [{"url": f"http://127.0.0.1:{exporter.port}/sd", "refresh_interval": "2s"}],
            }
        ]
    }
    file = tmp_path / "prometheus.yml"
    file.write_text(yaml.safe_dump(config))
    process = subprocess.Popen(
        [
            "prometheus", f"--config.file={file}", f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}", "--log.level=error",
        ]
    )  # fmt: skip
    try:
        poll(lambda: _discovered(port) == len(exporter.get("/sd").json()), 60)
        assert set() == _dropped(port)
    finally:
        stop(process)


def _discovered(port: int) -> int:
    try:
        found = request(port, "/api/v1/targets?state=active").json()["data"]["activeTargets"]
    except (OSError, ValueError):
        return -1
    return sum(each["health"] == "up" or "__scrape_timeout__" in each["discoveredLabels"] for each in found)


def _dropped(port: int) -> set[str]:
    found = request(port, "/api/v1/targets?state=any").json()["data"]
    return {each["lastError"] for each in found["activeTargets"]} - {""}


async def test_pages_that_many_ask_for_at_once_are_made_one_per_turn_of_the_loop() -> None:
    made: list[int] = []

    async def page(request: Request) -> Response:
        made.append(turn)
        return text("x")

    in_turn: Any = routes.in_turn
    app = SimpleNamespace(state=SimpleNamespace(turn=asyncio.Lock()))
    hung_up = Request({"type": "http", "app": app, "state": {"gone": lambda: True}})
    asking = Request({"type": "http", "app": app, "state": {"gone": lambda: False}})
    tasks = [asyncio.create_task(in_turn(page)(each)) for each in [asking, hung_up] * 10]
    turn = 0
    while not all(task.done() for task in tasks):
        turn += 1
        await asyncio.sleep(0)
    assert len(made) == len(set(made)) == 10
