# SPDX-License-Identifier: Apache-2.0
"""Proxy and TLS settings of outgoing connections."""

import base64
import ipaddress
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Which proxy a URL goes through, from a mapping as `urllib.request.getproxies()` returns it.

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


def proxy_for(scheme: str, host: str, port: int, proxies: Mapping[str, str]) -> Proxy | None:
    """The proxy for an address; None to connect directly.

    Raises:
        ProxyError: the proxy's URL is not one of http:// or https://.
    """
    url = proxies.get(scheme) or proxies.get("all")
    if not url or bypassed(host, port, proxies.get("no", "")):
        return None
    return parse_proxy(url)


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
    if entry == "*":
        return True
    network = _network(entry)
    if network is not None:
        address = _address(host)
        return address is not None and address in network
    name, _, wanted = entry.partition(":") if entry.count(":") == 1 else (entry, "", "")
    if wanted and wanted != str(port):
        return False
    name = name.removeprefix("*").lstrip(".")
    return host == name or host.endswith(f".{name}")


def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        return None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


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
    if not paths.cafile and not _has_certificates(paths.capath):
        found = next((name for name in BUNDLES if Path(name).is_file()), None)
        if found is not None:
            context.load_verify_locations(cafile=found)


def reason(error: ssl.SSLError) -> str:
    """A short sentence for a failed handshake."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate was not accepted: {error.verify_message}"
    words = (error.reason or "unknown").replace("_", " ").lower()
    return f"the TLS handshake failed: {words}"


def _has_certificates(folder: str | None) -> bool:
    if not folder:
        return False
    try:
        return any(path.suffix == ".0" for path in Path(folder).iterdir())
    except OSError:
        return False
