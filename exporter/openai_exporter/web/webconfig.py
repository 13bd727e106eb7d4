# SPDX-License-Identifier: Apache-2.0
"""The file of `--web.config.file` in exporter-toolkit's format: decoded strictly, re-read on change."""

import logging
import os
import re
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from openai_exporter.client.network import add_bundle
from openai_exporter.config.base import Duration, Section
from openai_exporter.config.document import Document
from openai_exporter.errors import ConfigError, Problem
from openai_exporter.files import read_bytes, read_text

TlsVersion = Literal["TLS10", "TLS11", "TLS12", "TLS13"]

CIPHERS: Mapping[str, str] = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
}
"""Go's names of the TLS 1.2 suites without known weakness, and OpenSSL's."""
TLS13_CIPHERS = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
"""Always on; a file may name them."""

_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": r".*",
    "Strict-Transport-Security": r".*",
    "X-Content-Type-Options": r"nosniff|",
    "X-Frame-Options": r"(?i:deny|sameorigin)|",
    "X-XSS-Protection": r".*",
}
_BCRYPT = re.compile(r"\$2[abxy]?\$\d\d\$[./A-Za-z0-9]{53}")


def _cipher(name: str) -> str:
    if name not in CIPHERS and name not in TLS13_CIPHERS:
        raise ValueError(f"unknown or weak cipher suite {name!r}; allowed: {', '.join([*CIPHERS, *TLS13_CIPHERS])}")
    return name


