# SPDX-License-Identifier: Apache-2.0
"""The web configuration: what is taken, what is refused, and that Prometheus' own tool agrees."""

import asyncio
import base64
import contextlib
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import yaml
from hypothesis import given, strategies as st

from openai_exporter.errors import ConfigError
from openai_exporter.metrics import own
from openai_exporter.web import limits
from openai_exporter.web.limits import Refusals
from openai_exporter.web.webconfig import WebConfig, WebFile, parse_web_config
from tests.exporter.web.exporters import Exporter, Reply, document, poll, request, running

# The web configuration: what is taken, what is refused, and that Prometheus' own tool agrees.

HASH = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi"

GOOD = {
    "empty": "",
    "tls": "tls_server_config: {cert_file: c.pem, key_file: k.pem}",
    "client certificates": (
        "tls_server_config: {cert_file: c.pem, key_file: k.pem, client_ca_file: ca.pem, "
        "client_auth_type: RequireAndVerifyClientCert, min_version: TLS13}"
    ),
    "client certificates that are not looked at": (
        "tls_server_config: {cert_file: c.pem, key_file: k.pem, client_auth_type: RequestClientCert}"
    ),
    "client certificates that may be left out": (
        "tls_server_config: {cert_file: c.pem, key_file: k.pem, client_ca_file: ca.pem, "
        "client_auth_type: VerifyClientCertIfGiven}"
    ),
    "client certificates of the system's authorities": (
        "tls_server_config: {cert_file: c.pem, key_file: k.pem, client_auth_type: RequireAndVerifyClientCert}"
    ),
    "ciphers": (
        "tls_server_config: {cert_file: c.pem, key_file: k.pem, "
        "cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256], curve_preferences: [CurveP256]}"
    ),
    "users": f"basic_auth_users: {{alice: {HASH}, bob: {HASH}}}",
    "headers": (
        "http_server_config:\n  http2: false\n  headers:\n    Strict-Transport-Security: max-age=60\n"
        "    X-Content-Type-Options: nosniff\n    X-Frame-Options: deny\n"
        "    X-XSS-Protection: '0'\n    Content-Security-Policy: default-src 'none'"
    ),
}
NEWER = {
    "names of clients": (
        "tls_server_config: {cert_file: c.pem, key_file: k.pem, client_ca_file: ca.pem, "
        "client_auth_type: RequireAndVerifyClientCert, client_allowed_sans: [a.example]}"
    ),
    "certificates in the file itself": (
        "tls_server_config: {cert: c, key: k, client_ca: ca, client_auth_type: RequireAndVerifyClientCert}"
    ),
    "rate limit": "rate_limit: {interval: 100ms, burst: 20}",
}

