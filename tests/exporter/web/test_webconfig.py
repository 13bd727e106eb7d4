# SPDX-License-Identifier: Apache-2.0
"""The web configuration: what is taken, what is refused, and that Prometheus' own tool agrees."""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from openai_exporter.errors import ConfigError
from openai_exporter.web.webconfig import WebConfig, parse_web_config

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
    "unknown key": (
        "tls: {}",
        ["web.yml:1: tls: unknown key; allowed: tls_server_config, http_server_config,"],
    ),
    "not a mapping": ("- a", ["web.yml:1: must be a mapping; start with `tls_server_config:`"]),
    "unknown key without a value": ("tls:", ["web.yml:1: tls: unknown key; allowed: tls_server_config,"]),
    "key file left out": (
        "tls_server_config: {cert_file: c}",
        ["tls_server_config: key_file is missing; give it"],
    ),
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
    "password in the clear": (
        "basic_auth_users: {alice: hunter2}",
        ["user 'alice': not a bcrypt hash; make one"],
    ),
    "weak cipher": (
        "tls_server_config: {cert_file: c, key_file: k, cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]}",
        ["unknown or weak cipher suite 'TLS_RSA_WITH_RC4_128_SHA'; allowed: TLS_ECDHE_"],
    ),
    "ca without auth": (
        "tls_server_config: {cert_file: c.pem, key_file: k.pem, client_ca_file: ca.pem}",
        [
            "client_ca_file is of no use without client_auth_type; add client_auth_type: RequireAndVerifyClientCert"
        ],
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
    "a limit that lets nothing through": (
        "rate_limit: {interval: 1s}",
        ["rate_limit: burst must be at least 1"],
    ),
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
    subprocess.run(command, check=True, capture_output=True)
    shutil.copy(folder / "c.pem", folder / "ca.pem")
    file = folder / "web.yml"
    file.write_text(text)
    argv = [
        os.environ.get("PROMTOOL_BINARY", "").partition(os.pathsep)[0] or "promtool",
        "check",
        "web-config",
        str(file),
    ]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


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


@given(
    st.dictionaries(
        st.text(max_size=20), st.recursive(st.none() | st.integers() | st.text(max_size=20), st.lists)
    )
)
def test_any_document_is_taken_or_refused_and_nothing_else(data: dict[str, object]) -> None:
    with contextlib.suppress(ConfigError):
        assert parse_web_config(yaml.safe_dump(data), "web.yml") == WebConfig()
