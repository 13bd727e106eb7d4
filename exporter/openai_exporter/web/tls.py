# SPDX-License-Identifier: Apache-2.0
"""From the web configuration to an SSL context."""

import ssl
from pathlib import Path

from openai_exporter.errors import ConfigError, Problem
from openai_exporter.web.webconfig import CIPHERS, TlsServer

_VERSIONS = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}
_VERIFY = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}


def files_of(tls: TlsServer, base: Path) -> list[Path]:
    """The files that a context is made of; relative ones resolve against `base`."""
    return [base / each for each in (tls.cert_file, tls.key_file, tls.client_ca_file) if each]


def context(tls: TlsServer, base: Path, name: str) -> ssl.SSLContext:
    """The SSL context of a web configuration; `name` is the file shown in errors.

    Raises:
        ConfigError: a file is unreadable, no PEM, or the key is not the certificate's.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = _VERSIONS[tls.min_version]
    made.maximum_version = _VERSIONS[tls.max_version]
    made.set_alpn_protocols(["http/1.1"])
    if not tls.prefer_server_cipher_suites:
        made.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    suites = [CIPHERS[each] for each in tls.cipher_suites if each in CIPHERS]
    if suites:
        made.set_ciphers(":".join(suites))
    place = f"{name}: tls_server_config"
    _readable(tls, base, place)
    try:
        made.load_cert_chain(base / tls.cert_file, base / tls.key_file)
    except (ssl.SSLError, OSError) as error:
        text = f"{tls.cert_file} and {tls.key_file} are not a PEM certificate and its key: {_why(error)}"
        raise ConfigError([Problem(place, text)]) from None
    if tls.client_ca_file:
        try:
            made.load_verify_locations(base / tls.client_ca_file)
        except (ssl.SSLError, OSError) as error:
            text = f"{tls.client_ca_file} holds no PEM certificate: {_why(error)}"
            raise ConfigError([Problem(f"{place}.client_ca_file", text)]) from None
    made.verify_mode = _VERIFY[tls.client_auth_type]
    return made


def _readable(tls: TlsServer, base: Path, place: str) -> None:
    problems = []
    for field in ("cert_file", "key_file", "client_ca_file"):
        value = getattr(tls, field)
        if not value:
            continue
        try:
            (base / value).read_bytes()
        except OSError as error:
            problems.append(Problem(f"{place}.{field}", f"{value} cannot be read: {error.strerror}"))
    if problems:
        raise ConfigError(problems)


def _why(error: OSError) -> str:
    return str(getattr(error, "reason", None) or error.strerror or "unreadable").replace("_", " ").lower()