BAD = {
    "unknown key": ("tls: {}", ["web.yml:1: tls: unknown key; allowed: tls_server_config, http_server_config,"]),
    "not a mapping": ("- a", ["web.yml:1: must be a mapping; start with `tls_server_config:`"]),
    "unknown key without a value": ("tls:", ["web.yml:1: tls: unknown key; allowed: tls_server_config,"]),
    "key file left out": ("tls_server_config: {cert_file: c}", ["tls_server_config: key_file is missing; give it"]),
    "certificate left out": (
        "tls_server_config: {key: k}",
        ["tls_server_config: cert_file is missing; give it, or the PEM itself as cert"],
    ),
    "key twice": (
        "tls_server_config: {cert_file: c, key_file: k, key: k}",
        ["tls_server_config: gives key and key_file; keep one of them"],
    ),
    "unknown header": (
        "http_server_config: {headers: {X-Foo: x}}",
        ["header 'X-Foo' cannot be set; allowed: Content-Security-Policy, Strict-Transport-Security,"],
    ),
    "header value": (
        "http_server_config: {headers: {X-Frame-Options: maybe}}",
        ["header X-Frame-Options has a value that it does not take"],
    ),
    "password in the clear": ("basic_auth_users: {alice: hunter2}", ["user 'alice': not a bcrypt hash; make one"]),
    "weak cipher": (
        "tls_server_config: {cert_file: c, key_file: k, cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]}",
        ["unknown or weak cipher suite 'TLS_RSA_WITH_RC4_128_SHA'; allowed: TLS_ECDHE_"],
    ),
    "ca without auth": (
        "tls_server_config: {cert_file: c.pem, key_file: k.pem, client_ca_file: ca.pem}",
        ["client_ca_file is of no use without client_auth_type; add client_auth_type: RequireAndVerifyClientCert"],
    ),
    "unknown auth": (
        "tls_server_config: {cert_file: c.pem, key_file: k.pem, client_auth_type: Require}",
        ["client_auth_type: must be 'NoClientCert', "],
    ),
    "auth that verifies nothing": (
        "tls_server_config: {cert_file: c, key_file: k, client_auth_type: RequireAnyClientCert}",
        [
            "client_auth_type RequireAnyClientCert takes any certificate, also one that a client made for itself, "
            "which Python's TLS cannot; use RequireAndVerifyClientCert with client_ca_file, or RequestClientCert"
        ],
    ),
    "names of clients that need give none": (
        "tls_server_config: {cert_file: c, key_file: k, client_ca_file: ca, client_auth_type: VerifyClientCertIfGiven, "
        "client_allowed_sans: [a]}",
        ["client_allowed_sans needs client_auth_type RequireAndVerifyClientCert"],
    ),
    "versions the wrong way round": (
        "tls_server_config: {cert_file: c, key_file: k, min_version: TLS13, max_version: TLS12}",
        ["min_version TLS13 is above max_version TLS12"],
    ),
    "unknown version": (
        "tls_server_config: {cert_file: c, key_file: k, min_version: SSL3}",
        ["tls_server_config.min_version: must be 'TLS10', 'TLS11', 'TLS12' or 'TLS13'"],
    ),
    "a limit that lets nothing through": ("rate_limit: {interval: 1s}", ["rate_limit: burst must be at least 1"]),
    "all at once": (
        "tls_server_config: {cert_file: c}\nrate_limit: {interval: -1s}\nextra: 1",
        ["tls_server_config: key_file", "web.yml:2: rate_limit.interval", "web.yml:3: extra"],
    ),
}


@pytest.mark.parametrize("text", [*GOOD.values(), *NEWER.values()], ids=[*GOOD, *NEWER])
def test_a_good_file_is_taken(text: str) -> None:
    parse_web_config(text, "web.yml")


@pytest.mark.stack
@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not on PATH")
@pytest.mark.parametrize("text", GOOD.values(), ids=list(GOOD))
def test_promtool_takes_what_we_take(tmp_path: Path, text: str) -> None:
    found = _promtool(tmp_path, text)
    assert found.returncode == 0, found.stderr + found.stdout


@pytest.mark.stack
@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not on PATH")
@pytest.mark.parametrize("name", ["unknown key", "unknown header", "ca without auth", "unknown auth"])
def test_promtool_refuses_what_we_refuse(tmp_path: Path, name: str) -> None:
    found = _promtool(tmp_path, BAD[name][0])
    assert found.returncode != 0
    assert "no such file" not in found.stderr + found.stdout


