# SPDX-License-Identifier: Apache-2.0
"""The network between us and an API: proxies, trusted CAs, and what a server shows in the TLS handshake."""

import base64
import contextlib
import hashlib
import ipaddress
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from openai_exporter.model import TlsPeer

_NO_ADDRESS = "the proxy's URL names no valid host and port"


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy.

    Attributes:
        tls: whether the proxy itself is reached over TLS.
        authorization: value of Proxy-Authorization, empty without credentials; never shown.
    """

    host: str
    port: int
    tls: bool = False
    authorization: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class ProxyError(ValueError):
    """A proxy URL that cannot be used; the message never holds its credentials."""


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of a URL."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def proxy_for(scheme: str, host: str, port: int, proxies: Mapping[str, str]) -> Proxy | None:
    """The proxy for an address; None to connect directly.

    Raises:
        ProxyError: the proxy's URL is not one of http:// or https://.
    """
    url = proxy_url(scheme, host, port, proxies)
    return parse_proxy(url) if url else None


def proxy_url(scheme: str, host: str, port: int, proxies: Mapping[str, str]) -> str:
    """The URL of the proxy for an address, as it is written; empty to connect directly."""
    url = proxies.get(scheme) or proxies.get("all") or ""
    return "" if bypassed(host, port, proxies.get("no", "")) else url


def parse_proxy(url: str) -> Proxy:
    """Decode a proxy URL; one without scheme is taken as http://.

    Raises:
        ProxyError: another scheme, no host, or no valid port.
    """
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ProxyError(_NO_ADDRESS) from None
    if parts.scheme not in ("http", "https"):
        raise ProxyError(f"proxies of scheme {parts.scheme} are not supported; use an http:// proxy")
    if not host:
        raise ProxyError(_NO_ADDRESS)
    tls = parts.scheme == "https"
    return Proxy(host, port or (443 if tls else 80), tls, _basic(parts.username, parts.password))


def bypassed(host: str, port: int, no_proxy: str) -> bool:
    """Whether NO_PROXY excepts an address: `*`, a host, a domain with all below it, an IP, a network, `host:port`."""
    host = host.lower().strip("[]")
    return any(_matches(host, port, entry.strip().lower()) for entry in no_proxy.split(",") if entry.strip())


def _matches(host: str, port: int, entry: str) -> bool:
    with contextlib.suppress(ValueError):
        network = ipaddress.ip_network(entry.strip("[]"), strict=False)
        return ipaddress.ip_address(host) in network
    name, _, only_port = entry.partition(":") if entry.count(":") == 1 else (entry, "", "")
    if only_port and only_port != str(port):
        return False
    name = name.removeprefix("*").lstrip(".")
    return entry == "*" or host == name or host.endswith(f".{name}")


def _basic(user: str | None, password: str | None) -> str:
    if user is None:
        return ""
    pair = f"{unquote(user)}:{unquote(password or '')}"
    return "Basic " + base64.b64encode(pair.encode()).decode("ascii")


# TLS settings of outgoing connections, which accept no unverified server; the system's authorities.

# Where distributions keep their bundle when the interpreter's OpenSSL looks elsewhere.
BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


def client_context() -> ssl.SSLContext:
    """A verifying context with the system's authorities; SSL_CERT_FILE and SSL_CERT_DIR are honoured by OpenSSL.

    Takes some tens of milliseconds: make it once, outside of anything that is timed.
    """
    context = ssl.create_default_context()
    add_bundle(context)
    context.set_alpn_protocols(["http/1.1"])
    return context


def add_bundle(context: ssl.SSLContext) -> None:
    """Load the distribution's bundle of authorities when OpenSSL finds none in its own places."""
    paths = ssl.get_default_verify_paths()
    if not paths.cafile and not (paths.capath and any(Path(paths.capath).glob("*.0"))):
        bundle = next((name for name in BUNDLES if Path(name).is_file()), None)
        if bundle is not None:
            context.load_verify_locations(cafile=bundle)


def reason(error: ssl.SSLError) -> str:
    """A short sentence for a failed handshake."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate was not accepted: {error.verify_message}"
    words = (error.reason or "unknown").replace("_", " ").lower()
    return f"the TLS handshake failed: {words}"


# What the server of a TLS connection showed of itself.

Decoded = dict[str, Any]
"""A certificate as `SSLSocket.getpeercert()` gives it."""

_VERSIONS = {"TLSv1": "TLS 1.0", "TLSv1.1": "TLS 1.1", "TLSv1.2": "TLS 1.2", "TLSv1.3": "TLS 1.3"}
"""OpenSSL's names to blackbox_exporter's."""
_SHORT = {
    "commonName": "CN",
    "countryName": "C",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "serialNumber": "SERIALNUMBER",
    "stateOrProvinceName": "ST",
    "streetAddress": "STREET",
    "postalCode": "POSTALCODE",
}
"""Attribute names of RFC 2253, as blackbox_exporter (Go) writes them."""
_ESCAPED = str.maketrans({character: f"\\{character}" for character in ',+"\\<>;'})


class Peer:
    """The server at the other end of one TLS connection."""

    def __init__(self, connection: ssl.SSLObject) -> None:
        self._connection = connection

    @cached_property
    def facts(self) -> TlsPeer:
        """What the handshake showed; read at the first use, outside of what is timed."""
        return _read(self._connection)


def _read(connection: ssl.SSLObject) -> TlsPeer:
    leaf: Decoded = connection.getpeercert() or {}
    cipher = connection.cipher()
    return TlsPeer(
        version=_VERSIONS.get(connection.version() or "", "unknown"),
        cipher=cipher[0] if cipher else "",
        earliest_expiry=_earliest([leaf, *_certificates(connection, "get_unverified_chain")]),
        chain_expiry=_earliest(_certificates(connection, "get_verified_chain")),
        fingerprint=hashlib.sha256(connection.getpeercert(binary_form=True) or b"").hexdigest(),
        subject=_name(leaf.get("subject", ())),
        issuer=_name(leaf.get("issuer", ())),
        alternatives=",".join(value for kind, value in leaf.get("subjectAltName", ()) if kind == "DNS"),
        serial=str(leaf.get("serialNumber", "")).lower(),
    )


def _earliest(certificates: Iterable[Decoded]) -> float | None:
    ends = [text for certificate in certificates if isinstance(text := certificate.get("notAfter"), str)]
    return min((float(ssl.cert_time_to_seconds(text)) for text in ends), default=None)


def _name(parts: Iterable[Iterable[tuple[str, str]]]) -> str:
    """A distinguished name as RFC 2253 writes it: the most specific part first."""
    names = [
        "+".join(f"{_SHORT.get(kind, kind)}={value.translate(_ESCAPED)}" for kind, value in part) for part in parts
    ]
    return ",".join(reversed(names))


# The private attributes of libraries that the client uses: nothing public gives the same.


def _certificates(connection: ssl.SSLObject, chain: str) -> list[Decoded]:
    """The certificates of a chain, `get_verified_chain` or `get_unverified_chain`; none where there is no such method.

    Python 3.13 has these methods on the object itself, but yields bare DER there, of which the standard library
    cannot read the dates; the C object below has had them since 3.10, decoded.
    """
    method = getattr(getattr(connection, "_sslobj", None), chain, None)
    try:
        return [certificate.get_info() for certificate in (method() or ())] if method else []
    except (AttributeError, ssl.SSLError, ValueError):
        return []


def set_default_headers(client: Any, headers: Mapping[str, str]) -> None:
    """Send these with each call of an OpenAI SDK client, and none of those that OPENAI_CUSTOM_HEADERS adds."""
    client._custom_headers = headers
