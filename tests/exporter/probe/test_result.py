# SPDX-License-Identifier: Apache-2.0
"""What is made of a probe: log lines, its record in the process' log, its metrics, and its text for people."""

import asyncio
import contextlib
import logging
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from openai_exporter.config.secret import Masker
from openai_exporter.config.sections import Module
from openai_exporter.exposition import encode
from openai_exporter.metrics import CATALOGUE, Page
from openai_exporter.model import Endpoint, ModelCard, Phases, ProbeAnswer, RateLimit, StreamTiming, TlsPeer, Tokens
from openai_exporter.probe.judge import OUTCOMES
from openai_exporter.probe.result import ResultLog, explain, families, fnv1a, log_line
from tests.deadlines import stop
from tests.exporter.client.rawserver import Turn, answer, raw_server
from tests.exporter.probe.probers import MODULES, configuration, key_of, prober_for
from tests.exporter.probe.results import result

# Log lines of a probe, and its record in the process' log.


def line(**values: object) -> str:
    """The line of one event with these values, after its time and name."""
    text = log_line((0.25, "status", values), Masker())
    return text.removeprefix("at=0.250000 event=status").removeprefix(" ")


def test_lines_have_a_time_an_event_and_bare_or_quoted_values() -> None:
    values = {"code": 200, "ok": True, "seconds": 0.5, "text": 'say "hi"', "key": "sk-proj-secret"}
    expected = r'at=0.250000 event=status code=200 ok=true seconds=0.500000 text="say \"hi\"" key=<secret>'
    assert expected == log_line((0.25, "status", values), Masker(["sk-proj-secret"]))


def test_what_is_unknown_is_left_out() -> None:
    assert line(address="", model=None, bytes=0, reused=False) == "bytes=0 reused=false"


@given(st.text(max_size=500))
def test_a_value_never_breaks_its_line(text: str) -> None:
    shown = line(value=text)
    assert shown.splitlines() in ([shown], [])
    assert len(shown) < 1000


@pytest.mark.parametrize(
    ("text", "shown"), [("a", "a"), ("\t", '""'), ("a b", '"a b"'), ("a=b", '"a=b"'), ("a\\b", '"a\\\\b"')]
)
def test_quoting(text: str, shown: str) -> None:
    assert line(value=text) == f"value={shown}"


def test_a_failure_is_recorded_with_its_fields(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "openai_exporter.probe")
    log = ResultLog()
    log.record(result(), 0)
    log.record(result("auth", status_code=401, message="no", request_id="req_1", error_code="invalid_api_key"), 1)
    log.record(result("exporter_error", status_code=0, message="boom"), 2)
    assert [("probe failed", logging.INFO), ("probe failed", logging.ERROR)] == [
        (each.getMessage(), each.levelno) for each in caplog.records
    ]
    assert caplog.records[0].__dict__["fields"] == {
        "target": "api",
        "module": "chat",
        "model": "gpt-6-luna",
        "outcome": "auth",
        "status": 401,
        "duration_seconds": 0.5,
        "request_id": "req_1",
        "error_code": "invalid_api_key",
        "message": "no",
    }