def _promtool(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """It reads the certificates too."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed; it makes the certificates for this test")
    command = [
        openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-subj", "/CN=localhost", "-keyout", str(folder / "k.pem"), "-out", str(folder / "c.pem"),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=600)
    shutil.copy(folder / "c.pem", folder / "ca.pem")
    file = folder / "web.yml"
    file.write_text(text)
    argv = [
        os.environ.get("PROMTOOL_BINARY", "").partition(os.pathsep)[0] or "promtool",
        "check",
        "web-config",
        str(file),
    ]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=600)


@pytest.mark.parametrize(("text", "expected"), BAD.values(), ids=list(BAD))
def test_a_bad_file_is_refused_with_every_mistake(text: str, expected: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_web_config(text, "web.yml")
    found = str(caught.value)
    assert len(expected) == len(caught.value.problems)
    for part in expected:
        assert part in found


def test_no_password_or_hash_stands_in_an_error() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_web_config(f"basic_auth_users: {{alice: hunter2, bob: '{HASH}x'}}", "web.yml")
    assert "hunter2" not in str(caught.value)
    assert HASH not in str(caught.value)


@given(st.dictionaries(st.text(max_size=20), st.recursive(st.none() | st.integers() | st.text(max_size=20), st.lists)))
def test_any_document_is_taken_or_refused_and_nothing_else(data: dict[str, object]) -> None:
    with contextlib.suppress(ConfigError):
        assert parse_web_config(yaml.safe_dump(data), "web.yml") == WebConfig()


# TLS, client certificates, users, rate limit and headers, as clients meet them.

API = "http://127.0.0.1:1/v1"
WEBFILE_HASH = bcrypt.hashpw(b"wonderland", bcrypt.gensalt(4)).decode()


def _certificate(folder: Path, name: str, issuer: str | None = None) -> None:
    """`name`.pem and `name`.key for the host localhost; its own issuer unless another is named."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed; it makes the certificates for this test")
    command = [
        openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:localhost,DNS:{name}",
        "-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.pem"),
    ]  # fmt: skip
    if issuer:
        command += ["-CA", str(folder / f"{issuer}.pem"), "-CAkey", str(folder / f"{issuer}.key")]
        command += ["-addext", "basicConstraints=critical,CA:FALSE"]
    subprocess.run(command, check=True, capture_output=True, timeout=600)


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    _certificate(tmp_path, "ca")
    for name in ("server", "alice", "mallory"):
        _certificate(tmp_path, name, "ca")
    _certificate(tmp_path, "stranger")
    return tmp_path


def _web(folder: Path, config: dict[str, Any]) -> Path:
    file = folder / "web.yml"
    file.write_text(yaml.safe_dump(config))
    return file


