# SPDX-License-Identifier: Apache-2.0
"""TLS, client certificates, users, rate limit and headers, as clients meet them."""

import base64
import contextlib
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import yaml

from openai_exporter.errors import ConfigError
from openai_exporter.web.handshake import Refusals
from openai_exporter.web.webfile import WebFile
from tests.exporter.web.exporters import Exporter, Reply, document, request, running

API = "http://127.0.0.1:1/v1"
HASH = bcrypt.hashpw(b"wonderland", bcrypt.gensalt(4)).decode()


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
    subprocess.run(command, check=True, capture_output=True)


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
    config = _tls(
        client_auth_type="RequireAndVerifyClientCert", client_ca_file="ca.pem", client_allowed_sans=["alice"]
    )
    with _served(certificates, config) as exporter:
        for _ in range(2):
            with pytest.raises(OSError):  # noqa: PT011  # an SSL alert, closed or reset
                request(exporter.port, "/-/healthy", tls=_client(certificates, client))
        assert request(exporter.port, "/-/healthy", tls=_client(certificates, "alice")).status == 200
    said = [each for each in caplog.records if each.name == "openai_exporter.web.handshake"]
    assert [f"connection refused: {reason}"] == [each.getMessage() for each in said]
    assert {"client": "127.0.0.1"} == vars(said[0])["fields"]


def test_a_refusal_is_logged_again_after_a_while(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    refusals = Refusals(clock=lambda: now[0])
    for at in (0.0, 59.0, 61.0):
        now[0] = at
        refusals.tell("192.0.2.1", "no certificate")
    refusals.tell("192.0.2.2", "no certificate")
    assert 3 == len(caplog.records)


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
def test_a_client_without_a_certificate_of_the_authority_is_refused(
    certificates: Path, name: str | None
) -> None:
    config = _tls(client_auth_type="RequireAndVerifyClientCert", client_ca_file="ca.pem")
    with _served(certificates, config) as exporter:
        with pytest.raises(OSError):  # noqa: PT011  # an SSL alert or a reset
            request(exporter.port, "/-/healthy", tls=_client(certificates, name))
        assert request(exporter.port, "/-/healthy", tls=_client(certificates, "alice")).status == 200


LETS_IN: dict[str, tuple[set[str | None], str]] = {
    "NoClientCert": ({None, "stranger", "alice"}, ""),
    "RequestClientCert": (
        {None, "stranger", "alice"},
        "lets every client in; none is asked for a certificate",
    ),
    "VerifyClientCertIfGiven": ({None, "alice"}, ""),
    "RequireAndVerifyClientCert": ({"alice"}, ""),
}
"""client_auth_type to the clients that it lets in, of three, and what is logged at the start."""


@pytest.mark.parametrize("kind", LETS_IN)
@pytest.mark.parametrize("authority", ["a file", "the system's"])
def test_each_client_auth_type_lets_in_whom_it_says(
    certificates: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    authority: str,
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
    warned = [each.getMessage() for each in caplog.records if each.name == "openai_exporter.web.webfile"]
    assert [f"client_auth_type {kind} "] * bool(said) == [
        each[: len(f"client_auth_type {kind} ")] for each in warned
    ]
    assert all(said in each for each in warned)


def test_only_allowed_names_of_client_certificates_are_let_in(certificates: Path) -> None:
    config = _tls(
        client_auth_type="RequireAndVerifyClientCert", client_ca_file="ca.pem", client_allowed_sans=["alice"]
    )
    with _served(certificates, config) as exporter:
        assert request(exporter.port, "/-/healthy", tls=_client(certificates, "alice")).status == 200
        with pytest.raises(OSError):  # noqa: PT011  # closed or reset
            request(exporter.port, "/-/healthy", tls=_client(certificates, "mallory"))


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Exporter]:
    config = {
        "basic_auth_users": {"alice": HASH},
        "http_server_config": {
            "headers": {"X-Frame-Options": "deny", "Strict-Transport-Security": "max-age=9"}
        },
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
    "header",
    ["Basic", "Basic !", "Basic YWxpY2U=", "Bearer x", "Basic " + base64.b64encode(b"\xff:x").decode()],
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
    with _served(tmp_path, {"basic_auth_users": {"alice": HASH}}) as exporter:
        assert _ask(exporter, "/sd", "alice", "wonderland").status == 200
        _web(tmp_path, {"basic_auth_users": {"carol": HASH}})
        assert _ask(exporter, "/sd", "alice", "wonderland").status == 401
        assert _ask(exporter, "/sd", "carol", "wonderland").status == 200
        (tmp_path / "web.yml").write_text("nonsense: [")
        assert _ask(exporter, "/sd", "carol", "wonderland").status == 200
        assert _ask(exporter, "/sd", "alice", "wonderland").status == 401


def test_a_rate_limit_refuses_what_is_above_it(tmp_path: Path) -> None:
    with _served(tmp_path, {"rate_limit": {"interval": "1h", "burst": 3}}) as exporter:
        assert [200, 200, 200, 429, 429] == [exporter.get("/sd").status for _ in range(5)]
        assert exporter.get("/-/healthy").status == 200


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"cert_file": "gone.pem"}, "tls_server_config.cert_file: gone.pem cannot be read: No such file"),
        ({"key_file": "alice.key"}, "server.pem and alice.key are not a PEM certificate and its key: "),
        ({"cert_file": "web.yml"}, "web.yml and server.key are not a PEM certificate and its key: "),
        (
            {"client_ca_file": "web.yml", "client_auth_type": "RequireAndVerifyClientCert"},
            "tls_server_config.client_ca_file: web.yml holds no PEM certificate: ",
        ),
    ],
    ids=["missing", "another key", "no certificate", "no authority"],
)
def test_files_that_cannot_be_used_are_told_at_start(
    certificates: Path, change: dict[str, str], expected: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        WebFile(_web(certificates, _tls(**change)))
    assert expected in str(caught.value)


def test_a_missing_web_configuration_is_told_at_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"web\.yml: cannot be read: No such file"):
        WebFile(tmp_path / "web.yml")