def test_a_success_is_recorded_for_those_who_want_details(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "openai_exporter.probe")
    ResultLog().record(result(), 0)
    assert ["probe succeeded"] == [each.getMessage() for each in caplog.records]


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged since: the outcome of a single result, the counts of those that repeat."""
    fields = [each.__dict__["fields"] for each in caplog.records]
    caplog.clear()
    return [each.get("outcome") or each["results"] for each in fields]


def test_a_failure_that_lasts_is_logged_once_and_then_counted_each_minute(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "openai_exporter.probe")
    log = ResultLog()
    for second in range(119):
        log.record(result("auth"), second)
    assert ["auth", "auth=59"] == logged(caplog)
    log.record(result(), 119)
    assert ["success"] == logged(caplog)
    log.record(result(), 120)
    assert ["auth=59"] == logged(caplog)
    for second in range(121, 600):
        log.record(result(), second)
    assert [] == logged(caplog)


def test_a_probe_that_changes_at_each_result_is_counted_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "openai_exporter.probe")
    log = ResultLog()
    for tenth in range(600):
        log.record(result("auth" if tenth % 2 else "success"), tenth / 10)
    assert ["auth", "success"] == logged(caplog)
    log.record(result(), 60)
    assert ["success=299 auth=299", "success"] == logged(caplog)


def test_a_probe_that_fails_at_each_scrape_says_so_each_minute(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "openai_exporter.probe")
    log = ResultLog()
    for minute in range(4):
        log.record(result("auth"), 60 * minute)
    assert ["auth", "auth=1", "auth=1"] == logged(caplog)


def test_each_result_is_logged_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "openai_exporter.probe")
    log = ResultLog()
    for second in range(5):
        log.record(result("auth"), second)
    assert ["auth"] * 5 == logged(caplog)


# The names that are blackbox_exporter's mean what they mean there: both probe one TLS server, side by side.

DAY = 86_400
SAID = '{"object": "chat.completion", "choices": [{"message": {"content": "pong"}, "finish_reason": "stop"}]}'
SAME = re.compile(
    r"probe_(ssl_\w+|tls_version_info|http_ssl|http_status_code|http_version|http_redirects|ip_protocol|ip_addr_hash"
    r"|http_content_length|http_uncompressed_body_length|success|failed_due_to_regex)\b"
)
NOT_OF_OURS = {"probe_failed_due_to_cel", "probe_http_last_modified_timestamp_seconds"}


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with root.pem (20 days), and server.pem with key.pem (40 days) signed by it."""
    folder = tmp_path_factory.mktemp("chain")
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed; it makes the certificates for this test")
    curve = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    (folder / "more.cnf").write_text("subjectAltName=DNS:localhost,DNS:api.test,IP:127.0.0.1\n")
    for command in (
        f"req -x509 {curve} -days 20 -keyout root.key -out root.pem -subj /C=US/O=Acme\\,Inc/CN=Root",
        f"req {curve} -keyout key.pem -out server.csr -subj /O=Acme/CN=api.test",
        "x509 -req -in server.csr -CA root.pem -CAkey root.key -days 40 -extfile more.cnf -out server.pem "
        "-set_serial 0x0a1b2c",
    ):
        arguments = [part.replace("\\,", ",") for part in command.split()]
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=600)
    return folder


@contextlib.asynccontextmanager
async def server(chain: Path) -> AsyncIterator[str]:
    """A TLS server that shows the whole chain and answers everything alike."""
    (chain / "both.pem").write_text((chain / "server.pem").read_text() + (chain / "root.pem").read_text())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain / "both.pem", chain / "key.pem")

    async def hello(turn: Turn) -> None:
        await turn.send(answer(SAID))

    async with raw_server(hello, context) as running:
        yield running.url


async def ours(url: str) -> dict[str, float]:
    async with prober_for(configuration(url, {"chat": MODULES["chat"]})) as prober:
        return samples(encode(families(await prober.probe(key_of("chat")))).decode())