def _client(folder: Path, name: str | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    if name:
        context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    return context


def _tls(**more: Any) -> dict[str, Any]:
    return {"tls_server_config": {"cert_file": "server.pem", "key_file": "server.key", **more}}


def _basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def _served(folder: Path, config: dict[str, Any]) -> Any:
    return running(folder, document(API), web_config_file=_web(folder, config))


def test_it_speaks_tls_and_says_so_in_sd(certificates: Path) -> None:
    with _served(certificates, _tls()) as exporter:
        reply = request(exporter.port, "/sd", tls=_client(certificates))
        assert {"https"} == {each["labels"]["__scheme__"] for each in reply.json()}
        plain = request(exporter.port, "/-/healthy")
        assert (400, "This port speaks TLS; use https://\n") == (plain.status, plain.text)


def test_certificates_may_stand_in_the_file_itself(certificates: Path) -> None:
    texts = {name: (certificates / file).read_text() for name, file in _PEMS.items()}
    config = {"tls_server_config": {**texts, "client_auth_type": "RequireAndVerifyClientCert"}}
    with _served(certificates, config) as exporter:
        assert request(exporter.port, "/-/healthy", tls=_client(certificates, "alice")).status == 200
        with pytest.raises(OSError):  # noqa: PT011  # an SSL alert or a reset
            request(exporter.port, "/-/healthy", tls=_client(certificates, "stranger"))


_PEMS = {"cert": "server.pem", "key": "server.key", "client_ca": "ca.pem"}


@pytest.mark.parametrize(
    ("client", "reason"),
    [
        (None, "the client gave no certificate, and client_auth_type wants one"),
        ("stranger", "the client's certificate: self-signed certificate"),
        ("mallory", "the client's certificate has none of the names in client_allowed_sans"),
    ],
)
def test_a_refused_connection_is_one_line_of_the_log(
    certificates: Path, caplog: pytest.LogCaptureFixture, client: str | None, reason: str
) -> None:
    config = _tls(client_auth_type="RequireAndVerifyClientCert", client_ca_file="ca.pem", client_allowed_sans=["alice"])
    with _served(certificates, config) as exporter:
        for _ in range(2):
            with pytest.raises(OSError):  # noqa: PT011  # an SSL alert, closed or reset
                request(exporter.port, "/-/healthy", tls=_client(certificates, client))
        assert request(exporter.port, "/-/healthy", tls=_client(certificates, "alice")).status == 200
    said = [each for each in caplog.records if each.name == "openai_exporter.web.limits"]
    assert [f"connection refused: {reason}"] == [each.getMessage() for each in said]
    assert {"client": "127.0.0.1"} == vars(said[0])["fields"]


def test_a_refusal_is_logged_again_after_a_while(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    refusals = Refusals(clock=lambda: now[0])
    one, other = (asyncio.Transport({"peername": (f"192.0.2.{n}", 1)}) for n in (1, 2))
    for at in (0.0, 59.0, 61.0):
        now[0] = at
        refusals.tell(one, "no certificate")
    refusals.tell(other, "no certificate")
    assert 3 == len(caplog.records)


def test_a_handshake_that_does_not_come_in_time_ends_the_connection(
    certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "REQUEST_TIMEOUT", 0.3)
    with (
        _served(certificates, _tls()) as exporter,
        socket.create_connection(("127.0.0.1", exporter.port), timeout=30) as silent,
        contextlib.suppress(ConnectionResetError),
    ):
        assert silent.recv(1000) == b""


def test_a_renewed_certificate_counts_from_the_next_connection(certificates: Path) -> None:
    with _served(certificates, _tls()) as exporter:
        assert request(exporter.port, "/-/healthy", tls=_client(certificates)).status == 200
        for ending in ("key", "pem"):
            shutil.copy(certificates / f"stranger.{ending}", certificates / f"server.{ending}")
        with pytest.raises(ssl.SSLCertVerificationError):
            request(exporter.port, "/-/healthy", tls=_client(certificates))
        trusting = ssl.create_default_context(cafile=str(certificates / "stranger.pem"))
        assert request(exporter.port, "/-/healthy", tls=trusting).status == 200


def test_an_old_protocol_version_is_refused(certificates: Path) -> None:
    with _served(certificates, _tls(min_version="TLS13")) as exporter:
        old = _client(certificates)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(ssl.SSLError):
            request(exporter.port, "/-/healthy", tls=old)


@pytest.mark.parametrize("name", [None, "stranger"], ids=["no certificate", "of another authority"])
def test_a_client_without_a_certificate_of_the_authority_is_refused(certificates: Path, name: str | None) -> None:
    config = _tls(client_auth_type="RequireAndVerifyClientCert", client_ca_file="ca.pem")
    with _served(certificates, config) as exporter:
        with pytest.raises(OSError):  # noqa: PT011  # an SSL alert or a reset
            request(exporter.port, "/-/healthy", tls=_client(certificates, name))
        assert request(exporter.port, "/-/healthy", tls=_client(certificates, "alice")).status == 200


LETS_IN: dict[str, tuple[set[str | None], str]] = {
    "NoClientCert": ({None, "stranger", "alice"}, ""),
    "RequestClientCert": ({None, "stranger", "alice"}, "lets every client in; none is asked for a certificate"),
    "VerifyClientCertIfGiven": ({None, "alice"}, ""),
    "RequireAndVerifyClientCert": ({"alice"}, ""),
}
"""client_auth_type to the clients that it lets in, of three, and what is logged at the start."""


@pytest.mark.parametrize("kind", LETS_IN)
@pytest.mark.parametrize("authority", ["a file", "the system's"])
def test_each_client_auth_type_lets_in_whom_it_says(
    certificates: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, kind: str, authority: str
) -> None:
    welcome, said = LETS_IN[kind]
    config = _tls(client_auth_type=kind)
    if authority == "a file" and kind != "NoClientCert":
        config["tls_server_config"]["client_ca_file"] = "ca.pem"
    if authority == "the system's":
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "ca.pem"))
        monkeypatch.setenv("SSL_CERT_DIR", str(certificates / "none"))
        said = said or ("trusts every authority that the system trusts" if "Verify" in kind else "")
    found = set()
    with _served(certificates, config) as exporter:
        for name in (None, "stranger", "alice"):
            with contextlib.suppress(OSError):  # an SSL alert or a reset
                if request(exporter.port, "/-/healthy", tls=_client(certificates, name)).status == 200:
                    found.add(name)
    assert found == welcome
    warned = [each.getMessage() for each in caplog.records if each.name == "openai_exporter.web.webconfig"]
    assert [f"client_auth_type {kind} "] * bool(said) == [each[: len(f"client_auth_type {kind} ")] for each in warned]
    assert all(said in each for each in warned)