def _header_values(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        pattern = _HEADERS.get(name)
        if pattern is None:
            raise ValueError(f"header {name!r} cannot be set; allowed: {', '.join(_HEADERS)}")
        if not re.fullmatch(pattern, value):
            raise ValueError(f"header {name} has a value that it does not take")
    return {name: value for name, value in headers.items() if value}


def _hashes(users: dict[str, str]) -> dict[str, str]:
    for name, value in users.items():
        if not _BCRYPT.fullmatch(value):
            raise ValueError(f"user {name!r}: not a bcrypt hash; make one with `htpasswd -nBC 10 {name}`")
    return users


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
"""Values of client_auth_type to whether a client's certificate is held against an authority."""

_UNVERIFIED = ("RequireAnyClientCert", "RequireClientCert")
"""Go's TLS can take a certificate without verifying it; Python's, as any on OpenSSL without a callback, cannot."""


class TlsServer(Section):
    """How connections are encrypted, and which client certificates are asked for.

    `client_auth_type` as Go's crypto/tls has it: RequestClientCert lets every client in, so none is asked here. Without
    a client CA, the types that verify trust the authorities of the system.
    """

    cert: str = ""
    key: str = Field(default="", repr=False)
    client_ca: str = ""
    cert_file: str = ""
    key_file: str = ""
    client_auth_type: Literal[
        "NoClientCert",
        "VerifyClientCertIfGiven",
        "RequireAndVerifyClientCert",
        "RequestClientCert",
        "RequireAnyClientCert",
        "RequireClientCert",
    ] = "NoClientCert"
    client_ca_file: str = ""
    client_allowed_sans: tuple[str, ...] = Field(default=(), strict=False)
    min_version: TlsVersion = "TLS12"
    max_version: TlsVersion = "TLS13"
    cipher_suites: tuple[Annotated[str, AfterValidator(_cipher)], ...] = Field(default=(), strict=False)
    curve_preferences: tuple[str, ...] = Field(default=(), strict=False)
    prefer_server_cipher_suites: bool = True

    @property
    def trusts_system(self) -> bool:
        """Whether clients' certificates are held against the system's authorities, for none are named."""
        verifies = _VERIFY.get(self.client_auth_type, ssl.CERT_NONE) != ssl.CERT_NONE
        return verifies and not (self.client_ca or self.client_ca_file)

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        for name in ("cert", "key"):
            if not getattr(self, name) and not getattr(self, f"{name}_file"):
                raise ValueError(f"{name}_file is missing; give it, or the PEM itself as {name}")
        for name in ("cert", "key", "client_ca"):
            if getattr(self, name) and getattr(self, f"{name}_file"):
                raise ValueError(f"gives {name} and {name}_file; keep one of them")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.client_auth_type in _UNVERIFIED:
            raise ValueError(
                f"client_auth_type {self.client_auth_type} takes any certificate, also one that a client made for "
                "itself, which Python's TLS cannot; use RequireAndVerifyClientCert with client_ca_file, or "
                "RequestClientCert to let every client in"
            )
        if self.client_auth_type == "NoClientCert" and (self.client_ca or self.client_ca_file):
            name = "client_ca_file" if self.client_ca_file else "client_ca"
            raise ValueError(
                f"{name} is of no use without client_auth_type; add client_auth_type: RequireAndVerifyClientCert"
            )
        if self.client_allowed_sans and self.client_auth_type != "RequireAndVerifyClientCert":
            raise ValueError("client_allowed_sans needs client_auth_type RequireAndVerifyClientCert")
        if self.min_version > self.max_version:
            raise ValueError(f"min_version {self.min_version} is above max_version {self.max_version}")
        return self


class HttpServer(Section):
    """Headers of every answer; `http2` is accepted for the format's sake, answers are HTTP/1.1."""

    http2: bool = True
    headers: Annotated[dict[str, str], AfterValidator(_header_values)] = Field(default_factory=dict)


class RateLimit(Section):
    """One request per `interval`, and up to `burst` at once."""

    interval: Duration = 0.0
    burst: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _lets_something_through(self) -> Self:
        if self.interval > 0 and self.burst == 0:
            raise ValueError("burst must be at least 1 when an interval is given, else every request is rejected")
        return self


class WebConfig(Section):
    """The whole file."""

    tls_server_config: TlsServer | None = None
    http_server_config: HttpServer = Field(default_factory=HttpServer)
    basic_auth_users: Annotated[dict[str, str], AfterValidator(_hashes)] = Field(default_factory=dict, repr=False)
    rate_limit: RateLimit | None = None


_SECTIONS: Mapping[str, type[Section]] = {
    "tls_server_config": TlsServer,
    "http_server_config": HttpServer,
    "basic_auth_users": WebConfig,
    "rate_limit": RateLimit,
}


def parse_web_config(text: str, name: str) -> WebConfig:
    """Decode the file's text; `name` is shown in errors.

    Raises:
        ConfigError: every mistake at once, each with file, line and path.
    """
    document = Document(text, name)
    data = {} if document.data is None else document.data
    if not isinstance(data, dict):
        raise ConfigError([document.problem((), "must be a mapping; start with `tls_server_config:`")])
    sections = {key: value for key, value in data.items() if value is not None or key not in _SECTIONS}
    try:
        return WebConfig.model_validate(sections)
    except ValidationError as error:
        raise ConfigError([_problem(dict(each), document) for each in error.errors()]) from None


def _problem(each: dict[str, Any], document: Document) -> Problem:
    path = tuple(each["loc"])
    if each["type"] == "extra_forbidden":
        section = _SECTIONS.get(str(path[0]), WebConfig) if len(path) > 1 else WebConfig
        message = f"unknown key; allowed: {', '.join(section.model_fields)}"
    elif each["type"] == "missing":
        message = "is missing; it is required"
    else:
        message = str(each["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")
    return document.problem(path, message)


# From the web configuration to an SSL context.


def ssl_context(tls: TlsServer, base: Path, name: str) -> ssl.SSLContext:
    """The SSL context of a web configuration; `name` is the file shown in errors.

    Raises:
        ConfigError: a file is unreadable, no PEM, or the key is not the certificate's.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[tls.min_version]
    context.maximum_version = _VERSIONS[tls.max_version]
    context.set_alpn_protocols(["http/1.1"])
    if not tls.prefer_server_cipher_suites:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    suites = [CIPHERS[each] for each in tls.cipher_suites if each in CIPHERS]
    if suites:
        context.set_ciphers(":".join(suites))
    place = f"{name}: tls_server_config"
    _readable(tls, base, place)
    _load_certificate(context, tls, base, place)
    _load_clients_ca(context, tls, base, place)
    context.verify_mode = _VERIFY[tls.client_auth_type]
    return context


def _load_certificate(context: ssl.SSLContext, tls: TlsServer, base: Path, place: str) -> None:
    with ExitStack() as stack:
        certificate = stack.enter_context(_held(tls.cert)) if tls.cert else base / tls.cert_file
        key = stack.enter_context(_held(tls.key)) if tls.key else base / tls.key_file
        try:
            context.load_cert_chain(certificate, key, password=_no_password)
        except (ssl.SSLError, OSError, ValueError) as error:
            names = f"{tls.cert_file or 'cert'} and {tls.key_file or 'key'}"
            text = f"{names} are not a PEM certificate and its key: {_why(error)}"
            raise ConfigError([Problem(place, text)]) from None


def _load_clients_ca(context: ssl.SSLContext, tls: TlsServer, base: Path, place: str) -> None:
    if tls.trusts_system:
        context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
        add_bundle(context)
    try:
        if tls.client_ca:
            context.load_verify_locations(cadata=tls.client_ca)
        if tls.client_ca_file:
            context.load_verify_locations(base / tls.client_ca_file)
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
    in_memory = hasattr(os, "memfd_create")
    with os.fdopen(os.memfd_create("pem"), "wb") if in_memory else tempfile.NamedTemporaryFile() as file:
        file.write(text.encode())
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}" if in_memory else file.name


def _readable(tls: TlsServer, base: Path, place: str) -> None:
    problems = []
    for field in ("cert_file", "key_file", "client_ca_file"):
        value = getattr(tls, field)
        if not value:
            continue
        try:
            read_bytes(base / value)
        except OSError as error:
            problems.append(Problem(f"{place}.{field}", f"{value} cannot be read: {error.strerror}"))
    if problems:
        raise ConfigError(problems)


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, OSError):
        return str(getattr(error, "reason", None) or error.strerror or "unreadable").replace("_", " ").lower()
    return str(error)


# The active web configuration; read again as soon as its file, certificate, key or CA changes.

log = logging.getLogger(__name__)

_Signature = tuple[tuple[int, int, int] | None, ...]


class WebFile:
    """Answers what counts for the next connection and the next request.

    Attributes:
        context: the SSL context as of the last `config()`, None for plain HTTP.

    Args:
        path: None for plain HTTP without users.

    Raises:
        ConfigError: the file cannot be used at start. Later a bad file is logged and the last good one stays.
    """

    def __init__(self, path: Path | None) -> None:
        self.context: ssl.SSLContext | None = None
        self._path = path
        self._config = WebConfig()
        self._watched: list[Path] = [path] if path else []
        self._seen: _Signature = ()
        if path is not None:
            self._load(path)
            self._notes()

    def config(self) -> WebConfig:
        """The configuration as it is now."""
        if self._path is not None and _signature(self._watched) != self._seen:
            self._reload(self._path)
        return self._config

    def _reload(self, path: Path) -> None:
        self._seen = _signature(self._watched)
        try:
            self._load(path)
        except ConfigError as error:
            for problem in error.problems:
                log.error("web config reload failed, keeping the current config: %s", problem)
        else:
            log.info("web configuration reloaded", extra={"fields": {"file": str(path)}})

    def _load(self, path: Path) -> None:
        config = parse_web_config(read_text(path, "a web configuration"), str(path))
        server = config.tls_server_config
        if self._seen and (server is None) != (self.context is None):
            # Clients of a port that changes its protocol under them see garbage.
            log.warning("web configuration switches TLS %s for new connections", "off" if server is None else "on")
        context = ssl_context(server, path.parent, str(path)) if server else None
        files = (server.cert_file, server.key_file, server.client_ca_file) if server else ()
        self._watched = [path, *(path.parent / each for each in files if each)]
        self._config, self.context = config, context
        self._seen = _signature(self._watched)

    def _notes(self) -> None:
        server = self._config.tls_server_config
        if server and self._config.http_server_config.http2:
            log.debug("http2 is accepted in the web configuration and ignored: answers are HTTP/1.1")
        if server and server.curve_preferences:
            log.warning("curve_preferences of the web configuration is ignored: OpenSSL's choice is used")
        if server and server.client_auth_type == "RequestClientCert":
            log.warning("client_auth_type RequestClientCert lets every client in; none is asked for a certificate")
        if server and server.trusts_system:
            log.warning(
                "client_auth_type %s without client_ca_file trusts every authority that the system trusts",
                server.client_auth_type,
            )


def _signature(paths: list[Path]) -> _Signature:
    signature: list[tuple[int, int, int] | None] = []
    for path in paths:
        try:
            stat = path.stat()
        except OSError:
            signature.append(None)
        else:
            signature.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
    return tuple(signature)