def samples(text: str) -> dict[str, float]:
    """Series to value."""
    lines = [line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#")]
    return {series: float(value) for series, _, value in lines}


@contextlib.contextmanager
def blackbox_exporter(chain: Path) -> Iterator[str]:
    """The URL of the real one, whose module trusts the root."""
    binary = os.environ.get("BLACKBOX_BINARY") or shutil.which("prometheus-blackbox-exporter")
    if binary is None:
        pytest.skip("blackbox_exporter is not installed")
    text = "modules: {http: {prober: http, http: {tls_config: {ca_file: root.pem}, preferred_ip_protocol: ip4}}}"
    (chain / "blackbox.yml").write_text(text)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{sock.getsockname()[1]}"
    command = [binary, "--config.file=blackbox.yml", f"--web.listen-address={address}"]
    with subprocess.Popen(command, cwd=chain, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until_healthy(f"http://{address}/-/healthy")
            yield f"http://{address}"
        finally:
            stop(process)


def wait_until_healthy(url: str) -> None:
    for _ in range(1000):
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=30):
            return
        time.sleep(0.05)
    raise TimeoutError(url)


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as reply:
        text: str = reply.read().decode()
        return text


async def test_what_both_expose_is_the_same(chain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(chain / "root.pem"))
    with blackbox_exporter(chain) as url:
        async with server(chain) as target:
            mine = await ours(target)
            theirs = samples(await asyncio.to_thread(get, f"{url}/probe?module=http&target={target}"))
    shared = {series: value for series, value in theirs.items() if SAME.match(series)}
    assert {"probe_ssl_earliest_cert_expiry", "probe_ip_addr_hash", "probe_http_ssl"} <= shared.keys()
    # Since its 0.24 it has two labels more than Debian's 0.23; their values stand in ours.
    assert {name: value for name, value in shared.items() if "chain_info" not in name}.items() <= mine.items()
    labels = {found for series in shared for found in re.findall(r'\w+="[^"]*"', series)}
    assert labels <= {found for series in mine for found in re.findall(r'\w+="[^"]*"', series)}
    names = {series.partition("{")[0] for series in theirs}
    assert names - NOT_OF_OURS <= {series.partition("{")[0] for series in mine}


async def test_the_chain_is_dated_by_its_first_certificate_to_expire(
    chain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(chain / "root.pem"))
    async with server(chain) as target:
        mine = await ours(target)
    ends = time.time() + 20 * DAY
    assert mine["probe_ssl_earliest_cert_expiry"] == pytest.approx(ends, abs=DAY)
    assert mine["probe_ssl_last_chain_expiry_timestamp_seconds"] == pytest.approx(ends, abs=DAY)
    (info,) = [series for series in mine if series.startswith("probe_ssl_last_chain_info")]
    for label in (
        'subject="CN=api.test,O=Acme"',
        'issuer="CN=Root,O=Acme\\\\,Inc,C=US"',
        'subjectalternative="localhost,api.test"',
        'serialnumber="0a1b2c"',
    ):
        assert label in info


@pytest.mark.parametrize(("data", "hashed"), [(b"", 0x811C9DC5), (b"a", 0xE40C292C), (b"foobar", 0xBF9CF968)], ids=str)
def test_the_hash_of_an_address_is_fnv_1a(data: bytes, hashed: int) -> None:
    assert fnv1a(data) == hashed


# What `/probe` exposes.

FULL = result(
    phases=Phases(0.01, 0.02, 0.03, 0.3, 0.1),
    reused=True,
    stream=StreamTiming(0.1, 0.2, 0.01, 0.02, 55.5, 7),
    tokens=Tokens(12, 16, 4, 2),
    cost_usd=Decimal("0.0000092"),
    server_processing=0.25,
    rate_limits=(RateLimit("requests", 60, 59, 1.0), RateLimit("tokens", None, 10, None)),
    served_model="gpt-6-luna-2026-09-01",
    service_tier="default",
    content_length=974,
    http_version=1.1,
    body_length=1201,
    address="104.18.6.192:443",
    tls=TlsPeer(
        "TLS 1.3",
        "TLS_AES_256_GCM_SHA384",
        1_800_000_000.0,
        1_800_000_000.5,
        "ab12",
        "CN=api.openai.com",
        "CN=WE1,O=Google Trust Services,C=US",
        "api.openai.com,*.api.openai.com",
        "0a1b",
    ),
)
MODELS = result(
    endpoint=Endpoint.MODELS,
    models=(ModelCard("a", "openai", 5.0, 7.0), ModelCard("b")),
    listed=(("a", True), ("gone", False)),
)


def lines(answer: ProbeAnswer) -> list[str]:
    return [line for line in encode(families(answer)).decode().splitlines() if not line.startswith("#")]


def test_a_full_result_is_exposed_whole() -> None:
    found = lines(ProbeAnswer(FULL))
    for line in (
        "probe_success 1",
        "probe_duration_seconds 0.5",
        "probe_timeout_seconds 9.5",
        "probe_http_status_code 200",
        'probe_http_duration_seconds{phase="resolve"} 0.01',
        'probe_http_duration_seconds{phase="transfer"} 0.1',
        "probe_http_content_length 974",
        "probe_http_version 1.1",
        "probe_ssl_earliest_cert_expiry 1800000000",
        "probe_ssl_last_chain_expiry_timestamp_seconds 1800000000.5",
        'probe_tls_version_info{version="TLS 1.3"} 1',
        'probe_tls_cipher_info{cipher="TLS_AES_256_GCM_SHA384"} 1',
        "probe_dns_lookup_time_seconds 0.01",
        "probe_ip_protocol 4",
        "probe_ip_addr_hash 3072811905",
        "probe_http_uncompressed_body_length 1201",
        "probe_http_redirects 0",
        "probe_http_ssl 1",
        "probe_failed_due_to_regex 0",
        'openai_probe_outcome{outcome="success"} 1',
        'openai_probe_outcome{outcome="auth"} 0',
        "openai_probe_availability_valid 1",
        "openai_probe_availability_good 1",
        "openai_probe_connection_reused 1",
        "openai_probe_time_to_first_event_seconds 0.1",
        "openai_probe_time_to_first_token_seconds 0.2",
        "openai_probe_inter_token_seconds_mean 0.01",
        "openai_probe_inter_token_seconds_max 0.02",
        "openai_probe_token_arrivals 7",
        "openai_probe_output_tokens_per_second 55.5",
        'openai_probe_tokens{direction="cached"} 4',
        "openai_probe_server_processing_seconds 0.25",
        "openai_probe_cost_usd 9.2e-06",
        "openai_probe_cached_age_seconds 0",
        "openai_probe_backoff_seconds 0",
        "openai_probe_cost_limited 0",
        'openai_api_rate_limit_limit{limit_type="requests"} 60',
        'openai_api_rate_limit_remaining{limit_type="tokens"} 10',
        'openai_api_rate_limit_reset_seconds{limit_type="requests"} 1',
    ):
        assert line in found
    (network,) = [line for line in found if line.startswith("openai_probe_network_seconds")]
    assert float(network.split()[1]) == pytest.approx(0.05)
    (info,) = [line for line in found if line.startswith("openai_probe_model_info")]
    for label in ('requested_model="gpt-6-luna"', 'served_model="gpt-6-luna-2026-09-01"', 'service_tier="default"'):
        assert label in info


def test_every_metric_of_the_page_is_exposed_by_one_of_these() -> None:
    made = {each.metric.name for found in (FULL, MODELS) for each in families(ProbeAnswer(found)) if each.samples}
    assert made == {name for name, metric in CATALOGUE.items() if metric.page is Page.PROBE}


def test_what_is_unknown_is_absent() -> None:
    bare = result("connect", status_code=0)
    found = "\n".join(line for line in lines(ProbeAnswer(bare)) if "outcome" not in line)
    for name in (
        "_ssl_",
        "tls_",
        "ip_",
        "first_token",
        "tokens",
        "cost_usd",
        "rate_limit",
        "model_info",
        "reused",
        "network",
    ):
        assert name not in found
    assert "probe_success 0" in found


def test_an_answer_says_when_its_result_was_made_fresh_or_cached() -> None:
    fresh, cached = (lines(ProbeAnswer(FULL, age=age, cached=age > 0)) for age in (0.0, 7.5))
    (made,) = [line for line in fresh if line.startswith("openai_probe_last_result_timestamp_seconds")]
    assert made in cached
    assert FULL.started_at + FULL.duration == pytest.approx(float(made.split()[1]))


def test_what_was_not_probed_has_no_time_of_a_result() -> None:
    assert not any("last_result" in line for line in lines(ProbeAnswer(result("cost_limited"), cached=True)))


def test_a_cached_answer_is_no_event_of_the_sli() -> None:
    found = lines(ProbeAnswer(FULL, age=7.5, cached=True, backoff=3.0, cost_limited=True, reason="backoff"))
    assert not any("availability" in line for line in found)
    assert "openai_probe_cached_age_seconds 7.5" in found
    assert "openai_probe_backoff_seconds 3" in found
    assert "openai_probe_cost_limited 1" in found


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_one_outcome_is_set_and_all_others_are_there(outcome: str) -> None:
    found = [line for line in lines(ProbeAnswer(result(outcome))) if line.startswith("openai_probe_outcome")]
    assert len(OUTCOMES) == len(found)
    assert [f'openai_probe_outcome{{outcome="{outcome}"}} 1'] == [line for line in found if line.endswith(" 1")]


def test_models_with_their_dates_and_those_that_are_missed() -> None:
    found = lines(ProbeAnswer(MODELS))
    for line in (
        'openai_probe_model_listed{listed_model="a"} 1',
        'openai_probe_model_listed{listed_model="gone"} 0',
        'openai_model_info{model="b"} 1',
        'openai_model_created_timestamp_seconds{model="a"} 5',
        'openai_model_shutdown_timestamp_seconds{model="a"} 7',
    ):
        assert line in found
    assert 1 == sum(line.startswith("openai_model_shutdown") for line in found)


# The text of one probe for people.

MODULE = Module.model_validate(
    {
        "endpoint": "chat",
        "request": {"prompt": "hi", "extra": {"user": "sk-proj-0123456789abcdef", "access_token": "hunter-22"}},
    }
)


def test_everything_about_a_failure_stands_in_one_text() -> None:
    failed = result(
        "auth", message="status 401: no. Check the target's key.", log=("at=0 event=start", "at=1 event=judgement"),
        request="POST https://x\nauthorization: <secret>", reply="HTTP/1.1 401\n\n{}",
    )  # fmt: skip
    text = explain(ProbeAnswer(failed), MODULE)
    for part in (
        "Outcome:\nauth: The API does not accept the key.\nstatus 401: no. Check the target's key.\nFresh: ",
        "Logs for the probe:\nat=0 event=start\nat=1 event=judgement\n\n",
        "Metrics that would have been returned:\n# HELP probe_success",
        "Module configuration:\nendpoint: chat\n",
        "Request:\nPOST https://x\nauthorization: <secret>\n\n",
        "Reply:\nHTTP/1.1 401\n\n{}\n",
    ):
        assert part in text
    assert "sk-proj" not in text
    assert "hunter-22" not in text


def test_a_cached_answer_says_so_and_what_is_missing_is_named() -> None:
    text = explain(ProbeAnswer(result(), age=3.0, cached=True, backoff=2.0, reason="backoff"), MODULE)
    assert "From the cache (backoff), 3.0 s old; the API is left alone for 2.0 s more." in text
    assert "Request:\nnone was sent" in text
    assert "Reply:\nnone came" in text