def test_only_allowed_names_of_client_certificates_are_let_in(certificates: Path) -> None:
    config = _tls(client_auth_type="RequireAndVerifyClientCert", client_ca_file="ca.pem", client_allowed_sans=["alice"])
    with _served(certificates, config) as exporter:
        assert request(exporter.port, "/-/healthy", tls=_client(certificates, "alice")).status == 200
        with pytest.raises(OSError):  # noqa: PT011  # closed or reset
            request(exporter.port, "/-/healthy", tls=_client(certificates, "mallory"))


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Exporter]:
    config = {
        "basic_auth_users": {"alice": WEBFILE_HASH},
        "http_server_config": {"headers": {"X-Frame-Options": "deny", "Strict-Transport-Security": "max-age=9"}},
    }
    with _served(tmp_path, config) as exporter:
        yield exporter


def _ask(exporter: Exporter, path: str, user: str, password: str) -> Reply:
    return request(exporter.port, path, headers=_basic(user, password))


@pytest.mark.parametrize("path", ["/", "/metrics", "/-/reload", "/-/", "/-/ready/", "/sd", "/nope"])
def test_every_path_but_health_asks_for_user_and_password(guarded: Exporter, path: str) -> None:
    reply = guarded.get(path)
    assert reply.status == 401
    assert reply.headers["www-authenticate"] == 'Basic realm="openai-exporter"'
    assert _ask(guarded, path, "alice", "wonderland").status != 401
    assert _ask(guarded, path, "alice", "wrong").status == 401
    assert _ask(guarded, path, "bob", "wonderland").status == 401


@pytest.mark.parametrize(
    "header", ["Basic", "Basic !", "Basic YWxpY2U=", "Bearer x", "Basic " + base64.b64encode(b"\xff:x").decode()]
)
def test_a_malformed_authorization_is_none(guarded: Exporter, header: str) -> None:
    assert guarded.get("/metrics", Authorization=header).status == 401


def test_a_very_long_password_is_wrong_and_nothing_else(guarded: Exporter) -> None:
    assert _ask(guarded, "/metrics", "alice", "x" * 5000).status == 401


def test_a_refusal_is_counted(guarded: Exporter) -> None:
    guarded.get("/metrics")
    own = _ask(guarded, "/metrics", "alice", "wonderland").text
    assert 'openai_exporter_requests_refused_total{reason="unauthorized"} 1.0' in own.splitlines()


def test_headers_stand_on_every_answer(guarded: Exporter) -> None:
    for reply in (
        guarded.get("/"),
        _ask(guarded, "/", "alice", "wonderland"),
        _ask(guarded, "/nope", "alice", "wonderland"),
    ):
        assert reply.headers["x-frame-options"] == "deny"
        assert reply.headers["strict-transport-security"] == "max-age=9"


def test_an_unknown_user_takes_as_long_as_a_wrong_password(tmp_path: Path) -> None:
    slow = bcrypt.hashpw(b"wonderland", bcrypt.gensalt(10)).decode()
    with _served(tmp_path, {"basic_auth_users": {"alice": slow}}) as exporter:
        known = [_seconds(exporter, "alice", f"wrong{i}") for i in range(5)]
        unknown = [_seconds(exporter, "bob", f"wrong{i}") for i in range(5)]
    assert min(unknown) > 0.4 * min(known)


