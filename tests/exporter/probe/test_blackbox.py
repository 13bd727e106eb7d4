# SPDX-License-Identifier: Apache-2.0
"""The names that are blackbox_exporter's mean what they mean there: both probe one TLS server, side by side."""

import asyncio
import contextlib
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from openai_exporter.exposition import encode
from openai_exporter.probe.blackbox import blackbox, fnv1a
from tests.exporter.client.rawserver import Turn, answer, raw_server

from .probers import MODULES, configuration, key_of, prober_for

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
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
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
        return samples(encode(blackbox((await prober.probe(key_of("chat"))).result)).decode())


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
    text = (
        "modules: {http: {prober: http, http: {tls_config: {ca_file: root.pem}, preferred_ip_protocol: ip4}}}"
    )
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
            process.terminate()


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


@pytest.mark.parametrize(
    ("data", "hashed"), [(b"", 0x811C9DC5), (b"a", 0xE40C292C), (b"foobar", 0xBF9CF968)], ids=str
)
def test_the_hash_of_an_address_is_fnv_1a(data: bytes, hashed: int) -> None:
    assert fnv1a(data) == hashed
