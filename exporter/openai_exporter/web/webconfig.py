# SPDX-License-Identifier: Apache-2.0
"""The file of `--web.config.file`, in exporter-toolkit's format: decoded strictly, every mistake at once."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from openai_exporter.config.base import Duration, Section
from openai_exporter.config.document import Document
from openai_exporter.errors import ConfigError, Problem

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
        raise ValueError(
            f"unknown or weak cipher suite {name!r}; allowed: {', '.join([*CIPHERS, *TLS13_CIPHERS])}"
        )
    return name


def _header_values(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        pattern = _HEADERS.get(name)
        if pattern is None:
            raise ValueError(f"header {name!r} cannot be set; allowed: {', '.join(_HEADERS)}")
        if not re.fullmatch(pattern, value):
            raise ValueError(f"header {name} has a value that it does not take")
    return headers


def _hashes(users: dict[str, str]) -> dict[str, str]:
    for name, value in users.items():
        if not _BCRYPT.fullmatch(value):
            raise ValueError(f"user {name!r}: not a bcrypt hash; make one with `htpasswd -nBC 10 {name}`")
    return users


_VERIFYING = ("VerifyClientCertIfGiven", "RequireAndVerifyClientCert")
"""Values of client_auth_type that hold a client's certificate against an authority."""

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
        return self.client_auth_type in _VERIFYING and not (self.client_ca or self.client_ca_file)

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
            raise ValueError(
                "burst must be at least 1 when an interval is given, else every request is refused"
            )
        return self


class WebConfig(Section):
    """The whole file."""

    tls_server_config: TlsServer | None = None
    http_server_config: HttpServer = Field(default_factory=HttpServer)
    basic_auth_users: Annotated[dict[str, str], AfterValidator(_hashes)] = Field(
        default_factory=dict, repr=False
    )
    rate_limit: RateLimit | None = None


def parse_web_config(text: str, name: str) -> WebConfig:
    """Decode the file's text; `name` is shown in errors.

    Raises:
        ConfigError: every mistake at once, each with file, line and path.
    """
    document = Document(text, name)
    data = {} if document.data is None else document.data
    if not isinstance(data, dict):
        raise ConfigError([document.problem((), "must be a mapping; start with `tls_server_config:`")])
    given = {
        key: value for key, value in data.items() if value is not None or key not in WebConfig.model_fields
    }
    try:
        return WebConfig.model_validate(given)
    except ValidationError as error:
        raise ConfigError([_problem(dict(each), document) for each in error.errors()]) from None


def read_web_config(path: Path) -> WebConfig:
    """Decode the file at `path`.

    Raises:
        ConfigError: unreadable, or as `parse_web_config`.
    """
    try:
        return parse_web_config(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise ConfigError([Problem(str(path), f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError:
        raise ConfigError([Problem(str(path), "is not UTF-8 text")]) from None


def _problem(each: dict[str, Any], document: Document) -> Problem:
    path = tuple(each["loc"])
    if each["type"] == "extra_forbidden":
        message = f"unknown key; allowed: {', '.join(_keys(path))}"
    elif each["type"] == "missing":
        message = "is missing; it is required"
    else:
        message = str(each["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")
    return document.problem(path, message)


def _keys(path: tuple[str | int, ...]) -> list[str]:
    sections: Mapping[str, type[Section]] = {
        "tls_server_config": TlsServer,
        "http_server_config": HttpServer,
        "rate_limit": RateLimit,
    }
    model = sections.get(str(path[0]), WebConfig) if len(path) > 1 else WebConfig
    return list(model.model_fields)