def _seconds(exporter: Exporter, user: str, password: str) -> float:
    start = time.perf_counter()
    assert _ask(exporter, "/sd", user, password).status == 401
    return time.perf_counter() - start


def test_users_are_read_again_when_the_file_changes(tmp_path: Path) -> None:
    with _served(tmp_path, {"basic_auth_users": {"alice": WEBFILE_HASH}}) as exporter:
        assert _ask(exporter, "/sd", "alice", "wonderland").status == 200
        _web(tmp_path, {"basic_auth_users": {"carol": WEBFILE_HASH}})
        assert _ask(exporter, "/sd", "alice", "wonderland").status == 401
        assert _ask(exporter, "/sd", "carol", "wonderland").status == 200
        (tmp_path / "web.yml").write_text("nonsense: [")
        assert _ask(exporter, "/sd", "carol", "wonderland").status == 200
        assert _ask(exporter, "/sd", "alice", "wonderland").status == 401


def test_a_rate_limit_refuses_what_is_above_it(tmp_path: Path) -> None:
    with _served(tmp_path, {"rate_limit": {"interval": "1h", "burst": 3}}) as exporter:
        assert [200, 200, 200, 429, 429] == [exporter.get("/sd").status for _ in range(5)]
        assert exporter.get("/-/healthy").status == 200


# Clients that send or read slowly or not at all: in the clear, with users, and over TLS.

WHOLE = b"GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n"
HALF = b"GET /-/healthy HTTP/1.1\r\nHost: a\r\nX: "
BODY = b"POST /-/healthy HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n"
CHUNKS = b"POST /-/healthy HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
SLOW = {
    "nothing": (b"", b""),
    "a head": (HALF, b"a"),
    "a second head": (WHOLE + HALF, b"a"),
    "empty lines": (b"\r\n", b"\r\n"),
    "empty lines between requests": (WHOLE + b"\r\n", b"\r\n"),
    "a body": (BODY, b"a"),
    "a second body": (WHOLE + BODY, b"a"),
    "a body in chunks": (CHUNKS, b"1\r\na\r\n"),
    "chunks of no body": (CHUNKS + b"1;", b"x"),
    "trailers": (CHUNKS + b"0\r\n", b"a"),
    "a head behind a body": (BODY + bytes(9000) + HALF, b"a"),
}
"""What is sent at once, and what again and again."""
GUARDS: dict[str, dict[str, Any]] = {"clear": {}, "users": {"basic_auth_users": {"alice": WEBFILE_HASH}}, "tls": _tls()}


@pytest.fixture(params=list(GUARDS))
def patient(request: pytest.FixtureRequest, certificates: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Exporter]:
    """An exporter whose patience is short."""
    monkeypatch.setattr(limits, "REQUEST_TIMEOUT", 0.5)
    monkeypatch.setattr(limits, "RESPONSE_TIMEOUT", 0.5)
    with _served(certificates, GUARDS[request.param]) as exporter:
        yield exporter


def _connected(exporter: Exporter) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.settimeout(30)
    made.connect(("127.0.0.1", exporter.port))
    folder = exporter.config_file.parent
    tls = "tls_server_config" in (folder / "web.yml").read_text()
    return _client(folder).wrap_socket(made, server_hostname="localhost") if tls else made


def _open(client: socket.socket, drip: bytes) -> bool:
    """Whether a connection is still open, once more bytes are sent and what came is read."""
    client.settimeout(0.01)
    try:
        client.sendall(drip)
        while client.recv(65536):
            pass
    except TimeoutError:
        return True
    except OSError:
        pass
    return False


