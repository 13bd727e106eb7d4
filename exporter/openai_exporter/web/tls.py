# SPDX-License-Identifier: Apache-2.0
"""From the web configuration to an SSL context."""

import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from openai_exporter.client.tls import add_bundle
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
    "RequestClientCert": ssl.CERT_NONE,
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
    _load_certificate(made, tls, base, place)
    _load_clients_ca(made, tls, base, place)
    made.verify_mode = _VERIFY[tls.client_auth_type]
    return made


def _load_certificate(made: ssl.SSLContext, tls: TlsServer, base: Path, place: str) -> None:
    with ExitStack() as stack:
        certificate = stack.enter_context(_held(tls.cert)) if tls.cert else base / tls.cert_file
        key = stack.enter_context(_held(tls.key)) if tls.key else base / tls.key_file
        try:
            made.load_cert_chain(certificate, key, password=_no_password)
        except (ssl.SSLError, OSError, ValueError) as error:
            names = f"{tls.cert_file or 'cert'} and {tls.key_file or 'key'}"
            text = f"{names} are not a PEM certificate and its key: {_why(error)}"
            raise ConfigError([Problem(place, text)]) from None


def _load_clients_ca(made: ssl.SSLContext, tls: TlsServer, base: Path, place: str) -> None:
    if tls.trusts_system:
        made.load_default_certs(ssl.Purpose.CLIENT_AUTH)
        add_bundle(made)
    try:
        if tls.client_ca:
            made.load_verify_locations(cadata=tls.client_ca)
        if tls.client_ca_file:
            made.load_verify_locations(base / tls.client_ca_file)
    except (ssl.SSLError, OSError, ValueError) as error:
        field = "client_ca_file" if tls.client_ca_file else "client_ca"
        text = f"{tls.client_ca_file or field} holds no PEM certificate: {_why(error)}"
        raise ConfigError([Problem(f"{place}.{field}", text)]) from None


def _no_password() -> str:
    """Of an encrypted key: without this, OpenSSL would ask on the terminal and wait."""
    raise ValueError("the key is encrypted; write it without a password")


@contextmanager
def _held(text: str) -> Iterator[str]:
    """The path of a file with this text while the context lasts: OpenSSL's loader takes no strings.

    It is in memory where the system has such files, so that a key touches no disk and a read-only root is no matter.
    """
    if hasattr(os, "memfd_create"):
        handle = os.memfd_create("pem")
        path = f"/proc/self/fd/{handle}"
    else:
        handle, path = tempfile.mkstemp()
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            yield path
    finally:
        if not hasattr(os, "memfd_create"):
            Path(path).unlink(missing_ok=True)


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


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, OSError):
        return str(getattr(error, "reason", None) or error.strerror or "unreadable").replace("_", " ").lower()
    return str(error)