@pytest.mark.parametrize("drips", [False, True], ids=["silent", "dripping"])
def test_a_request_that_does_not_come_in_time_ends_its_connection(patient: Exporter, drips: bool) -> None:
    asked = dict(SLOW)
    if not drips:
        del asked["empty lines between requests"]  # an idle connection is kept, for the next scrape
    with contextlib.ExitStack() as stack:
        clients = {name: stack.enter_context(_connected(patient)) for name in asked}
        for name, client in clients.items():
            client.sendall(asked[name][0])
        left = set(clients)

        def ended() -> bool:
            left.intersection_update([name for name in left if _open(clients[name], asked[name][1] if drips else b"")])
            return not left

        with contextlib.suppress(AssertionError):
            poll(ended)
        assert left == set()
    assert re.search(r'requests_refused_total\{reason="slow"\} [1-9]', _ask_of(patient, "/metrics").text)


def _ask_of(exporter: Exporter, path: str) -> Reply:
    folder = exporter.config_file.parent
    tls = "tls_server_config" in (folder / "web.yml").read_text()
    return request(exporter.port, path, headers=_basic("alice", "wonderland"), tls=_client(folder) if tls else None)


@pytest.mark.parametrize("more", ["", "Connection: close\r\n"], ids=["keeps", "closes"])
def test_an_answer_that_is_not_read_in_time_ends_its_connection(patient: Exporter, more: str) -> None:
    for number in range(30_000):  # more than the kernel takes
        patient.live.instruments.count(own.REQUESTS_REFUSED, (f"{number:0250}",))
    named = "".join(f"{name}: {value}\r\n" for name, value in _basic("alice", "wonderland").items())
    with _connected(patient) as deaf:
        deaf.sendall(f"GET /metrics HTTP/1.1\r\nHost: a\r\n{named}{more}\r\n".encode())
        poll(lambda: len(patient.server.server_state.connections) == 1)
        poll(lambda: not patient.server.server_state.connections)


def test_requests_behind_each_other_are_bounded(patient: Exporter) -> None:
    with _connected(patient) as hasty:
        with contextlib.suppress(OSError):
            hasty.sendall(WHOLE * (20 * limits.MAX_PIPELINED))
        poll(lambda: not _open(hasty, b""))
    assert _ask_of(patient, "/-/healthy").status == 200


def test_a_body_that_is_too_large_is_refused(patient: Exporter) -> None:
    with _connected(patient) as client:
        client.sendall(BODY.replace(b"9000", b"1000000"))
        answer = client.recv(4096)
        assert answer.startswith(b"HTTP/1.1 413 ")
        poll(lambda: not _open(client, b"a"))
    with _connected(patient) as client:
        with contextlib.suppress(OSError):
            client.sendall(CHUNKS)
            for _ in range(100):
                client.sendall(b"800\r\n" + bytes(0x800) + b"\r\n")
        poll(lambda: not _open(client, b""))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"cert_file": "gone.pem"}, "tls_server_config.cert_file: gone.pem cannot be read: No such file"),
        ({"cert_file": "pipe"}, "tls_server_config.cert_file: pipe cannot be read: not a regular file"),
        ({"key_file": "alice.key"}, "server.pem and alice.key are not a PEM certificate and its key: "),
        ({"cert_file": "web.yml"}, "web.yml and server.key are not a PEM certificate and its key: "),
        (
            {"client_ca_file": "web.yml", "client_auth_type": "RequireAndVerifyClientCert"},
            "tls_server_config.client_ca_file: web.yml holds no PEM certificate: ",
        ),
    ],
    ids=["missing", "pipe", "another key", "no certificate", "no authority"],
)
def test_files_that_cannot_be_used_are_told_at_start(certificates: Path, change: dict[str, str], expected: str) -> None:
    os.mkfifo(certificates / "pipe")
    with pytest.raises(ConfigError) as caught:
        WebFile(_web(certificates, _tls(**change)))
    assert expected in str(caught.value)


def test_a_missing_web_configuration_is_told_at_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"web\.yml: cannot be read: No such file"):
        WebFile(tmp_path / "web.yml")
